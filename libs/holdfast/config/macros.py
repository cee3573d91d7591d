"""%NAME% in attribute values: macros of the file first, then the environment that is passed in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from holdfast.config.problem import Report, excerpt, nearest_name
from holdfast.config.tags.module import MACRO, MACROS_MAX
from holdfast.config.values import BadValueError
from holdfast.config.xml import VALUE_CHARS_MAX, Element

EXPANDED_CHARS_MAX = 4 * 1024 * 1024
"""Characters of all expanded values of one file together."""

NESTING_MAX = 32
"""Macros whose values refer to macros, one inside the other."""

NAMES_SHOWN_MAX = 20
"""Macros that a message lists."""

_REFERENCE = re.compile(r"%([A-Za-z_][A-Za-z0-9_]{0,127})%")


class BrokenMacroError(BadValueError):
    """What is wrong stands in the value of a macro of the file, where it is reported."""


class Expander:
    """Replaces references; remembers what each macro expands to, and how much it has written in all."""

    def __init__(self, macros: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._macros = macros
        self._environment = environment
        self._known: dict[str, str] = {}
        self._written = 0

    def expand(self, text: str) -> str:
        """The text with every reference replaced. Raises BadValueError for an unknown or endless one."""
        return self._expand(text, ()) if "%" in text else text

    def _expand(self, text: str, inside: tuple[str, ...]) -> str:
        parts: list[str] = []
        length = at = 0
        for found in _REFERENCE.finditer(text):
            parts += [text[at : found.start()], self._value(found[1], inside)]
            length += len(parts[-2]) + len(parts[-1])
            if length > VALUE_CHARS_MAX:
                break
            at = found.end()
        parts.append(text[at:])
        length += len(parts[-1])
        self._written += length
        if length > VALUE_CHARS_MAX or self._written > EXPANDED_CHARS_MAX:
            raise BadValueError(
                f"{excerpt(text)} expands to too long a text",
                accepted=f"{VALUE_CHARS_MAX} characters in a value, {EXPANDED_CHARS_MAX} in all",
            )
        return "".join(parts)

    def _value(self, name: str, inside: tuple[str, ...]) -> str:
        """Recursion is bounded by `NESTING_MAX`."""
        if len(inside) >= NESTING_MAX:
            raise BadValueError(f"macro '{name[:40]}' is nested too deep", accepted=f"at most {NESTING_MAX} levels")
        if name in inside:
            raise BadValueError(f"macro '{name}' refers to itself", accepted="macros without a circle")
        if name in self._known:
            return self._known[name]
        if name in self._macros:
            try:
                self._known[name] = self._expand(self._macros[name], (*inside, name))
            except BadValueError as error:
                raise BrokenMacroError(error.message, accepted=error.accepted, nearest=error.nearest) from None
            return self._known[name]
        if name in self._environment:
            return self._environment[name]
        raise BadValueError(
            f"%{name[:40]}% is neither a macro nor an environment variable",
            accepted=", ".join(sorted(self._macros)[:NAMES_SHOWN_MAX]) or "no macro is defined",
            nearest=nearest_name(name, [*self._macros, *self._environment]),
        )


def expand_tree(root: Element, environment: Mapping[str, str], report: Report) -> Element:
    """A copy of the tree with every attribute value expanded; what fails is reported and marked broken."""
    expander = Expander(_macros(root), environment)
    return _expanded(root, expander, report)


def _macros(root: Element) -> dict[str, str]:
    """Macros as written; wrong, doubled and too many ones are reported by the reader, here the first count."""
    macros: dict[str, str] = {}
    for child in root.children:
        name, value = child.attributes.get("name"), child.attributes.get("value")
        if child.name == "macro" and name is not None and value is not None and len(macros) < MACROS_MAX:
            macros.setdefault(name.value, value.value)
    return macros


def _expanded(element: Element, expander: Expander, report: Report) -> Element:
    """Recursion is bounded by the depth of the reader."""
    attributes = dict(element.attributes)
    for name, attribute in element.attributes.items():
        try:
            attributes[name] = replace(attribute, value=expander.expand(attribute.value))
        except BadValueError as error:
            was_reported = isinstance(error, BrokenMacroError) and element.name != MACRO.name and report.problems
            if not was_reported:
                report.error(attribute.at, error.message, nearest=error.nearest, accepted=error.accepted)
            attributes[name] = replace(attribute, is_broken=True)
    return Element(
        name=element.name,
        at=element.at,
        attributes=attributes,
        children=[_expanded(child, expander, report) for child in element.children],
        texts=element.texts,
    )
