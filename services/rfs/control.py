"""One module's replication on this node: obeys the state machine's order, says what is.

All methods but `report` are called from one thread, the service's control thread. What an order asks for is compared
with what is, so the same order twice changes nothing, and a restarted worker takes up what its predecessor left.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from holdfast.clock import Clock
from holdfast.errors import ConfigError, EnvironmentFaultError, RefusedError
from holdfast.events.replication import (
    ReplicatedDirectory,
    ReplicateDirectories,
    ReplicationMode,
    ReplicationReported,
    ReplicationSettings,
    ResyncProgress,
    Stance,
)
from holdfast.ids import Epoch, Session

from services.rfs import beneath
from services.rfs.applied import AppliedState
from services.rfs.changes import ChangeJournal
from services.rfs.copy_state import Stoppage
from services.rfs.core.exclusion import exclusion
from services.rfs.descriptors import FdStore, Inherited
from services.rfs.engine import Engine, Promise
from services.rfs.estimate import Estimation
from services.rfs.metrics import Rates
from services.rfs.mountpoint import MountedTree, TreeSettings
from services.rfs.primary import Primary, PrimarySettings
from services.rfs.resync import Counts
from services.rfs.secondary import PrimaryAddress, Secondary
from services.rfs.speed import Speed, SpeedMemory
from services.rfs.stream import Window
from services.rfs.survey import Survey
from services.rfs.verdict import Comparison

log = logging.getLogger("holdfast.rfs.control")

KEY_BYTES_MAX = 4096


class Places:
    """Where one module's replication keeps its things."""

    def __init__(self, run_dir: Path, data_dir: Path) -> None:
        self.run_dir = run_dir
        self.data_dir = data_dir
        self.window = run_dir / "window"
        self.applied = run_dir / "applied"
        self.journal = data_dir / "changes"
        self.quarantine = data_dir / "quarantine"
        self.speed = data_dir / "resync_speed.json"


