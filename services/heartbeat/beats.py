"""One module's heartbeat: sockets, detector, what it says and what it heard. Used by the engine's thread only."""

from __future__ import annotations

import os
import secrets
import select
from collections import Counter
from collections.abc import Callable, Mapping

from holdfast.clock import HybridClock
from holdfast.events.envelope import HybridTime
from holdfast.events.membership import HeartbeatLinkChanged, PeerFound, PeerLost, PeerReported, PeerSuspected
from holdfast.events.module import AnnounceState, HeartbeatLink
from holdfast.events.state import Announcement
from holdfast.ids import ModuleId, NodeId
from pydantic import TypeAdapter, ValidationError

from services.heartbeat.core import Detector, Found, Lifeline, LinkChanged, Lost, Suspected, Verdict
from services.heartbeat.core.link import LinkTiming
from services.heartbeat.freshness import Freshness
from services.heartbeat.judge import loss_fact
from services.heartbeat.keys import Keys
from services.heartbeat.links import LinkSocket
from services.heartbeat.packet import (
    ANSWER,
    GOODBYE,
    HEARS_LINKS_MAX,
    Beat,
    Body,
    PacketError,
    encode,
    unpack,
)

MS = 1_000_000
PULSE_MS_MIN = 5
"""A quicker pulse would cost more of a core than it could save of an outage."""
TIMEOUT_PULSES_MIN = 3
"""A timeout that a single lost datagram reaches would be no timeout."""
QUESTION_INTERVAL_NS = 40 * MS
"""Three questions fit well into the silence that evidence needs (150 ms)."""
ANSWER_INTERVAL_NS = 5 * MS
"""At most one answer in this time, so that questions cannot make this node send more than its share."""
SEEN_BYTES = 8 * (HEARS_LINKS_MAX + 1)
HYBRID_AHEAD_MAX_MS = 86_400_000
"""A peer's clock more than a day ahead does not pull ours along."""

ANNOUNCEMENT = TypeAdapter(Announcement)
Fact = PeerReported | PeerFound | PeerSuspected | PeerLost | HeartbeatLinkChanged


