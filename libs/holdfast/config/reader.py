"""Checks a tree of tags against the table and gives the typed values found, with their places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from holdfast.config.model import Position
from holdfast.config.problem import Report, excerpt, nearest_name
from holdfast.config.schema import Attribute, Kind, Status, Tag, Unit
from holdfast.config.values import BadValueError, Value, read_value
from holdfast.config.xml import Element, XmlAttribute

LATER = "known, but not supported by this version"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A tag of the file: typed values (defaults filled in) and the sections inside it.

    An attribute that is wrong, or missing without a default, has no value; the problem has been reported.
    """

    tag: Tag
    element: Element
    values: Mapping[str, Value]
    children: tuple[Section, ...]

    @property
    def at(self) -> Position:
        """Place of the tag."""
        return self.element.at

    def place(self, name: str) -> Position:
        """Place of an attribute, or of the tag when the file does not give the attribute."""
        attribute = self.element.attributes.get(name)
        return attribute.at if attribute is not None else self.element.at

    def gives(self, name: str) -> bool:
        """Does the file itself say something for this attribute."""
        return name in self.element.attributes

    def has(self, name: str) -> bool:
        """Is there a valid value, written or by default."""
        return name in self.values

    def all(self, *path: str) -> Iterator[Section]:
        """Every section at the end of a path of tags below this one, in the order written."""
        for child in self.children:
            if child.tag.name == path[0]:
                if len(path) == 1:
                    yield child
                else:
                    yield from child.all(*path[1:])

    def first(self, *path: str) -> Section | None:
        """The first such section, or None."""
        return next(self.all(*path), None)

    def text(self, name: str) -> str:
        """A text value that must be there."""
        value = self.values[name]
        assert isinstance(value, str), name
        return value

    def optional_text(self, name: str) -> str | None:
        """A text value, or None."""
        return self.text(name) if name in self.values else None

    def integer(self, name: str) -> int:
        """A number that must be there."""
        value = self.values[name]
        assert isinstance(value, int), name
        return value

    def optional_integer(self, name: str) -> int | None:
        """A number, or None."""
        return self.integer(name) if name in self.values else None

    def flag(self, name: str) -> bool:
        """A switch that must be there."""
        value = self.values[name]
        assert isinstance(value, bool), name
        return value

    def milliseconds(self, name: str) -> int:
        """A duration that must be there."""
        return self.integer(name) // Unit.ms

    def optional_seconds(self, name: str) -> int | None:
        """A duration, or None when it is left out and has no default."""
        value = self.optional_integer(name)
        return None if value is None else value // Unit.s

    def seconds(self, name: str) -> int:
        """A duration that must be there."""
        return self.integer(name) // Unit.s


def read_document(root: Tag, element: Element, report: Report) -> Section:
    """Reads a whole tree whose root must be this tag. Raises ConfigError when it is another one."""
    if element.name != root.name:
        report.error(element.at, f"the root is <{element.name[:40]}>", accepted=f"<{root.name}>")
        report.raise_if_wrong()
    return _section(root, root, element, report)


def _section(root: Tag, tag: Tag, element: Element, report: Report) -> Section:
    """Reads an element as this tag. Recursion is bounded by the depth of the table."""
    if element.text and not tag.holds_text:
        report.error(element.at, f"<{tag.name}> holds text", accepted="tags and attributes")
    _check_attribute_names(tag, element, report)
    values: dict[str, Value] = {}
    for attribute in tag.attributes:
        value = _value(tag, attribute, element, report)
        if value is not None:
            values[attribute.name] = value
    children = tuple(_children(root, tag, element, report))
    _check_occurrences(tag, element, report)
    return Section(tag=tag, element=element, values=values, children=children)


def _check_attribute_names(tag: Tag, element: Element, report: Report) -> None:
    known = [attribute.name for attribute in tag.attributes if attribute.status is Status.IMPLEMENTED]
    for name, written in element.attributes.items():
        if tag.attribute(name) is None:
            report.error(
                written.at,
                f"unknown attribute '{name[:40]}' of <{tag.name}>",
                nearest=nearest_name(name, known),
                accepted=", ".join(known) or "no attributes",
            )


