"""The simulated witness: the shipped rules of the lease, an echo, and a path to each node that may be cut or slow."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from holdfast.events.module import WitnessKind, WitnessReported, WitnessWatch
from holdfast.testing.scheduler import NS_PER_MS, Scheduler
from holdfast.witness.lease import Lease, Stand, decide

LATENCY_NS_MIN = NS_PER_MS // 2
LATENCY_NS_MAX = 20 * NS_PER_MS
LATE_NS_MAX = 3_000 * NS_PER_MS
"""A late request arrives after everything has changed: the number that it carries is older by then."""
REPEAT_NS = 200 * NS_PER_MS
GIVE_UP_NS = 1_500 * NS_PER_MS
AGAIN_NS = 700 * NS_PER_MS


class Witness:
    """One witness for both nodes. unreachable: nodes that are cut off from it. late_rate: requests that arrive late."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.lease = Lease()
        self.is_up = True
        self.unreachable: set[int] = set()
        self.late_rate = 0.0
        self._numbers: dict[str, int] = {}
        self._scheduler = scheduler
        self._random = random

    def reaches(self, index: int) -> bool:
        return self.is_up and index not in self.unreachable

    def send(self, index: int, number: int, stand: Stand, answer: Callable[[bool, str], None]) -> None:
        """Send a request; `answer(granted, why)` is called when, and if, the answer arrives."""
        if not self.reaches(index):
            return
        limit = LATE_NS_MAX if self._random.random() < self.late_rate else LATENCY_NS_MAX
        self._scheduler.after(self._delay(limit), self._arrived, index, number, stand, answer)

    def echo(self, index: int, answer: Callable[[bool, str], None]) -> None:
        if self.reaches(index):
            self._scheduler.after(self._delay(LATENCY_NS_MAX), answer, True, "")

    def _arrived(self, index: int, number: int, stand: Stand, answer: Callable[[bool, str], None]) -> None:
        if not self.is_up or number <= self._numbers.get(stand.node, 0):
            return
        self._numbers[stand.node] = number
        decision = decide(self.lease, stand)
        self.lease = decision.lease
        if self.reaches(index):
            self._scheduler.after(self._delay(LATENCY_NS_MAX), answer, decision.granted, decision.why)

    def _delay(self, limit: int) -> int:
        return LATENCY_NS_MIN + int(self._random.random() * (limit - LATENCY_NS_MIN))


class Asker:
    """The checker of one node: tells the witness what the newest order says, until another order comes."""

    def __init__(
        self, index: int, node: str, witness: Witness, scheduler: Scheduler, feed: Callable[[object], None]
    ) -> None:
        self._index = index
        self._node = node
        self._witness = witness
        self._scheduler = scheduler
        self._feed = feed
        self._order: WitnessWatch | None = None
        self._life = 0
        self._number = 0
        self._said: WitnessReported | None = None
        self.is_stalled: Callable[[], bool] = lambda: False

    def obey(self, order: WitnessWatch | None) -> None:
        if order != self._order:
            self._order = order
            self._begin()

    def restart(self) -> None:
        """The checker was killed: it is given its order again."""
        self._said = None
        self._begin()

    def forget(self) -> None:
        """The node has died."""
        self._order, self._said = None, None
        self._life += 1

    def report(self) -> None:
        """Tell again what was last told."""
        if self._said is not None:
            self._feed(self._said)

    def _begin(self) -> None:
        self._life += 1
        if self._order is not None:
            self._try(self._life, self._scheduler.now_ns)

    def _try(self, life: int, began_ns: int) -> None:
        order = self._order
        if life != self._life or order is None:
            return
        if not self.is_stalled():
            self._send(life, order)
        now = self._scheduler.now_ns
        if now - began_ns >= GIVE_UP_NS:
            self._tell(life, reachable=False, granted=False, why="the witness is not reached")
            began_ns = now
        self._scheduler.after(REPEAT_NS, self._repeat, life, began_ns)

    def _repeat(self, life: int, began_ns: int) -> None:
        said = self._said
        is_settled = said is not None and said.reachable and self._order is not None
        if life == self._life and is_settled and said is not None and said.question == self._question():
            self._scheduler.after(AGAIN_NS, self._try, life, self._scheduler.now_ns + AGAIN_NS)
        else:
            self._try(life, began_ns)

    def _question(self) -> str:
        return self._order.question if self._order is not None else ""

    def _send(self, life: int, order: WitnessWatch) -> None:
        def answer(granted: bool, why: str) -> None:
            self._tell(life, reachable=True, granted=granted, why=why)

        if order.kind is WitnessKind.PING:
            self._witness.echo(self._index, answer)
            return
        self._number += 1
        stand = Stand(
            node=self._node,
            epoch=order.epoch,
            in_step=order.in_step,
            wants=bool(order.question),
            acting=order.acting,
            replicated=order.replicated,
        )
        self._witness.send(self._index, self._number, stand, answer)

    def _tell(self, life: int, *, reachable: bool, granted: bool, why: str) -> None:
        if life != self._life or self._order is None or self.is_stalled():
            return
        question = self._order.question
        self._said = WitnessReported(
            ident=self._order.ident, reachable=reachable, question=question, granted=granted and bool(question), why=why
        )
        self._feed(self._said)
