"""The supervisor's own door: JSON lines on a Unix socket for root."""

from __future__ import annotations

import json
import selectors
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

CLIENTS_MAX = 16
REQUEST_BYTES_MAX = 4096
SOCKET_NAME = "supervisor.sock"

Answer = Callable[[Mapping[str, object]], dict[str, object]]
"""Turns a request into a reply; both become one line of JSON."""


class ControlSocket:
    """Serves requests one line each; a client that says too much or leaves is dropped."""

    def __init__(self, selector: selectors.BaseSelector, path: Path, answer: Answer) -> None:
        self._selector = selector
        self._answer = answer
        self._clients: dict[socket.socket, bytes] = {}
        self._path = path
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(CLIENTS_MAX)
        selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= CLIENTS_MAX:
            client.close()
            return
        client.setblocking(False)
        self._clients[client] = b""
        self._selector.register(client, selectors.EVENT_READ, lambda: self._read(client))

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(REQUEST_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        waiting = self._clients[client] + data
        *lines, rest = waiting.split(b"\n")
        if not data or len(rest) > REQUEST_BYTES_MAX or not self._reply(client, lines):
            self._drop(client)
            return
        self._clients[client] = rest

    def _reply(self, client: socket.socket, lines: list[bytes]) -> bool:
        for line in lines:
            try:
                request = json.loads(line)
                reply = self._answer(request) if isinstance(request, dict) else {"error": "not an object"}
            except ValueError as error:
                reply = {"error": f"not JSON: {error}"}
            try:
                client.sendall(json.dumps(reply).encode() + b"\n")
            except OSError:
                # It left, or does not read what it asked for.
                return False
        return True

    def _drop(self, client: socket.socket) -> None:
        self._selector.unregister(client)
        del self._clients[client]
        client.close()
