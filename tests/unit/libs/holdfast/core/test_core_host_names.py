"""Which scripts have the virtual host name from their start."""

from __future__ import annotations

import pytest
from holdfast.core.host_names import handler_has_name, script_has_name
from holdfast.core.settings import VirtualHost
from holdfast.core.state import Change, Step, StepKind
from holdfast.events.state import Role

START = Change(current=Role.WAIT, next=Role.ALONE, action="start")
JOIN = Change(current=Role.WAIT, next=Role.SECOND, action="start")
STOP = Change(current=Role.PRIM, next=Role.WAIT, action="stop")
LEAVE = Change(current=Role.SECOND, next=Role.WAIT, action="stop")


def step(script: str, change: Change) -> Step:
    return Step(kind=StepKind.SCRIPT, script=script, change=change)


@pytest.mark.parametrize(
    ("script", "change", "prim", "second"),
    [
        ("start_prim", START, True, False),
        ("start_both", START, True, False),
        ("start_sec", START, True, False),
        ("start_second", JOIN, False, True),
        ("start_both", JOIN, False, True),
        ("start_sec", JOIN, False, True),
        ("stop_prim", STOP, True, False),
        ("stop_both", STOP, True, False),
        ("stop_second", LEAVE, False, True),
        ("stop_both", LEAVE, False, True),
    ],
)
def test_scripts_of_the_role_have_the_name(script: str, change: Change, prim: bool, second: bool) -> None:
    assert script_has_name(VirtualHost(name="shop", when="prim"), step(script, change)) is prim
    assert script_has_name(VirtualHost(name="shop", when="second"), step(script, change)) is second
    assert script_has_name(VirtualHost(name="shop", when="both"), step(script, change)) is True
    assert script_has_name(None, step(script, change)) is False


@pytest.mark.parametrize("script", ["prestart", "poststop", "transition"])
def test_scripts_of_no_role_have_it_only_when_they_ask(script: str) -> None:
    assert script_has_name(VirtualHost(name="shop", when="both"), step(script, START)) is False


def test_handler_has_the_name_in_the_role() -> None:
    host = VirtualHost(name="shop", when="prim")
    assert [handler_has_name(host, role) for role in (Role.ALONE, Role.PRIM, Role.SECOND)] == [True, True, False]
    assert handler_has_name(VirtualHost(name="shop", when="both"), Role.WAIT) is True
    assert handler_has_name(None, Role.PRIM) is False
