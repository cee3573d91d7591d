"""An outside client: a new TCP connection every 5 ms, one request, the first bytes of an answer.

`python -m tests.bench.probe ADDRESS PORT SECONDS FILE` appends one line to FILE per good answer: the CLOCK_MONOTONIC
nanosecond at which it came, and its first line. `longest_gap` then gives the outage: last good answer before to first
good answer after. All namespaces of one machine share that clock.
"""

from __future__ import annotations

import ipaddress
import itertools
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INTERVAL_NS = 5_000_000
GIVE_UP_NS = 1_000_000_000
"""One attempt's patience; a lost SYN is not repeated by the kernel before 1 s, so waiting longer would only add
noise.
"""
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
ATTEMPTS_MAX = 512


@dataclass(slots=True)
class Attempt:
    connection: socket.socket
    begun_ns: int
    asked: bool = False


@dataclass(frozen=True, kw_only=True)
class Gap:
    """from_ns, to_ns: monotonic times of the last good answer before and the first after."""

    from_ns: int
    to_ns: int

    @property
    def ms(self) -> float:
        return (self.to_ns - self.from_ns) / 1e6


def longest_gap(times_ns: Sequence[int], *, after_ns: int = 0, until_ns: int | None = None) -> Gap:
    """Return the longest time without a good answer that ends after `after_ns` and begins before `until_ns`."""
    pairs = [
        Gap(from_ns=before, to_ns=after)
        for before, after in itertools.pairwise(times_ns)
        if after >= after_ns and (until_ns is None or before <= until_ns)
    ]
    return max(pairs, key=lambda gap: gap.ms)


def read_times(path: Path) -> list[int]:
    """Return the times in a probe's file, in order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(int(line.split(" ", 1)[0]) for line in lines if line)


class Probe:
    """Runs attempts side by side on one selector."""

    def __init__(self, address: str, port: int, out: Path) -> None:
        self._target = (address, port)
        self._family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        self._selector = selectors.DefaultSelector()
        self._attempts: set[socket.socket] = set()
        self._out = out.open("a", buffering=1)

    def run(self, seconds: float) -> None:
        """Probe for so long."""
        next_ns = time.monotonic_ns()
        end_ns = next_ns + int(seconds * 1e9)
        while (now_ns := time.monotonic_ns()) < end_ns:
            if now_ns >= next_ns:
                self._begin(now_ns)
                next_ns = max(next_ns + INTERVAL_NS, now_ns)
            for key, _ in self._selector.select(max(0.0, (next_ns - time.monotonic_ns()) / 1e9)):
                self._advance(key.data)
            self._give_up(time.monotonic_ns())

    def _begin(self, now_ns: int) -> None:
        if len(self._attempts) >= ATTEMPTS_MAX:
            return
        connection = socket.socket(self._family, socket.SOCK_STREAM)
        connection.setblocking(False)
        self._attempts.add(connection)
        attempt = Attempt(connection, now_ns)
        try:
            connection.connect_ex(self._target)
            self._selector.register(connection, selectors.EVENT_WRITE, attempt)
        except OSError:
            self._end(attempt)

    def _advance(self, attempt: Attempt) -> None:
        try:
            if not attempt.asked:
                attempt.connection.send(REQUEST)
                attempt.asked = True
                self._selector.modify(attempt.connection, selectors.EVENT_READ, attempt)
                return
            answer = attempt.connection.recv(4096)
        except OSError:
            self._end(attempt)
            return
        if answer:
            self._out.write(f"{time.monotonic_ns()} {answer.splitlines()[0].decode(errors='replace')}\n")
        self._end(attempt)

    def _end(self, attempt: Attempt) -> None:
        if attempt.connection in self._attempts:
            self._attempts.discard(attempt.connection)
            try:
                self._selector.unregister(attempt.connection)
            except KeyError:
                pass
            attempt.connection.close()

    def _give_up(self, now_ns: int) -> None:
        for key in list(self._selector.get_map().values()):
            if now_ns - key.data.begun_ns > GIVE_UP_NS:
                self._end(key.data)


if __name__ == "__main__":
    Probe(sys.argv[1], int(sys.argv[2]), Path(sys.argv[4])).run(float(sys.argv[3]))
