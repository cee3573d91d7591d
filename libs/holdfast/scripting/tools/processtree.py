"""`processtree list|kill [NAME|PID|all [EXPRESSION]]`: processes with all that descend from them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from holdfast.errors import OperatorError
from holdfast.scripting.processes import Process, end, matching, processes, spared, tree

USAGE = "processtree list|kill [NAME|PID|all [EXPRESSION on the argument list]]"
EVERYTHING = "all"


def main(words: Sequence[str]) -> int:
    """List, or end, the processes meant and everything below them; exit code 1 when there are none."""
    verb, what, expression, *more = [*words, "", "", ""][: max(3, len(words))]
    if verb not in ("list", "kill") or more:
        raise OperatorError("what is to be done with which processes?", hint=USAGE)
    every = processes()
    if verb == "list":
        chosen = list(tree(every, _roots(every, what or EVERYTHING, expression)))
        for depth, each in chosen:
            sys.stdout.write(f"{'  ' * depth}{each.pid} {each.name} {each.arguments}".rstrip() + "\n")
        return 0 if chosen else 1
    if what in ("", EVERYTHING) and not expression:
        raise OperatorError("every process of the machine is not ended", hint=USAGE)
    left_alone = spared(every, asking=(os.getpid(),))
    below = [each for _depth, each in tree(every, _roots(every, what, expression))]
    # Children first, so that none is started again by a parent that watches it.
    ended = end([each for each in reversed(below) if each.pid not in left_alone], signal.SIGKILL)
    for each in ended:
        sys.stdout.write(f"{each.pid} {each.name} ended\n")
    return 0 if ended else 1


def _roots(every: Sequence[Process], what: str, expression: str) -> tuple[Process, ...]:
    if what.isdigit():
        return tuple(each for each in every if each.pid == int(what))
    name = "" if what == EVERYTHING else what
    if name or expression:
        return matching(every, name=name, argument_regex=expression)
    numbers = {each.pid for each in every}
    return tuple(each for each in every if each.parent not in numbers)
