"""The part of XPath 1.0 that reads a configuration: steps, `//`, `*`, predicates on attributes and positions, and at
the end `@attribute` or `text()`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.config.xml import Element
from holdfast.errors import OperatorError

PATH_CHARS_MAX = 1024
ACCEPTED = "/safe/service/user/var[@name='PORT']/@value, //proc/@name, //replicated[1]/@dir"
_STEP = re.compile(
    r"(//?)(?:@(?P<attribute>[\w.-]+|\*)|(?P<text>text\(\))|(?P<name>[\w.-]+|\*)(?P<tests>(?:\[[^\]]*\])*))"
)
_TEST = re.compile(
    r"\[\s*(?:(?P<position>\d+)|@(?P<name>[\w.-]+)\s*(?:(?P<sign>!?=)\s*(?P<quote>['\"])(?P<value>.*?)(?P=quote))?)\s*\]"
)


@dataclass(frozen=True, kw_only=True)
class _Step:
    """deep: any depth below. attribute or text: what a last step gives instead of tags."""

    deep: bool
    name: str = ""
    tests: tuple[re.Match[str], ...] = ()
    attribute: str = ""
    text: bool = False


def values(root: Element, path: str) -> list[str]:
    """What a path gives, in the order of the text: values of attributes, or the text of tags. Raises OperatorError."""
    steps = _steps(path if path.startswith("/") else f"//{path}")
    # The place above the root, so that a first step finds the root itself.
    above = Element(name="", at=root.at, attributes={}, children=[root])
    found = [above]
    for step in steps:
        if step.attribute or step.text:
            places = [place for each in found for place in (each.walk() if step.deep else (each,))]
            return [text for each in places for text in _texts(each, step)]
        found = [each for place in found for each in _children(place, step)]
    return [each.text for each in found]


def _texts(element: Element, step: _Step) -> list[str]:
    if step.text:
        return [element.text] if element.text else []
    if step.attribute == "*":
        return [attribute.value for attribute in element.attributes.values()]
    attribute = element.attributes.get(step.attribute)
    return [attribute.value] if attribute is not None else []


def _children(place: Element, step: _Step) -> Iterator[Element]:
    for parent in place.walk() if step.deep else (place,):
        found = [each for each in parent.children if step.name in ("*", each.name)]
        for test in step.tests:
            found = [each for position, each in enumerate(found, 1) if _holds(test, each, position)]
        yield from found


def _holds(test: re.Match[str], element: Element, position: int) -> bool:
    if test["position"]:
        return int(test["position"]) == position
    attribute = element.attributes.get(test["name"])
    if test["sign"] is None:
        return attribute is not None
    return attribute is not None and (attribute.value == test["value"]) is (test["sign"] == "=")


def _steps(path: str) -> list[_Step]:
    steps: list[_Step] = []
    at = 0
    while at < len(path) <= PATH_CHARS_MAX:
        found = _STEP.match(path, at)
        if found is None or (steps and (steps[-1].attribute or steps[-1].text)):
            break
        tests = tuple(_TEST.finditer(found["tests"] or ""))
        if "".join(test[0] for test in tests) != (found["tests"] or ""):
            break
        steps.append(
            _Step(
                deep=found[1] == "//",
                name=found["name"] or "",
                tests=tests,
                attribute=found["attribute"] or "",
                text=bool(found["text"]),
            )
        )
        at = found.end()
    if at != len(path) or not steps:
        raise OperatorError(f"{path[:80]!r} is not a path that is understood here", hint=ACCEPTED)
    return steps
