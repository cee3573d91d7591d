"""`holdfast -r TOOL …`: the small programs that scripts use."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from holdfast.errors import OperatorError
from holdfast.scripting.tools.names import TOOLS

COMMANDS_AS_TOOLS = ("healthcheck",)
"""What the model has as a tool, with an ending, and here is a command."""


def command_for(words: Sequence[str]) -> list[str] | None:
    """The command line that a tool stands for; None when it is a program of its own."""
    name = words[0].partition(".")[0] if words else ""
    return [name, *words[1:]] if name in COMMANDS_AS_TOOLS else None


def run(words: Sequence[str]) -> int:
    """Become the tool; raises OperatorError when there is none of that name."""
    if not words or words[0] not in TOOLS:
        known = ", ".join(sorted((*TOOLS, *COMMANDS_AS_TOOLS)))
        raise OperatorError(f"there is no tool {words[0]!r}" if words else "which tool?", hint=known)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "holdfast.scripting.tools", *words])
