"""Installed modules: packages in, packages out, ids."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from holdfast.boot import FILE_NAME as BOOT
from holdfast.config import package
from holdfast.config.parse import parse_module
from holdfast.config.ports import MODULE_ID_MAX, heart_port, module_number, replication_port
from holdfast.errors import ConfigError, HoldfastError, NotFoundError, OperatorError, RefusedError
from holdfast.ids import ModuleId, checked_name
from holdfast.settings import NodeSettings

from services.gateway.files.durable import disk, switch_directory, sync_directory, write_file

MODULES_MAX = 32
"""On one node, as many as the model allows."""
DESCRIPTION = "module.json"
CONFIGURATION = ("conf", "bin")
"""What of a module is configuration; the rest came with its package, or was put there by its scripts."""
VERSIONS = "versions"
"""Directory of the last configurations that were put in force."""
DUMPS = "dumps"
"""Directory of the last dumps."""
OURS = frozenset(
    {"active", "active.new", "authority.db", BOOT, DUMPS, "journal.db", "log", DESCRIPTION, "rfs", VERSIONS}
)
"""Names in a module's directory that belong to the node; a package may not bring them."""
BACKUPS = "backup"
"""Directory of the packages of uninstalled modules, beside `modules`."""
BACKUPS_MAX = 32
"""Kept on a node; the oldest go. As many as modules may be installed."""
DATABASES = ("authority.db", "journal.db")
"""SQLite keeps more files beside these while they are in use (`-wal`, `-shm`)."""
_WORD = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True)
class InstalledModule:
    """A module of this node. signature: of the applied configuration, empty when none is."""

    module: str
    id: int
    installed_at: str
    mode: str = ""
    signature: str = ""
    heart_port: int = 0
    replication_port: int = 0


def modules_dir(settings: NodeSettings) -> Path:
    return settings.state_dir / "modules"


def module_place(settings: NodeSettings, module: str) -> Path:
    """The directory of an installed module; NotFoundError when there is no such module."""
    place = settings.module_dir(ModuleId(checked_name("module", module)))
    if not (place / DESCRIPTION).exists():
        known = ", ".join(names(settings)) or "none"
        raise NotFoundError(f"there is no module '{module}'", hint=f"installed: {known}")
    return place


def names(settings: NodeSettings) -> list[str]:
    """Names of the installed modules."""
    root = modules_dir(settings)
    found = root.glob(f"*/{DESCRIPTION}") if root.is_dir() else ()
    return sorted(path.parent.name for path in found if not path.parent.name.startswith("."))


def is_ours(name: str) -> bool:
    """Does a name in a module's directory belong to the node?"""
    return name in OURS or name.startswith((".", *DATABASES))


def listed(settings: NodeSettings) -> list[InstalledModule]:
    return [described(settings, name) for name in names(settings)]


def described(settings: NodeSettings, module: str) -> InstalledModule:
    """Return what is known of an installed module."""
    place = module_place(settings, module)
    number, installed_at = _description(place)
    mode = signature = ""
    applied = place / "active" / "userconfig.xml"
    if applied.exists():
        try:
            config = parse_module(applied.read_bytes(), str(applied), {})
            mode, signature = config.service.mode.value, config.signature
        except (HoldfastError, OSError) as error:
            mode = f"unreadable: {error}"
    ports = module_number(number)
    return InstalledModule(
        module=module,
        id=number,
        installed_at=installed_at,
        mode=mode,
        signature=signature,
        heart_port=heart_port(ports),
        replication_port=replication_port(ports),
    )


def install(
    settings: NodeSettings, source: Path, *, name: str = "", number: int | None = None, replace: bool = False
) -> InstalledModule:
    """Install a `.safe` file or a directory laid out like one; nothing has changed when an error is raised.

    name: else the file's name without its ending. number: the module id, else the lowest that is free. replace: put new
    files under an installed module, which keeps its id; the applied configuration stays until `config`.
    """
    module = ModuleId(checked_name("module", name or _WORD.sub("_", source.stem)))
    if not source.exists():
        raise NotFoundError(f"{source}: no such file or directory")
    _check_names(source)
    parse_module(package.read_userconfig(source), f"{source}: conf/userconfig.xml", {})
    place = settings.module_dir(module)
    if (place / DESCRIPTION).exists():
        if not replace:
            raise RefusedError(f"module '{module}' is installed already", hint="-r puts the new files in place")
        if number not in (None, _description(place)[0]):
            raise RefusedError(f"module '{module}' keeps its id {_description(place)[0]}", hint="uninstall it first")
        _replace(source, place)
    else:
        _install(settings, source, place, _free_number(settings, number))
    return described(settings, module)


