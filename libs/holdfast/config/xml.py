"""A bounded XML reader that knows where everything stood.

Built on expat from the standard library. There are no entities but the five of XML itself: a DOCTYPE is
accepted as long as it has no internal subset, and an external one is never loaded. Size, depth and counts
are limited, so that no text makes the reader slow or large.
"""

from __future__ import annotations

import bisect
import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from holdfast.config.model import Position
from holdfast.config.problem import single_error
from holdfast.errors import ConfigError

TEXT_BYTES_MAX = 1024 * 1024
"""A configuration written by a person is a few KiB; a thousand times that is room enough."""
DEPTH_MAX = 32
"""The language itself is seven tags deep."""
ELEMENTS_MAX = 20_000
"""Tags of one text; the largest real files have a few hundred."""
ATTRIBUTES_MAX = 64
"""Attributes of one tag; `rfs` has the most of all, under 40."""
VALUE_CHARS_MAX = 16 * 1024
"""Characters of one attribute value, before and after macros are expanded."""

ENCODINGS = ("utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16")
"""What a declaration may name."""

_ENTITIES = frozenset({b"lt", b"gt", b"amp", b"quot", b"apos"})
_DECLARATION = re.compile(rb"""<\?xml[^>]{0,200}?\sencoding\s*=\s*["']([A-Za-z0-9._-]{1,40})["']""")
_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>"']+)\s*=\s*("[^"]*"|'[^']*')""")
_ENTITY = re.compile(rb"&([^#;&\s][^;&\s]{0,100});")
_CDATA, _CDATA_END = b"<![CDATA[", b"]]>"
_TAG_NAME = re.compile(rb"<[^\s/>]+")


@dataclass(frozen=True, kw_only=True)
class XmlAttribute:
    """An attribute, its value with XML's own escapes resolved, and the place of its name."""

    name: str
    value: str
    at: Position
    is_broken: bool = False
    """Its macros could not be expanded; that has been reported, and the value says nothing."""


@dataclass(frozen=True, kw_only=True)
class TextPiece:
    """Characters of one tag that stand together, and the place of the first one. Places inside a CDATA section are
    exact; elsewhere an entity counts as one character."""

    text: str
    at: Position
    is_cdata: bool = False


@dataclass(kw_only=True)
class Element:
    """A tag with its attributes (in the order written), its children, and its text."""

    name: str
    at: Position
    attributes: dict[str, XmlAttribute]
    children: list[Element] = field(default_factory=list)
    texts: list[TextPiece] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The characters directly inside the tag, trimmed."""
        return "".join(piece.text for piece in self.texts).strip()

    def walk(self) -> Iterator[Element]:
        """This element and all below it, in the order written."""
        pending = [self]
        while pending:
            element = pending.pop()
            yield element
            pending.extend(reversed(element.children))


def read_xml(text: bytes, source: str) -> Element:
    """The root element of a text. Raises ConfigError that names line and column."""
    if len(text) > TEXT_BYTES_MAX:
        raise single_error(source, f"the text has {len(text)} bytes", accepted=f"at most {TEXT_BYTES_MAX} bytes")
    return _Reader(_decoded(text, source).encode(), source).read()


def _decoded(text: bytes, source: str) -> str:
    encoding = _encoding(text, source)
    try:
        return text.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode(encoding, "replace").removeprefix("\ufeff")
        at = _Lines(before.encode("utf-8", "replace")).position(len(before.encode("utf-8", "replace")))
        raise single_error(source, f"the text is not valid {encoding}: {error.reason}", at=at) from None


def _encoding(text: bytes, source: str) -> str:
    """A byte order mark decides, then the declaration, else UTF-8 (XML 1.0, appendix F)."""
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if text.startswith(codecs.BOM_UTF8):
        return "utf-8"
    declared = _DECLARATION.match(text)
    if declared is None:
        return "utf-8"
    name = declared[1].decode("ascii").lower()
    if name not in ENCODINGS[:-1]:
        at = Position(line=1, column=declared.start(1) + 1)
        raise single_error(source, f"encoding '{name}' is not read", at=at, accepted=", ".join(ENCODINGS))
    return name


class _Lines:
    """Turns byte offsets of a UTF-8 text into lines and columns (in characters)."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", text))]
        self._last_offset = 0
        self._last_column = 1

    def position(self, offset: int) -> Position:
        """Counts on from the last place asked for, so that one very long line stays cheap."""
        line = bisect.bisect_right(self._starts, offset)
        start = self._starts[line - 1]
        if not start <= self._last_offset <= offset:
            self._last_offset, self._last_column = start, 1
        between = self._text[self._last_offset : offset]
        self._last_column += len(between.decode("utf-8", "replace"))
        self._last_offset = offset
        return Position(line=line, column=self._last_column)


