"""The primary: listens for the secondary, resumes or begins a session, resynchronises, keeps checkpoints.

Threads: one accepts connections (each is greeted in a short thread of its own), one resynchronises an attached
secondary, one makes checkpoints. Orders come from the service's control thread, one at a time.
"""

from __future__ import annotations

import itertools
import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from holdfast.clock import Clock
from holdfast.errors import EnvironmentFaultError, HoldfastError, PeerError, UnavailableError

from services.rfs import beneath, link, verdict
from services.rfs.asking import Asking
from services.rfs.core import checksum
from services.rfs.core.markers import Checkpoint, Confirmed, InStep
from services.rfs.core.paths import Entry
from services.rfs.engine import Engine, Promise
from services.rfs.link import Hello, Welcome
from services.rfs.outlet import Outlet
from services.rfs.ports import Tree
from services.rfs.resync import Counts, Plan, Resync
from services.rfs.throttle import Throttle
from services.rfs.verdict import Comparison
from services.rfs.verify import Verifier

log = logging.getLogger("holdfast.rfs.primary")

GREETINGS_MAX = 16
"""Connections in their handshake at a time; more are closed at once."""
LISTEN_BACKLOG = 16
CHECKPOINT_PERIOD_S = 30.0
"""Bounds what the activity log covers, and so what is compared after a crash of either machine."""
CHECKPOINT_QUIET_S = 2.0
"""When nothing was changed for so long, a checkpoint costs next to nothing and leaves nothing to compare."""
CHECKPOINT_PAUSE_S = 5.0
"""At least so long from one checkpoint to the next: each makes both disks write what they would rather write later."""
CHECKPOINT_PATHS = 2000
"""With so many paths noted the next checkpoint does not wait for the period: comparing them takes about a second."""
CHECKPOINT_WAIT_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PrimarySettings:
    """How a period as primary is; only the epoch may grow during it."""

    module: str
    node: str
    local: str
    port: int
    key: bytes
    epoch: int
    on_disk: bool
    readers: int
    bytes_per_second: int
    send_timeout_ms: int
    resync_timeout_ms: int


