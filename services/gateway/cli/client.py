"""Talks to the gateway over its Unix socket, with nothing but the standard library (scripts wait for it)."""

from __future__ import annotations

import http.client
import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from holdfast.errors import (
    ConfigError,
    EnvironmentFaultError,
    ExitCode,
    HoldfastError,
    NotFoundError,
    OperatorError,
    RefusedError,
    UnavailableError,
)
from holdfast.settings import load_settings

PREFIX = "/api/v1"
CONNECT_S_MAX = 5.0
"""A gateway that was killed is back within about a second."""
CONNECT_AGAIN_S = 0.05
ANSWER_S_MAX = 30.0
ERROR_BYTES_MAX = 1 << 20
COMMAND_CHARS_MAX = 512
CHUNK_BYTES = 1 << 16

Json = Any
"""What an answer holds; each command knows the shape of its own."""

Body = Mapping[str, object] | bytes | None
_KINDS: dict[int, type[HoldfastError]] = {
    ExitCode.REFUSED: RefusedError,
    ExitCode.NOT_FOUND: NotFoundError,
    ExitCode.USAGE: OperatorError,
    ExitCode.UNAVAILABLE: UnavailableError,
    ExitCode.ENVIRONMENT: EnvironmentFaultError,
}


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float | None) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def node_is_running() -> bool:
    """Does a gateway answer on this node, or will it soon (its supervisor runs)."""
    run_dir = load_settings().run_dir
    return _accepts(run_dir / "gateway.sock") or _accepts(run_dir / "supervisor.sock")


def path_of(*parts: str) -> str:
    """Join the parts of a path, each quoted."""
    return "/".join(quote(part, safe="") for part in parts)


def call(
    method: str,
    path: str,
    body: Body = None,
    *,
    query: Mapping[str, object] | None = None,
    timeout_s: float | None = ANSWER_S_MAX,
) -> Json:
    """Send one request and return the answer's JSON; raise the error that the gateway tells."""
    with _response(method, path, body, query or {}, timeout_s) as response:
        return json.loads(response.read())


def fetch(path: str) -> bytes:
    """Return an answer's bytes."""
    with _response("GET", path, None, {}, ANSWER_S_MAX) as response:
        return response.read()


def save(method: str, path: str, file: Path, *, timeout_s: float) -> None:
    """Write an answer's bytes into a file; raise EnvironmentFaultError when that cannot be written."""
    with _response(method, path, None, {}, timeout_s) as response:
        try:
            with file.open("wb") as stream:
                while data := response.read(CHUNK_BYTES):
                    stream.write(data)
        except OSError as error:
            raise EnvironmentFaultError(f"{file}: {error.strerror or error}") from error


def lines(path: str, query: Mapping[str, object]) -> Iterator[Json]:
    """Yield the objects of an answer that comes line by line, for as long as it comes."""
    with _response("GET", path, None, query, None) as response:
        for line in response:
            if line.strip():
                yield json.loads(line)


def _response(
    method: str,
    path: str,
    body: Mapping[str, object] | bytes | None,
    query: Mapping[str, object],
    timeout_s: float | None,
) -> http.client.HTTPResponse:
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    headers = _headers()
    if data:
        headers["Content-Type"] = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    sent = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    target = f"{PREFIX}/{path}" + (f"?{urlencode(sent)}" if sent else "")
    connection = _connected(timeout_s)
    try:
        connection.request(method, target, body=data, headers=headers)
        response = connection.getresponse()
    except (OSError, http.client.HTTPException) as error:
        raise UnavailableError(f"the gateway did not answer: {error or type(error).__name__}") from error
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        raise _error_of(response.status, response.read(ERROR_BYTES_MAX))
    return response


def _headers() -> dict[str, str]:
    """For the command log: which words were typed, and by whom before sudo."""
    name = os.environ.get("SUDO_USER", "")
    command = quote(shlex.join(["holdfast", *sys.argv[1:]])[:COMMAND_CHARS_MAX], safe=" /:=,")
    return {"Holdfast-Command": command, **({"Holdfast-Caller": quote(name)} if name else {})}


def _connected(timeout_s: float | None) -> _Connection:
    """Connect; while the supervisor runs a missing gateway is only on its way back."""
    run_dir = load_settings().run_dir
    end_at = time.monotonic() + CONNECT_S_MAX
    while True:
        connection = _Connection(run_dir / "gateway.sock", timeout_s)
        try:
            connection.connect()
        except PermissionError as error:
            raise EnvironmentFaultError(f"{run_dir / 'gateway.sock'} may not be used", hint="become root") from error
        except OSError as error:
            connection.sock.close()
            if time.monotonic() >= end_at or not _accepts(run_dir / "supervisor.sock"):
                hint = "holdfast node run"
                raise UnavailableError("this node does not run", hint=hint) from error
            time.sleep(CONNECT_AGAIN_S)
        else:
            return connection


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def _error_of(status: int, data: bytes) -> HoldfastError:
    try:
        body = json.loads(data)
        message, hint, code = str(body["error"]), str(body["hint"]), int(body["exit_code"])
        problems = tuple(str(problem) for problem in body.get("problems", ()))
    except (ValueError, KeyError, TypeError):
        return UnavailableError(f"the gateway answered {status}: {data[:200].decode(errors='replace')}")
    if code == ExitCode.CONFIG_INVALID:
        return ConfigError(message, problems=problems, hint=hint)
    if problems:
        message = "\n".join([message, *problems])
    return _KINDS.get(code, HoldfastError)(message, hint=hint)
