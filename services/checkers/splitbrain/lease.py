"""A witness that gives a lease: one question, asked again until it is answered, over UDP."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import StorageError
from holdfast.events.module import WitnessWatch
from holdfast.ids import ModuleId
from holdfast.settings import NodeSettings
from holdfast.witness.wire import (
    DATAGRAM_BYTES_MAX,
    Answer,
    Question,
    WireError,
    address_of,
    decode_answer,
    encode,
    read_key,
)

from services.checkers.splitbrain.answer import Heard

ANSWER_S_MAX = 2.0
"""Ten lost datagrams in a row."""
REPEAT_S = 0.2
"""A witness answers after one fsync: tens of milliseconds on a slow disk."""
ANSWERS_WAITING_MAX = 16
KEY_FILE_BYTES_MAX = 4096
NONCE_BYTES = 12

log = logging.getLogger("holdfast.checkers")


@dataclass(kw_only=True)
class _Line(asyncio.DatagramProtocol):
    """Datagrams from the witness, in the order in which they came; what does not fit is dropped."""

    heard: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(ANSWERS_WAITING_MAX))

    def datagram_received(self, data: bytes, _address: object) -> None:
        if len(data) <= DATAGRAM_BYTES_MAX and not self.heard.full():
            self.heard.put_nowait(data)

    def error_received(self, error: Exception) -> None:
        """Nobody listens there, or there is no way: as if the question had been lost."""
        log.debug("asking the witness: %s", error)


class LeaseWitness:
    """Asks for all modules of this node. Numbers begin at the wall clock, so that they go on growing over restarts; a
    witness that knows a higher one says so, and they go on from there."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._number = time.time_ns() // 1_000_000

    async def ask(self, module: ModuleId, watch: WitnessWatch) -> Heard:
        """One attempt, of at most ANSWER_S_MAX."""
        try:
            key = _read_key(watch.key_file)
            async with asyncio.timeout(ANSWER_S_MAX):
                return await self._asked(module, watch, key)
        except TimeoutError:
            return Heard(reachable=False, why=f"the witness is not reached: no answer from {watch.targets[0]}")
        except (OSError, UnicodeError, StorageError) as error:
            return Heard(reachable=False, why=f"the witness is not reached: {error}")

    async def _asked(self, module: ModuleId, watch: WitnessWatch, key: bytes) -> Heard:
        host, port = address_of(watch.targets[0])
        line: _Line
        transport, line = await asyncio.get_running_loop().create_datagram_endpoint(_Line, remote_addr=(host, port))
        try:
            while True:
                question = self._question(module, watch)
                answer = await self._one_answer(transport, line, encode(question, key), question.nonce, key)
                if not answer.stale:
                    return Heard(reachable=True, granted=answer.granted, why=answer.why)
                self._number = max(self._number, answer.number)
        finally:
            transport.close()

    async def _one_answer(
        self, transport: asyncio.DatagramTransport, line: _Line, datagram: bytes, nonce: str, key: bytes
    ) -> Answer:
        """Send, and send again, until the answer to this very question comes."""
        while True:
            transport.sendto(datagram)
            try:
                async with asyncio.timeout(REPEAT_S):
                    while True:
                        try:
                            answer = decode_answer(await line.heard.get(), key)
                        except WireError as error:
                            log.warning("the witness sends %s", error)
                            continue
                        if answer.nonce == nonce:
                            return answer
            except TimeoutError:
                continue

    def _question(self, module: ModuleId, watch: WitnessWatch) -> Question:
        self._number += 1
        return Question(
            cluster=self._settings.cluster,
            module=module,
            node=self._settings.node,
            number=self._number,
            nonce=os.urandom(NONCE_BYTES).hex(),
            epoch=watch.epoch,
            in_step=watch.in_step,
            wants=bool(watch.question),
            acting=watch.acting,
            replicated=watch.replicated,
        )


def _read_key(path: str) -> bytes:
    if not path:
        return b""
    try:
        with Path(path).open("rb") as file:
            key = read_key(file.read(KEY_FILE_BYTES_MAX))
    except OSError as error:
        raise StorageError(f"{path}: the cluster key cannot be read: {error.strerror}") from error
    if not key:
        raise StorageError(f"{path}: the cluster key is empty")
    return key