class Primary:
    """One period as primary. `start` once, `stop` once; orders between."""

    def __init__(
        self,
        engine: Engine,
        trees: Sequence[Tree],
        *,
        settings: PrimarySettings,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._trees = trees
        self._settings = settings
        self._clock = clock
        self._changed = changed
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._greetings = threading.BoundedSemaphore(GREETINGS_MAX)
        self._listener: socket.socket | None = None
        self._asking: Asking | None = None
        self._resync: Resync | None = None
        self._threads: list[threading.Thread] = []
        self._checkpoints = itertools.count(1)
        self._checkpointing = threading.Lock()
        self._inherits = True
        self._checkpointed_at = -1
        self._confirmed_at = -1
        self._ordered = ""
        self.surveyed: Callable[[threading.Event], bool] = lambda ended: True
        """Blocks until the change journal knows what was changed while stopped; False when the event came first."""
        self.full = False
        """The next resync compares all contents, whatever the journals say."""
        self.throttle = Throttle(settings.bytes_per_second, clock)
        self.proposed_session = ""
        self.drained_session = ""
        self.failed = ""
        self.counts = Counts()
        self.resynchronised: Callable[[Counts], None] = lambda counts: None
        """Told how much a resync copied that has just brought the secondary in step."""

    # Orders.

    def start(self, *, session: str) -> None:
        """Listen. `session`: promises need the peer in it, as they did for an earlier worker; empty: alone."""
        engine = self._engine
        window = engine.window
        self._listener = self._listen()
        self._ordered = session
        if session and window.in_step and window.session == session:
            log.info("going on in session %s at %d", session, window.applied)
            with engine.order:
                engine.start_stream(None)
        else:
            engine.begin_session("", self._settings.epoch)
        engine.allow(Promise.PEER if session else Promise.ALONE, writable=True)
        for target, name in ((self._accept, "rfs-accept"), (self._keep_checkpoints, "rfs-checkpoint")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def use_epoch(self, epoch: int) -> None:
        """The node's epoch grows while it stays primary; a secondary that has seen the new one refuses the old."""
        with self._lock:
            if epoch != self._settings.epoch:
                self._settings = replace(self._settings, epoch=epoch)

    def go_alone(self) -> None:
        """Promises need no peer any more; what it had not acknowledged is in the change journal already."""
        with self._lock:
            if self._engine.promise is Promise.ALONE:
                return
            log.warning("going on alone; a secondary will be resynchronised")
            self._ordered = ""
            self._engine.allow(Promise.ALONE, writable=True)
            self._end_session()

    def step_in(self, session: str) -> None:
        """From here on promises need the peer in `session`; the secondary learns it from the stream."""
        with self._lock:
            engine = self._engine
            window = engine.window
            if session == self._ordered:
                return
            if session and session == self.proposed_session:
                # First, because it may fail on a full disk; the same order then tries again.
                engine.journal.last_session = session
            self._ordered = session
            if session != self.proposed_session or not session:
                # The session is not here: promises freeze until the order changes, for the peer may rely on them.
                engine.allow(Promise.PEER, writable=True)
                return
            self.proposed_session = ""
            with engine.order:
                window.in_step = True
                engine.allow(Promise.PEER, writable=True)
                position = engine.append(InStep(session=session))
            engine.push()
            log.info("in step in session %s from position %d", session, position)

    def drain(self, session: str, flush: Callable[[], None]) -> None:
        """Take no more writes and have everything applied on both sides; then `drained_session` says so.

        `flush` has the kernel write out what applications have written; it comes before writing ends.
        """
        flush()
        self._engine.allow(self._engine.promise, writable=False)
        try:
            self._sync_trees()
        except OSError as error:
            self.failed = f"this copy cannot be made durable: {error.strerror}"
            log.error("%s", self.failed)
            self._changed()
            return
        if self._engine.promise is Promise.PEER and not self._confirm_drain():
            return
        self.drained_session = session
        self.failed = ""
        self._changed()

    def stop(self, promise: Promise) -> None:
        """End being primary: waiting applications get EROFS (role given away) or EIO (service ends)."""
        self._ended.set()
        self._engine.allow(promise, writable=False)
        if self._listener is not None:
            # Closing alone leaves the port taken while the accepting thread is inside its call.
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        with self._lock:
            if promise is Promise.ENDED:
                self._engine.detach()
                self._drop_connections()
            else:
                self._end_session()
        for thread in self._threads:
            thread.join(timeout=2 * link.HANDSHAKE_TIMEOUT_S)

    # What is reported.

    @property
    def in_step_session(self) -> str:
        window = self._engine.window
        return self._ordered if window.in_step and window.session == self._ordered else ""

    @property
    def broken_session(self) -> str:
        """The session in which promises are frozen because the link is gone."""
        return "" if self.in_step_session and self._engine.connected else self._ordered

    @property
    def resyncing(self) -> bool:
        return self._resync is not None

    def verify(self) -> Comparison:
        """Compare both copies; raises UnavailableError when there is no secondary to compare with."""
        with self._lock:
            asking = self._asking
        return Verifier(self._engine, self._trees, asking, self._clock).compare()

    # Connections.

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._settings.local else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._settings.local, self._settings.port))
            listener.listen(LISTEN_BACKLOG)
        except OSError as error:
            listener.close()
            raise EnvironmentFaultError(
                f"replication cannot listen on {self._settings.local or '*'} port {self._settings.port}:"
                f" {error.strerror}",
                hint="the address must be this node's and the port free",
            ) from error
        listener.settimeout(0.5)
        return listener

    @property
    def port(self) -> int:
        """The port listened on (of use when the settings say 0)."""
        assert self._listener is not None
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        assert self._listener is not None
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return  # Closed by `stop`.
            if not self._greetings.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._greet, args=(connection,), name="rfs-greet", daemon=True).start()

    def _greet(self, connection: socket.socket) -> None:
        try:
            link.tune(connection, self._settings.send_timeout_ms)
            hello, welcome = link.greet(connection, self._settings.key, self._decide)
            if not welcome.accepted:
                log.warning("a secondary was refused: %s", welcome.reason)
                connection.close()
            elif hello.purpose == "stream":
                self._take_stream(connection, hello, welcome)
            elif hello.purpose == "verify":
                self._answer_verify(connection)
            else:
                self._take_serving(connection, hello)
        except (OSError, PeerError) as error:
            log.warning("a connection to the replication port is refused: %s", error)
            connection.close()
        finally:
            self._greetings.release()

    def _decide(self, hello: Hello) -> Welcome:
        settings = self._settings
        window = self._engine.window
        if hello.module != settings.module:
            return Welcome(accepted=False, reason=f"this is module {settings.module}")
        if hello.checksum != checksum.NAME:
            return Welcome(
                accepted=False,
                reason=f"checksums by {hello.checksum} there and {checksum.NAME} here: liblzma5 is missing on one node",
            )
        if hello.fence_epoch > settings.epoch:
            return Welcome(
                accepted=False,
                reason=f"the primary's epoch {settings.epoch} is older than {hello.fence_epoch}",
                epoch=settings.epoch,
            )
        if hello.purpose in ("serve", "verify"):
            accepted = self._asking is not None and hello.session == window.session
            return Welcome(accepted=accepted, reason="" if accepted else "the session has ended")
        with self._lock:
            return self._decide_stream(hello)

    def _decide_stream(self, hello: Hello) -> Welcome:
        settings = self._settings
        window = self._engine.window
        readers = settings.readers + 1
        can_check = not window.fast or hello.fast_checksum == checksum.FAST
        if hello.session and hello.session == window.session and can_check and self._may_resume():
            self._drop_connections()
            if self._engine.resume_session(hello.position):
                self._asking = Asking(settings.resync_timeout_ms / 1000)
                return Welcome(
                    accepted=True,
                    session=window.session,
                    position=hello.position,
                    epoch=settings.epoch,
                    resumed=True,
                    on_disk=settings.on_disk,
                    readers=readers,
                    fast_checksum=checksum.FAST if window.fast else "",
                )
        if self._engine.promise is not Promise.ALONE:
            return Welcome(accepted=False, reason="the primary is in step in another session")
        self._end_session()
        session = f"{settings.node}-{settings.epoch}-{os.urandom(6).hex()}"
        fast = checksum.FAST if hello.fast_checksum == checksum.FAST else ""
        position = self._engine.begin_session(session, settings.epoch, fast=bool(fast))
        self._asking = Asking(settings.resync_timeout_ms / 1000)
        return Welcome(
            accepted=True,
            session=session,
            position=position,
            epoch=settings.epoch,
            on_disk=settings.on_disk,
            readers=readers,
            fast_checksum=fast,
        )

    def _may_resume(self) -> bool:
        """A stream with nothing pending can go on; an interrupted resync begins anew with what remained."""
        return self._engine.streaming and self._resync is None

    def _take_stream(self, connection: socket.socket, hello: Hello, welcome: Welcome) -> None:
        with self._lock:
            if self._ended.is_set() or self._engine.window.session != welcome.session:
                connection.close()
                return
            asking = self._asking
            assert asking is not None
            self._engine.attach(Outlet(connection, self._engine.window, welcome.position))
            if not welcome.resumed:
                plan = self._plan(hello)
                self._resync = Resync(
                    self._engine,
                    self._trees,
                    asking,
                    plan=plan,
                    readers=self._settings.readers,
                    throttle=self.throttle,
                    clock=self._clock,
                    changed=self._changed,
                )
                self.counts = self._resync.counts
                thread = threading.Thread(
                    target=self._resynchronise,
                    args=(self._resync, welcome.session),
                    name="rfs-resync",
                    daemon=True,
                )
                self._threads = [old for old in self._threads if old.is_alive()] + [thread]
                thread.start()
        self._changed()

    def _take_serving(self, connection: socket.socket, hello: Hello) -> None:
        with self._lock:
            if self._asking is None or hello.session != self._engine.window.session:
                connection.close()
                return
            self._asking.add(connection)

    def _answer_verify(self, connection: socket.socket) -> None:
        """The secondary's operator asks for a comparison: the same one, whichever node is asked."""
        try:
            found = self.verify()
        except (HoldfastError, OSError) as error:
            found = Comparison(error=str(error))
        with connection:
            link.send_message(connection, verdict.encode(found))

    def _plan(self, hello: Hello) -> Plan:
        journal = self._engine.journal
        common = hello.last_session != "" and hello.last_session == journal.last_session
        contents = self.full or hello.full or not common
        return Plan(
            journals=True,
            compare=contents or hello.rebooted or journal.rebooted,
            contents=contents,
            census=hello.census,
        )

    # Sessions.

    def _resynchronise(self, resync: Resync, session: str) -> None:
        """The resync thread: brings the secondary in step, then proposes the session."""
        try:
            if not self.surveyed(self._ended):
                raise UnavailableError("the node stops before it knows what was changed while it was stopped")
            resync.run()
            self.resynchronised(resync.counts)
            if not self.checkpoint(CHECKPOINT_WAIT_S):
                raise UnavailableError("the secondary does not confirm that it has applied the resync")
        except (HoldfastError, OSError) as error:
            with self._lock:
                if self._resync is resync:
                    # A link that broke is tried again by itself; what fails here needs a person.
                    self.failed = "" if isinstance(error, UnavailableError) else f"resync: {error}"
                    log.warning("resync of session %s ended: %s", session, error)
                    self._end_session()
        else:
            with self._lock:
                if self._resync is resync:
                    self._resync = None
                    self.failed = ""
                    self.proposed_session = session
        self._changed()

    def _end_session(self) -> None:
        """Forget the session; the change journal knows what it did not finish. `_lock` is held."""
        self.proposed_session = ""
        if self._resync is not None:
            self._resync.end()
            self._resync = None
        self._engine.detach()
        self._drop_connections()
        self._engine.begin_session("", self._settings.epoch)

    def _drop_connections(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.close()

    def lost(self) -> None:
        """The connection ended (called by the engine's background thread)."""
        with self._lock:
            if self._engine.connected or self._ended.is_set():
                return
            if self._engine.promise is Promise.ALONE and self._engine.window.session:
                self._end_session()
        self._changed()

    # Checkpoints.

    def checkpoint(self, timeout_s: float) -> bool:
        """Make both copies durable, then have both forget older notes except what is still pending.

        False when the secondary does not confirm in time; nothing is forgotten then.
        """
        engine = self._engine
        with self._checkpointing:
            with engine.order:
                if not engine.streaming:
                    return False
                resync = self._resync
                remaining = [] if resync is None else resync.remaining()
                segment = self._rotate()
                number = next(self._checkpoints)
                position = engine.append(Checkpoint(number=number))
            for tree in self._trees:
                # What was noted before the rotation and is recorded after it is noted again, in the new segment.
                tree.finish_changes()
            self._sync_trees()
            if not engine.wait_applied(position, timeout_s, self._seconds):
                return False
            if segment >= 0 and self._forget(segment, remaining):
                with engine.order:
                    is_quiet = engine.window.head == position
                    self._confirmed_at = engine.append(Confirmed(number=number))
                    self._checkpointed_at = self._confirmed_at if is_quiet else position
                engine.push()
            return True

    def _rotate(self) -> int:
        """Begin a new segment of notes; -1 when there is no room for one, and then nothing is forgotten."""
        try:
            return self._engine.journal.rotate()
        except OSError as error:
            log.warning("the change journal keeps its notes beyond a checkpoint: %s", error)
            return -1

    def _forget(self, segment: int, remaining: list[Entry]) -> bool:
        """Drop the notes up to `segment`; at the first checkpoint, not what an earlier worker has left.

        It may have been killed between noting and recording, and the kernel sends the request again only to us.
        """
        journal = self._engine.journal
        inherits, self._inherits = self._inherits, False
        if inherits:
            return False
        try:
            journal.drop_through(segment, remaining)
        except OSError as error:
            log.warning("the change journal keeps its notes beyond a checkpoint: %s", error)
            return False
        journal.rebooted = journal.rebooted and bool(remaining)
        return True

    def _confirm_drain(self) -> bool:
        """Have everything applied and durable on both sides and no note left; False when the order changes before."""
        engine = self._engine
        while not (
            self.checkpoint(CHECKPOINT_WAIT_S)
            and engine.wait_applied(self._confirmed_at, CHECKPOINT_WAIT_S, self._seconds)
        ):
            if self._ended.is_set() or engine.promise is not Promise.PEER:
                return False
            self._ended.wait(0.05)
        return True

    def _keep_checkpoints(self) -> None:
        head, changed_at_s, checkpointed_at_s = -1, 0.0, self._seconds()
        while not self._ended.wait(1.0):
            engine, now_s = self._engine, self._seconds()
            if engine.window.head != head:
                head, changed_at_s = engine.window.head, now_s
            since_s = now_s - checkpointed_at_s
            is_due = since_s >= CHECKPOINT_PERIOD_S or (
                since_s >= CHECKPOINT_PAUSE_S
                and (now_s - changed_at_s >= CHECKPOINT_QUIET_S or engine.journal.noted >= CHECKPOINT_PATHS)
            )
            if not is_due or not engine.streaming or not engine.connected or head == self._checkpointed_at:
                continue
            checkpointed_at_s = now_s
            try:
                self.checkpoint(CHECKPOINT_WAIT_S)
            except OSError as error:
                # Older notes are kept then, which costs a longer resync and nothing else.
                log.warning("a checkpoint was not made: %s", error)

    def _sync_trees(self) -> None:
        for tree in self._trees:
            beneath.sync_file_system(tree.root_fd)

    def _seconds(self) -> float:
        return self._clock.mono_ns() / 1e9
