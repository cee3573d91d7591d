"""Sizes, words and habits; lists of exceptions may only shrink."""

from __future__ import annotations

import ast
import re

from tests.tidy.rules import ROOT, parsed, python_files, tracked_files

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 700
BROAD_HANDLERS = {"libs/holdfast/service/run.py": 1}
"""The one place that may catch everything: it logs, reports and ends the process."""
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplemented(Error)?)\b")
README_HEADINGS = [
    "Duty",
    "Not its duty",
    "Listens to",
    "Publishes",
    "Commands it obeys",
    "State it keeps",
    "Privileges",
    "Timings",
    "When it fails",
    "How to watch it",
]


def test_functions_fit_on_a_screen() -> None:
    """No function is longer than 70 lines."""
    wrong = []
    for path in python_files("libs", "services", "ops"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {lines} lines")
    assert wrong == []


def test_files_hold_one_noun() -> None:
    """No source file is longer than 700 lines."""
    wrong = [
        f"{path.relative_to(ROOT)} has {lines} lines"
        for path in python_files("libs", "services", "tests", "ops")
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    ]
    assert wrong == []


def test_broad_handlers_are_listed() -> None:
    """Catching everything hides defects; one place in the product may."""
    found: dict[str, int] = {}
    for path in python_files("libs", "services"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
                name = str(path.relative_to(ROOT))
                found[name] = found.get(name, 0) + 1
    assert found == BROAD_HANDLERS


def _is_broad(kind: ast.expr | None) -> bool:
    names = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(n is None or (isinstance(n, ast.Name) and n.id in {"Exception", "BaseException"}) for n in names)


def test_waiting_with_a_limit_never_swallows_an_end() -> None:
    """asyncio.wait_for of Python 3.11 loses a cancellation that meets the result; asyncio.timeout does not."""
    found = [
        f"{path}:{node.lineno}"
        for path in python_files("libs", "services")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "asyncio.wait_for"
    ]
    assert found == []


def test_no_unfinished_work_is_marked_in_code() -> None:
    """Unfinished work belongs in an issue, not in the tree."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files("libs", "services", "ops")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert wrong == []


def test_every_service_says_the_same_ten_things() -> None:
    """A service's README has the ten headings, in order."""
    wrong = []
    for path in python_files("services"):
        if path.name != "__main__.py" or path.parent.parent.name != "services":
            continue
        readme = path.parent / "README.md"
        headings = re.findall(r"^## (.+)$", readme.read_text(), re.M) if readme.exists() else []
        if headings[: len(README_HEADINGS)] != README_HEADINGS:
            wrong.append(f"{readme.relative_to(ROOT)}: {headings}")
    assert wrong == []


def test_lock_files_name_no_host() -> None:
    """The same lock installs from any index or mirror."""
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        if path.name in {"requirements.lock", "package-lock.json"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "://" in line
    ]
    assert wrong == []