def uninstall(settings: NodeSettings, module: str) -> Path:
    """Remove a module with all its files, journal and logs included; its replicated directories stay as they are.

    Returns the package that is kept of its edited configuration and scripts.
    """
    place = module_place(settings, module)
    if (place / "active").exists():
        raise RefusedError(f"module '{module}' is configured", hint=f"holdfast deconfig -m {module} first")
    kept = _backed_up(settings, module)
    with disk(place):
        gone = Path(tempfile.mkdtemp(prefix=f".{module}.", suffix=".gone", dir=place.parent))
        place.rename(gone / module)
        sync_directory(place.parent)
        shutil.rmtree(gone)
    return kept


def _backed_up(settings: NodeSettings, module: str) -> Path:
    """Write a package of the module among the backups; the oldest beyond `BACKUPS_MAX` go."""
    directory = settings.state_dir / BACKUPS
    with disk(directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S.%f")
        kept = directory / f"{module}_{stamp}.safe"
        build(settings, module, kept)
        older = sorted(directory.glob("*.safe"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for file in older[BACKUPS_MAX:]:
            file.unlink()
        sync_directory(directory)
    return kept


def build(settings: NodeSettings, module: str, file: Path) -> None:
    """Write a `.safe` file from the module's edited configuration and scripts."""
    place = module_place(settings, module)
    with disk(file), tempfile.TemporaryDirectory(prefix="holdfast-package-") as staging:
        copy = Path(staging, module)
        copy.mkdir()
        for entry in sorted(place.iterdir()):
            if is_ours(entry.name):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.copytree(entry, copy / entry.name, symlinks=True)
            else:
                shutil.copy2(entry, copy / entry.name, follow_symlinks=False)
        package.build_package(copy, file)


def build_configuration(settings: NodeSettings, module: str, file: Path) -> None:
    """Write a `.safe` file from the module's edited configuration and scripts alone."""
    place = module_place(settings, module)
    with disk(file), tempfile.TemporaryDirectory(prefix="holdfast-package-") as staging:
        for name in CONFIGURATION:
            if (place / name).is_dir():
                shutil.copytree(place / name, Path(staging, module, name), symlinks=True)
        package.build_package(Path(staging, module), file)


def put_configuration(source: Path, place: Path) -> None:
    """Make the edited configuration and scripts at `place` those of a package; nothing else there changes."""
    with disk(place):
        staging = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent))
        try:
            package.install_package(source, staging / "module")
            for name in CONFIGURATION:
                (staging / "module" / name).mkdir(exist_ok=True)
                switch_directory(staging / "module" / name, place / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _description(place: Path) -> tuple[int, str]:
    path = place / DESCRIPTION
    try:
        body = json.loads(path.read_bytes())
        return module_number(int(body["id"])), str(body["installed_at"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint='{"id": 1, "installed_at": "…"}') from error


def _check_names(source: Path) -> None:
    for entry in package.list_package(source):
        first = entry.path.parts[0]
        if is_ours(first):
            raise ConfigError(f"{source}: {first!r} is a name that belongs to the node", hint="conf, bin, or others")


def _free_number(settings: NodeSettings, wanted: int | None) -> int:
    installed = names(settings)
    if len(installed) >= MODULES_MAX:
        raise RefusedError(f"{MODULES_MAX} modules are installed already")
    taken = {_description(settings.module_dir(ModuleId(name)))[0]: name for name in installed}
    if wanted is None:
        return next(number for number in range(1, MODULE_ID_MAX + 1) if number not in taken)
    try:
        number = module_number(wanted)
    except ValueError as error:
        raise OperatorError(str(error)) from error
    if number in taken:
        raise RefusedError(f"id {number} is that of module '{taken[number]}'")
    return number


def _install(settings: NodeSettings, source: Path, place: Path, number: int) -> None:
    with disk(place):
        modules_dir(settings).mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent))
        try:
            package.install_package(source, staging / "module")
            body = {"id": number, "installed_at": datetime.now(UTC).isoformat(timespec="seconds")}
            write_file(staging / "module" / DESCRIPTION, json.dumps(body).encode())
            (staging / "module").rename(place)
            sync_directory(place.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _replace(source: Path, place: Path) -> None:
    """Exchange the package's own top-level names one after the other; the applied configuration is not among them."""
    with disk(place):
        staging = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".new", dir=place.parent))
        try:
            fresh = staging / "module"
            package.install_package(source, fresh)
            for entry in sorted(fresh.iterdir()):
                if entry.is_dir():
                    switch_directory(entry, place / entry.name)
                else:
                    entry.replace(place / entry.name)
            _remove_left(place, fresh, source)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _remove_left(place: Path, fresh: Path, source: Path) -> None:
    """A package without scripts leaves none behind from the one before."""
    brought = {entry.path.parts[0] for entry in package.list_package(source)}
    for entry in place.iterdir():
        if entry.name not in brought and not is_ours(entry.name) and entry.is_dir() and not entry.is_symlink():
            entry.rename(fresh / f".left-{entry.name}")


def as_json(module: InstalledModule) -> dict[str, object]:
    return asdict(module)
