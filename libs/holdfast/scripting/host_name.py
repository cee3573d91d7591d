"""A virtual host name: a UTS namespace (uts_namespaces(7)) for a program, and the file that its scripts source.

In the namespace every way of asking for the host name gives the virtual one, in statically linked programs, too.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import socket

CLONE_NEWUTS = 0x04000000
"""linux/sched.h"""
NAMESPACE_VARIABLE = "HOLDFAST_UTS"
"""Tells a script which namespace is its own, so that the envfile never renames the node."""

_libc = ctypes.CDLL(None, use_errno=True)

_ENVFILE = """\
# Written by Holdfast when the module was configured; changes are lost with the next configuration.
# For scripts of the module to source: from here on the host name is {name}, for them and what they start.
VIRTUALHOSTNAME={name}
HOSTNAME={name}
export VIRTUALHOSTNAME HOSTNAME
if [ -n "${{{variable}-}}" ] && [ "$(readlink /proc/self/ns/uts)" = "${variable}" ] &&
    [ "$(cat /proc/sys/kernel/hostname)" != {name} ]; then
    printf %s {name} >/proc/sys/kernel/hostname
fi
"""
_DROP_IN = """\
# Written by Holdfast when the module was configured; changes are lost with the next configuration.
# For a unit of systemd, 258 or later (systemd.exec(5)): put it into /etc/systemd/system/NAME.service.d/.
[Service]
ProtectHostname=private:{name}
"""


def enter(name: str, *, now: bool) -> str:
    """Put this process, which must have one thread, into a UTS namespace of its own; return what names that.

    now: with the virtual name already; else it is the present one until somebody changes it there.
    Raises OSError, of which EPERM is the usual one: CAP_SYS_ADMIN is needed.
    """
    if _libc.unshare(CLONE_NEWUTS) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"no UTS namespace for the host name {name}: {os.strerror(number)}")
    if now:
        socket.sethostname(name)
    return os.readlink("/proc/self/ns/uts")


def envfile_text(name: str) -> str:
    """The file that scripts source, in the language of every shell (POSIX)."""
    return _ENVFILE.format(name=shlex.quote(name), variable=NAMESPACE_VARIABLE)


def drop_in_text(name: str) -> str:
    """The drop-in that gives a unit of systemd the name."""
    return _DROP_IN.format(name=name)
