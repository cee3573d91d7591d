"""Writes the manual page holdfast(1), in the language of man pages (groff_man(7)), from the commands themselves."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from holdfast.errors import ExitCode

from services.gateway.cli.tree import Command, Option, leaves, tree

PLACE = Path("dist/holdfast.1")
MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed, as the command says",
    ExitCode.USAGE: "wrong options or arguments",
    ExitCode.TIMEOUT: "not reached in time",
    ExitCode.REFUSED: "the cluster refuses; the reason is on standard error",
    ExitCode.NOT_FOUND: "no such module, resource, node or file",
    ExitCode.CONFIG_INVALID: "a configuration or package is wrong",
    ExitCode.UNAVAILABLE: "this node, or a service of it, does not answer",
    ExitCode.ENVIRONMENT: "this machine lacks something or failed",
    ExitCode.PEER: "the other node broke the protocol",
    ExitCode.DIFFERENCES: "what was compared differs",
    ExitCode.INVARIANT: "a defect of Holdfast",
}
FILES = (
    ("/etc/holdfast/cluster.xml, cluster.key", "the cluster in force and its key"),
    ("/etc/holdfast/node.toml", "settings of this node"),
    ("/var/lib/holdfast/modules/", "modules with their configurations, journals and logs"),
    ("/run/holdfast/", "what runs now"),
)


def main(arguments: Sequence[str] = ()) -> None:
    """Write the page to the file that is named, else below dist/."""
    place = Path(arguments[0]) if arguments else PLACE
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(render(tree()))


def render(commands: Sequence[Command]) -> str:
    """The whole page."""
    return "\n".join([*_head(), *(line for leaf in leaves(commands) for line in _command(leaf)), *_tail()]) + "\n"


def _head() -> Iterator[str]:
    yield f'.TH HOLDFAST 1 "" "Holdfast {version("holdfast")}" "Holdfast manual"'
    yield ".SH NAME"
    yield r"holdfast \- keeps an application running when a server dies"
    yield ".SH SYNOPSIS"
    yield r".B holdfast \fR[\fB\-p\fR] \fIcommand\fR [\fIoptions\fR]"
    yield ".SH DESCRIPTION"
    yield "Controls the modules of this node and shows what they are."
    yield r"With \fB\-p\fR it prints where things are on this node."
    yield ".SH COMMANDS"


def _command(command: Command) -> Iterator[str]:
    yield f".SS {_plain(' '.join(('holdfast', *command.words)))}"
    words = " ".join(each.name for each in command.arguments)
    yield f".B holdfast {_plain(' '.join(command.words))} \\fR[\\fIoptions\\fR]{_plain(f' {words}' if words else '')}"
    for paragraph in re.split(r"\n\s*\n", command.text):
        yield ".PP"
        yield _plain(re.sub(r"\s+", " ", paragraph))
    for argument in command.arguments:
        if argument.help:
            yield from (".TP", f"\\fI{_plain(argument.name)}\\fR", _plain(argument.help))
    for option in command.options:
        yield from _option(option)
    if command.example:
        yield from (".PP", "Example:", ".PP", ".nf", f".RS\n{_plain(command.example)}\n.RE", ".fi")


def _option(option: Option) -> Iterator[str]:
    flags = ", ".join(f"\\fB{_plain(flag)}\\fR" for flag in option.flags)
    value = f" \\fI{_plain(option.value)}\\fR" if option.value else ""
    variable = f" Else what the variable {option.variable} says." if option.variable else ""
    yield from (".TP", f"{flags}{value}", _plain(f"{option.help}{variable}"))


def _tail() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code in ExitCode:
        yield from (".TP", f".B {int(code)}", _plain(MEANINGS[code]))
    yield ".PP"
    yield _plain("state -q returns the state instead: 0 STOP, 1 WAIT, 2 ALONE or UP, 3 PRIM, 4 SECOND.")
    yield ".SH ENVIRONMENT"
    yield from (".TP", ".B SAFEMODULE", "The module, where none is named.")
    yield from (".TP", ".B HOLDFAST_CONFIG_DIR, HOLDFAST_STATE_DIR, HOLDFAST_RUN_DIR", "Move the directories below.")
    yield ".SH FILES"
    for name, what in FILES:
        yield from (".TP", f".I {_plain(name)}", _plain(what))


def _plain(text: str) -> str:
    """Text that means nothing to groff: its escape character, dashes that are typed, and dots that begin a line."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = re.sub(r"^(?=[.'])", r"\\&", text, flags=re.M)
    return "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in text)


if __name__ == "__main__":
    main(sys.argv[1:])
