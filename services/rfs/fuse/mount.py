"""Mounting over the replicated directory itself, unmounting, and telling who keeps it busy."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass
from enum import Enum, auto

from holdfast.errors import EnvironmentFaultError

from services.rfs import libc

MNT_FORCE = 1  # linux/fs.h, as the next
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

FILE_SYSTEM_NAME = b"fuse.holdfast"

STALE_MOUNTS_MAX = 64
"""Dead mounts that are taken off one directory before giving up: each crashed start may have left one."""

BUSY_PROCESSES_MAX = 20
"""Processes that are named when a directory is busy."""


BUSY_LOOK_S = 2.0
"""Time to look for them; naming them is a courtesy that must not hold up a change of role."""


ANSWER_S_MAX = 3.0
"""What a directory gets to answer. An orphaned worker of an earlier supervisor lives for up to 2 s."""


class Answer(Enum):
    """What looking at a directory by path gave."""

    ALIVE = auto()
    """Somebody answered, if only with an error."""
    DEAD = auto()
    """A mount whose connection has ended."""
    NONE = auto()
    """Nothing in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BusyProcess:
    """A process that uses the mounted directory."""

    pid: int
    command: str
    uses: str


def mount_device(device_fd: int, directory: str) -> None:
    """Mount the connection of a FUSE device over a directory.

    `default_permissions` lets the kernel check access by mode and ACL; `allow_other` opens it to every user.
    """
    options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other" % device_fd
    try:
        libc.mount(b"holdfast", os.fsencode(directory), FILE_SYSTEM_NAME, 0, options)
    except OSError as error:
        hint = "is FUSE available in this kernel or container, and are we root?"
        raise EnvironmentFaultError(f"cannot mount over {directory}: {error.strerror}", hint=hint) from error


def is_dead(directory: str) -> bool:
    """True when a FUSE mount without a server lies over the directory."""
    return _look(directory) is Answer.DEAD


def _look(directory: str) -> Answer:
    """Look at the directory by path, for as long as an answer may take.

    When its requests are in nobody's hands the look waits without end. It does so in a thread that the end of the
    connection, or of this process, takes away.
    """
    found: list[Answer] = []
    looking = threading.Thread(target=_stat, args=(directory, found), daemon=True)
    looking.start()
    looking.join(ANSWER_S_MAX)
    return found[0] if found else Answer.NONE


def _stat(directory: str, found: list[Answer]) -> None:
    try:
        os.stat(directory)
    except OSError as error:
        found.append(Answer.DEAD if error.errno in (errno.ENOTCONN, errno.ECONNABORTED) else Answer.ALIVE)
    else:
        found.append(Answer.ALIVE)


def detach_dead(directory: str) -> int:
    """Take mounts that nobody serves any more off the directory and return how many there were.

    One whose connection is kept open by a process that can neither serve it nor end is aborted. Raises
    EnvironmentFaultError when something else than a mount of ours does not answer.
    """
    for count in range(STALE_MOUNTS_MAX):
        match _look(directory):
            case Answer.ALIVE:
                return count
            case Answer.DEAD:
                libc.umount2(os.fsencode(directory), MNT_DETACH | UMOUNT_NOFOLLOW)
            case Answer.NONE if is_mounted(directory):
                unmount_busy(directory)
            case Answer.NONE:
                raise EnvironmentFaultError(f"{directory} does not answer within {ANSWER_S_MAX:g} s")
    raise EnvironmentFaultError(f"{directory} carries more than {STALE_MOUNTS_MAX} dead mounts")


def unmount(directory: str) -> None:
    """Unmount; OSError(EBUSY) when in use."""
    libc.umount2(os.fsencode(directory), UMOUNT_NOFOLLOW)


def unmount_busy(directory: str) -> None:
    """Abort the connection and take the mount away although it is in use: its users get ENOTCONN."""
    libc.umount2(os.fsencode(directory), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW)


def is_mounted(directory: str) -> bool:
    """True when one of our mounts lies over the directory (looked up without touching it)."""
    wanted = os.fsencode(os.path.abspath(directory))
    with open("/proc/self/mountinfo", "rb") as table:
        for line in table:
            fields = line.split()
            kind = fields[fields.index(b"-") + 1]
            if kind == FILE_SYSTEM_NAME and _unescape(fields[4]) == wanted:
                return True
    return False


def _unescape(path: bytes) -> bytes:
    """Undo the octal escapes of /proc/self/mountinfo."""
    for code in (b"\\040", b"\\011", b"\\012", b"\\134"):
        path = path.replace(code, bytes([int(code[1:], 8)]))
    return path


def busy_processes(directory: str) -> tuple[BusyProcess, ...]:
    """Who has a file, working directory, root or mapping in the directory, as far as /proc tells in time.

    /proc blocks on a process that is just replacing its program and in doing so closes a file of ours: it waits for
    us, so we must not wait for it.
    """
    found: list[BusyProcess] = []
    looking = threading.Thread(target=_find_busy, args=(os.path.abspath(directory), found), daemon=True)
    looking.start()
    looking.join(BUSY_LOOK_S)
    return tuple(found)


def _find_busy(prefix: str, found: list[BusyProcess]) -> None:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and len(found) < BUSY_PROCESSES_MAX:
            use = _use_of(f"/proc/{entry}", prefix)
            if use is not None:
                found.append(BusyProcess(pid=int(entry), command=_command(entry), uses=use))


def _use_of(process: str, prefix: str) -> str | None:
    """The first path under the prefix that a process uses, or None."""
    links = [f"{process}/cwd", f"{process}/root", f"{process}/exe"]
    for folder in (f"{process}/fd", f"{process}/map_files"):
        try:
            links += [f"{folder}/{name}" for name in os.listdir(folder)]
        except OSError:
            continue  # the process has ended, or is not ours to see
    for link in links:
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target == prefix or target.startswith(prefix + "/"):
            return target
    return None


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as source:
            return source.read().strip()
    except OSError:
        return "?"
