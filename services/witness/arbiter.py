"""One question after the other: authenticated, decided, durable, answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import StorageError
from holdfast.witness.lease import decide
from holdfast.witness.wire import Answer, Question, WireError, decode_question, encode, read_key

from services.witness.store import NODES_MAX, Entry, Store

KEY_FILE_BYTES_MAX = 4096
KEYS_MAX = 64

log = logging.getLogger("holdfast.witness")


class Keys:
    """The cluster keys that are accepted, read again when their files change; without files, clusters without a key."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        """Raises StorageError when one cannot be read at first."""
        self._paths = paths[:KEYS_MAX]
        self._known: dict[Path, tuple[tuple[int, int, int], bytes]] = {}
        for path in self._paths:
            self._read(path)

    def all(self) -> tuple[bytes, ...]:
        """Every key now; of a file that cannot be read any more, the last one."""
        for path in self._paths:
            try:
                self._read(path)
            except StorageError as error:
                log.warning("%s", error)
        return tuple(key for _, key in self._known.values()) if self._paths else (b"",)

    def _read(self, path: Path) -> None:
        try:
            about = path.stat()
            stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
            known = self._known.get(path)
            if known is not None and known[0] == stamp:
                return
            with path.open("rb") as file:
                key = read_key(file.read(KEY_FILE_BYTES_MAX))
        except OSError as error:
            raise StorageError(f"{path}: the cluster key cannot be read: {error.strerror}") from error
        if not key:
            raise StorageError(f"{path}: the cluster key is empty")
        self._known[path] = (stamp, key)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    question: Question
    key: bytes


class Arbiter:
    """Decides, for one datagram at a time. Whoever calls it sends what it returns, and nothing else."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys
        self.refused = 0
        """Datagrams that were no question of a cluster known here."""

    def answer(self, datagram: bytes) -> bytes | None:
        """The answer to a question, once what it says is durable; None for anything that deserves none."""
        asked = self._opened(datagram)
        if asked is None:
            return None
        try:
            return encode(self._decided(asked.question), asked.key)
        except StorageError as error:
            # Without an answer the node counts the witness as not reached: nobody acts on what may be forgotten.
            log.error("a question of %s is not answered: %s", asked.question.node, error)
            return None

    def _opened(self, datagram: bytes) -> _Asked | None:
        why = ""
        for key in self._keys.all():
            try:
                return _Asked(question=decode_question(datagram, key), key=key)
            except WireError as error:
                why = error.message
        self.refused += 1
        # The first of each power of two: a flood of rubbish must not fill the disk with its description.
        if self.refused & (self.refused - 1) == 0:
            log.warning("refused %d datagrams so far, the last one: %s", self.refused, why)
        return None

    def _decided(self, question: Question) -> Answer:
        entry = self._store.read(question.cluster, question.module)
        last = entry.numbers.get(question.node, 0)
        if question.number < last:
            return _answer(question, entry, number=last, stale=True)
        decision = decide(entry.lease, question.stand)
        fresh = Entry(lease=decision.lease, numbers=_numbered(entry.numbers, question))
        if fresh != entry:
            self._store.write(question.cluster, question.module, fresh)
        if decision.lease != entry.lease:
            log.info("%s/%s: %s, by the word of %s", question.cluster, question.module, fresh.lease, question.node)
        return _answer(question, fresh, number=question.number, granted=decision.granted, why=decision.why)


def _numbered(numbers: Mapping[str, int], question: Question) -> dict[str, int]:
    """The numbers with this one; a node beyond the limit takes the place of the one least heard of."""
    others = sorted((number, node) for node, number in numbers.items() if node != question.node)
    kept = {node: number for number, node in others[max(0, len(others) - NODES_MAX + 1) :]}
    return {**kept, question.node: question.number}


def _answer(
    question: Question, entry: Entry, *, number: int, stale: bool = False, granted: bool = False, why: str = ""
) -> Answer:
    lease = entry.lease
    return Answer(
        nonce=question.nonce,
        number=number,
        stale=stale,
        granted=granted,
        holder=lease.holder,
        epoch=lease.epoch,
        why=why,
    )
