"""What a tag and an attribute are: the types of the table under `holdfast.config.tags`.

The table is the only description of the language. The reader checks a file against it, and
`docs/configuration.md` is written from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

DURATION_S_MAX = 3660 * 24 * 3600
"""Ten years: longer than any useful setting, short enough that no arithmetic overflows."""


class Kind(StrEnum):
    """Type of an attribute; the value is how the documentation calls it."""

    CHOICE = "choice"
    SWITCH = "on or off"
    YES_NO = "yes or no"
    DURATION = "duration"
    INTEGER = "number"
    TEXT = "text"
    NAME = "name"
    """Of a node or lan: becomes a subject and a file name (`holdfast.ids`)."""
    IDENT = "ident"
    """Second half of a resource name."""
    VARIABLE = "variable name"
    INTERFACE = "interface name"
    ADDRESS = "address or host name"
    HOST = "host name"
    """As the kernel keeps it: at most 64 bytes."""
    NETMASK = "IPv4 netmask"
    ABSOLUTE_PATH = "absolute path"
    RELATIVE_PATH = "relative path"
    PATH = "path"
    REGEX = "POSIX extended regular expression"
    REACTION = "action or handler"
    PROCESS_CLASS = "class of processes"


class Unit(IntEnum):
    """Units of a duration, in microseconds."""

    us = 1
    ms = 1_000
    s = 1_000_000
    m = 60_000_000
    h = 3_600_000_000
    d = 86_400_000_000


class Status(StrEnum):
    """What this version does with a tag or attribute."""

    IMPLEMENTED = "implemented"
    LATER = "later"
    """Part of the model's language, but not acted upon yet: refused with an error that says so."""
    IGNORED = "no effect"
    """Accepted with a warning: obsolete, or about a mechanism that is not there (see the meaning)."""


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """One attribute of a tag."""

    name: str
    kind: Kind
    meaning: str
    model_default: str = "–"
    """For the documentation."""
    default: str | None = None
    """Ours, as it would be written; None when absent means something of its own."""
    default_note: str = ""
    """For the documentation, where None is not the whole story."""
    choices: tuple[str, ...] = ()
    later_choices: tuple[str, ...] = ()
    """Values of the model's language that are not acted upon yet."""
    same_as_absent: tuple[str, ...] = ()
    """Values of a `LATER` or effectless attribute that ask for what this version does anyway."""
    without_effect: str = ""
    """Why a valid value changes nothing here, and what to do instead; the value is checked, and warned of."""
    unit: Unit | None = None
    """Unit of a bare number, and the smallest duration that the attribute accepts."""
    resolution: Unit | None = None
    """Unit in which the value is kept; the same as `unit` unless finer."""
    minimum: int | None = None
    maximum: int | None = None
    """Bounds, inclusive; of a duration in its `unit`."""
    required: bool = False
    dynamic: bool = False
    own: bool = False
    """Holdfast's, not in the model's language."""
    status: Status = Status.IMPLEMENTED


@dataclass(frozen=True, kw_only=True)
class Tag:
    """One tag, with what may stand in it."""

    name: str
    meaning: str
    attributes: tuple[Attribute, ...] = field(default=(), repr=False)
    children: tuple[Tag, ...] = field(default=(), repr=False)
    minimum: int = 0
    maximum: int = 1
    holds_text: bool = False
    """What stands in the tag is a language of its own, read by somebody else."""
    status: Status = Status.IMPLEMENTED

    def attribute(self, name: str) -> Attribute | None:
        """The attribute of that name, or None."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def child(self, name: str) -> Tag | None:
        """The child tag of that name, or None."""
        return next((tag for tag in self.children if tag.name == name), None)

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Tag]]:
        """This tag and all below it, each with the names of the tags around it."""
        yield path, self
        for child in self.children:
            yield from child.walk((*path, self.name))


def ignored(name: str, meaning: str, *, model_default: str = "–", dynamic: bool = False) -> Attribute:
    """An attribute of the model that is accepted with a warning and has no effect here."""
    return Attribute(
        name=name,
        kind=Kind.TEXT,
        meaning=meaning,
        model_default=model_default,
        dynamic=dynamic,
        status=Status.IGNORED,
    )


def later_tag(name: str, meaning: str) -> Tag:
    """A tag of the model that this version refuses with a clear error."""
    return Tag(name=name, meaning=meaning, maximum=TAGS_MAX, status=Status.LATER)


TAGS_MAX = 64
"""How often a repeatable tag may stand in one parent: networks, addresses, directories, checkers."""

PORT_MAX = 65535
"""RFC 768, RFC 9293: 16 bits."""
