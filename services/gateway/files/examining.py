"""Looking at a module's edited configuration with all that it must fit: its cluster, its scripts, other modules."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from holdfast.config import package
from holdfast.config.agreement import check_against_cluster, check_disjoint
from holdfast.config.layout import Entry
from holdfast.config.lint.catalogue import lint
from holdfast.config.lint.doubt import Subject
from holdfast.config.model import NOWHERE, ModuleConfig
from holdfast.config.parse import examine_module, parse_module
from holdfast.config.problem import Problem, Report, config_error
from holdfast.errors import ConfigError, HoldfastError
from holdfast.settings import NodeSettings
from holdfast.systemd.manager import unknown_units

from services.gateway.files.cluster import read_cluster
from services.gateway.files.durable import disk
from services.gateway.files.modules import module_place, names
from services.gateway.files.runtime_files import find_runtime_files

EDITED = PurePosixPath("conf/userconfig.xml")
APPLIED = "userconfig.xml"
SCRIPTS_MAX = 2000


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Everything that was found in an edited configuration. config: None when its own file is wrong."""

    source: str
    config: ModuleConfig | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]

    def valid(self) -> ModuleConfig:
        """The configuration; raises ConfigError with every problem when there is one."""
        if self.problems or self.config is None:
            raise config_error(self.source, self.problems)
        return self.config

    def warning_texts(self) -> tuple[str, ...]:
        return tuple(str(warning) for warning in self.warnings)


def examine(settings: NodeSettings, module: str) -> Examined:
    """Look at a module's edited configuration and all that it must fit; nothing is changed.

    Not to be called in an event loop: systemd is asked in one of its own.
    """
    place = module_place(settings, module)
    source = str(place / EDITED)
    report = Report(source=source)
    try:
        config = examine_module(edited_text(place), source, os.environ, report)
    except ConfigError as error:
        return _examined(report, None, _problems(error, source))
    if config is None:
        return _examined(report, None, ())
    problems, scripts = _misfits(settings, module, config)
    subject = Subject(
        config=config,
        scripts=frozenset(str(entry.path.relative_to("bin")) for entry in scripts if not entry.is_directory),
        cluster=read_cluster(settings),
        runtime_files=_runtime_files(config),
        unknown_units=_unknown_units(config),
        others=_edited_others(settings, module),
    )
    report.warnings.extend(lint(subject))
    return _examined(report, config, problems)


def _examined(report: Report, config: ModuleConfig | None, more: tuple[Problem, ...]) -> Examined:
    def place(problem: Problem) -> tuple[int, int]:
        return (problem.at.line, problem.at.column)

    # What was reported before reading had to end is among the problems of that end already.
    problems = sorted({*report.problems, *more}, key=place)
    warnings = sorted(report.warnings, key=place)
    return Examined(source=report.source, config=config, problems=tuple(problems), warnings=tuple(warnings))


def _misfits(settings: NodeSettings, module: str, config: ModuleConfig) -> tuple[tuple[Problem, ...], list[Entry]]:
    """Everything that keeps a valid file from being applied here, and the module's scripts."""
    place, cluster = module_place(settings, module), read_cluster(settings)
    problems: list[Problem] = []
    scripts: list[Entry] = []

    def note(error: ConfigError) -> None:
        problems.extend(_problems(error, config.source))

    try:
        scripts = _scripts(place)
        package.check_handlers(config, scripts)
    except ConfigError as error:
        note(error)
    try:
        check_against_cluster(config, cluster, settings.node)
    except ConfigError as error:
        note(error)
    try:
        check_disjoint({**_others(settings, module), module: config})
    except ConfigError as error:
        note(error)
    return tuple(problems), scripts


def _problems(error: ConfigError, source: str) -> tuple[Problem, ...]:
    found = tuple(problem for problem in error.problems if isinstance(problem, Problem))
    return found or (Problem(source=source, at=NOWHERE, message=error.message, accepted=error.hint),)


def _runtime_files(config: ModuleConfig) -> Mapping[str, tuple[str, ...]]:
    directories = config.replication.directories if config.replication is not None else ()
    return {directory.path: find_runtime_files(directory.path) for directory in directories}


def _unknown_units(config: ModuleConfig) -> frozenset[str]:
    watched = [process.name for process in config.processes if process.unit]
    return asyncio.run(unknown_units(watched)) if watched else frozenset()


def edited_text(place: Path) -> bytes:
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


def _edited_others(settings: NodeSettings, module: str) -> dict[str, ModuleConfig]:
    """Edited configurations of the other modules that are not the ones in force; one that is wrong claims nothing."""
    others: dict[str, ModuleConfig] = {}
    for name in names(settings):
        place = module_place(settings, name)
        edited, applied = place / EDITED, place / "active" / APPLIED
        try:
            if name != module and not (applied.exists() and applied.read_bytes() == edited.read_bytes()):
                others[name] = parse_module(edited.read_bytes(), str(edited), os.environ)
        except (HoldfastError, OSError):
            continue
    return others
