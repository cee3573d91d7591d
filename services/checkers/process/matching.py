"""Pure: which processes a watch means, and whether their number is right."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from holdfast.config.regex import compile_posix
from holdfast.events.module import ProcessWatch
from holdfast.systemd.unit import unit_name

COMMAND_CHARS_MAX = 15
"""The kernel cuts command names (TASK_COMM_LEN, linux/sched.h, less the ending zero)."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A process as /proc shows it. command: its (cut) name."""

    pid: int
    command: str


@lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    return compile_posix(text)


def has_command(watch: ProcessWatch, command: str) -> bool:
    """Does a command name fit: the regular expression when there is one, else the name itself."""
    if watch.unit:
        return True
    if watch.name_regex:
        return _pattern(watch.name_regex).search(command) is not None
    return command == watch.name[:COMMAND_CHARS_MAX]


def has_arguments(watch: ProcessWatch, arguments: str | None) -> bool:
    """Does the argument list fit, executable included, joined with spaces; None is not known and does not fit."""
    if not watch.argument_regex:
        return True
    return arguments is not None and _pattern(watch.argument_regex).search(arguments) is not None


def has_unit(watch: ProcessWatch, cgroups: str) -> bool:
    """Is the process in the control group of the watched systemd unit (proc_pid_cgroup, cgroups(7))."""
    if not watch.unit:
        return True
    unit = unit_name(watch.name)
    return any(unit in line.rpartition(":")[2].split("/") for line in cgroups.splitlines())


def is_right(watch: ProcessWatch, count: int) -> bool:
    """Is this number of processes within what the watch asks for; -1 means any."""
    enough = watch.at_least < 0 or count >= watch.at_least
    not_too_many = watch.at_most < 0 or count <= watch.at_most
    return enough and not_too_many


def needs_a_count(watch: ProcessWatch) -> bool:
    """Does a watch of a unit ask for more than that the unit runs, or does not."""
    return watch.at_least > 1 or watch.at_most > 0 or bool(watch.argument_regex)