class ModuleBeats:
    """Sends and judges for one module until `close`. `publish` receives every fact, in order."""

    def __init__(
        self,
        *,
        module: ModuleId,
        node: NodeId,
        incarnation: int,
        epoll: select.epoll,
        hybrid: HybridClock,
        seen_fd: int,
        publish: Callable[[ModuleId, Fact], None],
    ) -> None:
        self.module = module
        self.rubbish: Counter[str] = Counter()
        self.sockets: dict[str, LinkSocket] = {}
        self.farewell = ""
        self.is_eager = False
        """Whether a beat should go out in this turn of the loop, before one is due."""
        self._node = node
        self._incarnation = incarnation
        self._epoll = epoll
        self._hybrid = hybrid
        self._seen_fd = seen_fd
        self._publish = publish
        self._freshness = Freshness(os.pread(seen_fd, SEEN_BYTES, 0))
        self._detector: Detector | None = None
        self._order: AnnounceState | None = None
        self._body = Body(b"")
        self._keys = Keys("")
        self._sequence = 0
        self._counts_told: dict[str, int] = {}
        self._due_ns: dict[str, int] = {}
        self._question_ns = 0
        self._answered_ns = 0
        self._echo = 0
        self._heard_body = b""
        self._heard_at = HybridTime(wall_ms=0, counter=0)
        self._heard_incarnation = 0
        self._peer: Announcement | None = None
        self._last_loss: PeerLost | None = None

    # -- orders ---------------------------------------------------------------------------------------------------

    def obey(self, order: AnnounceState, at_ns: int) -> None:
        """Take the whole wanted condition; beats go out at the next `send`. Raises PacketError for one too large."""
        self._body = Body(ANNOUNCEMENT.dump_json(order.announcement))
        links = sorted(order.links, key=lambda link: link.ident)[:HEARS_LINKS_MAX]
        timings = tuple(
            LinkTiming(ident=link.ident, pulse_ns=_pulse_ns(order, link), timeout_ns=_timeout_ns(order, link))
            for link in links
        )
        if self._detector is None or (self._order is not None and self._order.peer != order.peer):
            self._detector = Detector(timings, started_ns=at_ns)
        else:
            self._detector.configure(timings, at_ns=at_ns)
        self._keep_sockets(links, order.port)
        self._order = order
        self._due_ns = {link.ident: at_ns for link in links}
        self.is_eager = True
        if self._keys.path != order.key_file:
            self._keys = Keys(order.key_file)
        self._keys.refresh(at_ns)

    def _keep_sockets(self, links: list[HeartbeatLink], port: int) -> None:
        kept, self.sockets = self.sockets, {}
        for index, link in enumerate(links):
            old = kept.pop(link.ident, None)
            if old is not None and old.is_for(index=index, local=link.local_address, peer=link.peer_address, port=port):
                self.sockets[link.ident] = old
                continue
            if old is not None:
                old.close()
            self.sockets[link.ident] = LinkSocket(
                self._epoll,
                ident=link.ident,
                index=index,
                local=link.local_address,
                peer=link.peer_address,
                port=port,
            )
        for gone in kept.values():
            gone.close()

    def lifeline_pairs(self) -> dict[str, tuple[str, str]]:
        """Local and peer address by link."""
        if self._order is None:
            return {}
        return {link.ident: (link.local_address, link.peer_address) for link in self._order.links}

    def close(self) -> None:
        for link in self.sockets.values():
            link.close()
        self.sockets.clear()
        os.close(self._seen_fd)

    # -- the peer -------------------------------------------------------------------------------------------------

    def receive(self, ident: str, at_ns: int) -> None:
        """Take everything that waits on one network."""
        link = self.sockets.get(ident)
        if link is None or self._detector is None:
            return
        waiting = link.receive()
        for datagram in waiting:
            try:
                beat = self._keys.open(datagram)
                if self._is_for_us(beat, link):
                    self._take(beat, link, at_ns)
            except PacketError as error:
                self.rubbish[error.kind] += 1
        if waiting:
            os.pwrite(self._seen_fd, self._freshness.to_bytes(), 0)

    def lifeline(self, ident: str, at_ns: int, state: Lifeline) -> None:
        if self._detector is not None:
            self._detector.lifeline(ident, at_ns, state)

    def _is_for_us(self, beat: Beat, link: LinkSocket) -> bool:
        order = self._order
        if order is None or beat.module != self.module or beat.node != order.peer or beat.link != link.index:
            raise PacketError("address", f"a beat of {beat.node} in {beat.module} on link {beat.link}")
        fresh = self._freshness.accept(
            incarnation=beat.incarnation,
            link=beat.link,
            sequence=beat.sequence,
            echo=beat.echo,
            nonce=secrets.randbits(64) | 1,
        )
        self._echo = beat.challenge
        if not fresh:
            raise PacketError("replay", "a beat that is not new")
        return True

    def _take(self, beat: Beat, link: LinkSocket, at_ns: int) -> None:
        assert self._detector is not None
        sent_at = HybridTime(wall_ms=beat.wall_ms, counter=beat.counter)
        if beat.wall_ms - self._hybrid.now().wall_ms < HYBRID_AHEAD_MAX_MS:
            self._hybrid.observe(sent_at)
        stranger = beat.incarnation != self._heard_incarnation
        is_newest = stranger or sent_at >= self._heard_at
        if stranger or beat.flags & ANSWER:
            self._answer(at_ns)
        self._heard_incarnation = beat.incarnation
        if is_newest:
            self._heard_at = sent_at
        if beat.flags & GOODBYE:
            if not is_newest:
                return
            why = unpack(beat).decode("utf-8", "replace")
            self._tell(self._detector.goodbye(link.ident, at_ns, why), at_ns)
            return
        if not is_newest and self._detector.is_present is not True:
            # Overtaken on another network by the goodbye that was sent after it.
            return
        if is_newest:
            self._hear(beat)
        if self._peer is not None:
            hears_us = bool(beat.hears >> link.index & 1)
            self._tell(self._detector.beat(link.ident, at_ns, hears_us=hears_us), at_ns)

    def _hear(self, beat: Beat) -> None:
        if beat.body == self._heard_body and self._peer is not None:
            return
        try:
            announcement = ANNOUNCEMENT.validate_json(unpack(beat))
        except ValidationError as error:
            raise PacketError("body", f"an announcement that cannot be read: {error.error_count()} problems") from error
        self._heard_body = beat.body
        if announcement != self._peer:
            self._peer = announcement
            self._publish(self.module, PeerReported(announcement=announcement))

    def _tell(self, verdicts: list[Verdict], at_ns: int) -> None:
        for verdict in verdicts:
            match verdict:
                case Found():
                    self._last_loss = None
                    self._publish(self.module, PeerFound(incarnation=self._peer.incarnation if self._peer else 0))
                    self._answer(at_ns)
                case Suspected():
                    self._publish(self.module, PeerSuspected(silent_ms=verdict.silent_ns / MS))
                case Lost():
                    self._last_loss = loss_fact(verdict)
                    self._heard_body, self._peer = b"", None
                    self._publish(self.module, self._last_loss)
                case LinkChanged():
                    self._publish(self.module, _link_fact(verdict))

    def repeat(self) -> None:
        """Publish the present condition again."""
        if self._detector is None:
            return
        for link in self._detector.links():
            self._publish(self.module, _link_fact(link))
        if self._peer is not None:
            self._publish(self.module, PeerReported(announcement=self._peer))
            if self._detector.is_present:
                self._publish(self.module, PeerFound(incarnation=self._peer.incarnation))
        if self._last_loss is not None:
            self._publish(self.module, self._last_loss)

    def account(self) -> Mapping[str, object] | None:
        """What the detector has lived through, or None when nothing was added since the last call."""
        if self._detector is None:
            return None
        tally = self._detector.tally
        counts = {name: getattr(tally, name) for name in ("beats", "late", "stalls", "pressed", "suspected", "lost")}
        if counts == self._counts_told:
            return None
        self._counts_told = counts
        gaps = [
            {"ms": gap_ns / MS, "at_mono_ns": at_ns, "ident": ident}
            for gap_ns, at_ns, ident in sorted(tally.gaps, reverse=True)
        ]
        return {**counts, "gaps": gaps}

    # -- time -----------------------------------------------------------------------------------------------------

    def is_wary(self, at_ns: int) -> bool:
        return self._detector is not None and self._detector.is_wary(at_ns)

    def tick(self, at_ns: int, *, late_ns: int, pressed: bool) -> None:
        """Judge; everything received has been taken before."""
        if self._detector is not None:
            self._tell(self._detector.tick(at_ns, late_ns=late_ns, pressed=pressed), at_ns)

    def send(self, at_ns: int) -> None:
        """Send the beats that are due, and open sockets that could not be opened before."""
        if self._order is None or self._detector is None:
            return
        self.is_eager = False
        self._keys.refresh(at_ns)
        for link in self.sockets.values():
            if link.open(at_ns):
                self._due_ns[link.ident] = at_ns
        flags = 0
        if self._detector.wants_answer() and at_ns >= self._question_ns:
            self._question_ns = at_ns + QUESTION_INTERVAL_NS
            self._due_ns = dict.fromkeys(self._due_ns, at_ns)
            self._detector.asked()
            flags = ANSWER
        due = [wanted for wanted in self._order.links if self._due_ns.get(wanted.ident, at_ns + 1) <= at_ns]
        for wanted in due:
            pulse_ns = _pulse_ns(self._order, wanted)
            late_ns = at_ns - self._due_ns[wanted.ident]
            self._due_ns[wanted.ident] = at_ns + pulse_ns - (late_ns if late_ns < pulse_ns // 2 else 0)
        if due:
            self._beat([self.sockets[wanted.ident] for wanted in due if wanted.ident in self.sockets], flags)

    def say_goodbye(self, why: str) -> None:
        """Send the last words on every network."""
        self.farewell = why
        self._beat(list(self.sockets.values()), 0)

    @property
    def due_ns(self) -> int | None:
        """When `send` or `tick` is due at the latest."""
        due = list(self._due_ns.values())
        if self._detector is not None:
            deadline_ns = self._detector.deadline_ns
            if deadline_ns is not None:
                due.append(deadline_ns)
            if self._detector.wants_answer():
                due.append(self._question_ns)
        due.extend(at_ns for link in self.sockets.values() if (at_ns := link.retry_at_ns) is not None)
        return min(due, default=None)

    def _answer(self, at_ns: int) -> None:
        if at_ns - self._answered_ns >= ANSWER_INTERVAL_NS:
            self._answered_ns = at_ns
            self._due_ns = dict.fromkeys(self._due_ns, at_ns)
            self.is_eager = True

    def _beat(self, sockets: list[LinkSocket], flags: int) -> None:
        sealer = self._keys.sealer()
        if self._detector is None or sealer is None:
            return
        body = self._body
        if self.farewell:
            body, flags = Body(self.farewell.encode()), flags | GOODBYE
        hears = 0
        for link in self.sockets.values():
            hears |= self._detector.hears(link.ident) << link.index
        self._sequence += 1
        now = self._hybrid.now()
        for link in sockets:
            beat = Beat(
                flags=flags,
                incarnation=self._incarnation,
                sequence=self._sequence,
                challenge=self._freshness.challenge,
                echo=self._echo,
                wall_ms=now.wall_ms,
                counter=now.counter & 0xFFFFFFFF,
                hears=hears,
                link=link.index,
                module=self.module,
                node=self._node,
                body=b"",
            )
            link.send(encode(beat, body, sealer))


def _pulse_ns(order: AnnounceState, link: HeartbeatLink) -> int:
    return max(link.pulse_ms or order.pulse_ms, PULSE_MS_MIN) * MS


def _timeout_ns(order: AnnounceState, link: HeartbeatLink) -> int:
    return max((link.timeout_ms or order.timeout_ms) * MS, TIMEOUT_PULSES_MIN * _pulse_ns(order, link))


def _link_fact(link: LinkChanged) -> HeartbeatLinkChanged:
    return HeartbeatLinkChanged(ident=link.ident, up=link.up, heard_by_peer=link.heard_by_peer)
