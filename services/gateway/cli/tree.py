"""Every command with its options and arguments, for what is generated from them: completion and the manual page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.gateway.cli.main import COMMANDS, build


@dataclass(frozen=True, kw_only=True)
class Option:
    """flags: as they are typed. value: what stands for its value, empty for a switch. variable: of the environment."""

    flags: tuple[str, ...]
    value: str
    help: str
    variable: str = ""


@dataclass(frozen=True, kw_only=True)
class Argument:
    name: str
    help: str
    is_required: bool
    takes_many: bool


@dataclass(frozen=True, kw_only=True)
class Command:
    """words: the command and, for one of several below it, its own. summary: one line. text: the whole help, with what
    follows `Example:` apart."""

    words: tuple[str, ...]
    summary: str
    text: str
    example: str
    options: tuple[Option, ...] = ()
    arguments: tuple[Argument, ...] = ()
    below: tuple[Command, ...] = ()


def tree() -> tuple[Command, ...]:
    """All commands, as the program lists them."""
    root: Any = build(list(COMMANDS))
    return tuple(_command((name,), root.commands[name], COMMANDS[name]) for name in COMMANDS)


def leaves(commands: Sequence[Command]) -> list[Command]:
    """Those that can be run."""
    return [leaf for command in commands for leaf in (leaves(command.below) if command.below else [command])]


def _command(words: tuple[str, ...], command: Any, summary: str) -> Command:
    # Typer carries its own copy of Click, whose classes have no public names; their attributes are Click's.
    below: Mapping[str, Any] = getattr(command, "commands", {})
    text, _, example = inspect.cleandoc(command.help or "").partition("Example:")
    first = text.strip().partition("\n\n")[0]
    return Command(
        words=words,
        summary=summary or re.sub(r"\s+", " ", first),
        text=text.strip(),
        example=example.strip(),
        options=tuple(_option(each) for each in command.params if each.param_type_name == "option"),
        arguments=tuple(_argument(each) for each in command.params if each.param_type_name == "argument"),
        below=tuple(_command((*words, name), each, "") for name, each in below.items()),
    )


def _option(option: Any) -> Option:
    flags = (*option.opts, *option.secondary_opts)
    value = "" if option.is_flag else str(option.metavar or option.name.upper())
    variable = option.envvar if isinstance(option.envvar, str) else ""
    return Option(flags=flags, value=value, help=option.help or "", variable=variable)


def _argument(argument: Any) -> Argument:
    return Argument(
        name=str(argument.metavar or argument.name.upper()),
        help=str(getattr(argument, "help", "") or ""),
        is_required=bool(argument.required),
        takes_many=argument.nargs == -1,
    )
