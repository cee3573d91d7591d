"""Finds processes of this node for an operator or a script, and ends them; never one of our own."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.scripting import processes
from holdfast.scripting.processes import Level


@dataclass(frozen=True, kw_only=True)
class Found:
    """A process that was found. signalled: the signal was sent to it."""

    pid: int
    name: str
    arguments: str
    signalled: bool = False


def find_and_end(*, name: str, argument_regex: str, level: Level, asking: tuple[int, ...]) -> list[Found]:
    """Send the level's signal to every process of this command name and these arguments.

    Left alone: our services, the first process, and those who ask with all from which they descend.
    """
    every = processes.processes()
    left_alone = processes.spared(every, asking=asking)
    found = processes.matching(every, name=name, argument_regex=argument_regex)
    # The arguments are read before the signal: what has ended has none any more.
    meant = [(each, each.arguments) for each in found if each.pid not in left_alone]
    number = level.signal
    ended = processes.end((each for each, _text in meant), number) if number is not None else ()
    numbers = {each.pid for each in ended}
    return [Found(pid=each.pid, name=each.name, arguments=text, signalled=each.pid in numbers) for each, text in meant]
