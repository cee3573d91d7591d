"""Which processes a watch means."""

from __future__ import annotations

import pytest
from holdfast.events.module import ProcessWatch

from services.checkers.process.matching import has_arguments, has_command, has_unit, is_right
from services.checkers.process.watching import pause_s


@pytest.mark.parametrize(
    ("watch", "command", "expected"),
    [
        (ProcessWatch(name="postgres"), "postgres", True),
        (ProcessWatch(name="postgres"), "postgres2", False),
        (ProcessWatch(name="a_name_longer_than_kernel"), "a_name_longer_t", True),
        (ProcessWatch(name="any", name_regex="^post(gres|master)$"), "postmaster", True),
        (ProcessWatch(name="any", name_regex="^post(gres|master)$"), "any", False),
        (ProcessWatch(name="web", unit=True), "nginx", True),
    ],
)
def test_command_name_is_equal_as_the_kernel_cuts_it_or_fits_the_expression(
    watch: ProcessWatch, command: str, expected: bool
) -> None:
    assert has_command(watch, command) is expected


def test_argument_expression_sees_the_whole_argument_list() -> None:
    watch = ProcessWatch(name="java", argument_regex="shop[.]jar$")
    assert has_arguments(watch, "/usr/bin/java -jar /srv/shop.jar")
    assert not has_arguments(watch, "/usr/bin/java -jar /srv/shopxjar")


@pytest.mark.parametrize(
    ("cgroups", "expected"),
    [
        ("0::/system.slice/nginx.service\n", True),
        ("0::/system.slice/nginx.service/worker\n", True),
        ("0::/system.slice/nginx-exporter.service\n", False),
        ("", False),
    ],
)
def test_unit_is_known_by_its_control_group(cgroups: str, expected: bool) -> None:
    assert has_unit(ProcessWatch(name="nginx", unit=True), cgroups) is expected


@pytest.mark.parametrize(
    ("at_least", "at_most", "count", "expected"),
    [(1, -1, 0, False), (1, -1, 9, True), (2, 3, 4, False), (2, 3, 3, True), (-1, 0, 0, True), (-1, 0, 1, False)],
)
def test_number_of_processes_is_right(at_least: int, at_most: int, count: int, expected: bool) -> None:
    assert is_right(ProcessWatch(name="x", at_least=at_least, at_most=at_most), count) is expected


def test_looking_is_often_only_while_something_is_awaited() -> None:
    watch = ProcessWatch(name="x", poll_interval_ms=7000)
    assert pause_s(watch, is_up=True, is_settling=False, look_s=0.001) == 7
    assert pause_s(watch, is_up=False, is_settling=False, look_s=0.001) == 0.25
    assert pause_s(watch, is_up=False, is_settling=True, look_s=0.001) == 0.05
    unwanted = ProcessWatch(name="x", at_least=-1, at_most=0)
    assert pause_s(unwanted, is_up=True, is_settling=False, look_s=0.001) == 0.25


def test_slow_looks_are_followed_by_long_rests() -> None:
    assert pause_s(ProcessWatch(name="x"), is_up=False, is_settling=False, look_s=0.1) == 5