class Control:
    """The module's replication. `changed` is called from any thread when `report` would say something else."""

    def __init__(
        self,
        *,
        module: str,
        node: str,
        places: Places,
        store: FdStore,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self._module = module
        self._node = node
        self._places = places
        self._store = store
        self._inherited = Inherited(store)
        self._clock = clock
        self._changed = changed
        self._order: ReplicateDirectories | None = None
        self._open: _Opened | None = None
        self._primary: Primary | None = None
        self._secondary: Secondary | None = None
        self._applied_all = False
        self._failed = ""
        self._drain: threading.Thread | None = None
        self._speed = SpeedMemory(places.speed)
        self._rates = Rates()
        self._metrics: dict[str, float] = {}

    def obey(self, order: ReplicateDirectories) -> None:
        """Bring about what the order wants; raises nothing for trouble of this machine, but reports it."""
        before, self._order = self._order, order
        try:
            if order.mode is ReplicationMode.OFF:
                self._become_off()
            else:
                self._prepare(order.settings)
                if order.mode is ReplicationMode.SECONDARY:
                    self._become_secondary(order, before)
                else:
                    self._become_primary(order)
            self._failed = ""
        except (EnvironmentFaultError, ConfigError, RefusedError) as error:
            log.error("replication cannot do as ordered: %s", error)
            self._failed = str(error)
        except OSError as error:
            log.error("replication cannot do as ordered: %s", error)
            self._failed = f"{error.filename or 'replication'}: {error.strerror}"
        self._changed()

    @property
    def has_failed(self) -> bool:
        """True when the last order could not be obeyed; the same order again tries again."""
        return bool(self._failed)

    def close(self) -> None:
        """The service ends in an orderly way: let applications' operations fail, unmount."""
        self._end_roles(Promise.ENDED)
        self._unmount()

    def verify(self) -> Comparison:
        """Compare both copies (may be called from another thread); raises UnavailableError or RefusedError."""
        primary, secondary = self._primary, self._secondary
        if primary is not None:
            return primary.verify()
        if secondary is not None:
            return secondary.verify()
        raise RefusedError("this node is neither primary nor secondary", hint="start the module on both nodes")

    def begin_estimate(self) -> tuple[Estimation, Speed]:
        """An estimate of the next resync, to be run in another thread, and how fast it may be; raises RefusedError."""
        order, opened = self._order, self._open
        if order is None or opened is None or self._primary is None:
            raise RefusedError("this node is not primary", hint="ask the primary: it knows what it has changed")
        if opened.survey.is_owed:
            raise RefusedError("what was changed while the module was stopped is not known yet", hint="ask again soon")
        if opened.estimation is not None and not opened.estimation.is_over:
            raise RefusedError("an estimate is being made already", hint="ask again when it is done")
        opened.estimation = Estimation(opened.trees, opened.journal, full=order.full)
        return opened.estimation, self._speed.expect(order.settings.resync_bytes_per_second)

    def directory(self, tree: int) -> str:
        """The path of a replicated directory, for messages."""
        opened = self._open
        return opened.trees[tree].settings.directory if opened is not None else ""

    # The parts of a role.

    def _prepare(self, settings: ReplicationSettings) -> None:
        """Open journal, window and real directories, when that has not been done."""
        if self._open is not None:
            return
        self._open = _Opened(self._places, settings, self._inherited, self._clock)

    def _become_off(self) -> None:
        self._end_roles(Promise.REFUSED)
        self._unmount()
        self._applied_all = False

    def _become_secondary(self, order: ReplicateDirectories, before: ReplicateDirectories | None) -> None:
        opened = self._opened
        if self._secondary is not None:
            # What may change while the same stream goes on.
            if before is not None and order == replace(
                before, generation=order.generation, base=order.base, full=order.full
            ):
                self._secondary.full = order.full
                return
            self._secondary.finish()
            self._secondary = None
        if self._primary is not None:
            self._step_down(Promise.REFUSED)
        self._applied_all = False
        opened.mount(writable=False, store=self._store)
        address = PrimaryAddress(
            local=order.local_address,
            address=order.peer_address,
            port=order.port,
            key=_key(order.key_file),
            module=self._module,
            node=self._node,
            fence_epoch=order.fence_epoch,
            send_timeout_ms=order.settings.send_timeout_ms,
            quarantine=self._quarantine(order) if order.quarantine else None,
        )
        self._secondary = Secondary(
            opened.trees,
            state=opened.state,
            journal=opened.journal,
            primary=address,
            full=order.full,
            surveyed=opened.survey.wait,
            changed=self._changed,
        )
        self._secondary.start()

    def _become_primary(self, order: ReplicateDirectories) -> None:
        opened = self._opened
        if self._secondary is not None:
            self._secondary.finish()
            self._secondary = None
            self._applied_all = True
        primary = self._primary
        if primary is None:
            draining = order.stance is Stance.DRAIN
            if draining and not (opened.window.in_step and opened.window.session == order.session):
                # Told to apply what has arrived before it may act, or to drain what it has not got: nothing to write.
                self._applied_all = True
                opened.engine.allow(Promise.REFUSED, writable=False)
                opened.mount(writable=False, store=self._store)
                return
            primary = self._new_primary(order)
            primary.start(session="" if order.stance is Stance.ALONE else order.session)
            self._primary = primary
            opened.mount(writable=not draining, store=self._store)
        primary.use_epoch(order.epoch)
        primary.full = order.full
        primary.throttle.bytes_per_second = order.settings.resync_bytes_per_second
        match order.stance:
            case Stance.ALONE:
                primary.go_alone()
            case Stance.IN_STEP:
                primary.step_in(order.session)
            case Stance.DRAIN:
                self._start_drain(primary, order.session)
                return
        opened.mount(writable=True, store=self._store)

    def _new_primary(self, order: ReplicateDirectories) -> Primary:
        opened = self._opened
        settings = PrimarySettings(
            module=self._module,
            node=self._node,
            local=order.local_address,
            port=order.port,
            key=_key(order.key_file),
            epoch=order.epoch,
            on_disk=order.settings.acknowledge_on_disk,
            readers=order.settings.resync_readers,
            bytes_per_second=order.settings.resync_bytes_per_second,
            send_timeout_ms=order.settings.send_timeout_ms,
            resync_timeout_ms=order.settings.resync_timeout_ms,
        )
        primary = Primary(opened.engine, opened.trees, settings=settings, clock=self._clock, changed=self._changed)
        primary.surveyed = opened.survey.wait
        primary.resynchronised = self._note_speed
        opened.engine.changed = primary.lost
        return primary

    def _note_speed(self, counts: Counts) -> None:
        primary = self._primary
        if primary is not None and not primary.throttle.bytes_per_second:
            self._speed.note(counts, self._clock.mono_ns())

    def _start_drain(self, primary: Primary, session: str) -> None:
        if self._drain is not None and self._drain.is_alive():
            return
        if primary.drained_session == session:
            return
        self._drain = threading.Thread(
            target=primary.drain, args=(session, self._opened.flush_mounts), name="rfs-drain", daemon=True
        )
        self._drain.start()

    def _step_down(self, promise: Promise) -> None:
        """End the primary role: first let go of every thread that waits, then make the directories read-only."""
        primary, self._primary = self._primary, None
        if primary is None:
            return
        opened = self._opened
        opened.engine.allow(promise, writable=False)
        opened.set_writable(False)
        primary.stop(promise)
        opened.engine.changed = lambda: None

    def _end_roles(self, promise: Promise) -> None:
        if self._secondary is not None:
            self._secondary.finish()
            self._secondary = None
        if self._open is not None:
            self._step_down(promise)

    def _unmount(self) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            opened.close(self._store, self._clock)

    def _quarantine(self, order: ReplicateDirectories) -> Path:
        return self._places.quarantine / f"{order.generation or 'copy'}-epoch-{order.fence_epoch}"

    @property
    def _opened(self) -> _Opened:
        assert self._open is not None, "a role needs the directories opened"
        return self._open

    # What is reported.

    def sample(self) -> None:
        """Take the counters for the bandwidths; called about once a second."""
        opened, primary, secondary = self._open, self._primary, self._secondary
        if opened is None:
            return
        counts = primary.counts if primary is not None else Counts()
        self._metrics = self._rates.sample(
            self._clock.mono_ns(),
            {
                "rep_bandwidth": opened.engine.recorded_bytes if primary is not None else 0,
                "rei_bandwidth": counts.bytes_sent,
                "netout_bandwidth": opened.engine.sent_bytes,
                "netin_bandwidth": secondary.received_bytes if secondary is not None else 0,
            },
        )

    def report(self) -> ReplicationReported:
        """What this node's replication is now."""
        order, opened = self._order, self._open
        primary, secondary = self._primary, self._secondary
        common = ReplicationReported(
            mode=order.mode if order is not None else ReplicationMode.OFF,
            epoch=order.epoch if order is not None else Epoch(0),
            mounted=opened is not None and opened.is_mounted,
            writable=primary is not None and opened is not None and opened.is_writable,
            connected=False,
            applied_all=self._applied_all,
            failed=self._failed,
            metrics=dict(self._metrics),
        )
        if primary is not None and opened is not None:
            return self._primary_report(common, primary, opened)
        if secondary is not None:
            return replace(
                common,
                connected=secondary.connected,
                in_step_session=Session(secondary.in_step_session),
                sequence=secondary.position,
                acknowledged=secondary.position,
                resyncing=secondary.connected and not secondary.in_step_session,
                quarantined_files=secondary.quarantined_files,
                failed=self._failed or secondary.failed,
            )
        return common

    def _primary_report(self, common: ReplicationReported, primary: Primary, opened: _Opened) -> ReplicationReported:
        return replace(
            common,
            connected=opened.engine.connected,
            proposed_session=Session(primary.proposed_session),
            in_step_session=Session(primary.in_step_session),
            broken_session=Session(primary.broken_session),
            drained_session=Session(primary.drained_session),
            resyncing=primary.resyncing,
            progress=self._progress(primary.counts, primary.resyncing),
            sequence=opened.window.head,
            acknowledged=opened.window.applied,
            failed=self._failed or primary.failed,
        )

    def _progress(self, counts: Counts, resyncing: bool) -> ResyncProgress:
        spent_s = (self._clock.mono_ns() - counts.started_ns) / 1e9
        left = counts.bytes_total - counts.bytes_done
        known = resyncing and counts.bytes_done > 0
        return ResyncProgress(
            files_done=counts.files_done,
            files_total=counts.files_total,
            bytes_done=counts.bytes_sent,
            bytes_total=counts.bytes_total,
            eta_s=round(max(0.0, left * spent_s / counts.bytes_done), 1) if known else -1.0,
            kind=counts.kind,
        )


class _Opened:
    """What is open while the node has a role: journal, window, engine, and the directories with their mounts."""

    def __init__(self, places: Places, settings: ReplicationSettings, inherited: Inherited, clock: Clock) -> None:
        places.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.trees: list[MountedTree] = []
        self._devices: list[int | None] = []
        self.is_mounted = False
        self.is_writable = False
        self.estimation: Estimation | None = None
        with ExitStack() as undo:
            self.window = Window(places.window)
            undo.callback(self.window.close)
            self.state = AppliedState(places.applied)
            undo.callback(self.state.close)
            self.journal = ChangeJournal(places.journal, trees=len(settings.directories))
            undo.callback(self.journal.close)
            self.journal.use_directories(tuple(directory.path for directory in settings.directories))
            self.engine = Engine(self.window, self.journal)
            for index, directory in enumerate(settings.directories):
                self._open_tree(index, directory, places, inherited, undo)
            self.engine.use_roots([tree.root_fd for tree in self.trees])
            self.survey = Survey(self.trees, self.journal, clock)
            if self.survey.is_owed:
                # What anybody changed meanwhile was no part of the stream: no session from before can go on.
                self.engine.begin_session("", 0)
                self.state.begin("", 0, 0)
            undo.pop_all()

    def _open_tree(
        self, index: int, directory: ReplicatedDirectory, places: Places, inherited: Inherited, undo: ExitStack
    ) -> None:
        """Open one directory; `undo` gets what is to be done should a later one fail."""
        tree = MountedTree(
            TreeSettings(
                index=index,
                directory=directory.path,
                runtime_directory=places.run_dir / f"tree-{index}",
                is_excluded=exclusion(directory.excluded, directory.excluded_patterns),
            ),
            self.engine,
        )
        names = (f"device-{index}", f"root-{index}")
        device, root = (inherited.take(name) for name in names)
        if device is None or root is None:
            for stray in (device, root):
                if stray is not None:
                    os.close(stray)
            # Never by path when a mount of ours stands: until this process serves it, that would wait for itself.
            tree.detach_dead()
            _check_directory(directory)
            tree.prepare(None)
            undo.callback(os.close, tree.root_fd)
            device = None
        else:
            tree.prepare(root)
            for name, fd in zip(names, (device, root), strict=True):
                undo.callback(inherited.give_back, name, fd)
        self.trees.append(tree)
        self._devices.append(device)

    def mount(self, *, writable: bool, store: FdStore) -> None:
        """Mount all directories, or change whether applications may write."""
        if self.is_mounted:
            if writable != self.is_writable:
                self.set_writable(writable)
            return
        for index, tree in enumerate(self.trees):
            if tree.device_fd >= 0:
                continue  # Mounted before another directory failed.
            device, self._devices[index] = self._devices[index], None
            tree.start(device, writable=writable)
            store.keep(f"device-{index}", tree.device_fd)
            store.keep(f"root-{index}", tree.root_fd)
        self.is_mounted = True
        self.is_writable = writable
        self.survey.start()

    def set_writable(self, writable: bool) -> None:
        for tree in self.trees:
            tree.set_writable(writable)
        self.is_writable = writable

    def flush_mounts(self) -> None:
        """Have the kernel hand over what applications have written, then take no more."""
        for tree in self.trees:
            fd = os.open(tree.settings.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                beneath.sync_file_system(fd)
            finally:
                os.close(fd)
        self.set_writable(False)

    def close(self, store: FdStore, clock: Clock) -> None:
        """Unmount and release everything."""
        if self.estimation is not None:
            self.estimation.stop()
        self.survey.stop()
        self._note_stop(clock)
        for index, tree in enumerate(self.trees):
            store.forget(f"device-{index}")
            store.forget(f"root-{index}")
            report = tree.stop()
            if report.was_busy:
                users = ", ".join(f"{each.command}({each.pid})" for each in report.busy)
                log.warning("%s was in use when it was unmounted: %s", tree.settings.directory, users)
        self._settle_journal()
        self.journal.close()
        self.state.close()
        self.window.close()
        self.is_mounted = False

    def _settle_journal(self) -> None:
        try:
            self.journal.settle()
        except OSError as error:
            log.warning(
                "the change journal cannot be made durable: %s; after a reboot all metadata are compared", error
            )

    def _note_stop(self, clock: Clock) -> None:
        found = [os.fstat(tree.root_fd) for tree in self.trees]
        try:
            self.journal.state.note_stop(Stoppage(clock.wall_ns(), tuple((root.st_dev, root.st_ino) for root in found)))
        except OSError as error:
            log.warning("the stop cannot be recorded: %s; both copies will be compared in full", error)
            self.journal.state.forget()


def _check_directory(directory: ReplicatedDirectory) -> None:
    if not os.path.isabs(directory.path) or not os.path.isdir(directory.path):
        raise EnvironmentFaultError(f"the replicated directory {directory.path} does not exist")
    for name in directory.must_exist:
        if not os.path.lexists(os.path.join(directory.path, name)):
            raise EnvironmentFaultError(
                f"{name} is missing in the replicated directory {directory.path}",
                hint="is its file system mounted?",
            )


def _key(path: str) -> bytes:
    """The key that both nodes prove to hold; empty when none is configured."""
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            return file.read(KEY_BYTES_MAX).strip()
    except OSError as error:
        raise EnvironmentFaultError(f"{path}: the replication key cannot be read: {error.strerror}") from error
