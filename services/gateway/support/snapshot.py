"""A snapshot: the last dumps and the last configurations of a module in one zip, to be sent to who helps."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from holdfast.errors import StorageError
from holdfast.settings import NodeSettings

from services.gateway.files.modules import CONFIGURATION, module_place
from services.gateway.files.versions import versions
from services.gateway.support.dump import dumps

EDITED = "config_edited"
FILES_MAX = 20_000


def write_snapshot(settings: NodeSettings, module: str, file: Path) -> None:
    """Write `file`: `<module>/dump_<date>/…`, `<module>/config_<date>/…` and the files that are being edited."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in _members(settings, module):
            archive.writestr(f"{module}/{name}", data)


def _members(settings: NodeSettings, module: str) -> Iterator[tuple[str, bytes]]:
    for dump in dumps(settings, module):
        for path in sorted(dump.rglob("*")):
            if path.is_file():
                yield f"{dump.name}/{path.relative_to(dump)}", path.read_bytes()
    for version in versions(settings, module):
        yield from _packed(Path(version.file))
    place = module_place(settings, module)
    for folder in CONFIGURATION:
        for path in sorted((place / folder).rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield f"{EDITED}/{path.relative_to(place)}", path.read_bytes()


def _packed(package: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a kept configuration."""
    try:
        with zipfile.ZipFile(package) as archive:
            for entry in archive.infolist()[:FILES_MAX]:
                if not entry.is_dir():
                    yield f"{package.stem}/{entry.filename}", archive.read(entry)
    except (zipfile.BadZipFile, OSError) as error:
        yield f"{package.stem}/unreadable.txt", f"{package}: {error}\n".encode()


def read_snapshot(file: Path) -> list[tuple[str, bytes]]:
    """The members of a snapshot; raise StorageError when it cannot be read as one."""
    try:
        with zipfile.ZipFile(file) as archive:
            return [(entry.filename, archive.read(entry)) for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise StorageError(f"{file}: not a snapshot: {error}") from error
