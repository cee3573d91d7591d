"""The directory that scripts know as SAFE: an executable `safekit` that runs our own command, and private/bin with
small tools."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from holdfast.scripting.tools.names import TOOLS

_COMMAND = """#!/bin/sh
# Written by Holdfast when its scripts service starts; changes are overwritten.
exec {python} -m services.gateway.cli "$@"
"""
_TOOL = """#!/bin/sh
# Written by Holdfast when its scripts service starts; changes are overwritten.
exec {python} -m holdfast.scripting.tools {name} "$@"
"""


def command_text(python: str) -> str:
    """The text of `safekit`: our command, run by this Python."""
    return _COMMAND.format(python=shlex.quote(python))


def tool_text(python: str, name: str) -> str:
    """The text of one tool."""
    return _TOOL.format(python=shlex.quote(python), name=shlex.quote(name))


def write_safe_tree(safe: Path, python: str = sys.executable) -> None:
    """Make the tree below `safe` what it should be; files that are right already are not touched."""
    private = safe / "private" / "bin"
    private.mkdir(parents=True, exist_ok=True)
    wanted = {path: command_text(python) for path in (safe / "safekit", private / "safekit")}
    wanted |= {private / name: tool_text(python, name) for name in TOOLS}
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            beside = path.with_name(f".{path.name}.new")
            beside.write_text(text)
            beside.chmod(0o755)
            beside.replace(path)
