"""Parses the commands that scripts call often, without the library that does it for people.

The library costs a script 200 ms of processor time, mostly for validation that these commands do not need. What a
command accepts is read from the same annotations. Anything unusual (help, abbreviations, a wrong value) is left to the
library, which also knows how to say it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from holdfast.errors import OperatorError
from typer.models import ArgumentInfo, OptionInfo

COMMANDS = frozenset({"get", "set", "state", "stop", "restart", "stopstart", "printe", "printw", "printi"})


class UnusualError(OperatorError):
    """Leave it to the library."""


def parse(run: Callable[..., object], words: Sequence[str]) -> dict[str, Any]:
    """Return the keyword arguments for `run`; raise UnusualError for anything but plain, complete, right use."""
    options: dict[str, tuple[str, type]] = {}
    values: dict[str, Any] = {}
    rest_name = ""
    for name, kind, info in _parameters(run):
        if isinstance(info, ArgumentInfo):
            if get_origin(kind) is not list or rest_name:
                raise UnusualError("not the plain use of a command")
            rest_name = name
            continue
        for flag in (info.default, *(info.param_decls or ())):
            # In an annotation the first flag stands where a default would (typer.Option's first parameter).
            if isinstance(flag, str) and flag.startswith("-"):
                options[flag] = (name, kind)
        found = os.environ.get(info.envvar) if isinstance(info.envvar, str) else None
        if found:
            values[name] = found
    rest = _take(list(words), options, values)
    if rest_name:
        values[rest_name] = rest
    if bool(rest) != bool(rest_name) or not _required(run) <= values.keys():
        raise UnusualError("not the plain use of a command")
    return values


def _take(words: list[str], options: dict[str, tuple[str, type]], values: dict[str, Any]) -> list[str]:
    """Move the options among the words into `values`; return the other words."""
    rest: list[str] = []
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        for flag in _flags(word, options):
            name, kind = options[flag]
            if kind is bool:
                values[name] = True
            elif not words:
                raise UnusualError("not the plain use of a command")
            else:
                values[name] = words.pop(0)
    return rest


def _flags(word: str, options: dict[str, tuple[str, type]]) -> list[str]:
    """The options in one word: itself, or several switches of one letter together (`-lq`)."""
    if word in options:
        return [word]
    flags = [f"-{letter}" for letter in word[1:]]
    if word.startswith("--") or any(flag not in options or options[flag][1] is not bool for flag in flags):
        raise UnusualError("not the plain use of a command")
    return flags


def _parameters(run: Callable[..., object]) -> list[tuple[str, type, OptionInfo | ArgumentInfo]]:
    found = []
    for name, hint in get_type_hints(run, include_extras=True).items():
        if name == "return":
            continue
        kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        info = next((extra for extra in extras if isinstance(extra, OptionInfo | ArgumentInfo)), None)
        plain = kind in (str, bool) or (get_origin(kind) is list and get_args(kind) == (str,))
        if info is None or not plain:
            raise UnusualError("not the plain use of a command")
        found.append((name, kind, info))
    return found


def _required(run: Callable[..., object]) -> set[str]:
    """Names of the parameters without a default."""
    code = run.__code__
    names = code.co_varnames[: code.co_argcount]
    return set(names[: len(names) - len(run.__defaults__ or ())])
