"""The last configurations of a module that were put in force, as packages that can be restored."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from holdfast.errors import NotFoundError
from holdfast.settings import NodeSettings

from services.gateway.files.durable import disk, sync_directory
from services.gateway.files.modules import VERSIONS, build_configuration, module_place, put_configuration

KEPT = 3
"""As many as the model keeps, the one in force included."""
_NAME = "config_{stamp}.safe"
_STAMP = "%Y-%m-%dT%H%M%S.%f"


@dataclass(frozen=True, kw_only=True)
class Version:
    """number: 1 is the newest. at: when it was put in force, UTC, ISO 8601. file: the package."""

    number: int
    at: str
    file: str


def versions(settings: NodeSettings, module: str) -> tuple[Version, ...]:
    """The kept configurations, newest first."""
    files = sorted((module_place(settings, module) / VERSIONS).glob("config_*.safe"), reverse=True)
    return tuple(Version(number=number, at=_at(file), file=str(file)) for number, file in enumerate(files, 1))


def keep(settings: NodeSettings, module: str, now: datetime) -> None:
    """Keep what has just been put in force, unless it is what was kept last; the oldest beyond `KEPT` go."""
    directory = module_place(settings, module) / VERSIONS
    with disk(directory):
        directory.mkdir(exist_ok=True)
        fresh = directory / _NAME.format(stamp=now.astimezone(UTC).strftime(_STAMP))
        build_configuration(settings, module, fresh)
        older = [Path(version.file) for version in versions(settings, module) if version.file != str(fresh)]
        if older and older[0].read_bytes() == fresh.read_bytes():
            fresh.unlink()
            return
        for file in older[KEPT - 1 :]:
            file.unlink()
        sync_directory(directory)


class Restoration:
    """The edited files of a module replaced by those of a kept configuration, until it is known whether they hold."""

    def __init__(self, settings: NodeSettings, module: str, number: int) -> None:
        """Replace them. Raises NotFoundError when no configuration of that number is kept."""
        kept = versions(settings, module)
        if not 1 <= number <= len(kept):
            numbers = ", ".join(f"{version.number} ({version.at})" for version in kept) or "none is kept"
            raise NotFoundError(f"module '{module}' has no kept configuration {number}", hint=numbers)
        self._place = module_place(settings, module)
        self._saved = tempfile.TemporaryDirectory(prefix="holdfast-edited-")
        self._edited = Path(self._saved.name, f"{module}.safe")
        build_configuration(settings, module, self._edited)
        put_configuration(Path(kept[number - 1].file), self._place)

    def undo(self) -> None:
        """Put the edited files back."""
        put_configuration(self._edited, self._place)

    def close(self) -> None:
        self._saved.cleanup()


def _at(file: Path) -> str:
    stamp = file.stem.removeprefix("config_")
    try:
        return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).isoformat(timespec="seconds")
    except ValueError:
        return datetime.fromtimestamp(int(file.stat().st_mtime), UTC).isoformat()
