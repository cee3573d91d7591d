"""One error tree: drawn in one place, and nothing of ours is raised beside it."""

from __future__ import annotations

import ast
import builtins
import re
from pathlib import Path

from holdfast import errors
from holdfast.errors import ExitCode, HoldfastError

from tests.tidy.rules import ROOT, parsed, python_files

BESIDE_THE_TREE = {"LostError", "RefusedByServerError", "TooLargeError"}
"""Signals that never leave the file that they belong to; may only shrink. The test kit's verdicts are assertions."""


def _tree() -> dict[str, str]:
    """Name → name of its base, for every class in errors.py."""
    return {
        name: kind.__base__.__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, HoldfastError)
    }


def _drawn() -> dict[str, str]:
    """The same, read from the drawing in the module's docstring: depth is where a name begins."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = [(-1, "Exception")]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"[\s│├└─]*?(\w+Error)\b", line)
        if match is None:
            continue
        column = match.start(1)
        while above[-1][0] >= column:
            above.pop()
        found[match[1]] = above[-1][1]
        above.append((column, match[1]))
    return found


def test_the_drawing_of_the_error_tree_is_the_tree() -> None:
    assert _drawn() == _tree()


def test_every_error_says_what_it_is_for() -> None:
    wrong = [name for name in _tree() if not (getattr(errors, name).__doc__ or "").strip()]
    assert wrong == []


def test_every_error_has_an_exit_code_that_is_not_success() -> None:
    wrong = [name for name in _tree() if getattr(errors, name).exit_code in (ExitCode.OK,)]
    assert wrong == []


def _classes() -> dict[str, list[tuple[Path, list[str]]]]:
    """Every class in libs and services by name: where, and the last part of the name of each base."""
    found: dict[str, list[tuple[Path, list[str]]]] = {}
    for path in python_files("libs", "services"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ClassDef):
                bases = [name for base in node.bases if (name := _last(base))]
                found.setdefault(node.name, []).append((path, bases))
    return found


def _last(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return _last(function)
        case _:
            return ""


def _is_builtin_error(name: str) -> bool:
    kind = getattr(builtins, name, None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def test_every_error_class_of_ours_grows_on_the_tree() -> None:
    """A class whose name ends in Error derives, directly or not, from HoldfastError."""
    classes = _classes()

    def grows(name: str, seen: frozenset[str]) -> bool:
        if name == HoldfastError.__name__:
            return True
        return name not in seen and any(
            grows(base, seen | {name}) for _, bases in classes.get(name, ()) for base in bases
        )

    beside = {
        name: f"{path.relative_to(ROOT)} {name}({', '.join(bases)})"
        for name, places in classes.items()
        for path, bases in places
        if not path.is_relative_to(ROOT / "libs/holdfast/testing")
        and (name.endswith("Error") or any(_is_builtin_error(base) for base in bases))
        and not grows(name, frozenset())
    }
    assert [place for name, place in beside.items() if name not in BESIDE_THE_TREE] == []
    assert set(beside) >= BESIDE_THE_TREE, "what has gone is taken off the list"


def test_nothing_broad_is_raised() -> None:
    """`raise Exception` and `raise RuntimeError` say nothing about who is at fault."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno} raises {name}"
        for path in python_files("libs", "services")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and (name := _last(node.exc)) in {"Exception", "BaseException", "RuntimeError", "HoldfastError"}
    ]
    assert wrong == []
