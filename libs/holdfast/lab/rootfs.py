"""The root of a node: an overlay of the machine's, with a disk of its own.

Everything that a node changes is on its disk, an ext4 image that it mounts in its own mount namespace: the
upper layer of the overlay, and PLAIN_DIRECTORIES, which are plain ext4, since overlays lack some features
that applications and replication may want to use there. The kernel unmounts the disk and frees its loop
device when the last process of the node ends, so that nothing can be left behind.
"""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.lab import mounting
from holdfast.lab.errors import LabError

PLAIN_DIRECTORIES: Final = ("/var/lib", "/srv", "/etc/holdfast")
_UPPER: Final = "upper"
_MKFS_TIMEOUT_S: Final = 120.0
_MOUNT_TIMEOUT_S: Final = 60.0
_DEVICES: Final = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9))
"""Character devices with their numbers (Linux, admin-guide/devices.txt)."""
_MORE_DEVICES: Final = (("tty", 5, 0), ("fuse", 10, 229))
_DISK_TYPES: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs"})
_HIDDEN: Final = ("/boot", "/proc", "/sys", "/dev", "/run", "/tmp", "/mnt", "/media", *PLAIN_DIRECTORIES)
"""Directories of the machine that a node does not see, or has its own of."""


@dataclass(frozen=True, kw_only=True)
class RootSpec:
    """What the root of a node is made of; `shared` are the machine's directories, shown as they are, read-only."""

    directory: Path
    hosts: str
    shared: tuple[str, ...]

    @property
    def image(self) -> Path:
        """The file that is the node's disk."""
        return self.directory / "disk.img"


def upper_directory(directory: Path) -> Path:
    """The upper directory of a node's overlay, as mount tables show it."""
    return directory / "disk" / _UPPER


def make_disk(image: Path, size_bytes: int) -> None:
    """Make the sparse file that is a node's disk; raises LabError.

    No blocks are kept back for root, so that full means full for everybody. Tables that the kernel would fill
    in the background are left as they are, here and by the mount option `noinit_itable`: nobody measures
    beside that.
    """
    with image.open("xb") as file:
        file.truncate(size_bytes)
    options = ["-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"]
    done = subprocess.run(
        ["mkfs.ext4", *options, str(image)],
        capture_output=True,
        text=True,
        timeout=_MKFS_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"no file system could be made in {image}: {done.stderr.strip()}")


def shared_directories(project: Path | None, mountinfo: str) -> tuple[str, ...]:
    """Directories that an overlay of the root does not show: other disks of the machine; and our checkout.

    The checkout is shown as it is because an overlay may go on showing an old version of a file that is
    edited. `mountinfo` is the text of /proc/self/mountinfo (proc(5)).
    """
    found: list[str] = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        target, kind = before.split()[4], after.split()[0]
        hidden = any(target == name or target.startswith(f"{name}/") for name in _HIDDEN)
        if target != "/" and kind in _DISK_TYPES and not hidden and "\\" not in target:
            found.append(target)
    if project is not None:
        found.append(str(project))
    return tuple(dict.fromkeys(found))


def enter(spec: RootSpec) -> None:
    """Build the root and make it this process's. To be called once, in a mount namespace of its own."""
    # Nothing that is mounted here may be seen by the machine.
    mounting.mount("", "/", flags=mounting.MS_REC | mounting.MS_PRIVATE)
    disk, root = spec.directory / "disk", spec.directory / "root"
    _mount_disk(spec.image, disk)
    _lay_over(disk, root)
    _fill_system_directories(root)
    _show_plain_directories(disk, root)
    for path in spec.shared:
        if Path(path).is_dir():
            target = root / path.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            mounting.bind(path, str(target), read_only=True)
    (root / "etc/hosts").write_text(spec.hosts)
    mounting.pivot(str(root))


def _mount_disk(image: Path, target: Path) -> None:
    """mount(8) sets up the loop device so that it is freed when it is unmounted (LOOP-DEVICE SUPPORT)."""
    done = subprocess.run(
        ["mount", "-t", "ext4", "-o", "loop,noinit_itable", str(image), str(target)],
        capture_output=True,
        text=True,
        timeout=_MOUNT_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise LabError(f"{image} cannot be mounted: {done.stderr.strip()}")


def _lay_over(disk: Path, root: Path) -> None:
    upper, work = disk / _UPPER, disk / "work"
    upper.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    upper.chmod(0o755)
    mounting.mount("overlay", str(root), "overlay", options=f"lowerdir=/,upperdir={upper},workdir={work}")


def _fill_system_directories(root: Path) -> None:
    """/proc, /sys, /dev, /run and /tmp, new at every start."""
    quiet = mounting.MS_NOSUID | mounting.MS_NODEV
    mounting.mount("proc", f"{root}/proc", "proc", flags=quiet | mounting.MS_NOEXEC)
    mounting.mount("sysfs", f"{root}/sys", "sysfs", flags=quiet | mounting.MS_NOEXEC | mounting.MS_RDONLY)
    mounting.mount("tmpfs", f"{root}/run", "tmpfs", flags=quiet, options="mode=755")
    mounting.mount("tmpfs", f"{root}/tmp", "tmpfs", flags=quiet, options="mode=1777")
    (root / "run/lock").mkdir()
    (root / "run/lock").chmod(0o1777)
    _fill_devices(root / "dev")


def _fill_devices(devices: Path) -> None:
    mounting.mount("tmpfs", str(devices), "tmpfs", flags=mounting.MS_NOSUID, options="mode=755")
    for name, major, minor in (*_DEVICES, *_MORE_DEVICES):
        os.mknod(devices / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        (devices / name).chmod(0o666)
    (devices / "pts").mkdir()
    (devices / "shm").mkdir()
    mounting.mount("devpts", str(devices / "pts"), "devpts", options="newinstance,ptmxmode=0666,mode=620,gid=5")
    mounting.mount("tmpfs", str(devices / "shm"), "tmpfs", options="mode=1777")
    for link, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")):
        (devices / link).symlink_to(target)
    (devices / "stdout").symlink_to("/proc/self/fd/1")
    (devices / "stderr").symlink_to("/proc/self/fd/2")


def _show_plain_directories(disk: Path, root: Path) -> None:
    """PLAIN_DIRECTORIES from the disk itself.

    At first they hold the machine's directories, without their contents.
    """
    for path in PLAIN_DIRECTORIES:
        own = disk / path.lstrip("/").replace("/", "-")
        if not own.exists():
            own.mkdir()
            _copy_directories(Path(path), own)
        target = root / path.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        mounting.bind(str(own), str(target))


def _copy_directories(source: Path, target: Path) -> None:
    """The directories in `source`, empty, with owner and mode: /var/lib/postgresql belongs to postgres."""
    for entry in _directories(source):
        status = entry.stat(follow_symlinks=False)
        copy = target / entry.name
        copy.mkdir()
        os.chown(copy, status.st_uid, status.st_gid)
        copy.chmod(stat.S_IMODE(status.st_mode))


def _directories(source: Path) -> Iterable[os.DirEntry[str]]:
    if not source.is_dir():
        return []
    with os.scandir(source) as entries:
        return [entry for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name != "holdfast-lab"]
