"""Layout of a module, in a package and in a directory, and what may stand in it.

```
conf/userconfig.xml   necessary
bin/*                 scripts and handlers, executable
anything else         kept (manifest, web pages …)
```
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import PurePosixPath

USERCONFIG = "conf/userconfig.xml"
SCRIPTS = "bin"
MANIFESTS = ("manifest.xml", "conf/manifest.xml")
"""Where a package may describe itself; optional and not interpreted."""

ENTRIES_MAX = 2_000
"""Files and directories of one package; published ones have a few dozen."""
FILE_BYTES_MAX = 64 * 1024 * 1024
"""Size of one file: room for a helper binary beside the scripts."""
TOTAL_BYTES_MAX = 256 * 1024 * 1024
"""Size of all files together."""
PACKAGE_BYTES_MAX = 64 * 1024 * 1024
"""Size of the package itself."""
NAME_BYTES_MAX = 255
"""One component of a name: NAME_MAX of linux/limits.h."""
PATH_BYTES_MAX = 1024
DEPTH_MAX = 16

FILE_MODE = 0o644
SCRIPT_MODE = 0o755
DIRECTORY_MODE = 0o755


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file or directory of a module."""

    path: PurePosixPath
    is_directory: bool
    size: int
    executable: bool

    @property
    def mode(self) -> int:
        """Permissions it gets: never set-uid, never writable for others; everything in bin can be run."""
        if self.is_directory:
            return DIRECTORY_MODE
        in_bin = self.path.parts[0] == SCRIPTS
        return SCRIPT_MODE if self.executable or in_bin else FILE_MODE


def name_fault(name: str) -> str:
    """What is wrong with a name inside a package, or nothing."""
    parts = name.removesuffix("/").split("/")
    encoded = name.encode("utf-8", "surrogatepass")
    if not name or name.startswith("/"):
        return "is not relative"
    if any(part in ("", ".", "..") for part in parts):
        return "holds an empty, '.' or '..' component"
    if "\\" in name or (len(parts[0]) == 2 and parts[0].endswith(":")):
        return "is written for Windows"
    if any(not char.isprintable() for char in name):
        return "holds characters that cannot be printed"
    if len(encoded) > PATH_BYTES_MAX or len(parts) > DEPTH_MAX:
        return f"is longer than {PATH_BYTES_MAX} bytes or {DEPTH_MAX} levels"
    if any(len(part.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX for part in parts):
        return f"has a component longer than {NAME_BYTES_MAX} bytes"
    return ""


def kind_fault(mode: int) -> str:
    """What is wrong with a file type (zero: not recorded), or nothing."""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is neither a file nor a directory"
    return ""


def entries_faults(entries: list[Entry]) -> list[str]:
    """What is wrong with the entries as a whole."""
    faults: list[str] = []
    files = [entry.path for entry in entries if not entry.is_directory]
    if len(entries) > ENTRIES_MAX:
        faults.append(f"{len(entries)} entries, more than {ENTRIES_MAX}")
    if len(set(files)) < len(files):
        doubled = sorted({str(path) for path in files if files.count(path) > 1}) if len(files) <= ENTRIES_MAX else []
        faults.append(f"the same name twice: {', '.join(doubled[:3])}")
    directories = {parent for entry in entries for parent in entry.path.parents}
    directories |= {entry.path for entry in entries if entry.is_directory}
    faults += [f"{path} is a file and a directory" for path in files if path in directories]
    faults += [f"{e.path} has {e.size} bytes, more than {FILE_BYTES_MAX}" for e in entries if e.size > FILE_BYTES_MAX]
    total = sum(entry.size for entry in entries)
    if total > TOTAL_BYTES_MAX:
        faults.append(f"{total} bytes unpacked, more than {TOTAL_BYTES_MAX}")
    if PurePosixPath(USERCONFIG) not in files:
        faults.append(f"{USERCONFIG} is missing")
    return faults
