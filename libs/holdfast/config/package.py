"""Module packages: install a `.safe` file or a directory, build a `.safe` file from a directory.

Installing is atomic: the target is either as before or complete. Building is deterministic: the same
content gives the same bytes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from holdfast.config.archive import CHUNK_BYTES, open_archive
from holdfast.config.layout import (
    DIRECTORY_MODE,
    ENTRIES_MAX,
    SCRIPTS,
    USERCONFIG,
    Entry,
    entries_faults,
    kind_fault,
    name_fault,
)
from holdfast.config.model import NOWHERE, ModuleConfig
from holdfast.config.problem import PROBLEMS_MAX, Report, excerpt
from holdfast.errors import EnvironmentFaultError

EPOCH = (1980, 1, 1, 0, 0, 0)
"""Date of every entry of a built package: the first that the format can hold."""

DEFLATE_LEVEL = 6

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
"""linux/fcntl.h, linux/fs.h."""

_PREVIOUS = ".previous"

Reader = Callable[[PurePosixPath], Iterable[bytes]]


def read_userconfig(source: Path) -> bytes:
    """The userconfig.xml of a package or module directory. Raises ConfigError, EnvironmentFaultError."""
    path = PurePosixPath(USERCONFIG)
    if source.is_dir():
        _judged_directory(source)
        return b"".join(_file_chunks(source)(path))
    with open_archive(source) as archive:
        return b"".join(archive.read(path))


def list_package(source: Path) -> tuple[Entry, ...]:
    """The files and directories of a package or module directory, judged. Raises like `install_package`."""
    if source.is_dir():
        return _judged_directory(source)
    with open_archive(source) as archive:
        return archive.entries


def check_handlers(module: ModuleConfig, entries: Iterable[Entry]) -> None:
    """Raises ConfigError for each handler of the configuration that is not among the files of its module."""
    present = {str(entry.path) for entry in entries if not entry.is_directory}
    report = Report(source=module.source)
    for process in module.processes:
        if process.handler is not None and f"{SCRIPTS}/{process.handler}" not in present:
            message = f"the handler {excerpt(process.handler)} is not in the module's {SCRIPTS}"
            report.error(process.at, message, accepted="restart, stopstart, stop, noaction, or a file there")
    report.raise_if_wrong()


def install_package(source: Path, target: Path) -> None:
    """Puts the content of a `.safe` file, or of a directory laid out like one, at `target`.

    The content is judged whole before anything is written, unpacked into a sibling of the target, made
    durable, and then exchanged with what was there. The whole target is replaced: keep nothing else in it.
    Raises ConfigError with every fault, EnvironmentFaultError when the disk fails; in both cases the target
    is as it was.
    """
    if source.is_dir():
        _install(_judged_directory(source), _file_chunks(source), target)
        return
    with open_archive(source) as archive:
        _install(archive.entries, archive.read, target)


def build_package(source: Path, file: Path, *, exclude: frozenset[str] = frozenset()) -> None:
    """Writes a `.safe` file from a module directory, atomically and always with the same bytes.

    `exclude` names entries directly below the directory that are no part of the package.
    """
    entries = sorted(_judged_directory(source, exclude), key=lambda entry: str(entry.path))
    read = _file_chunks(source)
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as archive:
                for entry in entries:
                    if not entry.is_directory:
                        archive.writestr(_info(entry), b"".join(read(entry.path)))
            stream.flush()
            os.fchmod(stream.fileno(), 0o644)
            os.fsync(stream.fileno())
        with open_archive(temporary):
            pass
        temporary.replace(file)
        _sync_directory(file.parent)
    except OSError as error:
        raise EnvironmentFaultError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def recover_install(target: Path) -> None:
    """Puts back what a crash took away between the two renames of a file system that cannot exchange.

    `install_package` calls this first; call it at start for each module directory that is missing.
    """
    previous = target.with_name(f".{target.name}{_PREVIOUS}")
    if previous.exists() and not target.exists():
        previous.rename(target)
    elif previous.exists():
        shutil.rmtree(previous)


def _info(entry: Entry) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(str(entry.path), EPOCH)
    info.create_system = 3  # Unix, so that the permissions count (APPNOTE.TXT 4.4.2)
    info.external_attr = (stat.S_IFREG | entry.mode) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _judged_directory(source: Path, exclude: frozenset[str] = frozenset()) -> tuple[Entry, ...]:
    """The entries of a module directory, without following links."""
    report = Report(source=str(source))
    entries: list[Entry] = []
    try:
        for found in _walk(source, exclude):
            path = PurePosixPath(Path(found.path).relative_to(source).as_posix())
            status = found.stat(follow_symlinks=False)
            fault = name_fault(str(path)) or kind_fault(status.st_mode)
            if fault:
                report.error(NOWHERE, f"{excerpt(str(path))} {fault}", accepted="plain files and directories")
                continue
            is_directory = stat.S_ISDIR(status.st_mode)
            size = 0 if is_directory else status.st_size
            executable = bool(status.st_mode & 0o111)
            entries.append(Entry(path=path, is_directory=is_directory, size=size, executable=executable))
    except OSError as error:
        raise EnvironmentFaultError(f"{source} cannot be read: {error.strerror}") from error
    for fault in entries_faults(entries)[:PROBLEMS_MAX]:
        report.error(NOWHERE, fault)
    report.raise_if_wrong()
    return tuple(entries)


def _walk(source: Path, exclude: frozenset[str]) -> Iterator[os.DirEntry[str]]:
    """Every entry below a directory, in order of names; stops one beyond the limit on their number."""
    pending, count = [str(source)], 0
    while pending:
        folder = pending.pop()
        with os.scandir(folder) as listing:
            for found in sorted(listing, key=lambda entry: entry.name):
                if folder == str(source) and found.name in exclude:
                    continue
                count += 1
                yield found
                if count > ENTRIES_MAX:
                    return
                if found.is_dir(follow_symlinks=False):
                    pending.append(found.path)


def _file_chunks(source: Path) -> Reader:
    def read(path: PurePosixPath) -> Iterator[bytes]:
        handle = os.open(source / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    return read


def _install(entries: Iterable[Entry], read: Reader, target: Path) -> None:
    temporary: Path | None = None
    try:
        recover_install(target)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        temporary.chmod(DIRECTORY_MODE)
        for directory in _write(entries, read, temporary):
            _sync_directory(directory)
        _put_in_place(temporary, target)
        _sync_directory(target.parent)
    except OSError as error:
        raise EnvironmentFaultError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _write(entries: Iterable[Entry], read: Reader, root: Path) -> list[Path]:
    """Writes the entries below a new directory; gives the directories that must be made durable."""
    directories: dict[Path, None] = {root: None}
    for entry in entries:
        place = root / entry.path
        for parent in reversed(entry.path.parents if not entry.is_directory else (entry.path, *entry.path.parents)):
            if root / parent not in directories:
                (root / parent).mkdir()
                (root / parent).chmod(DIRECTORY_MODE)
                directories[root / parent] = None
        if not entry.is_directory:
            _write_file(place, read(entry.path), entry.mode)
    return list(directories)


def _write_file(place: Path, chunks: Iterable[bytes], mode: int) -> None:
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        os.fchmod(stream.fileno(), mode)
        os.fsync(stream.fileno())


def _put_in_place(temporary: Path, target: Path) -> None:
    """Exchanges the new directory with the old one; afterwards `temporary` is what was there, if anything."""
    if not target.exists():
        temporary.rename(target)
        return
    if _exchanged(temporary, target):
        return
    previous = target.with_name(f".{target.name}{_PREVIOUS}")
    target.rename(previous)
    temporary.rename(target)
    shutil.rmtree(previous)


def _exchanged(one: Path, other: Path) -> bool:
    """renameat2(RENAME_EXCHANGE); False where the file system cannot do it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.EXDEV):
        return False
    raise OSError(number, os.strerror(number), str(one))


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
