"""Putting a module's edited configuration in force: check all, stage beside, switch in one step, or switch back."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from holdfast.config import package
from holdfast.config.agreement import check_against_cluster, check_disjoint
from holdfast.config.layout import Entry
from holdfast.config.model import ModuleConfig
from holdfast.config.parse import expand, parse_module
from holdfast.errors import ConfigError, HoldfastError, NotFoundError
from holdfast.settings import NodeSettings

from services.gateway.files.cluster import read_cluster
from services.gateway.files.durable import disk, switch_directory, sync_directory, sync_tree
from services.gateway.files.modules import described, module_place, names

EDITED = PurePosixPath("conf/userconfig.xml")
APPLIED = "userconfig.xml"
EXPANDED = "safeconf.xml"
SCRIPTS_MAX = 2000
DIRECTORY_MODE = 0o755


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What was put in force. changed is False when the same configuration was in force already."""

    module: str
    signature: str
    changed: bool
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Change:
    """A checked configuration beside the one in force, ready to be switched; afterwards the old one, to switch back."""

    module: str
    config: ModuleConfig
    staged: Path
    active: Path
    had_before: bool

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
        self.finish()

    def finish(self) -> None:
        """Remove what is not in force."""
        shutil.rmtree(self.staged, ignore_errors=True)


def check(settings: NodeSettings, module: str) -> ModuleConfig:
    """Check a module's edited configuration against all that it must fit; raise ConfigError with every problem."""
    place = module_place(settings, module)
    config = parse_module(_edited(place), str(place / EDITED), os.environ)
    package.check_handlers(config, _scripts(place))
    check_against_cluster(config, read_cluster(settings), settings.node)
    check_disjoint({**_others(settings, module), module: config})
    return config


def prepare(settings: NodeSettings, module: str) -> Change:
    """Check the edited configuration and stage it beside the one in force, on disk to the last byte."""
    config = check(settings, module)
    place = module_place(settings, module)
    staged, active = place / "active.new", place / "active"
    with disk(staged):
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=DIRECTORY_MODE)
        text = _edited(place)
        (staged / APPLIED).write_bytes(text)
        (staged / EXPANDED).write_text(expand(text, str(place / EDITED), os.environ))
        if (place / "bin").is_dir():
            shutil.copytree(place / "bin", staged / "bin", symlinks=True)
        else:
            (staged / "bin").mkdir()
        sync_tree(staged)
    return Change(module=module, config=config, staged=staged, active=active, had_before=active.exists())


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


def _edited(place: Path) -> bytes:
    path = place / EDITED
    with disk(path):
        return path.read_bytes()


def _scripts(place: Path) -> list[Entry]:
    """The scripts as entries of a module; anything but plain files and directories is refused."""
    entries: list[Entry] = []
    root = place / "bin"
    for path in sorted(root.rglob("*")) if root.is_dir() else ():
        is_directory = path.is_dir() and not path.is_symlink()
        if path.is_symlink() or not (is_directory or path.is_file()):
            raise ConfigError(f"{path} is neither a file nor a directory", hint="put the file itself there")
        relative = PurePosixPath(path.relative_to(place).as_posix())
        executable = os.access(path, os.X_OK)
        entries.append(Entry(path=relative, is_directory=is_directory, size=0, executable=executable))
        if len(entries) > SCRIPTS_MAX:
            raise ConfigError(f"{root} has more than {SCRIPTS_MAX} entries")
    return entries


def _others(settings: NodeSettings, module: str) -> dict[str, ModuleConfig]:
    """Applied configurations of the other modules; one that cannot be read cannot be compared with."""
    others: dict[str, ModuleConfig] = {}
    for name in names(settings):
        path = module_place(settings, name) / "active" / APPLIED
        if name == module or not path.exists():
            continue
        try:
            others[name] = parse_module(path.read_bytes(), str(path), os.environ)
        except (HoldfastError, OSError):
            continue
    return others


def apply_offline(settings: NodeSettings, module: str) -> Applied:
    """Put the edited configuration in force on a node that does not run."""
    before = described(settings, module).signature
    change = prepare(settings, module)
    try:
        change.switch()
    finally:
        change.finish()
    signature = change.config.signature
    return Applied(module=module, signature=signature, changed=signature != before, warnings=change.config.warnings)
