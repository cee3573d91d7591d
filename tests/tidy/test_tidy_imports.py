"""Who may import whom."""

from __future__ import annotations

import sys

import pytest

from tests.tidy.rules import ROOT, imports, python_files

PURE = [
    "libs/holdfast/core",
    "libs/holdfast/links",
    "services/heartbeat/core",
    "services/vip/core",
    "services/checkers/core.py",
    "services/rfs/core",
]
"""Cores: they may import the standard library, events, ids and errors, and each other's package, nothing else."""
PURE_MAY = ("holdfast.core", "holdfast.events", "holdfast.ids", "holdfast.errors", "holdfast.links")
SUPERVISOR_MAY = "services."
"""The supervisor forks services, so it alone names their entry points; it does so by text, not by import."""


def test_services_never_import_other_services() -> None:
    """A service shares code only through libs/holdfast and facts only over the bus."""
    wrong = []
    for path in python_files("services"):
        own = path.relative_to(ROOT).parts[1]
        for name in imports(path):
            if name.startswith("services.") and name.split(".")[1].removesuffix(".py") != own:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_libs_never_import_services() -> None:
    """The shared package needs no service to import."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files("libs")
        for name in imports(path)
        if name == "services" or name.startswith("services.")
    ]
    assert wrong == []


@pytest.mark.parametrize("place", PURE)
def test_cores_are_pure(place: str) -> None:
    """A core imports no third-party code and nothing that reads clocks, logs or the outside world."""
    own = place.removesuffix(".py").removeprefix("libs/").replace("/", ".")
    banned = {"time", "logging", "socket", "subprocess", "asyncio", "threading", "random", "os", "pathlib", "sqlite3"}
    files = python_files(place) or tuple(p for p in python_files("services") if p == ROOT / place)
    assert files, f"{place} does not exist"
    wrong = []
    for path in files:
        if path.name == "document.py":
            continue  # writes a generated page; decides nothing
        for name in imports(path):
            top = name.split(".")[0]
            if name.startswith((own, *PURE_MAY)) or f"{name}." == f"{own}.":
                continue
            if name in banned or top not in sys.stdlib_module_names or top in banned:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []
