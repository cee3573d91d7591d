"""Messages of the witness on the wire."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from holdfast.witness.wire import (
    DATAGRAM_BYTES_MAX,
    MAGIC,
    NUMBER_MAX,
    Answer,
    Question,
    WireError,
    _tag,
    address_of,
    decode_answer,
    decode_question,
    encode,
)
from hypothesis import given
from hypothesis import strategies as st

KEY = b"secret"
QUESTION = Question(
    cluster="default",
    module="shop",
    node="node1",
    number=7,
    nonce="abc",
    epoch=3,
    in_step=True,
    wants=True,
    acting=False,
    replicated=True,
)
ANSWER = Answer(nonce="abc", number=7, stale=False, granted=False, holder="node2", epoch=4, why="node2 has it")


@pytest.mark.parametrize("key", [b"", KEY, b"k" * 200])
def test_messages_arrive_as_they_were_sent(key: bytes) -> None:
    assert decode_question(encode(QUESTION, key), key) == QUESTION
    assert decode_answer(encode(ANSWER, key), key) == ANSWER


def test_longest_message_fits_a_datagram() -> None:
    name = "n" * 64
    longest = replace(
        QUESTION, cluster=name, module=name, node=name, number=NUMBER_MAX, epoch=NUMBER_MAX, nonce="f" * 32
    )
    assert len(encode(longest, KEY)) <= DATAGRAM_BYTES_MAX
    assert len(encode(replace(ANSWER, why="w" * 200, holder=name), KEY)) <= DATAGRAM_BYTES_MAX


@pytest.mark.parametrize(
    ("datagram", "said"),
    [
        (encode(QUESTION, b"other"), "not made with this cluster's key"),
        (encode(ANSWER, KEY), "wrong direction"),
        (encode(replace(QUESTION, node="../etc"), KEY), "name"),
        (encode(replace(QUESTION, module="a.b"), KEY), "name"),
        (encode(replace(QUESTION, number=-1), KEY), "number cannot be"),
        (encode(replace(QUESTION, epoch=NUMBER_MAX + 1), KEY), "epoch cannot be"),
        (encode(replace(QUESTION, wants=1), KEY), "wants cannot be"),
        (encode(QUESTION, KEY)[:10], "no message of a witness"),
        (b"x" * 100, "no message of a witness"),
        (MAGIC + b"\x02" + encode(QUESTION, KEY)[3:], "version 2"),
    ],
)
def test_anything_else_is_refused_in_words(datagram: bytes, said: str) -> None:
    with pytest.raises(WireError, match=said):
        decode_question(datagram, KEY)


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"nonce": 1}', b"[" * 500, b"\xff"])
def test_sealed_rubbish_is_refused(body: bytes) -> None:
    signed = MAGIC + b"\x01Q" + body
    with pytest.raises(WireError):
        decode_question(signed + _tag(signed, KEY), KEY)


def test_field_that_is_missing_or_too_much_is_refused() -> None:
    whole = json.loads(encode(QUESTION, KEY)[4:-16])
    for body in ({**whole, "more": 1}, {key: value for key, value in whole.items() if key != "epoch"}):
        signed = MAGIC + b"\x01Q" + json.dumps(body).encode()
        with pytest.raises(WireError, match="other fields"):
            decode_question(signed + _tag(signed, KEY), KEY)


@given(st.binary(max_size=1100))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_question(data, KEY)


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=255))
def test_one_changed_byte_is_seen(at: int, value: int) -> None:
    good = encode(QUESTION, KEY)
    bad = bytearray(good)
    bad[at % len(bad)] = value
    if bytes(bad) != good:
        with pytest.raises(WireError):
            decode_question(bytes(bad), KEY)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("10.0.0.9", ("10.0.0.9", 4805)),
        ("witness.example:1", ("witness.example", 1)),
        ("[fd00::9]", ("fd00::9", 4805)),
        ("[fd00::9]:65535", ("fd00::9", 65535)),
    ],
)
def test_place_of_a_witness_has_a_port_of_its_own_or_the_usual_one(text: str, place: tuple[str, int]) -> None:
    assert address_of(text) == place


@pytest.mark.parametrize("text", ["10.0.0.9:x", "[fd00::9", "[fd00::9]4805", "host:65536", "host:-1"])
def test_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        address_of(text)
