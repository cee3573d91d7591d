"""PURE: Ethernet frames that announce an address or ask whether somebody else has it, and the reading of answers.

ARP: RFC 826, RFC 5227. Neighbour discovery: RFC 4861; checksum over the pseudo header of RFC 8200 section 8.1.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from holdfast.links.model import Address

ETH_P_ARP = 0x0806
ETH_P_IPV6 = 0x86DD
BROADCAST = b"\xff" * 6
ARP_REQUEST, ARP_REPLY = 1, 2
ND_SOLICIT, ND_ADVERT = 135, 136
ALL_NODES = IPv6Address("ff02::1")
UNSPECIFIED = IPv6Address("::")
OVERRIDE = 0x20000000
"""The O flag of a neighbour advertisement, in its first word after the checksum."""
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_NEXT_HEADER_ICMP = 58
_ETHERNET_BYTES, _IPV6_BYTES = 14, 40


def announcements(address: Address, hardware: bytes) -> tuple[bytes, ...]:
    """Frames that make every neighbour update its entry.

    For IPv4 a request and a reply; the reply names the sender itself as target, because a broadcast target is ignored
    by a neighbour whose entry is younger than a second.
    """
    if isinstance(address, IPv4Address):
        return (
            _arp(ARP_REQUEST, hardware, address, b"\0" * 6, address),
            _arp(ARP_REPLY, hardware, address, hardware, address),
        )
    option = struct.pack("!BB6s", 2, 1, hardware)
    body = struct.pack("!I16s", OVERRIDE, address.packed) + option
    return (_icmp(ND_ADVERT, body, hardware, address, ALL_NODES),)


def question(address: Address, hardware: bytes) -> bytes:
    """A probe that another owner answers, without changing anybody's entries."""
    if isinstance(address, IPv4Address):
        return _arp(ARP_REQUEST, hardware, IPv4Address(0), b"\0" * 6, address)
    solicited = IPv6Address(IPv6Address("ff02::1:ff00:0").packed[:13] + address.packed[13:])
    return _icmp(ND_SOLICIT, struct.pack("!I16s", 0, address.packed), hardware, UNSPECIFIED, solicited)


def owner(frame: bytes, address: Address) -> bytes | None:
    """Return the hardware address that a frame says owns `address`, or None when it says nothing of the kind."""
    if isinstance(address, IPv4Address):
        if len(frame) < _ETHERNET_BYTES + _ARP.size or frame[12:14] != struct.pack("!H", ETH_P_ARP):
            return None
        fields = _ARP.unpack_from(frame, _ETHERNET_BYTES)
        return fields[5] if fields[6] == address.packed else None
    start = _ETHERNET_BYTES + _IPV6_BYTES
    if len(frame) < start + 24 or frame[12:14] != struct.pack("!H", ETH_P_IPV6):
        return None
    if frame[_ETHERNET_BYTES + 6] != _NEXT_HEADER_ICMP or frame[start] != ND_ADVERT:
        return None
    return frame[6:12] if frame[start + 8 : start + 24] == address.packed else None


def filter_program(address: Address) -> list[tuple[int, int, int, int]]:
    """Classic BPF (linux/filter.h) that lets only frames pass in which somebody says to own `address`.

    Each instruction is (code, jump if true, jump if false, operand); 0x20 loads a word, 0x30 a byte, 0x15 jumps if
    equal, 0x06 returns. Offsets count from the start of the Ethernet frame.
    """
    checks: list[tuple[int, int, int]] = []
    if isinstance(address, IPv4Address):
        checks.append((0x20, _ETHERNET_BYTES + 14, int(address)))
    else:
        start = _ETHERNET_BYTES + _IPV6_BYTES
        checks.append((0x30, _ETHERNET_BYTES + 6, _NEXT_HEADER_ICMP))
        checks.append((0x30, start, ND_ADVERT))
        for word, value in enumerate(struct.unpack("!4I", address.packed)):
            checks.append((0x20, start + 8 + 4 * word, value))
    program: list[tuple[int, int, int, int]] = []
    for place, (load, offset, value) in enumerate(checks):
        program.append((load, 0, 0, offset))
        # After the jump come two instructions for each remaining check, then accept, then refuse.
        program.append((0x15, 0, 2 * (len(checks) - place - 1) + 1, value))
    return [*program, (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)]


def _arp(operation: int, sender: bytes, sender_ip: IPv4Address, target: bytes, target_ip: IPv4Address) -> bytes:
    body = _ARP.pack(1, 0x0800, 6, 4, operation, sender, sender_ip.packed, target, target_ip.packed)
    return BROADCAST + sender + struct.pack("!H", ETH_P_ARP) + body


def _icmp(kind: int, body: bytes, hardware: bytes, source: IPv6Address, target: IPv6Address) -> bytes:
    bare = struct.pack("!BBH", kind, 0, 0) + body
    pseudo = source.packed + target.packed + struct.pack("!II", len(bare), _NEXT_HEADER_ICMP)
    message = struct.pack("!BBH", kind, 0, _checksum(pseudo + bare)) + body
    header = struct.pack("!IHBB", 6 << 28, len(message), _NEXT_HEADER_ICMP, 255) + source.packed + target.packed
    multicast = b"\x33\x33" + target.packed[12:]
    return multicast + hardware + struct.pack("!H", ETH_P_IPV6) + header + message


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071); `data` has an even length here."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
