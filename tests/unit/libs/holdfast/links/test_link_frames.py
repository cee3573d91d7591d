"""Frames that announce and ask, byte by byte where a neighbour would look."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from holdfast.links import frames
from hypothesis import given
from hypothesis import strategies as st

MAC = bytes.fromhex("02aabbccdd01")
OTHER = bytes.fromhex("02aabbccdd02")
V4, V6 = ip_address("10.1.0.50"), ip_address("fd00::50")


def test_arp_is_announced_as_request_and_reply() -> None:
    """The reply's target hardware address is the sender's own."""
    request, reply = frames.announcements(V4, MAC)
    assert request == bytes.fromhex(
        "ffffffffffff 02aabbccdd01 0806 0001 0800 06 04 0001 02aabbccdd01 0a010032 000000000000 0a010032"
    )
    assert reply[20:22] == b"\x00\x02"
    assert reply[32:38] == MAC


def test_nd_is_announced_with_the_override_flag_and_a_right_checksum() -> None:
    """The sum over pseudo header and message is all ones."""
    (frame,) = frames.announcements(V6, MAC)
    assert frame[:6] == bytes.fromhex("333300000001")
    assert frame[21] == 255
    message = frame[54:]
    assert (message[0], message[4] & 0x20) == (frames.ND_ADVERT, 0x20)
    assert message[-6:] == MAC
    pseudo = frame[22:54] + struct.pack("!II", len(message), 58)
    assert frames._checksum(pseudo + message) == 0


@pytest.mark.parametrize("address", [V4, V6])
def test_an_announcement_names_its_owner_and_a_question_names_nobody(address: frames.Address) -> None:
    """So that asking changes nobody's table."""
    for frame in frames.announcements(address, OTHER):
        assert frames.owner(frame, address) == OTHER
        assert frames.owner(frame, ip_address("10.1.0.51")) is None
    assert frames.owner(frames.question(address, MAC), address) is None


@given(st.binary(max_size=120))
def test_rubbish_names_nobody(frame: bytes) -> None:
    """Short and foreign frames are read without harm."""
    for address in (V4, V6):
        frames.owner(frame, address)


def run_filter(program: list[tuple[int, int, int, int]], frame: bytes) -> bool:
    """A classic BPF machine, as far as these programs use it."""
    accumulator, place = 0, 0
    while True:
        code, yes, no, operand = program[place]
        place += 1
        match code:
            case 0x06:
                return operand != 0
            case 0x15:
                place += yes if accumulator == operand else no
            case 0x20 | 0x30:
                size = 4 if code == 0x20 else 1
                if operand + size > len(frame):
                    return False
                accumulator = int.from_bytes(frame[operand : operand + size], "big")


@pytest.mark.parametrize("address", [V4, V6])
def test_the_socket_filter_passes_claims_of_this_address_only(address: frames.Address) -> None:
    """An idle node must not be woken by other addresses' traffic."""
    program = frames.filter_program(address)
    for frame in frames.announcements(address, OTHER):
        assert run_filter(program, frame)
    other = ip_address("10.1.0.51") if address.version == 4 else ip_address("fd00::51")
    for frame in frames.announcements(other, OTHER):
        assert not run_filter(program, frame)
