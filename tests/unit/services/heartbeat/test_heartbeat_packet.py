"""Beats on the wire: what goes in comes out, and nothing else gets in."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.heartbeat.packet import (
    BEAT_BYTES_MAX,
    BODY_BYTES_MAX,
    GOODBYE,
    Beat,
    Body,
    PacketError,
    Sealer,
    decode,
    encode,
    unpack,
)

KEY = Sealer(b"a key of this cluster")
U64 = st.integers(0, (1 << 64) - 1)


def beat(**changes: int) -> Beat:
    made = Beat(
        flags=0,
        incarnation=17,
        sequence=4,
        challenge=0,
        echo=0,
        wall_ms=1_700_000_000_000,
        counter=2,
        hears=0b11,
        link=1,
        module="shop",
        node="node1",
        body=b"",
    )
    return made._replace(**changes)


@given(U64, U64, U64, U64, st.binary(max_size=3000))
def test_a_beat_survives_the_wire(incarnation: int, sequence: int, challenge: int, echo: int, plain: bytes) -> None:
    """Every field and the body, packed or not, come back."""
    sent = beat(incarnation=incarnation, sequence=sequence, challenge=challenge, echo=echo, flags=GOODBYE)
    came = decode(encode(sent, Body(plain), KEY), KEY)
    assert came._replace(body=b"", flags=GOODBYE) == sent
    assert came.flags & GOODBYE
    assert unpack(came) == plain


def test_a_usual_announcement_fits_an_unfragmented_datagram() -> None:
    """Compressible text of several kilobytes stays below the smallest IPv6 MTU."""
    text = b'{"resources":{' + b",".join(b'"custom.check%d":"up"' % n for n in range(150)) + b"}}"
    assert len(text) > 3000
    assert len(encode(beat(), Body(text), KEY)) < 1280 - 48


@given(st.binary(max_size=200))
def test_rubbish_is_refused(data: bytes) -> None:
    """Arbitrary bytes raise the one error that callers count."""
    with pytest.raises(PacketError):
        decode(data, KEY)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_every_changed_byte_is_noticed(place: int, change: int) -> None:
    """Not one bit of header, names, body or tag can be altered."""
    data = bytearray(encode(beat(), Body(b"state"), KEY))
    data[place % len(data)] ^= change
    with pytest.raises(PacketError):
        decode(bytes(data), KEY)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(b"", "size", id="empty"),
        pytest.param(b"x" * (BEAT_BYTES_MAX + 1), "size", id="too long"),
        pytest.param(b"x" * 100, "magic", id="foreign"),
        pytest.param(b"Hb\x09" + b"x" * 100, "version", id="of a later version"),
        pytest.param(encode(beat(), Body(b""), Sealer(b"another key")), "key", id="other cluster"),
        pytest.param(encode(beat(), Body(b"state"), KEY)[:-1], "key", id="cut short"),
    ],
)
def test_refusals_are_named(data: bytes, kind: str) -> None:
    """The word under which rubbish is counted says what was wrong."""
    with pytest.raises(PacketError) as refused:
        decode(data, KEY)
    assert refused.value.kind == kind


def test_an_announcement_that_cannot_be_carried_is_refused_at_the_sender() -> None:
    """Nobody sends what nobody accepts."""
    with pytest.raises(PacketError):
        Body(b"x" * (BODY_BYTES_MAX + 1))


def test_a_packed_body_cannot_become_a_bomb() -> None:
    """Unpacking stops at the bound."""
    bomb = Body(b"x" * 2000)
    bomb.data = zlib.compress(b"x" * (BODY_BYTES_MAX * 4))
    with pytest.raises(PacketError):
        unpack(decode(encode(beat(), bomb, KEY), KEY))
