"""Keeps the node's command log: what a request that changes something asked for, and how it ended. Nothing waits for
the disk: a thread of its own writes, and what it cannot keep up with is counted and left out."""

from __future__ import annotations

import json
import logging
import pwd
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from holdfast.clock import Clock
from holdfast.errors import ExitCode, StorageError
from holdfast.support.command_log import CommandEntry, CommandLog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.files.limits import WHO_CHARS_MAX

CHANGING = frozenset({"POST", "PUT", "DELETE", "PATCH"})
NOT_RECORDED = re.compile(
    rf"/modules/[^/]+/({'|'.join(('log', 'resources/.+', 'configuration/check', 'verify', 'estimate'))})\Z"
)
"""Lines and values that scripts and checkers give every few seconds (the module's own history has them), and requests
that change nothing."""
CALLER, COMMAND = b"holdfast-caller", b"holdfast-command"
"""Headers in which the command line says who runs it (SUDO_USER) and with which words."""
COMMAND_CHARS_MAX = 512
ARGUMENTS_BYTES_MAX = 4096
ARGUMENTS_CHARS_MAX = 1024
RESULT_CHARS_MAX = 512
WAITING_MAX = 256
"""Entries that wait for the disk."""
SECRETS = frozenset({"key", "password", "xml", "token"})
"""Fields of requests whose value is not kept: what is secret, and what is long and kept elsewhere."""
_MODULE = re.compile(r"/modules/([A-Za-z0-9_-]{1,64})(/|\Z)")
log = logging.getLogger("holdfast.gateway")


@dataclass(eq=False)
class _Command:
    """One request under way. number: None until it is recorded, or when it could not be."""

    entry: CommandEntry
    number: int | None = None


@dataclass(eq=False)
class _Seen:
    """What passed by of one request: the first bytes of body and answer, and the status."""

    body: bytearray = field(default_factory=bytearray)
    answer: bytearray = field(default_factory=bytearray)
    status: int = 0


class Recorder:
    """Writes the command log, in order, behind whoever asks."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._store: CommandLog | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="command-log")
        self._room = threading.Semaphore(WAITING_MAX)
        self.left_out = 0

    def begin(self, entry: CommandEntry) -> _Command:
        command = _Command(entry)
        self._submit(lambda: self._begin(command))
        return command

    def end(self, command: _Command, *, exit_code: int, result: str) -> None:
        at_wall_ns = self._clock.wall_ns()
        self._submit(lambda: self._end(command, at_wall_ns, exit_code, result))

    def wall_ns(self) -> int:
        return self._clock.wall_ns()

    def close(self) -> None:
        """Write what waits, then let go of the file; the disk's troubles end with the process."""
        self._writer.submit(self._close)
        self._writer.shutdown(wait=False)

    def wait_closed(self) -> None:
        """Return when everything has been written."""
        self._writer.shutdown(wait=True)

    def _submit(self, write: Callable[[], None]) -> None:
        if self._room.acquire(blocking=False):
            self._writer.submit(self._written, write)
        else:
            self.left_out += 1

    def _written(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StorageError as error:
            self.left_out += 1
            log.warning("a command is missing in the command log: %s", error)
        finally:
            self._room.release()

    def _begin(self, command: _Command) -> None:
        if self._store is None:
            self._store = CommandLog(self._path)
        command.number = self._store.begin(command.entry)

    def _end(self, command: _Command, at_wall_ns: int, exit_code: int, result: str) -> None:
        if self._store is not None and command.number is not None:
            self._store.end(command.number, wall_ns=at_wall_ns, exit_code=exit_code, result=result)

    def _close(self) -> None:
        if self._store is not None:
            self._store.close()


class Recording:
    """ASGI middleware around the application."""

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._recorder = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in CHANGING or NOT_RECORDED.search(scope["path"]):
            await self._app(scope, receive, send)
            return
        seen = _Seen()
        begun: list[_Command] = []

        async def heard() -> Message:
            message = await receive()
            _keep(seen.body, message.get("body", b""))
            if not begun and not message.get("more_body", False):
                begun.append(self._recorder.begin(_entry(scope, bytes(seen.body), self._recorder.wall_ns())))
            return message

        async def said(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            _keep(seen.answer, message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, heard, said)
        finally:
            if not begun:
                begun.append(self._recorder.begin(_entry(scope, bytes(seen.body), self._recorder.wall_ns())))
            code, result = _outcome(seen)
            self._recorder.end(begun[0], exit_code=code, result=result)


def _keep(kept: bytearray, data: bytes) -> None:
    kept += data[: max(0, ARGUMENTS_BYTES_MAX - len(kept))]


def _entry(scope: Scope, body: bytes, now_wall_ns: int) -> CommandEntry:
    headers = dict(scope["headers"])
    client = scope.get("client")
    uid, pid = (int(client[0]), client[1]) if client is not None and client[0].isdigit() else (-1, 0)
    module = _MODULE.search(scope["path"])
    query = scope.get("query_string", b"").decode("latin-1")
    return CommandEntry(
        began_wall_ns=now_wall_ns,
        module=module[1] if module else "",
        who=_text(headers.get(CALLER, b""), WHO_CHARS_MAX) or _user(uid),
        uid=uid,
        pid=pid,
        command=_text(headers.get(COMMAND, b""), COMMAND_CHARS_MAX),
        request=f"{scope['method']} {scope['path']}"[:COMMAND_CHARS_MAX]
        + (f"?{unquote(query)[:256]}" if query else ""),
        arguments=_arguments(headers.get(b"content-type", b""), body),
    )


def _text(data: bytes, chars_max: int) -> str:
    """A header's text: percent-encoded UTF-8; what cannot be printed is left out."""
    return "".join(char for char in unquote(data.decode("latin-1")) if char.isprintable())[:chars_max]


def _user(uid: int) -> str:
    if uid < 0:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _arguments(kind: bytes, body: bytes) -> str:
    """What was sent, as JSON with secrets masked; of anything but JSON its kind alone."""
    if not body:
        return ""
    if not kind.startswith(b"application/json"):
        return f"({kind.decode('latin-1')[:64]})"
    try:
        sent = json.loads(body)
    except ValueError:
        return "(JSON that is not kept)"
    if not isinstance(sent, dict):
        return "(JSON that is no object)"
    masked = {name: "…" if name in SECRETS and value else value for name, value in sent.items() if name != "who"}
    return json.dumps(masked, ensure_ascii=False)[:ARGUMENTS_CHARS_MAX]


def _outcome(seen: _Seen) -> tuple[int, str]:
    """Exit code and reason, as the command line has them."""
    if seen.status and seen.status < 400:
        return int(ExitCode.OK), ""
    try:
        answer = json.loads(seen.answer)
        return int(answer["exit_code"]), str(answer["error"])[:RESULT_CHARS_MAX]
    except (ValueError, KeyError, TypeError):
        return int(ExitCode.FAILED), f"HTTP {seen.status}" if seen.status else "broken off"
