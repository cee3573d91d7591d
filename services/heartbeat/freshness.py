"""PURE: replay protection. Which authenticated beats are new, and how a peer with an unexpected past is believed again.

A sender numbers its beats within an incarnation, and takes a higher incarnation at each start.
Higher counts as new. A *lower* incarnation is either a recorded beat sent again, or a peer that was rebooted with its
clock set back; only the second can repeat a random challenge of ours, so it is believed once it has.
"""

from __future__ import annotations

import struct

from services.heartbeat.packet import HEARS_LINKS_MAX

_STORED = struct.Struct(f"<Q{HEARS_LINKS_MAX}Q")


class Freshness:
    """What was last accepted. incarnation 0: nothing yet, the first beat is taken. challenge 0: nobody is in doubt."""

    __slots__ = ("_sequences", "challenge", "incarnation")

    def __init__(self, stored: bytes = b"") -> None:
        """`stored`: what `to_bytes` returned in an earlier life of this process; anything else counts as nothing."""
        numbers = _STORED.unpack(stored) if len(stored) == _STORED.size else (0,) * (HEARS_LINKS_MAX + 1)
        self.incarnation: int = numbers[0]
        self._sequences = list(numbers[1:])
        self.challenge = 0

    def accept(self, *, incarnation: int, link: int, sequence: int, echo: int, nonce: int) -> bool:
        """Return whether a beat is new, and remember it. nonce: a random number to challenge with, not 0."""
        if not 0 <= link < HEARS_LINKS_MAX:
            return False
        if incarnation == self.incarnation:
            if sequence <= self._sequences[link]:
                return False
        elif incarnation > self.incarnation or (self.challenge != 0 and echo == self.challenge):
            self.incarnation = incarnation
            self._sequences = [0] * HEARS_LINKS_MAX
            self.challenge = 0
        else:
            self.challenge = self.challenge or nonce
            return False
        self._sequences[link] = sequence
        return True

    def to_bytes(self) -> bytes:
        return _STORED.pack(self.incarnation, *self._sequences)
