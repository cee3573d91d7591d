"""The processes of this machine, as scripts look for them and end them: by command name and arguments."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from holdfast.config.regex import compile_posix
from holdfast.errors import OperatorError

PROC = Path("/proc")
PROCESSES_MAX = 65_536
"""Looked at in one listing; the kernel's usual limit is half of it."""
ARGUMENTS_BYTES_MAX = 128 << 10
"""MAX_ARG_STRLEN of linux/binfmts.h: the longest single argument."""
OWN_TITLE = "hf-"
"""How the names of our own processes begin (`holdfast.service.title`)."""


class Level(StrEnum):
    """What becomes of the processes that are found."""

    TEST = "test"
    """Nothing: they are only listed."""
    TERMINATE = "terminate"
    """SIGTERM, the same as 15."""
    KILL = "9"
    TERM = "15"

    @property
    def signal(self) -> signal.Signals | None:
        match self:
            case Level.TEST:
                return None
            case Level.KILL:
                return signal.SIGKILL
            case Level.TERMINATE | Level.TERM:
                return signal.SIGTERM


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process. name: as the kernel keeps it, at most 15 bytes. started: in clock ticks since boot; with the number
    it tells one process from a later one."""

    pid: int
    parent: int
    name: str
    started: int

    @property
    def arguments(self) -> str:
        """Its argument list, executable first, separated by blanks; empty for a kernel thread and one that is gone."""
        try:
            with (PROC / str(self.pid) / "cmdline").open("rb") as file:
                data = file.read(ARGUMENTS_BYTES_MAX)
        except OSError:
            return ""
        return data.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def processes() -> tuple[Process, ...]:
    """Every process of this pid namespace, by number."""
    numbers = sorted(int(entry.name) for entry in os.scandir(PROC) if entry.name.isdigit())[:PROCESSES_MAX]
    return tuple(found for number in numbers if (found := process(number)) is not None)


def process(pid: int) -> Process | None:
    """One process by its number; None when there is none."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # proc(5): the name stands in parentheses and may hold blanks and parentheses itself; field 4 is the parent's
    # number, field 22 the start.
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    return Process(pid=pid, parent=int(fields[1]), name=head.partition("(")[2], started=int(fields[19]))


def matching(found: Iterable[Process], *, name: str = "", argument_regex: str = "") -> tuple[Process, ...]:
    """Those with this command name and with arguments that the POSIX extended expression finds something in.

    Raises OperatorError when neither is given or the expression is wrong.
    """
    if not name and not argument_regex:
        raise OperatorError("which processes?", hint="-name=NAME, -argregex=EXPRESSION, or both")
    try:
        pattern = compile_posix(argument_regex) if argument_regex else None
    except ValueError as error:
        raise OperatorError(f"{argument_regex!r} is not a POSIX extended regular expression: {error}") from error
    named = (each for each in found if not name or each.name == name[:15])
    return tuple(each for each in named if pattern is None or pattern.search(each.arguments))


def spared(found: Sequence[Process], *, asking: Iterable[int]) -> frozenset[int]:
    """Numbers of the processes that must not be ended: our own services, the first process, and who asks with all
    from which it descends."""
    parents = {each.pid: each.parent for each in found}
    names = {each.pid: each.name for each in found}
    kept = {each.pid for each in found if each.name.startswith(OWN_TITLE) or each.pid == 1}
    kept |= {each.pid for each in found if names.get(each.parent, "") == f"{OWN_TITLE}supervisor"}
    for pid in asking:
        while pid in parents and pid not in (0, 1):
            kept.add(pid)
            pid = parents[pid]
    return frozenset(kept)


def end(found: Iterable[Process], number: signal.Signals) -> tuple[Process, ...]:
    """Send a signal to each; returns those that it was sent to. A number that belongs to another by now is let be."""
    return tuple(each for each in found if _end(each, number))


def _end(wanted: Process, number: signal.Signals) -> bool:
    try:
        descriptor = os.pidfd_open(wanted.pid)
    except ProcessLookupError:
        return False
    try:
        if not _is_same(wanted):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_same(wanted: Process) -> bool:
    """A process that lost its parent meanwhile, or took another name, is still the one that was found."""
    now = process(wanted.pid)
    return now is not None and now.started == wanted.started


def tree(found: Sequence[Process], roots: Iterable[Process]) -> Iterator[tuple[int, Process]]:
    """Each of the roots with all that descends from it, with the depth; none twice."""
    children: dict[int, list[Process]] = {}
    for each in found:
        children.setdefault(each.parent, []).append(each)
    seen: set[int] = set()
    for root in roots:
        waiting = [(0, root)]
        while waiting:
            depth, each = waiting.pop()
            if each.pid in seen:
                continue
            seen.add(each.pid)
            yield depth, each
            waiting += [(depth + 1, child) for child in reversed(children.get(each.pid, []))]
