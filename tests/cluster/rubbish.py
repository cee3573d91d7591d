"""Sends rubbish to listening sockets, for some seconds, bounded in rate.

`python -m tests.cluster.rubbish SECONDS SEED here` takes every socket that listens in this network namespace, with
those in Holdfast's run directory; `… SEED ADDRESS` the TCP and UDP ports that are given as JSON on standard input, at
another node. Prints the targets as JSON: [kind, place, connections made or datagrams sent].
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

RUN_DIR = "/run/holdfast/"
NOT_OURS = {8080}
"""The application's port."""
LISTENING = "0A"
"""TCP_LISTEN, net/tcp_states.h."""
ACCEPTING = 0x10000
"""__SO_ACCEPTCON, linux/net.h."""
LORIS = 20
"""Connections per socket that are held open and fed byte by byte."""
PAUSE_S = 0.01
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(189)) + b"\x00"
HTTP = b"POST /api/v1/modules/app/commands HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{"


@dataclass(frozen=True, kw_only=True)
class Target:
    """kind: tcp, udp, stream (Unix) or datagram (Unix). place: address and port, or path."""

    kind: str
    place: str

    def open(self) -> socket.socket:
        """A socket that is connected to it; raises OSError."""
        family, kind = {
            "tcp": (socket.AF_INET, socket.SOCK_STREAM),
            "udp": (socket.AF_INET, socket.SOCK_DGRAM),
            "stream": (socket.AF_UNIX, socket.SOCK_STREAM),
            "datagram": (socket.AF_UNIX, socket.SOCK_DGRAM),
        }[self.kind]
        opened = socket.socket(family, kind)
        opened.settimeout(1.0)
        host, _, port = self.place.rpartition(":")
        try:
            opened.connect((host, int(port)) if family == socket.AF_INET else self.place.replace("@", "\0", 1))
        except OSError:
            opened.close()
            raise
        return opened


def listening_here() -> Iterator[Target]:
    """Every socket of this namespace that takes connections or datagrams, proc(5)."""
    for kind in ("tcp", "udp"):
        for version in ("", "6"):
            for line in Path(f"/proc/net/{kind}{version}").read_text().splitlines()[1:]:
                local, _remote, state = line.split()[1:4]
                port = int(local.rpartition(":")[2], 16)
                if (kind == "udp" or state == LISTENING) and port not in NOT_OURS:
                    yield Target(kind=kind, place=f"{_address(local.rpartition(':')[0])}:{port}")
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        words = line.split()
        path = words[7] if len(words) > 7 else ""
        if path.lstrip("@").startswith(RUN_DIR):
            is_stream = words[4] == "0001"
            if not is_stream or int(words[3], 16) & ACCEPTING:
                # A socket that was bound beside its place and renamed keeps the name that it was bound to.
                yield Target(
                    kind="stream" if is_stream else "datagram", place=path.replace("/.", "/").removesuffix(".new")
                )


def _address(text: str) -> str:
    """An address that reaches a socket bound to this one (hexadecimal, in the machine's byte order)."""
    if len(text) > 8 or int(text, 16) == 0:
        return "127.0.0.1"
    return socket.inet_ntoa(struct.pack("=I", int(text, 16)))


def rubbish(chance: random.Random) -> bytes:
    """One message that no protocol of ours has: noise, huge lengths, other people's protocols, half a frame."""
    match chance.randrange(6):
        case 0:
            return chance.randbytes(chance.randrange(1, 65_536))
        case 1:
            return b"\xff" * 8 + chance.randbytes(64)
        case 2:
            return TLS_HELLO
        case 3:
            return HTTP
        case 4:
            return struct.pack("!I", chance.randrange(1, 1 << 31)) + chance.randbytes(chance.randrange(64))
        case _:
            return b'{"request": "' + b"[" * chance.randrange(1, 20_000)


def strike(target: Target, chance: random.Random) -> None:
    """One connection (or datagram) with rubbish, ended in one of several ways."""
    with target.open() as opened:
        data = rubbish(chance)
        if target.kind in ("udp", "datagram"):
            opened.send(data[: chance.randrange(1, 1400)])
            return
        opened.sendall(data)
        match chance.randrange(3):
            case 0:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case 1:
                opened.shutdown(socket.SHUT_WR)
            case _:
                opened.settimeout(0.05)
                opened.recv(65_536)


def hold(target: Target, end_at: float) -> int:
    """Keep connections open and give each a byte now and then."""
    held: list[socket.socket] = []
    try:
        for _ in range(LORIS):
            with suppress(OSError):
                held.append(target.open())
        while time.monotonic() < end_at:
            for opened in held:
                with suppress(OSError):
                    opened.send(b"G")
            time.sleep(0.2)
    finally:
        for opened in held:
            opened.close()
    return len(held)


def attack(target: Target, seed: int, seconds: float, told: Callable[[int], None]) -> None:
    """All that is done to one target."""
    chance, count, end_at = random.Random(seed), 0, time.monotonic() + seconds
    holding = threading.Thread(target=hold, args=(target, end_at))
    if target.kind in ("tcp", "stream"):
        holding.start()
        count += LORIS
    while time.monotonic() < end_at:
        with suppress(OSError):
            strike(target, chance)
            count += 1
        time.sleep(PAUSE_S)
    if holding.ident is not None:
        holding.join()
    told(count)


def main(seconds: float, seed: int, where: str) -> None:
    """Attack all targets at once."""
    if where == "here":
        targets = list(dict.fromkeys(listening_here()))
    else:
        targets = [Target(kind=kind, place=f"{where}:{port}") for kind, port in json.load(sys.stdin)]
    counts: dict[Target, int] = {}
    threads = [
        threading.Thread(target=attack, args=(each, seed + at, seconds, lambda n, t=each: counts.__setitem__(t, n)))
        for at, each in enumerate(targets)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump([[each.kind, each.place, counts[each]] for each in targets], sys.stdout)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
