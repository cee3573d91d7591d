"""What every request must pass before it reaches the application: size, and what the loopback port may be asked.

Until there is sign-in, only the Unix socket (root, and the group that owns it) may change anything. The loopback port
is open to every user of the machine, so it only answers questions, and only when it was addressed by a loopback name:
a web page elsewhere that points its own name at 127.0.0.1 gets nothing.
"""

from __future__ import annotations

import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.files.limits import BODY_BYTES_MAX

READING = frozenset({"GET", "HEAD"})
LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
_TOO_LARGE = 413
_FORBIDDEN = 403


class TooLargeError(Exception):
    """The body went on beyond the limit."""


class Guard:
    """ASGI middleware; see the module's text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = _refusal(scope)
        if refusal:
            await _reply(send, *refusal)
            return
        left = BODY_BYTES_MAX
        began = False

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise TooLargeError
            return message

        async def noticing(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, bounded, noticing)
        except TooLargeError:
            if not began:
                await _reply(send, _TOO_LARGE, f"the body is larger than {BODY_BYTES_MAX} bytes")


def _refusal(scope: Scope) -> tuple[int, str] | None:
    headers = {name: value for name, value in scope["headers"] if name in (b"host", b"content-length")}
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        return _TOO_LARGE, f"the body is larger than {BODY_BYTES_MAX} bytes"
    server = scope.get("server")
    if server is not None and server[1] is None:
        # A Unix socket has a path and no port (ASGI HTTP specification, connection scope).
        return None
    name = headers.get(b"host", b"").decode("latin-1")
    name = name if name.endswith("]") else name.rpartition(":")[0] or name
    if name not in LOCAL_NAMES:
        return _FORBIDDEN, "this port answers only to the names of the loopback interface"
    if scope["method"] not in READING:
        return _FORBIDDEN, "this port only answers questions; commands go through the gateway's Unix socket"
    return None


async def _reply(send: Send, status: int, error: str) -> None:
    body = json.dumps({"error": error, "hint": "", "exit_code": 2}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
