"""Opens a module: goes on where a killed state machine was, or begins a new incarnation from the authority record."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from holdfast.config.model import BootPolicy
from holdfast.config.parse import parse_module
from holdfast.core.state import State, Wish
from holdfast.errors import StorageError
from holdfast.events.module import Action, ConfigurationApplied
from holdfast.events.state import Role
from holdfast.history.decider import dump_state, first_state, load_state, step
from holdfast.ids import ModuleId
from holdfast.journal.authority import AuthorityStore
from holdfast.journal.port import Journal, SnapshotKind
from holdfast.journal.sql import SqlJournal
from holdfast.service.context import Context

from services.statemachine.files import ModuleFiles

SHUTDOWN = "shutdown of the node"
"""Who asks for the stop that precedes the node's end; a module stopped by it starts again with the node."""
BOOT = "start of the node"


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A module ready to run. incarnation: to be told in ModuleOpened. starts: it is to be started now."""

    journal: Journal
    authority: AuthorityStore
    state: State
    incarnation: int
    starts: bool


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
        known = restored(journal)
        if applied is None:
            if known is None:
                raise StorageError(f"{files.journal}: nothing of module {module} is recorded")
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
            state = first_state(applied, record, module=module, node=context.settings.node)
            journal.save(dump_state(state), kind=SnapshotKind.OPENED, wall_ns=context.clock.wall_ns())
            opened = Opened(
                journal=journal,
                authority=authority,
                state=state,
                incarnation=record.incarnation + 1,
                starts=_starts(journal, known, applied),
            )
        undo.pop_all()
    return opened


def restored(journal: Journal) -> State | None:
    """Fold the newest snapshot and all events after it; None when the journal is empty."""
    saved = journal.snapshot()
    if saved is None:
        return None
    state = load_state(saved.state)
    for record in journal.read(after=saved.sequence):
        state = step(state, record.envelope).state
    return state


def _starts(journal: Journal, known: State | None, applied: ConfigurationApplied) -> bool:
    """Is the module to be started with the node? As its `boot` says; when that leaves it open, if it ran before."""
    policy = parse_module(applied.text.encode(), "safeconf.xml", {}).service.boot
    match policy:
        case BootPolicy.ON:
            return True
        case BootPolicy.OFF:
            return False
        case BootPolicy.AUTO | BootPolicy.IGNORE:
            return _ran_before(journal, known)


def _ran_before(journal: Journal, known: State | None) -> bool:
    if known is None:
        return False
    last = next(iter(journal.commands(limit=1)), None)
    if last is not None and last.who == SHUTDOWN and last.action == Action.STOP:
        return True
    return known.role is not Role.STOP and known.wish is not Wish.STOP
