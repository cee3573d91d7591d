"""Opens a module: goes on where a killed state machine was, or begins a new incarnation from the authority record."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

from holdfast import boot
from holdfast.config.parse import parse_module
from holdfast.core.authority import AuthorityRecord
from holdfast.core.state import State, Wish
from holdfast.core.switching import changed_settings
from holdfast.errors import StorageError
from holdfast.events.module import Action, ConfigurationApplied, LoopCounted, SettingChanged
from holdfast.events.state import Role
from holdfast.history.decider import first_state
from holdfast.history.snapshots import dump_snapshot, restored
from holdfast.ids import ModuleId, NodeId
from holdfast.journal.authority import AuthorityStore
from holdfast.journal.port import Journal, JournalBrokenError, SnapshotKind
from holdfast.journal.sql import SqlJournal
from holdfast.service.context import Context

from services.statemachine.files import ModuleFiles
from services.statemachine.rebooting import kept_loop

SHUTDOWN = "shutdown of the node"
"""Who asks for the stop that precedes the node's end; a module stopped by it starts again with the node."""
BOOT = "start of the node"
RESTART = "restart the node: the module then begins from its authority record alone"
log = logging.getLogger("holdfast.statemachine")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A module ready to run. incarnation: for ModuleOpened. starts: it is to be started, after boot_delay_s.

    switches: what somebody had switched in an earlier life of the node, which holds as long as the configuration does.
    counted: what loop protection had counted before the node was rebooted.
    """

    journal: Journal
    authority: AuthorityStore
    state: State
    incarnation: int
    starts: bool
    boot_delay_s: int = 0
    switches: tuple[SettingChanged, ...] = ()
    counted: tuple[LoopCounted, ...] = ()


def open_module(context: Context, module: ModuleId, applied: ConfigurationApplied | None) -> Opened:
    """Open journal and record. Raises StorageError, JournalBrokenError or ConfigError; nothing stays open then.

    applied: what a new incarnation begins with. None: this life of the node had opened the module before, so its
    configuration, role and the steps under way are those of the journal, and nothing outside may keep it from going on.
    """
    files = ModuleFiles(root=context.settings.module_dir(module))
    with contextlib.ExitStack() as undo:
        authority = AuthorityStore(files.authority)
        undo.callback(authority.close)
        journal = SqlJournal(files.journal)
        undo.callback(journal.close)
        record = authority.read()
        node = context.settings.node
        if applied is None:
            known = _resumed(journal, files.journal, record, module, node)
            if known.authority != record:
                # Killed after the decision was journalled and before its record was written: nobody has seen it yet.
                authority.write(known.authority)
            opened = Opened(
                journal=journal,
                authority=authority,
                state=known,
                incarnation=known.authority.incarnation,
                starts=False,
            )
        else:
            before = _before(journal, module, node)
            state = first_state(applied, record, module=module, node=node)
            counts = state.settings.automatic_reboot
            journal.save(dump_snapshot(state), kind=SnapshotKind.OPENED, wall_ns=context.clock.wall_ns())
            opened = Opened(
                journal=journal,
                authority=authority,
                state=state,
                incarnation=record.incarnation + 1,
                starts=_starts(journal, before, applied, files.root),
                switches=_switched_before(before, state),
                counted=kept_loop(files.loop, now_wall_ns=context.clock.wall_ns()) if counts else (),
                boot_delay_s=parse_module(applied.text.encode(), "safeconf.xml", {}).service.boot_delay_s,
            )
        undo.pop_all()
    return opened


def _resumed(journal: Journal, path: Path, record: AuthorityRecord, module: ModuleId, node: NodeId) -> State:
    """The state in which this life of the node left the module; raise StorageError when that cannot be known."""
    try:
        known = restored(journal, module=module, node=node)
    except JournalBrokenError:
        raise
    except StorageError as error:
        raise StorageError(f"{path}: {error.message}", hint=RESTART) from error
    if known is None:
        raise StorageError(f"{path}: nothing of module {module} is recorded", hint=RESTART)
    if known.trouble:
        log.warning("module %s: %s; its state is made again from the journal", module, known.trouble)
        if known.state.authority != record:
            # Only what the shipped core decided before may be ahead of the record; this is another core's view of it.
            raise StorageError(
                f"{path}: {known.trouble}; made again from the events it would differ from the authority record",
                hint=RESTART,
            )
    return known.state


def _before(journal: Journal, module: ModuleId, node: NodeId) -> State | None:
    """The state in which an earlier life of the node left the module, None when that cannot be known any more.

    A new incarnation begins from the authority record alone, so this may not keep it from beginning.
    """
    try:
        known = restored(journal, module=module, node=node)
    except StorageError as error:
        log.warning("module %s: what it was before cannot be known: %s", module, error)
        return None
    return known.state if known is not None else None


def _starts(journal: Journal, known: State | None, applied: ConfigurationApplied, place: Path) -> bool:
    """Is the module to be started with the node?"""
    policy = parse_module(applied.text.encode(), "safeconf.xml", {}).service.boot
    return boot.starts_with_node(policy, boot.read_choice(place), ran_before=_ran_before(journal, known))


def _switched_before(known: State | None, state: State) -> tuple[SettingChanged, ...]:
    """What was switched before, as events; nothing under another configuration, which sets everything back."""
    if known is None or known.settings.signature != state.settings.signature:
        return ()
    changed = changed_settings(known.switches, state.switches)
    return tuple(SettingChanged(setting=name, value=value, who=BOOT) for name, value in changed.items())


def _ran_before(journal: Journal, known: State | None) -> bool:
    last = next(iter(journal.commands(limit=1)), None)
    if last is not None and last.who == SHUTDOWN and last.action == Action.STOP:
        return True
    if known is not None:
        return known.role is not Role.STOP and known.wish is not Wish.STOP
    noted = next(iter(journal.states(limit=1)), None)
    return noted is not None and noted.role != Role.STOP
