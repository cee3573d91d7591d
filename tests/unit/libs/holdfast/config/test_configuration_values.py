"""Typed values of single attributes, at their edges."""

from __future__ import annotations

import pytest
from holdfast.config.schema import Attribute, Kind, Unit
from holdfast.config.tags.cluster import CLUSTER
from holdfast.config.tags.module import SAFE
from holdfast.config.values import BadValueError, Value, read_value


def read(kind: Kind, text: str, unit: Unit | None = None) -> Value:
    return read_value(Attribute(name="a", kind=kind, meaning="", unit=unit), text)


@pytest.mark.parametrize(
    ("text", "unit", "microseconds"),
    [
        ("700", Unit.ms, 700_000),
        ("30s", Unit.ms, 30_000_000),
        ("0", Unit.s, 0),
        ("0us", Unit.s, 0),
        ("24", Unit.h, 86_400_000_000),
        ("1d", Unit.h, 86_400_000_000),
        ("1500ms", Unit.s, 1_500_000),
        ("1000us", Unit.ms, 1_000),
        ("2 m", Unit.s, 120_000_000),
    ],
)
def test_duration_takes_its_unit_or_the_one_of_the_attribute(text: str, unit: Unit, microseconds: int) -> None:
    assert read(Kind.DURATION, text, unit) == microseconds


@pytest.mark.parametrize(
    ("text", "unit"),
    [("999us", Unit.ms), ("999ms", Unit.s), ("59s", Unit.m), ("1us", Unit.h)],
)
def test_duration_that_rounds_to_zero_is_refused(text: str, unit: Unit) -> None:
    with pytest.raises(BadValueError, match="rounds to 0"):
        read(Kind.DURATION, text, unit)


@pytest.mark.parametrize("text", ["", "-1", "1.5s", "1 s s", "s", "1ns", "1S", "999999999999d", "1e3", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        read(Kind.DURATION, text, Unit.s)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00::1]", "fd00::1"),
        ("FD00:0:0::1", "fd00::1"),
        ("Node-1.Example.COM", "node-1.example.com"),
        ("db_1", "db_1"),
    ],
)
def test_address_is_kept_in_one_spelling(text: str, address: str) -> None:
    assert read(Kind.ADDRESS, text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.0.0",
        "10.0.0.256",
        "[10.0.0.1",
        "[name]",
        "a..b",
        "-a",
        "a b",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "1:2",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        read(Kind.ADDRESS, text)


def test_netmask_becomes_a_prefix_length() -> None:
    assert read(Kind.NETMASK, "255.255.240.0") == 20
    assert read(Kind.NETMASK, "255.255.255.255") == 32


@pytest.mark.parametrize("text", ["", "24", "255.0.255.0", "0.0.0.0", "0.0.0.255"])
def test_what_is_no_netmask_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        read(Kind.NETMASK, text)


def test_paths_are_normalised() -> None:
    assert read(Kind.ABSOLUTE_PATH, "//srv/./data//") == "/srv/data"
    assert read(Kind.RELATIVE_PATH, "log//old/.") == "log/old"


@pytest.mark.parametrize("text", ["", ".", "./", "..", "a/..", "/a", "a\0b", "x" * 5000])
def test_relative_path_stays_inside(text: str) -> None:
    with pytest.raises(BadValueError):
        read(Kind.RELATIVE_PATH, text)


def test_every_default_is_a_valid_value() -> None:
    for root in (CLUSTER, SAFE):
        for _, tag in root.walk():
            for attribute in tag.attributes:
                if attribute.default is not None:
                    read_value(attribute, attribute.default)
                assert (attribute.unit is not None) == (attribute.kind is Kind.DURATION), attribute.name


def test_every_row_says_what_it_means_in_a_sentence() -> None:
    for root in (CLUSTER, SAFE):
        for _, tag in root.walk():
            for text in (tag.meaning, *(attribute.meaning for attribute in tag.attributes)):
                assert text.endswith("."), text