def _value(tag: Tag, attribute: Attribute, element: Element, report: Report) -> Value | None:
    written = element.attributes.get(attribute.name)
    if written is None:
        if attribute.required:
            report.error(element.at, f"<{tag.name}> lacks the attribute '{attribute.name}'", accepted=attribute.meaning)
        return None if attribute.default is None else read_value(attribute, attribute.default)
    if written.is_broken:
        return None
    match attribute.status:
        case Status.IGNORED:
            report.warn(written.at, f"attribute '{attribute.name}' of <{tag.name}> has no effect: {attribute.meaning}")
            return None
        case Status.LATER if written.value not in attribute.same_as_absent:
            accepted = " or ".join(["no such attribute", *(f"'{value}'" for value in attribute.same_as_absent)])
            report.error(
                written.at,
                f"attribute '{attribute.name}' of <{tag.name}> is {LATER}",
                accepted=accepted,
            )
            return None
    if attribute.without_effect and written.value not in attribute.same_as_absent:
        report.warn(
            written.at,
            f'{attribute.name}="{excerpt(written.value)[1:-1]}" of <{tag.name}> has no effect: '
            f"{attribute.without_effect}",
        )
    return _written_value(attribute, written, report)


def _written_value(attribute: Attribute, written: XmlAttribute, report: Report) -> Value | None:
    try:
        value = read_value(attribute, written.value)
    except BadValueError as error:
        report.error(written.at, f"{attribute.name}: {error.message}", nearest=error.nearest, accepted=error.accepted)
        return None
    if attribute.kind is Kind.DURATION and isinstance(value, int):
        resolution = attribute.resolution or attribute.unit
        assert resolution is not None
        if value % resolution:
            kept = value // resolution
            report.warn(written.at, f"{attribute.name}: '{written.value}' is taken as {kept}{resolution.name}")
            return kept * resolution
    return value


def _children(root: Tag, tag: Tag, element: Element, report: Report) -> Iterator[Section]:
    """What stands beyond the maximum of its tag is not read (it is reported as too many), so that conditions between
    several sections are looked at for a bounded number of them.
    """
    read: Counter[str] = Counter()
    for child in element.children:
        known = tag.child(child.name)
        read[child.name] += 1
        if known is not None and read[child.name] > known.maximum:
            continue
        if known is None:
            _report_unknown(root, tag, child, report)
        elif known.status is Status.LATER:
            report.error(child.at, f"tag <{child.name}> is {LATER}", accepted=_tags_of(tag))
        else:
            yield _section(root, known, child, report)


def _report_unknown(root: Tag, tag: Tag, child: Element, report: Report) -> None:
    homes = _homes(root).get(child.name)
    if homes:
        message = f"tag <{child.name}> does not belong in <{tag.name}>, but in {homes}"
    else:
        message = f"unknown tag <{child.name[:40]}> in <{tag.name}>"
    nearest = None if homes else nearest_name(child.name, [known.name for known in tag.children])
    report.error(child.at, message, nearest=nearest, accepted=_tags_of(tag))


@cache
def _homes(root: Tag) -> dict[str, str]:
    homes: dict[str, str] = {}
    for path, tag in root.walk():
        if path and f"<{path[-1]}>" not in homes.get(tag.name, ""):
            homes[tag.name] = " or ".join(filter(None, [homes.get(tag.name, ""), f"<{path[-1]}>"]))
    return homes


def _tags_of(tag: Tag) -> str:
    implemented = [f"<{child.name}>" for child in tag.children if child.status is Status.IMPLEMENTED]
    return ", ".join(implemented) or "no tags inside"


def _check_occurrences(tag: Tag, element: Element, report: Report) -> None:
    for known in tag.children:
        found = [child for child in element.children if child.name == known.name]
        if len(found) < known.minimum:
            report.error(element.at, f"<{tag.name}> lacks a <{known.name}>", accepted=known.meaning)
        if len(found) > known.maximum:
            report.error(
                found[known.maximum].at,
                f"too many <{known.name}> in <{tag.name}>",
                accepted="one" if known.maximum == 1 else f"at most {known.maximum}",
            )
