"""Putting a module's edited configuration in force: check all, stage it, run its scripts, switch, or switch back."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from holdfast.config.model import ModuleConfig
from holdfast.config.parse import expand, parse_module
from holdfast.errors import HoldfastError, NotFoundError, RefusedError
from holdfast.settings import NodeSettings

from services.gateway.files.durable import disk, switch_directory, sync_directory, sync_tree
from services.gateway.files.examining import APPLIED, EDITED, edited_text, examine
from services.gateway.files.host_names import write_host_name_files
from services.gateway.files.module_scripts import Ran, run_module_script
from services.gateway.files.modules import described, module_place
from services.gateway.files.versions import Restoration, keep
from services.gateway.files.wrappers import write_wrappers

EXPANDED = "safeconf.xml"
LOCK = ".configuring"
DIRECTORY_MODE = 0o755
PLACES = ("HOLDFAST_CONFIG_DIR", "HOLDFAST_STATE_DIR", "HOLDFAST_RUN_DIR")
"""Variables that say where a node is that is not in the usual place."""
UNCHANGED = "the configuration in force is as it was"


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What was put in force. changed: another configuration was in force before. scripts: those that were run.
    failed: how the `update` script failed, if it did; the configuration is in force all the same."""

    module: str
    signature: str
    changed: bool
    warnings: tuple[str, ...] = ()
    scripts: tuple[Ran, ...] = ()
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What `confcheck` says."""

    module: str
    valid: bool
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    scripts: tuple[Ran, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Change:
    """A checked configuration beside the one in force, ready to be switched; afterwards the old one, to switch back.

    ran: its scripts. lock: held until `finish`, so that a module is configured by one command at a time.
    """

    settings: NodeSettings
    module: str
    config: ModuleConfig
    warnings: tuple[str, ...]
    staged: Path
    active: Path
    had_before: bool
    signature_before: str
    ran: tuple[Ran, ...]
    lock: int = field(repr=False)

    def switch(self) -> None:
        """Put it in force."""
        with disk(self.active):
            switch_directory(self.staged, self.active)

    def undo(self) -> None:
        """Put back what was in force before `switch`."""
        with disk(self.active):
            if self.had_before:
                switch_directory(self.staged, self.active)
            else:
                self.active.rename(self.staged)
                sync_directory(self.active.parent)

    def keep(self, now: datetime) -> tuple[str, ...]:
        """Keep what is in force now among the last ones; a failure is a warning, since it is in force."""
        try:
            keep(self.settings, self.module, now)
        except HoldfastError as error:
            return (f"the configuration is not kept for a later restore: {error}",)
        return ()

    def applied(self, *more: str, update: Ran | None = None) -> Applied:
        """What to tell about it once it is in force."""
        return Applied(
            module=self.module,
            signature=self.config.signature,
            changed=self.config.signature != self.signature_before,
            warnings=(*self.warnings, *more),
            scripts=self.ran if update is None else (*self.ran, update),
            failed=update.how() if update is not None and update.exit_code != 0 else "",
        )

    def finish(self) -> None:
        """Remove what is not in force, and let the next command in."""
        shutil.rmtree(self.staged, ignore_errors=True)
        os.close(self.lock)


def confcheck(settings: NodeSettings, module: str) -> Checked:
    """Check the edited configuration and run its `confcheck` script on a copy; what is edited and in force stays."""
    place = module_place(settings, module)
    with disk(place):
        found = examine(settings, module)
        ran: tuple[Ran, ...] = ()
        if not found.problems and found.config is not None and found.config.user is not None:
            with tempfile.TemporaryDirectory(prefix=".confcheck.", dir=place) as copy:
                _stage(place, Path(copy))
                _write_expanded(place, Path(copy))
                ran = _run(settings, module, found.config, Path(copy), "confcheck")
    failures = tuple(each.how() for each in ran if each.exit_code != 0)
    problems = (*(str(problem) for problem in found.problems), *failures)
    return Checked(module=module, valid=not problems, problems=problems, warnings=found.warning_texts(), scripts=ran)


def prepare(settings: NodeSettings, module: str) -> Change:
    """Check the edited configuration, stage it beside the one in force, and run its `config` and `postconfig` scripts.

    It is on disk to the last byte then. Raises ConfigError when it or a script is wrong, RefusedError when the module
    is being configured already; nothing has changed in these cases.
    """
    place = module_place(settings, module)
    staged, active = place / "active.new", place / "active"
    with ExitStack() as ending:
        lock = _locked(place, module)
        ending.callback(os.close, lock)
        ending.callback(shutil.rmtree, staged, ignore_errors=True)
        found = examine(settings, module)
        config = found.valid()
        with disk(staged):
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(mode=DIRECTORY_MODE)
            _stage(place, staged)
            write_host_name_files(config.virtual_host, staged / "bin")
            ran = _configured(settings, module, config, staged, is_first=not active.exists())
            write_wrappers(module, staged, {name: os.environ[name] for name in PLACES if name in os.environ})
            sync_tree(staged)
        change = Change(
            settings=settings,
            module=module,
            config=config,
            warnings=found.warning_texts(),
            staged=staged,
            active=active,
            had_before=active.exists(),
            signature_before=described(settings, module).signature,
            ran=ran,
            lock=lock,
        )
        ending.pop_all()  # From here on `finish` does it.
        return change


def _locked(place: Path, module: str) -> int:
    """A descriptor that keeps other commands from configuring the module until it is closed (flock(2))."""
    with disk(place):
        descriptor = os.open(place / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise RefusedError(f"module '{module}' is being configured", hint="wait for the other command") from None
    return descriptor


def _stage(place: Path, staged: Path) -> None:
    (staged / APPLIED).write_bytes(edited_text(place))
    if (place / "bin").is_dir():
        shutil.copytree(place / "bin", staged / "bin", symlinks=True)
    else:
        (staged / "bin").mkdir()


def _write_expanded(place: Path, staged: Path) -> None:
    (staged / EXPANDED).write_text(expand(edited_text(place), str(place / EDITED), os.environ))


def _configured(
    settings: NodeSettings, module: str, config: ModuleConfig, staged: Path, *, is_first: bool
) -> tuple[Ran, ...]:
    """`config` before the expanded text is there, `postconfig` after it; a failure of either ends the command.

    When the module was not configured before, `deconfig` undoes what `config` did; otherwise it would also undo what
    the configuration in force needs.
    """
    early = _run(settings, module, config, staged, "config")
    for ran in early:
        if ran.exit_code != 0:
            raise ran.failure(UNCHANGED)
    _write_expanded(staged.parent, staged)
    late = _run(settings, module, config, staged, "postconfig")
    for ran in late:
        if ran.exit_code != 0:
            if is_first:
                _run(settings, module, config, staged, "deconfig")
            raise ran.failure(UNCHANGED)
    return (*early, *late)


def _run(
    settings: NodeSettings, module: str, config: ModuleConfig, applied: Path, script: str, *arguments: str
) -> tuple[Ran, ...]:
    """Run a script of a configuration, if it has it and runs scripts at all."""
    if config.user is None:
        return ()
    variables = {variable.name: variable.value for variable in config.user.variables}
    ran = run_module_script(settings, module, script, applied=applied, variables=variables, arguments=arguments)
    return () if ran is None else (ran,)


def update(settings: NodeSettings, module: str, state: str) -> Ran | None:
    """Run the `update` script of the configuration in force; `state`, twice, is what it is told."""
    active = module_place(settings, module) / "active"
    config = parse_module((active / EXPANDED).read_bytes(), str(active / EXPANDED), {})
    return next(iter(_run(settings, module, config, active, "update", state, state)), None)


def run_state_script(settings: NodeSettings, module: str) -> Ran | None:
    """Run the `state` script of the configuration in force; None when there is none, or no configuration."""
    active = module_place(settings, module) / "active"
    if not (active / EXPANDED).exists():
        return None
    config = parse_module((active / EXPANDED).read_bytes(), str(active / EXPANDED), {})
    return next(iter(_run(settings, module, config, active, "state")), None)


def undo_configuration(settings: NodeSettings, module: str) -> tuple[Ran, ...]:
    """Run the `deconfig` script of the configuration in force; a failure leaves it in force."""
    active = module_place(settings, module) / "active"
    if not active.exists():
        raise NotFoundError(f"module '{module}' is not configured")
    try:
        config = parse_module((active / EXPANDED).read_bytes(), str(active / EXPANDED), {})
    except (HoldfastError, OSError):
        # A configuration that cannot be read can only be taken away.
        return ()
    ran = _run(settings, module, config, active, "deconfig")
    for each in ran:
        if each.exit_code != 0:
            raise each.failure(UNCHANGED)
    return ran


@contextmanager
def restored(settings: NodeSettings, module: str, number: int | None) -> Iterator[None]:
    """The edited files are those of a kept configuration; put back as they were when what is done with them fails."""
    if number is None:
        yield
        return
    with ExitStack() as ending:
        restoration = Restoration(settings, module, number)
        ending.callback(restoration.close)
        ending.callback(restoration.undo)
        yield
        ending.pop_all()
        restoration.close()


def take_away(settings: NodeSettings, module: str) -> Path:
    """Take a module's applied configuration out of force; returns where it is, for `give_back` or `throw_away`."""
    place = module_place(settings, module)
    active, gone = place / "active", place / "active.new"
    if not active.exists():
        raise NotFoundError(f"module '{module}' is not configured")
    with disk(active):
        shutil.rmtree(gone, ignore_errors=True)
        active.rename(gone)
        sync_directory(place)
    return gone


def give_back(gone: Path) -> None:
    with disk(gone):
        gone.rename(gone.with_name("active"))
        sync_directory(gone.parent)


def throw_away(gone: Path) -> None:
    shutil.rmtree(gone, ignore_errors=True)


def apply_offline(settings: NodeSettings, module: str, *, restore: int | None = None) -> Applied:
    """Put the edited (or a kept) configuration in force on a node that does not run."""
    with restored(settings, module, restore):
        change = prepare(settings, module)
        try:
            change.switch()
            return change.applied(*change.keep(datetime.now(UTC)))
        finally:
            change.finish()


def remove_offline(settings: NodeSettings, module: str) -> tuple[Ran, ...]:
    """Take the configuration out of force on a node that does not run."""
    ran = undo_configuration(settings, module)
    throw_away(take_away(settings, module))
    return ran
