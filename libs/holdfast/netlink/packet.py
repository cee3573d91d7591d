"""A raw socket on one interface that hears who says to own an address, and sends frames."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct

from holdfast.links import frames
from holdfast.links.model import Address, Interface

SO_ATTACH_FILTER = 26
"""asm-generic/socket.h."""
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_ALLMULTI = 263, 1, 2
"""linux/socket.h, linux/if_packet.h."""


def packet_socket(interface: Interface, address: Address) -> socket.socket:
    """Open a socket that gets only frames in which somebody says to own `address` (`frames.owner` reads them).

    Raises OSError when that is not allowed or the interface is gone.
    """
    protocol = frames.ETH_P_ARP if address.version == 4 else frames.ETH_P_IPV6
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
    try:
        program = b"".join(struct.pack("=HBBI", *step) for step in frames.filter_program(address))
        buffer = ctypes.create_string_buffer(program, len(program))
        made.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
        )
        with contextlib.suppress(OSError):
            # IPv6: advertisements to all nodes are heard anyway; this makes sure on filtering network cards.
            membership = struct.pack("=iHH8s", interface.index, PACKET_MR_ALLMULTI, 0, b"")
            made.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
        made.bind((interface.name, protocol))
    except OSError:
        made.close()
        raise
    return made
