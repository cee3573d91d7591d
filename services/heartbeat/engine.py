"""The thread that beats: one loop over all modules; orders in, facts out; needs neither bus nor state machine."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from holdfast.clock import HybridClock, SystemClock
from holdfast.errors import HoldfastError
from holdfast.events.module import AnnounceState
from holdfast.ids import ModuleId
from holdfast.settings import NodeSettings

from services.heartbeat.beats import Fact, ModuleBeats
from services.heartbeat.lifelines import LifelineSocket
from services.heartbeat.memory import Memory
from services.heartbeat.sign import NEVER_NS, Sign
from services.heartbeat.strain import Strain
from services.heartbeat.turn import needs_spare, shortest_timeout_ms
from services.heartbeat.vigil import patience_ns

log = logging.getLogger("holdfast.heartbeat")

FACTS_WAITING_MAX = 4096
"""Facts kept while nobody takes them; the oldest go first, the present condition is repeated on request."""
COMMANDS_WAITING_MAX = 1024
SLEEP_NS_MAX = 500_000_000
LATE_NOTICED_NS = 2_000_000
"""epoll_wait(2) rounds to whole milliseconds; less than two is not lateness."""
FAREWELLS = 3
"""Last words are repeated, because a datagram may be lost, FAREWELL_PAUSE_S apart."""
FAREWELL_PAUSE_S = 0.01
POLL_EVENTS_MAX = 64
TALLY_INTERVAL_NS = 1_000_000_000
JOIN_S = 2.0

Command = Callable[[int], None]


class Engine:
    """Beats for every module that has an order, starting with those of this service's last life."""

    def __init__(self, settings: NodeSettings, memory: Memory) -> None:
        """Needs no turn: nothing is opened, read or numbered before `start` that a predecessor may still change."""
        self._settings = settings
        self._memory = memory
        self._incarnation = 0
        self.hybrid = HybridClock(SystemClock())
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._modules: dict[ModuleId, ModuleBeats] = {}
        self._lifelines: dict[tuple[str, str], LifelineSocket] = {}
        self._commands: deque[Command] = deque(maxlen=COMMANDS_WAITING_MAX)
        self._facts: deque[tuple[ModuleId, Fact, int]] = deque(maxlen=FACTS_WAITING_MAX)
        self._notify: Callable[[], None] | None = None
        self._is_stopping = False
        self._tally_at_ns = 0
        self._thread = threading.Thread(target=self._run, name="beats", daemon=True)
        self._resumed: dict[ModuleId, AnnounceState] = {}
        self._orders: dict[ModuleId, AnnounceState] = {}
        self._sign = Sign(memory)
        self._patience_ns = 0
        self._is_punctual = False
        """Whether the thread has real-time priority: without it, being late is no sign of a hang."""
        self.has_failed = False

    @property
    def resumed(self) -> frozenset[ModuleId]:
        """Modules whose orders come from the last life of this service."""
        return frozenset(self._resumed)

    @property
    def needs_spare(self) -> bool:
        """Whether some peer would notice the time that a fresh start takes; asked by the thread that gives orders."""
        return needs_spare(self._orders.values())

    # -- from any thread ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to beat with the orders of the last life; to be called with the turn."""
        self._sign.begin()
        self._incarnation = self._memory.next_incarnation()
        self._resumed = self._memory.orders()
        self._orders = dict(self._resumed)
        for module, order in self._resumed.items():
            self._command(lambda at_ns, module=module, order=order: self._obey(module, order, at_ns))  # type: ignore[misc]
        self._thread.start()

    def attach(self, notify: Callable[[], None]) -> None:
        """Have `notify` called (in the engine's thread) whenever facts wait to be taken."""
        self._notify = notify

    def obey(self, module: ModuleId, order: AnnounceState) -> None:
        """Carry out an order and keep it for the next life."""
        if order.links:
            self._memory.keep_order(module, order)
            self._orders[module] = order
        else:
            self._memory.forget_order(module)
            self._orders.pop(module, None)
        self._command(lambda at_ns: self._obey(module, order, at_ns))

    def repeat(self, module: ModuleId | None) -> None:
        """Have the present condition of one module, or of all, told again."""
        self._command(lambda _at_ns: self._repeat(module))

    def dismiss(self, module: ModuleId, why: str) -> None:
        """Say goodbye in the name of a module and forget its order."""
        self._memory.forget_order(module)
        self._orders.pop(module, None)
        self._command(lambda _at_ns: self._dismiss(module, why))

    def take_facts(self) -> list[tuple[ModuleId, Fact, int]]:
        """Facts since the last call, oldest first, each with the monotonic time at which it was found."""
        taken = []
        while self._facts:
            taken.append(self._facts.popleft())
        return taken

    def stop(self, last_words: str) -> None:
        """End the thread; with `last_words`, after telling every peer."""
        if last_words:
            for _ in range(FAREWELLS):
                self._command(lambda _at_ns: self._say_goodbye(last_words))
                time.sleep(FAREWELL_PAUSE_S)
        self._is_stopping = True
        os.eventfd_write(self._wake, 1)
        self._thread.join(JOIN_S)

    def _command(self, command: Command) -> None:
        self._commands.append(command)
        os.eventfd_write(self._wake, 1)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        strain = Strain()
        try:
            self._is_punctual = os.sched_getscheduler(0) == os.SCHED_RR
            while not self._is_stopping:
                self._turn(strain)
        finally:
            # What follows is no hang: who stops keeps the turn until its last moment.
            self._sign.promise(NEVER_NS, 0)
            # Without this thread the service is worth nothing: the other thread ends it, the supervisor restarts it.
            self.has_failed = not self._is_stopping
            if self._notify is not None:
                self._notify()
            strain.close()
            for beats in self._modules.values():
                beats.close()
            for lifeline in self._lifelines.values():
                lifeline.close()
            self._epoll.close()
            os.close(self._wake)

    def _turn(self, strain: Strain) -> None:
        planned_ns = self._planned_ns(time.monotonic_ns())
        self._sign.promise(planned_ns if self._is_punctual else NEVER_NS, self._patience_ns)
        events = self._epoll.poll(max(0, planned_ns - time.monotonic_ns()) / 1e9, POLL_EVENTS_MAX)
        at_ns = time.monotonic_ns()
        late_ns = at_ns - planned_ns
        if events:
            self._read(events, at_ns)
        if late_ns >= LATE_NOTICED_NS:
            # What arrived during the delay is taken before anything is judged.
            self._drain(at_ns)
        if late_ns >= 0:
            self._judge(at_ns, late_ns, strain)
        for beats in self._modules.values():
            if late_ns >= 0 or beats.is_eager:
                beats.send(at_ns)

    def _judge(self, at_ns: int, late_ns: int, strain: Strain) -> None:
        """Something is due. Before that nothing can change, so a turn that only takes beats does not come here."""
        late_ns = max(late_ns, strain.waited_ns())
        if late_ns < LATE_NOTICED_NS:
            late_ns = 0
        strain.sample(at_ns)
        for pair, lifeline in self._lifelines.items():
            if lifeline.advance(at_ns):
                self._tell_lifeline(pair, at_ns)
        for beats in self._modules.values():
            pressed = beats.is_wary(at_ns) and strain.is_pressed(at_ns)
            beats.tick(at_ns, late_ns=late_ns, pressed=pressed)
        if at_ns >= self._tally_at_ns:
            self._tally_at_ns = at_ns + TALLY_INTERVAL_NS
            self._keep_tallies()

    def _keep_tallies(self) -> None:
        for module, beats in self._modules.items():
            account = beats.account()
            if account is not None:
                self._memory.keep_tally(module, account)

    def _planned_ns(self, now_ns: int) -> int:
        planned_ns = now_ns + SLEEP_NS_MAX
        for beats in self._modules.values():
            due_ns = beats.due_ns
            if due_ns is not None and due_ns < planned_ns:
                planned_ns = due_ns
        for lifeline in self._lifelines.values():
            act_ns = lifeline.act_at_ns
            if act_ns is not None and act_ns < planned_ns:
                planned_ns = act_ns
        return planned_ns

    def _read(self, events: list[tuple[int, int]], at_ns: int) -> None:
        ready = {fd for fd, _ in events}
        if self._wake in ready:
            os.eventfd_read(self._wake)
            while self._commands:
                self._commands.popleft()(at_ns)
        for beats in self._modules.values():
            for ident, link in beats.sockets.items():
                if link.fileno() in ready:
                    beats.receive(ident, at_ns)
        for pair, lifeline in self._lifelines.items():
            if lifeline.fileno() in ready and lifeline.ready(at_ns):
                self._tell_lifeline(pair, at_ns)

    def _drain(self, at_ns: int) -> None:
        """Take what waits on every socket, whether or not it was among the events."""
        for beats in self._modules.values():
            for ident in beats.sockets:
                beats.receive(ident, at_ns)

    def _tell_lifeline(self, pair: tuple[str, str], at_ns: int) -> None:
        for beats in self._modules.values():
            for ident, wanted in beats.lifeline_pairs().items():
                if wanted == pair:
                    beats.lifeline(ident, at_ns, self._lifelines[pair].state)

    def _obey(self, module: ModuleId, order: AnnounceState, at_ns: int) -> None:
        self._patience_ns = patience_ns(shortest_timeout_ms(tuple(self._orders.values())))
        beats = self._modules.get(module)
        if not order.links:
            if beats is not None:
                self._modules.pop(module).close()
            self._keep_lifelines()
            return
        if beats is None:
            beats = self._modules[module] = ModuleBeats(
                module=module,
                node=self._settings.node,
                incarnation=self._incarnation,
                epoll=self._epoll,
                hybrid=self.hybrid,
                seen_fd=self._memory.open_seen(module),
                publish=self._publish,
            )
        try:
            beats.obey(order, at_ns)
        except HoldfastError as error:
            log.error("the order for %s cannot be obeyed: %s", module, error)
        self._keep_lifelines()
        for ident, pair in beats.lifeline_pairs().items():
            beats.lifeline(ident, at_ns, self._lifelines[pair].state)

    def _keep_lifelines(self) -> None:
        wanted = {pair for beats in self._modules.values() for pair in beats.lifeline_pairs().values()}
        for pair in list(self._lifelines):
            if pair not in wanted:
                self._lifelines.pop(pair).close()
        for local, peer in wanted - set(self._lifelines):
            self._lifelines[local, peer] = LifelineSocket(
                self._epoll, local=local, peer=peer, port=self._settings.lifeline_port
            )

    def _repeat(self, module: ModuleId | None) -> None:
        for name, beats in self._modules.items():
            if module is None or name == module:
                beats.repeat()

    def _dismiss(self, module: ModuleId, why: str) -> None:
        beats = self._modules.pop(module, None)
        if beats is not None:
            for _ in range(FAREWELLS):
                beats.say_goodbye(why)
            beats.close()
        self._keep_lifelines()

    def _say_goodbye(self, why: str) -> None:
        for beats in self._modules.values():
            beats.say_goodbye(why)

    def _publish(self, module: ModuleId, fact: Fact) -> None:
        self._facts.append((module, fact, time.monotonic_ns()))
        if self._notify is not None:
            self._notify()
