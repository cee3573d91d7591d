"""Both sides agree: every order has the executor that the catalogue names, every event its listeners and its source."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from holdfast.events.catalogue import BY_NAME, EVENTS, EVERY_SERVICE, ORDERS, PEOPLE, Entry

from services.supervisor.registry import SERVICES
from tests.tidy.rules import ROOT, parsed, python_files

CLASSES = {entry.payload.__name__: entry for entry in BY_NAME.values()}
LISTENING_CODE = {"statemachine": ("libs/holdfast/core", "libs/holdfast/history")}
"""The state machine is a shell around these, which hear in its place."""
HARNESS = "libs/holdfast/service"


def folder_of(kind: str) -> Path:
    """services/checkers for both checker-process and checker-tcp: they share what stands above them."""
    return ROOT / "services" / SERVICES.modules[kind].split(".")[1]


def kinds_in(path: Path) -> set[str]:
    """The kinds of service that a file under services/ belongs to."""
    return {kind for kind in SERVICES.modules if path.is_relative_to(folder_of(kind))}


@cache
def subscriptions() -> dict[str, set[str]]:
    """Wire name → kinds of service whose code says `….on_order(Class, …)`."""
    found: dict[str, set[str]] = {}
    for path in python_files("services"):
        for node in ast.walk(parsed(path)):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="on_order"), args=[ast.Name(id=name) | ast.Attribute(attr=name), *_]
                ):
                    assert name in CLASSES, (
                        f"{path}:{node.lineno} subscribes to {name}, which the catalogue does not have"
                    )
                    found.setdefault(CLASSES[name].name, set()).update(kinds_in(path))
                case _:
                    continue
    return found


@cache
def mentioned(*places: str) -> frozenset[str]:
    """Names of payload classes that the code in some places uses (importing alone is no use)."""
    found = set()
    for path in python_files("libs", "services"):
        if any(path.is_relative_to(ROOT / place) for place in places):
            names = {node.id for node in ast.walk(parsed(path)) if isinstance(node, ast.Name)}
            names |= {node.attr for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
            found |= names & set(CLASSES)
    return frozenset(found)


@cache
def made() -> frozenset[str]:
    """Names of payload classes of which the product makes instances."""
    return frozenset(
        name
        for path in python_files("libs", "services")
        if not path.is_relative_to(ROOT / "libs/holdfast/testing")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        for name in [node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")]
        if name in CLASSES
    )


def entries(*chosen: Entry) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("entry", chosen, ids=lambda entry: entry.name)


@entries(*(entry for entry in ORDERS if entry.obeyed_by != (EVERY_SERVICE,)))
def test_an_order_is_obeyed_by_exactly_the_services_that_the_catalogue_names(entry: Entry) -> None:
    assert subscriptions().get(entry.name, set()) == set(entry.obeyed_by)


@entries(*(entry for entry in ORDERS if entry.obeyed_by == (EVERY_SERVICE,)))
def test_an_order_to_every_service_is_obeyed_by_the_harness(entry: Entry) -> None:
    assert entry.payload.__name__ in mentioned(HARNESS)


@entries(*EVENTS)
def test_an_event_has_the_listeners_that_the_catalogue_names(entry: Entry) -> None:
    for kind in entry.heard_by:
        if kind == PEOPLE:
            assert entry.heard_by == (PEOPLE,), "for people means for nobody else"
            continue
        places = (str(folder_of(kind).relative_to(ROOT)), *LISTENING_CODE.get(kind, ()))
        assert entry.payload.__name__ in mentioned(*places), f"{kind} does not know {entry.name}"


@entries(*BY_NAME.values())
def test_everything_in_the_catalogue_is_sent_by_somebody(entry: Entry) -> None:
    assert entry.payload.__name__ in made()


def test_what_the_core_folds_is_recorded_and_for_the_state_machine() -> None:
    """A replay of the journal would decide otherwise if an input of a decision were not in it."""
    folded = {
        name
        for node in ast.walk(parsed(ROOT / "libs/holdfast/core/evolve.py"))
        if isinstance(node, ast.MatchClass)
        for name in [node.cls.attr if isinstance(node.cls, ast.Attribute) else getattr(node.cls, "id", "")]
        if name in CLASSES
    }
    assert folded
    wrong = [name for name in folded if not CLASSES[name].recorded or "statemachine" not in CLASSES[name].heard_by]
    assert wrong == []
