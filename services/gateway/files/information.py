"""Signature and date of a module's edited configuration and of the one in force."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from holdfast.config.parse import parse_module
from holdfast.errors import HoldfastError
from holdfast.settings import NodeSettings

from services.gateway.files.durable import disk
from services.gateway.files.host_names import host_name_files
from services.gateway.files.modules import module_place
from services.gateway.files.versions import Version, versions

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Signed:
    """One configuration. signature: of its XML, empty when that is wrong; equal on nodes that agree. scripts: of all
    files in bin with their names. at: UTC, ISO 8601; when it was put in force, or last edited."""

    signature: str
    scripts: str
    at: str


@dataclass(frozen=True, kw_only=True)
class ConfigurationInfo:
    """active: None while the module is not configured. same: is the edited configuration the one in force."""

    module: str
    active: Signed | None
    current: Signed
    same: bool
    kept: tuple[Version, ...]


def configuration_info(settings: NodeSettings, module: str) -> ConfigurationInfo:
    """Return what is edited, in force and kept on this node."""
    place = module_place(settings, module)
    with disk(place):
        applied = place / "active" / "safeconf.xml"
        active = _signed(applied, place / "active" / "bin", [applied]) if applied.exists() else None
        edited = place / "conf" / "userconfig.xml"
        current = _signed(edited, place / "bin", [edited, *_files(place / "bin")])
    is_same = active is not None and (active.signature, active.scripts) == (current.signature, current.scripts)
    return ConfigurationInfo(
        module=module, active=active, current=current, same=is_same, kept=versions(settings, module)
    )


def _signed(text: Path, scripts: Path, dated: list[Path]) -> Signed:
    signature, made = "", frozenset[str]()
    with suppress(HoldfastError):
        config = parse_module(text.read_bytes(), str(text), os.environ)
        signature, made = config.signature, frozenset(host_name_files(config.virtual_host))
    newest = max((path.stat().st_mtime for path in dated if path.exists()), default=0.0)
    at = datetime.fromtimestamp(int(newest), UTC).isoformat()
    return Signed(signature=signature, scripts=_digest(scripts, made), at=at)


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _digest(root: Path, made: frozenset[str]) -> str:
    """SHA-256 over names and contents, save of those that a configuration makes by itself."""
    whole = hashlib.sha256()
    for path in _files(root):
        if str(path.relative_to(root)) in made:
            continue
        content = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                content.update(chunk)
        whole.update(f"{path.relative_to(root)}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()
