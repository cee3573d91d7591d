"""The reader's places and limits."""

from __future__ import annotations

import pytest
from holdfast.config import xml
from holdfast.config.model import Position
from holdfast.config.problem import Problem
from holdfast.config.xml import Element, canonical_xml, print_xml, read_xml
from holdfast.errors import ConfigError


def problem_of(text: bytes) -> Problem:
    with pytest.raises(ConfigError) as caught:
        read_xml(text, "file.xml")
    (problem,) = caught.value.problems
    assert isinstance(problem, Problem)
    return problem


def place(element: Element, name: str) -> tuple[int, int]:
    at = element.attributes[name].at
    return at.line, at.column


def test_tags_and_attributes_know_line_and_column_in_characters() -> None:
    root = read_xml('<é>\r\n  <b\r\n   ü = "x" c=\'>"&amp;\'\tdé="1"/><z/>\r<last/></é>'.encode(), "file.xml")
    inner, after, last = root.children
    assert inner.at == Position(line=2, column=3)
    assert (place(inner, "ü"), place(inner, "c"), place(inner, "dé")) == ((3, 4), (3, 12), (3, 24))
    assert inner.attributes["c"].value == '>"&'
    assert after.at == Position(line=3, column=32)
    assert last.at == Position(line=4, column=1)


def test_doctype_without_declarations_is_accepted_and_never_loaded() -> None:
    root = read_xml(b'<!DOCTYPE safe PUBLIC "p" "http://192.0.2.1/safe.dtd"><safe a="&lt;&#65;"/>', "file.xml")
    assert root.attributes["a"].value == "<A"


def test_declared_entities_are_refused_before_they_expand() -> None:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<!DOCTYPE a [<!ENTITY l0 "lol">{levels}]><a>&l9;</a>'
    assert problem_of(text.encode()).message == "the DOCTYPE declares things of its own"


def test_text_that_is_too_large_is_refused() -> None:
    text = b"<a>" + b" " * xml.TEXT_BYTES_MAX + b"</a>"
    assert "1048583 bytes" in problem_of(text).message


def test_text_that_is_nested_too_deep_is_refused() -> None:
    deep = b"<a>" * xml.DEPTH_MAX + b"</a>" * xml.DEPTH_MAX
    read_xml(deep, "file.xml")
    problem = problem_of(b"<a>" * 100_000)
    assert problem.message == "<a> is nested too deep"
    assert problem.at == Position(line=1, column=3 * xml.DEPTH_MAX + 1)


@pytest.mark.slow
def test_too_many_tags_are_refused() -> None:
    assert problem_of(b"<a>" + b"<b/>" * xml.ELEMENTS_MAX + b"</a>").message == "too many tags"


def test_too_many_attributes_are_refused() -> None:
    attributes = " ".join(f'a{n}="1"' for n in range(xml.ATTRIBUTES_MAX + 1))
    assert "65 attributes" in problem_of(f"<a {attributes}/>".encode()).message


def test_value_that_is_too_long_is_refused() -> None:
    assert "16385 characters" in problem_of(f'<a b="{"x" * (xml.VALUE_CHARS_MAX + 1)}"/>'.encode()).message


@pytest.mark.slow
def test_one_very_long_line_is_read_quickly() -> None:
    root = read_xml(b"<a>" + b'<b c="&amp;"/>x' * 19_999 + b"</a>", "file.xml")
    assert root.children[-1].at.column == 19_998 * 15 + 4
    assert len(root.text) == 19_999


@pytest.mark.parametrize(
    "text", [b"", b"\0", b"<", b"<a", b"<a b=c/>", b'<a b="1" b="2"/>', b"<a/><b/>", b"<a>\x01</a>"]
)
def test_malformed_text_is_refused_with_a_place(text: bytes) -> None:
    problem = problem_of(text)
    assert problem.message.startswith("not well-formed XML")
    assert problem.at.line == 1


def test_printed_tree_is_read_back_as_it_was() -> None:
    text = "<a b=\"&lt;&#10;'&quot;\" a='&#9;'>t&amp;<b/><c>x</c></a>"
    root = read_xml(text.encode(), "file.xml")
    again = read_xml(print_xml(root).encode(), "file.xml")
    assert canonical_xml(again) == canonical_xml(root)
    assert [item.value for item in again.attributes.values()] == ["<\n'\"", "\t"]
