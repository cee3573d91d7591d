"""PURE: a question to the lease witness and its answer, one datagram each; authenticated, bounded, versioned.

    magic 2, version 1, kind 1, body (JSON, UTF-8), tag 16

The tag is BLAKE2b keyed with the cluster key (RFC 7693) over everything before it, as for heartbeats. An answer repeats
the question's nonce, so that a recorded one is not taken for it. A question carries a number that grows; the witness
takes none with a lower one than it has taken of that node, so that neither a late nor a recorded one changes anything.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import asdict, dataclass
from typing import TypeVar, get_type_hints

from holdfast.errors import PeerError
from holdfast.ids import NAME_LENGTH_MAX
from holdfast.witness.lease import Stand

WITNESS_PORT = 4805
"""UDP; beside the port of the cluster (4800)."""
PORT_MAX = 65535
MAGIC = b"Hw"
VERSION = 1
QUESTION, ANSWER = b"Q", b"A"
TAG_BYTES = 16
DATAGRAM_BYTES_MAX = 1024
"""Five names of at most 64 characters, numbers and a sentence: far less, and no network fragments it."""
KEY_BYTES_MAX = 64
"""BLAKE2b takes keys up to this length; a longer key is hashed first."""
WHY_CHARS_MAX = 200
NUMBER_MAX = 2**63 - 1
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_LENGTH_MAX}}}")
"""As `holdfast.ids` says: names become file names here."""
_HEAD = len(MAGIC) + 2
_DOMAIN = b"holdfast-witness"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a node says of itself, and what it asks (`Stand`). number: grows with each of a node's questions."""

    cluster: str
    module: str
    node: str
    number: int
    nonce: str
    epoch: int
    in_step: bool
    wants: bool
    acting: bool
    replicated: bool

    @property
    def stand(self) -> Stand:
        """What the rules of the lease look at."""
        return Stand(
            node=self.node,
            epoch=self.epoch,
            in_step=self.in_step,
            wants=self.wants,
            acting=self.acting,
            replicated=self.replicated,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """stale: the question's number was below `number`, the highest taken of this node; nothing was decided. holder,
    epoch: the lease from now on."""

    nonce: str
    number: int
    stale: bool
    granted: bool
    holder: str
    epoch: int
    why: str


Message = TypeVar("Message", Question, Answer)


class WireError(PeerError):
    """A datagram that is no message of this cluster; the text says why."""


def encode(message: Question | Answer, key: bytes) -> bytes:
    """The datagram. key: the cluster's, empty for a cluster without one."""
    kind = QUESTION if isinstance(message, Question) else ANSWER
    body = json.dumps(asdict(message), separators=(",", ":")).encode()
    signed = MAGIC + bytes([VERSION]) + kind + body
    return signed + _tag(signed, key)


def decode_question(data: bytes, key: bytes) -> Question:
    """The question in a datagram; raises WireError."""
    question = _decode(data, key, QUESTION, Question)
    for name in (question.cluster, question.module, question.node):
        if not _NAME.fullmatch(name):
            raise WireError(f"a question with the name {name[:NAME_LENGTH_MAX]!r}")
    return question


def decode_answer(data: bytes, key: bytes) -> Answer:
    """The answer in a datagram; raises WireError."""
    return _decode(data, key, ANSWER, Answer)


def address_of(target: str) -> tuple[str, int]:
    """Host and port of a witness: `host`, `host:port`, `[address]:port` or `[address]`; raises ValueError."""
    if target.startswith("["):
        host, bracket, rest = target[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{target!r} is not [address]:port")
        return host, _port(rest[1:])
    host, _, rest = target.partition(":")
    return host, _port(rest)


def _port(text: str) -> int:
    port = int(text) if text else WITNESS_PORT
    if not 0 <= port <= PORT_MAX:
        raise ValueError(f"port {port} is not between 0 and {PORT_MAX}")
    return port


def read_key(text: bytes) -> bytes:
    """The key in the text of a key file, as the heartbeat reads it."""
    return text.strip()


def _decode(data: bytes, key: bytes, kind: bytes, message: type[Message]) -> Message:
    if not _HEAD + TAG_BYTES <= len(data) <= DATAGRAM_BYTES_MAX or not data.startswith(MAGIC):
        raise WireError(f"{len(data)} bytes that are no message of a witness")
    if data[len(MAGIC)] != VERSION:
        raise WireError(f"a message of version {data[len(MAGIC)]}; this program speaks {VERSION}")
    signed, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
    if not hmac.compare_digest(_tag(signed, key), tag):
        raise WireError("a message that was not made with this cluster's key")
    if signed[_HEAD - 1 : _HEAD] != kind:
        raise WireError("a message in the wrong direction")
    try:
        body = json.loads(signed[_HEAD:])
    except (ValueError, RecursionError) as error:
        raise WireError("a message that is not JSON") from error
    hints = get_type_hints(message)
    if not isinstance(body, dict) or body.keys() != hints.keys():
        raise WireError("a message with other fields than it should have")
    for name, hint in hints.items():
        if type(body[name]) is not hint or not _is_bounded(body[name]):
            raise WireError(f"a message whose {name} cannot be")
    return message(**body)


def _is_bounded(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= WHY_CHARS_MAX
    return not isinstance(value, int) or 0 <= value <= NUMBER_MAX


def _tag(signed: bytes, key: bytes) -> bytes:
    fitting = key if len(key) <= KEY_BYTES_MAX else hashlib.blake2b(key).digest()
    return hashlib.blake2b(signed, digest_size=TAG_BYTES, key=fitting, person=_DOMAIN).digest()
