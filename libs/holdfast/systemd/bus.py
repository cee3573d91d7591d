"""A connection to a D-Bus daemon (https://dbus.freedesktop.org/doc/dbus-specification.html): calls and signals.

Messages are written and read by jeepney's part without I/O; the socket is ours, so that every wait has a limit and
what comes in cannot keep the event loop from other work.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from jeepney import (  # type: ignore[import-untyped]
    DBusAddress,
    HeaderFields,
    Message,
    MessageFlag,
    MessageType,
    Parser,
    new_method_call,
)
from jeepney.auth import BEGIN, AuthenticationError, Authenticator  # type: ignore[import-untyped]
from jeepney.bus import get_bus  # type: ignore[import-untyped]

from holdfast.errors import HoldfastError, UnavailableError

ANSWER_S_MAX = 2.0
"""For one answer; a daemon on the same machine takes less than a millisecond."""
MESSAGE_BYTES_MAX = 1 << 20
"""All that is asked for here is far smaller; the specification allows 128 MiB."""
READ_BYTES = 8192
"""About 30 messages: what is taken apart before anything else in this process has its turn."""
CALLS_MAX = 64
"""Under way at once."""

BUS_NAME = "org.freedesktop.DBus"
BUS_PATH = "/org/freedesktop/DBus"


class BusRefusedError(HoldfastError):
    """A call was answered by an error. name: which (`org.freedesktop.DBus.Error.…`)."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A signal. sender: the unique name of the connection that sent it, put there by the daemon."""

    sender: str
    path: str
    interface: str
    member: str
    body: tuple[object, ...]


class BusConnection:
    """A connection that has said hello. on_signal: called for each signal, and must not take long."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, on_signal: Callable[[Signal], None]
    ) -> None:
        self._reader, self._writer, self._on_signal = reader, writer, on_signal
        self._parser = Parser()
        self._serials = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self.received = 0
        """Messages so far."""
        self.ended = asyncio.ensure_future(self._receive())
        """Done when the connection is lost; its result is the reason in words."""

    @classmethod
    async def open(cls, address: str, on_signal: Callable[[Signal], None]) -> BusConnection:
        """Connect to `address`: SYSTEM, or an address as the specification has it.

        Raises UnavailableError when nothing answers there in time, or it does not take us.
        """
        try:
            async with asyncio.timeout(ANSWER_S_MAX), AsyncExitStack() as failing:
                reader, writer = await asyncio.open_unix_connection(get_bus(address), limit=READ_BYTES)
                failing.callback(writer.close)
                await _authenticate(reader, writer)
                failing.pop_all()
        except (OSError, ValueError, RuntimeError, AuthenticationError, TimeoutError) as error:
            raise UnavailableError(f"the {address} D-Bus cannot be used: {error or 'no answer'}") from error
        connection = cls(reader, writer, on_signal)
        async with AsyncExitStack() as failing:
            failing.push_async_callback(connection.close)
            await connection.ask_bus("Hello")
            failing.pop_all()
        return connection

    async def ask_bus(self, member: str, signature: str = "", *arguments: object) -> tuple[object, ...]:
        """Call a method of the daemon itself."""
        return await self.call(BUS_NAME, BUS_PATH, BUS_NAME, member, signature, *arguments)

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", *arguments: object
    ) -> tuple[object, ...]:
        """Call a method and return what it answers; nothing is started only to answer.

        Raises BusRefusedError when the answer is an error, UnavailableError when none comes in time.
        """
        if self.ended.done() or len(self._answers) >= CALLS_MAX:
            raise UnavailableError("the D-Bus connection is lost or does not keep up")
        target = DBusAddress(path, bus_name=destination, interface=interface)
        message = new_method_call(target, member, signature or None, arguments)
        message.header.flags |= MessageFlag.no_auto_start
        serial = next(self._serials)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[serial] = answer
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                self._writer.write(message.serialise(serial))
                await self._writer.drain()
                return _unwrapped(await answer)
        except (OSError, TimeoutError) as error:
            raise UnavailableError(f"{destination} does not answer {member}: {error or 'no answer in time'}") from error
        finally:
            del self._answers[serial]
            answer.cancel()

    async def close(self) -> None:
        self.ended.cancel()
        self._writer.close()
        await asyncio.wait({self.ended})

    async def _receive(self) -> str:
        """Read until the connection is lost; return why."""
        why = "the daemon closed the connection"
        try:
            while data := await self._reader.read(READ_BYTES):
                self._parser.add_data(data)
                self._take_apart()
                # A read returns at once while data is there, so a flood would let nothing else run.
                await asyncio.sleep(0)
        except OSError as error:
            why = str(error)
        except (ValueError, LookupError, TypeError, struct.error) as error:
            why = f"what the daemon sent cannot be read: {error}"
        finally:
            self._writer.close()
            for answer in self._answers.values():
                # Whoever waits for it says that no answer came.
                answer.cancel()
        return why

    def _take_apart(self) -> None:
        while True:
            message = self._parser.get_next_message()
            if message is None:
                break
            self.received += 1
            self._handle(message)
        if (self._parser.next_msg_size or 0) > MESSAGE_BYTES_MAX:
            raise ValueError(f"a message of {self._parser.next_msg_size} bytes; at most {MESSAGE_BYTES_MAX} are taken")

    def _handle(self, message: Message) -> None:
        fields = message.header.fields
        match message.header.message_type:
            case MessageType.method_return | MessageType.error:
                answer = self._answers.get(fields.get(HeaderFields.reply_serial, 0))
                if answer is not None and not answer.done():
                    answer.set_result(message)
            case MessageType.signal:
                self._on_signal(
                    Signal(
                        sender=fields.get(HeaderFields.sender, ""),
                        path=fields.get(HeaderFields.path, ""),
                        interface=fields.get(HeaderFields.interface, ""),
                        member=fields.get(HeaderFields.member, ""),
                        body=tuple(message.body),
                    )
                )


async def _authenticate(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say who we are; the daemon compares it with what the kernel says (mechanism EXTERNAL)."""
    authenticator = Authenticator()
    for line in authenticator:
        writer.write(line)
        await writer.drain()
        data = await reader.read(READ_BYTES)
        if not data:
            raise ConnectionResetError("closed while authenticating")
        authenticator.feed(data)
    writer.write(BEGIN)
    await writer.drain()


def _unwrapped(message: Message) -> tuple[object, ...]:
    body: tuple[object, ...] = tuple(message.body)
    if message.header.message_type is MessageType.error:
        text = body[0] if body and isinstance(body[0], str) else ""
        raise BusRefusedError(message.header.fields.get(HeaderFields.error_name, ""), text)
    return body
