"""What the state machine reads and writes in a module's directory and in the run directory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from holdfast.config.model import ClusterConfig
from holdfast.config.names import cached_addresses, look_up
from holdfast.config.parse import expand, parse_cluster, parse_module
from holdfast.errors import ConfigError, NotFoundError, StorageError
from holdfast.events.module import ConfigurationApplied
from holdfast.history.translate import host_names
from holdfast.ids import ModuleId
from holdfast.settings import NodeSettings

LOOP_FILE = "loop.json"
"""What loop protection has counted, where an action may reboot the node."""
CONFIGURATION_BYTES_MAX = 256 << 10
"""One text; two of them and their quoting fit into one envelope (1 MiB)."""


@dataclass(frozen=True, kw_only=True)
class ModuleFiles:
    """Paths of one module."""

    root: Path

    @property
    def journal(self) -> Path:
        return self.root / "journal.db"

    @property
    def authority(self) -> Path:
        return self.root / "authority.db"

    @property
    def loop(self) -> Path:
        return self.root / LOOP_FILE

    @property
    def active(self) -> Path:
        return self.root / "active"

    @property
    def edited(self) -> Path:
        return self.root / "conf" / "userconfig.xml"

    def has_script(self, name: str) -> bool:
        """Is there a script of this name among the applied ones?"""
        return (self.active / "bin" / name).is_file()


def configured_modules(settings: NodeSettings) -> list[ModuleId]:
    """Return the modules that have an applied configuration, by name."""
    root = settings.state_dir / "modules"
    found = root.glob("*/active/userconfig.xml") if root.is_dir() else ()
    return [ModuleId(path.parent.parent.name) for path in sorted(found) if not path.parent.parent.name.startswith(".")]


def read_applied(settings: NodeSettings, module: ModuleId) -> ConfigurationApplied:
    """Read what is to be in force: applied texts, module number, and what the host names in them mean.

    Raises ConfigError with every problem, NotFoundError when nothing is applied, StorageError when it cannot be read.
    """
    files = ModuleFiles(root=settings.module_dir(module))
    text = _expanded(files, module)
    cluster_text = _text(settings.cluster_file, "the cluster has no configuration", "holdfast cluster config FILE")
    config = parse_module(text.encode(), str(files.active / "safeconf.xml"), {})
    cluster = parse_cluster(cluster_text.encode(), str(settings.cluster_file))
    return ConfigurationApplied(
        signature=config.signature,
        text=text,
        cluster_text=cluster_text,
        number=_number(files.root / "module.json"),
        key_file=str(settings.key_file) if settings.key_file.exists() else "",
        addresses=_addresses(host_names(config, cluster), cluster, settings.config_dir),
    )


def edited_differs(files: ModuleFiles) -> bool:
    """Say whether the edited configuration is another than the applied one."""
    applied, edited = _digest(files.active / "userconfig.xml"), _digest(files.edited)
    return edited not in ("", applied)


def write_wanted(run_dir: Path, services: Iterable[str]) -> None:
    """Tell the supervisor which optional services are to run, if that has changed."""
    text = json.dumps({"services": sorted(set(services))})
    path = run_dir / "services.json"
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(".services.json.new")
    fresh.write_text(text)
    fresh.replace(path)


class LifeMark:
    """Remembers, in the run directory, for which modules this life of the node has begun: a restarted state machine
    goes on with them, while after a boot (or a new supervisor) every module begins a new incarnation."""

    def __init__(self, run_dir: Path, run: str) -> None:
        self._path = run_dir / "statemachine.json"
        self._run = run
        self._modules: set[str] = set()
        try:
            body = json.loads(self._path.read_text())
            if body["run"] == run:
                self._modules = {str(name) for name in body["modules"]}
        except (OSError, ValueError, KeyError, TypeError):
            return

    def has_begun(self, module: ModuleId) -> bool:
        return module in self._modules

    def begun(self, module: ModuleId) -> None:
        self._write({*self._modules, module})

    def forget(self, module: ModuleId) -> None:
        self._write(self._modules - {module})

    def _write(self, modules: set[str]) -> None:
        if modules != self._modules:
            self._modules = modules
            fresh = self._path.with_name(".statemachine.json.new")
            fresh.write_text(json.dumps({"run": self._run, "modules": sorted(modules)}))
            fresh.replace(self._path)


def _expanded(files: ModuleFiles, module: ModuleId) -> str:
    path = files.active / "safeconf.xml"
    if path.exists():
        return _text(path, "", "")
    source = files.active / "userconfig.xml"
    text = _text(source, f"module {module} has no applied configuration", f"holdfast config -m {module}")
    return expand(text.encode(), str(source), os.environ)


def _text(path: Path, absent: str, hint: str) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(absent or f"{path} is missing", hint=hint) from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    if len(data) > CONFIGURATION_BYTES_MAX:
        raise ConfigError(f"{path}: {len(data)} bytes", hint=f"at most {CONFIGURATION_BYTES_MAX}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error


def _number(path: Path) -> int:
    try:
        return int(json.loads(path.read_text())["id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path}: the module's id cannot be read: {error}", hint="install the module again"
        ) from error


def _addresses(names: Iterable[str], cluster: ClusterConfig, config_dir: Path) -> dict[str, str]:
    """What host names mean: those of the cluster what they meant when it was applied, others now."""
    known = cached_addresses(cluster, config_dir)
    return {name: known.get(name) or look_up(name) for name in names}


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
