"""What the heartbeat says about the other node."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.events.state import Announcement


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerReported:
    """The peer's announcement as it now stands; published when it changes, and on request."""

    announcement: Announcement


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerFound:
    """The peer is heard (again) after having been lost or never heard."""

    incarnation: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerSuspected:
    """The peer has been silent longer than usual; for people and traces, nothing is decided on it."""

    silent_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PeerLost:
    """The verdict: the peer is decided gone on every network.

    reason: "silence" (timeout) | "evidence" (its connections were closed by a kernel that still answers)
    | "last_words" (it said goodbye) | "never" (not heard since this node's heartbeat began, for a whole timeout).
    last_heard_mono_ns: this node's clock when the last beat came, 0 if none. evidence: in words.
    """

    reason: str
    last_heard_mono_ns: int
    silent_ms: float
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class HeartbeatLinkChanged:
    """One network's heartbeat came up or went down; resource `heartbeat.<ident>`.

    heard_by_peer is False when the peer says it does not hear us there (a one-way cut).
    """

    ident: str
    up: bool
    heard_by_peer: bool
