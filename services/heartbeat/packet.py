"""PURE: a beat on the wire, authenticated, bounded, versioned; anything else is refused with PacketError.

Layout, network byte order:

    magic 2, version 1, flags 1, incarnation 8, sequence 8, challenge 8, echo 8, hlc wall ms 8, hlc counter 4,
    hears 2, link 1, module length 1, node length 1, body length 2, module, node, body, tag 16

The tag is BLAKE2b keyed with the cluster key (RFC 7693) over everything before it. The body is the announcement as
JSON, compressed with zlib when it would not fit a datagram that no network fragments.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from typing import NamedTuple

from holdfast.errors import PeerError

MAGIC = b"Hb"
VERSION = 1
TAG_BYTES = 16
KEY_BYTES_MAX = 64
"""BLAKE2b takes keys up to this length; a longer key file is hashed first."""
BEAT_BYTES_MAX = 8192
"""A larger datagram is rubbish; an announcement of this size would mean hundreds of resources."""
BODY_BYTES_PLAIN_MAX = 1000
"""With header and longest names below 1232 bytes, which every IPv6 path carries whole (RFC 8200: 1280)."""
BODY_BYTES_MAX = 32_768
"""Of an unpacked announcement; bounds what a packed one may become."""
HEARS_LINKS_MAX = 16

GOODBYE = 1
"""The sender gives up what it holds; the body says why."""
ANSWER = 2
"""The receiver should send a beat at once."""
PACKED = 4
"""The body is compressed."""

_HEADER = struct.Struct("!2sBBQQQQQIHBBBH")
_DOMAIN = b"holdfast-beat"


class PacketError(PeerError):
    """Bytes that are not a beat of this cluster; `kind` is a short word for counting."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Beat(NamedTuple):
    """One beat; a tuple, because it is made some ten times a second on every network for ever.

    flags: any of GOODBYE, ANSWER, PACKED.

    incarnation: of the sending process, grows over restarts within a boot. sequence: grows with each beat on this link.
    challenge: random, to be repeated in `echo` by a peer that wants to be believed with an unexpected incarnation.
    hears: bit n is set when the sender hears the receiver on link n. link: number of the link in sorted order.
    """

    flags: int
    incarnation: int
    sequence: int
    challenge: int
    echo: int
    wall_ms: int
    counter: int
    hears: int
    link: int
    module: str
    node: str
    body: bytes


class Body:
    """A body made ready for many beats."""

    __slots__ = ("data", "flag")

    def __init__(self, plain: bytes) -> None:
        """Raises PacketError when `plain` is too large to be carried."""
        if len(plain) > BODY_BYTES_MAX:
            raise PacketError("size", f"an announcement of {len(plain)} bytes, more than {BODY_BYTES_MAX}")
        self.flag = 0 if len(plain) <= BODY_BYTES_PLAIN_MAX else PACKED
        self.data = plain if self.flag == 0 else zlib.compress(plain, 6)
        if len(self.data) > BEAT_BYTES_MAX - 256:
            raise PacketError("size", f"an announcement of {len(self.data)} packed bytes, more than a beat carries")


class Sealer:
    """The cluster key in use."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key if len(key) <= KEY_BYTES_MAX else hashlib.blake2b(key).digest()

    def tag(self, data: bytes) -> bytes:
        return hashlib.blake2b(data, digest_size=TAG_BYTES, key=self._key, person=_DOMAIN).digest()


def encode(beat: Beat, body: Body, sealer: Sealer) -> bytes:
    """Return the datagram of `beat` with `body` in place of its own."""
    module, node = beat.module.encode(), beat.node.encode()
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        (beat.flags & ~PACKED) | body.flag,
        beat.incarnation,
        beat.sequence,
        beat.challenge,
        beat.echo,
        beat.wall_ms,
        beat.counter,
        beat.hears,
        beat.link,
        len(module),
        len(node),
        len(body.data),
    )
    data = header + module + node + body.data
    return data + sealer.tag(data)


def decode(data: bytes, sealer: Sealer) -> Beat:
    """Return the beat in `data`, its body as carried (see `unpack`); raise PacketError that says what is wrong."""
    if not _HEADER.size + TAG_BYTES <= len(data) <= BEAT_BYTES_MAX:
        raise PacketError("size", f"{len(data)} bytes cannot be a beat")
    fields = _HEADER.unpack_from(data)
    if fields[0] != MAGIC:
        raise PacketError("magic", "not a beat")
    if fields[1] != VERSION:
        raise PacketError("version", f"a beat of version {fields[1]}; this program speaks {VERSION}")
    signed, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
    if not hmac.compare_digest(sealer.tag(signed), tag):
        raise PacketError("key", "a beat that was not made with this cluster's key")
    module_end = _HEADER.size + fields[11]
    node_end = module_end + fields[12]
    if node_end + fields[13] != len(signed):
        raise PacketError("size", "a beat whose lengths do not add up")
    try:
        module, node = signed[_HEADER.size : module_end].decode("ascii"), signed[module_end:node_end].decode("ascii")
    except UnicodeDecodeError as error:
        raise PacketError("name", "a beat with names that are not ASCII") from error
    return Beat(
        flags=fields[2],
        incarnation=fields[3],
        sequence=fields[4],
        challenge=fields[5],
        echo=fields[6],
        wall_ms=fields[7],
        counter=fields[8],
        hears=fields[9],
        link=fields[10],
        module=module,
        node=node,
        body=signed[node_end:],
    )


def unpack(beat: Beat) -> bytes:
    """Return the plain body; raise PacketError when it is not what was packed or becomes too large."""
    if not beat.flags & PACKED:
        return beat.body
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(beat.body, BODY_BYTES_MAX)
    except zlib.error as error:
        raise PacketError("body", f"a packed body that does not unpack: {error}") from error
    if not unpacker.eof:
        raise PacketError("body", f"a packed body of more than {BODY_BYTES_MAX} bytes")
    return plain