class _Reader:
    """One pass of expat over one text."""

    def __init__(self, text: bytes, source: str) -> None:
        self._text = text
        self._source = source
        self._lines = _Lines(text)
        self._open: list[Element] = []
        self._root: Element | None = None
        self._count = 0
        self._is_cdata = False
        self._text_from = 0
        self._parser = expat.ParserCreate(encoding="utf-8")
        self._parser.buffer_text = True
        self._parser.ordered_attributes = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartCdataSectionHandler = self._start_cdata
        self._parser.EndCdataSectionHandler = self._end_cdata
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.SkippedEntityHandler = self._skipped

    def read(self) -> Element:
        try:
            self._parser.Parse(self._text, True)
        except expat.ExpatError as error:
            at = self._lines.position(max(self._parser.ErrorByteIndex, 0))
            reason = expat.ErrorString(error.code) or "unreadable"
            raise single_error(self._source, f"not well-formed XML: {reason}", at=at) from None
        assert self._root is not None, "expat accepts no text without a root"
        return self._root

    def _here(self) -> Position:
        return self._lines.position(max(self._parser.CurrentByteIndex, 0))

    def _refuse(self, message: str, accepted: str, at: Position | None = None) -> ConfigError:
        return single_error(self._source, message, at=at or self._here(), accepted=accepted)

    def _doctype(self, _name: str, _system: str | None, _public: str | None, has_subset: bool) -> None:
        if has_subset:
            raise self._refuse("the DOCTYPE declares things of its own", "a DOCTYPE without [ ]")

    def _skipped(self, name: str, _is_parameter: bool) -> None:
        raise self._refuse(f"unknown entity '{name[:40]}'", "&lt; &gt; &amp; &quot; &apos; and &#number;")

    def _start(self, name: str, flat: list[str]) -> None:
        self._check_bounds(name, len(flat) // 2)
        offset = self._parser.CurrentByteIndex
        at = self._lines.position(offset)
        places = self._attribute_places(offset)
        attributes = {
            key: XmlAttribute(name=key, value=value, at=places.get(key, at))
            for key, value in zip(flat[::2], flat[1::2], strict=True)
        }
        for attribute in attributes.values():
            if len(attribute.value) > VALUE_CHARS_MAX:
                length = len(attribute.value)
                raise self._refuse(
                    f"the value of '{attribute.name[:40]}' has {length} characters",
                    f"at most {VALUE_CHARS_MAX}",
                    attribute.at,
                )
        element = Element(name=name, at=at, attributes=attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._root = element
        self._open.append(element)

    def _check_bounds(self, name: str, attributes: int) -> None:
        self._count += 1
        if len(self._open) >= DEPTH_MAX:
            raise self._refuse(f"<{name[:40]}> is nested too deep", f"at most {DEPTH_MAX} levels")
        if self._count > ELEMENTS_MAX:
            raise self._refuse("too many tags", f"at most {ELEMENTS_MAX}")
        if attributes > ATTRIBUTES_MAX:
            raise self._refuse(f"<{name[:40]}> has {attributes} attributes", f"at most {ATTRIBUTES_MAX}")

    def _attribute_places(self, offset: int) -> dict[str, Position]:
        """Finds the attributes of the tag at this offset again; expat has already judged it well-formed.

        Expat drops an unknown entity inside a value without a word when there is an external DOCTYPE, so
        entities are looked for here.
        """
        tag = _TAG_NAME.match(self._text, offset)
        places: dict[str, Position] = {}
        at = tag.end() if tag else offset
        while (found := _ATTRIBUTE.match(self._text, at)) is not None:
            place = self._lines.position(found.start(1))
            places[found[1].decode("utf-8", "replace")] = place
            for entity in _ENTITY.finditer(found[2]):
                if entity[1] not in _ENTITIES:
                    raise self._refuse(
                        f"unknown entity '{entity[1].decode('utf-8', 'replace')[:40]}'",
                        "&lt; &gt; &amp; &quot; &apos; and &#number;",
                        place,
                    )
            at = found.end()
        self._text_from = self._text.find(b">", at) + 1
        return places

    def _end(self, _name: str) -> None:
        self._open.pop()
        self._text_from = self._text.find(b">", self._parser.CurrentByteIndex) + 1

    def _start_cdata(self) -> None:
        self._is_cdata = True
        self._text_from = self._parser.CurrentByteIndex + len(_CDATA)

    def _end_cdata(self) -> None:
        self._is_cdata = False
        self._text_from = self._parser.CurrentByteIndex + len(_CDATA_END)

    def _characters(self, data: str) -> None:
        """Expat hands over what it has gathered before it calls any other handler, so a piece is of one kind."""
        if self._open:
            at = self._lines.position(max(self._text_from, 0))
            self._open[-1].texts.append(TextPiece(text=data, at=at, is_cdata=self._is_cdata))


def print_xml(root: Element) -> str:
    """A tree as XML text: two spaces a level, attributes as written, no comments, no empty text."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    _print_element(root, 0, lines)
    return "\n".join(lines) + "\n"


def canonical_xml(root: Element) -> str:
    """A tree in the one form that is the same however it was laid out: attributes sorted, text trimmed."""
    lines: list[str] = []
    _print_element(root, 0, lines, in_order=True)
    return "\n".join(lines) + "\n"


def _print_element(element: Element, depth: int, lines: list[str], *, in_order: bool = False) -> None:
    """Recursion is bounded by `DEPTH_MAX`."""
    indent = "  " * depth
    names = sorted(element.attributes) if in_order else list(element.attributes)
    tag = "".join([element.name, *(f' {name}="{_escaped(element.attributes[name].value)}"' for name in names)])
    text = _canonical_text(element) if in_order else _printed_text(element)
    if not element.children:
        lines.append(f"{indent}<{tag}>{text}</{element.name}>" if text else f"{indent}<{tag}/>")
        return
    lines.append(f"{indent}<{tag}>{text}")
    for child in element.children:
        _print_element(child, depth + 1, lines, in_order=in_order)
    lines.append(f"{indent}</{element.name}>")


def _printed_text(element: Element) -> str:
    """Text as it was written: CDATA sections stay what they are."""
    if not any(piece.is_cdata for piece in element.texts):
        return _escaped(element.text)
    return "".join(
        f"<![CDATA[{piece.text}]]>" if piece.is_cdata else _escaped(piece.text.strip()) for piece in element.texts
    )


def _canonical_text(element: Element) -> str:
    """Text however it was written; what stands in CDATA sections of its own stays apart from the rest."""
    parts = (piece.text.strip() for piece in element.texts)
    return "&#0;".join(_escaped(part) for part in parts if part)


_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
)


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)
