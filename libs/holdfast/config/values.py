"""Turns the text of an attribute into a typed value, or says what would be right."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import TypeAlias, assert_never

from holdfast.config.problem import excerpt, nearest_name
from holdfast.config.regex import compile_posix
from holdfast.config.schema import DURATION_S_MAX, Attribute, Kind, Unit
from holdfast.errors import OperatorError
from holdfast.ids import NAME_LENGTH_MAX, checked_name

Value: TypeAlias = str | int | bool
"""What an attribute becomes. A duration is a whole number of microseconds, a netmask a prefix length."""

PATH_BYTES_MAX = 4095
"""PATH_MAX of linux/limits.h without the final NUL."""
INTERFACE_BYTES_MAX = 15
"""IFNAMSIZ of linux/if.h without the final NUL."""
HOST_NAME_CHARS_MAX = 253
"""RFC 1035 §2.3.4, as text without the final dot."""
OWN_NAME_CHARS_MAX = 64
"""Of a machine's own name: __NEW_UTS_LEN, linux/utsname.h."""

_NUMBER = re.compile(r"-?[0-9]{1,15}\Z")
_DURATION = re.compile(r"([0-9]{1,15})\s*([a-z]*)\Z")
_IDENT = re.compile(r"[A-Za-z0-9_.:@+-]{1,64}\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_CLASS = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
_INTERFACE = re.compile(r"[A-Za-z0-9_.@-]+\Z")
_HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")


class BadValueError(OperatorError):
    """The text does not fit the attribute. The reader adds the place and makes a Problem of it."""

    def __init__(self, message: str, *, accepted: str, nearest: str | None = None) -> None:
        super().__init__(message, hint=accepted)
        self.accepted = accepted
        self.nearest = nearest


def read_value(attribute: Attribute, text: str) -> Value:
    """The typed value of a text. Raises BadValueError."""
    match attribute.kind:
        case Kind.CHOICE:
            return _choice(attribute, text)
        case Kind.SWITCH:
            return _one_of(text, ("on", "off")) == "on"
        case Kind.YES_NO:
            return _one_of(text, ("yes", "no")) == "yes"
        case Kind.DURATION:
            return _duration(attribute, text)
        case Kind.INTEGER:
            return _integer(attribute, text)
        case Kind.TEXT:
            return _text(text)
        case Kind.NAME:
            return _name(text)
        case Kind.IDENT:
            return _matching(_IDENT, text, "1 to 64 letters, digits, or _ . : @ + -")
        case Kind.VARIABLE:
            return _matching(_VARIABLE, text, "a letter or underscore, then letters, digits, underscores")
        case Kind.INTERFACE:
            return _interface(text)
        case Kind.ADDRESS:
            return _address(text)
        case Kind.HOST:
            return _host(text)
        case Kind.NETMASK:
            return _netmask(text)
        case Kind.ABSOLUTE_PATH | Kind.RELATIVE_PATH | Kind.PATH:
            return _path(attribute.kind, text)
        case Kind.REGEX:
            return _regex(text)
        case Kind.REACTION:
            return _reaction(attribute, text)
        case Kind.PROCESS_CLASS:
            return _process_class(attribute, text)
        case _:
            assert_never(attribute.kind)


def accepted(attribute: Attribute) -> str:
    """What an attribute accepts, in words."""
    match attribute.kind:
        case Kind.CHOICE:
            return ", ".join(attribute.choices)
        case Kind.REACTION:
            return ", ".join(attribute.choices) + ", or an executable relative to the module's bin"
        case Kind.PROCESS_CLASS:
            return ", ".join(attribute.choices) + ", or a name of your own that is not like these"
        case Kind.SWITCH:
            return "on, off"
        case Kind.YES_NO:
            return "yes, no"
        case Kind.DURATION:
            assert attribute.unit is not None
            bounds = _bounds(attribute, attribute.unit.name)
            return f"a number with d, h, m, s, ms or us (bare: {attribute.unit.name}){bounds}"
        case Kind.INTEGER:
            return f"a whole number{_bounds(attribute, '')}"
        case _:
            return str(attribute.kind)


def _bounds(attribute: Attribute, unit: str) -> str:
    low = "" if attribute.minimum is None else f", at least {attribute.minimum}{unit}"
    high = "" if attribute.maximum is None else f", at most {attribute.maximum}{unit}"
    return low + high


def _choice(attribute: Attribute, text: str) -> str:
    if text in attribute.later_choices:
        raise BadValueError(
            f"{excerpt(text)} is known, but not supported by this version", accepted=accepted(attribute)
        )
    return _one_of(text, attribute.choices)


def _process_class(attribute: Attribute, text: str) -> str:
    """A class of the scripts, or a private one; what is nearly a class of the scripts is taken for a mistake."""
    if text in attribute.choices:
        return text
    nearest = nearest_name(text, attribute.choices)
    if nearest is not None or not _CLASS.match(text):
        raise BadValueError(f"{excerpt(text)} is not a valid value", accepted=accepted(attribute), nearest=nearest)
    return text


def _one_of(text: str, choices: tuple[str, ...]) -> str:
    if text in choices:
        return text
    raise BadValueError(
        f"{excerpt(text)} is not a valid value",
        accepted=", ".join(choices),
        nearest=nearest_name(text, choices),
    )


def _duration(attribute: Attribute, text: str) -> int:
    unit = attribute.unit
    assert unit is not None, f"duration {attribute.name} without a unit"
    found = _DURATION.match(text)
    if found is None or (found[2] and found[2] not in Unit.__members__):
        raise BadValueError(f"{excerpt(text)} is not a duration", accepted=accepted(attribute))
    span_us = int(found[1]) * (Unit[found[2]] if found[2] else unit)
    if 0 < span_us < unit:
        raise BadValueError(f"{excerpt(text)} rounds to 0{unit.name}", accepted=accepted(attribute))
    if span_us > DURATION_S_MAX * Unit.s:
        raise BadValueError(f"{excerpt(text)} is too long", accepted=f"at most {DURATION_S_MAX // 86400}d")
    _check_bounds(attribute, text, span_us, unit)
    return span_us


def _integer(attribute: Attribute, text: str) -> int:
    if not _NUMBER.match(text):
        raise BadValueError(f"{excerpt(text)} is not a number", accepted=accepted(attribute))
    _check_bounds(attribute, text, int(text), 1)
    return int(text)


def _check_bounds(attribute: Attribute, text: str, value: int, scale: int) -> None:
    low, high = attribute.minimum, attribute.maximum
    if low is not None and value < low * scale:
        raise BadValueError(f"{excerpt(text)} is too small", accepted=accepted(attribute))
    if high is not None and value > high * scale:
        raise BadValueError(f"{excerpt(text)} is too large", accepted=accepted(attribute))


def _text(text: str) -> str:
    if "\0" in text:
        raise BadValueError("the text holds a NUL", accepted="any other character")
    return text


def _name(text: str) -> str:
    try:
        return checked_name("", text)
    except OperatorError:
        raise BadValueError(
            f"{excerpt(text)} is not a valid name",
            accepted=f"1 to {NAME_LENGTH_MAX} letters, digits, dashes or underscores",
        ) from None


def _matching(pattern: re.Pattern[str], text: str, words: str) -> str:
    if not pattern.match(text):
        raise BadValueError(f"{excerpt(text)} is not valid", accepted=words)
    return text


def _interface(text: str) -> str:
    _matching(_INTERFACE, text, "the name of a network interface")
    if len(text) > INTERFACE_BYTES_MAX or text in (".", ".."):
        raise BadValueError(
            f"{excerpt(text)} is not an interface name", accepted=f"1 to {INTERFACE_BYTES_MAX} characters"
        )
    return text


def _address(text: str) -> str:
    """An address in its canonical spelling, without brackets, or a host name in lower case."""
    words = "an IPv4 address, an IPv6 address (in square brackets or not), a host name"
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        if bare == text and _is_host_name(text):
            return text.lower()
        raise BadValueError(f"{excerpt(text)} is not an address", accepted=words) from None
    if address.is_unspecified or address.is_multicast or "%" in bare:
        raise BadValueError(f"{excerpt(text)} is not the address of one machine", accepted=words)
    return str(address)


def _host(text: str) -> str:
    """The name of one machine, as sethostname(2) takes it."""
    if not _is_host_name(text) or len(text) > OWN_NAME_CHARS_MAX or text.endswith("."):
        raise BadValueError(
            f"{excerpt(text)} is not a host name",
            accepted=f"1 to {OWN_NAME_CHARS_MAX} letters, digits, dashes and dots, such as shop or shop.example.org",
        )
    return text


def _is_host_name(text: str) -> bool:
    """RFC 1123 §2.1, with underscores as they occur; all digits and dots is a mistyped address."""
    if not text or len(text) > HOST_NAME_CHARS_MAX or not any(char.isalpha() for char in text):
        return False
    return all(_HOST_LABEL.match(label) for label in text.removesuffix(".").split("."))


def _netmask(text: str) -> int:
    words = "a netmask such as 255.255.255.0"
    try:
        mask = int(ipaddress.IPv4Address(text))
    except ValueError:
        raise BadValueError(f"{excerpt(text)} is not a netmask", accepted=words) from None
    prefix_length = mask.bit_count()
    if prefix_length == 0 or mask != (0xFFFFFFFF << (32 - prefix_length)) & 0xFFFFFFFF:
        raise BadValueError(f"{excerpt(text)} is not a netmask", accepted=words)
    return prefix_length


def _path(kind: Kind, text: str) -> str:
    """A normalised path without `.`, `..`, doubled or final slashes."""
    words = {
        Kind.ABSOLUTE_PATH: "an absolute path such as /var/lib/data",
        Kind.RELATIVE_PATH: "a path relative to the directory, such as log/old",
    }.get(kind, "a path")
    if not text or "\0" in text or len(text.encode("utf-8", "surrogatepass")) > PATH_BYTES_MAX:
        raise BadValueError(f"{excerpt(text)} is not a path", accepted=words)
    if ".." in text.split("/"):
        raise BadValueError(f"{excerpt(text)} goes up with '..'", accepted=words)
    if kind is Kind.ABSOLUTE_PATH and not text.startswith("/"):
        raise BadValueError(f"{excerpt(text)} is not absolute", accepted=words)
    if kind is Kind.RELATIVE_PATH and text.startswith("/"):
        raise BadValueError(f"{excerpt(text)} is absolute", accepted=words)
    normal = posixpath.normpath("/" + text.lstrip("/") if text.startswith("/") else text)
    if kind is Kind.RELATIVE_PATH and normal == ".":
        raise BadValueError(f"{excerpt(text)} is the directory itself", accepted=words)
    return normal


def _regex(text: str) -> str:
    try:
        compile_posix(text.removeprefix("!"))
    except ValueError as error:
        raise BadValueError(
            f"{excerpt(text)} is not a regular expression: {error}",
            accepted="a POSIX extended regular expression",
        ) from None
    if not text.removeprefix("!"):
        raise BadValueError("the expression is empty", accepted="a POSIX extended regular expression")
    return text


def _reaction(attribute: Attribute, text: str) -> str:
    """A word of the list, or a handler; a word that is nearly one of the list is taken for a typing error."""
    if text in attribute.choices:
        return text
    nearest = nearest_name(text, attribute.choices)
    if nearest is not None and "." not in text and "/" not in text:
        raise BadValueError(f"{excerpt(text)} is not an action", accepted=accepted(attribute), nearest=nearest)
    return _path(Kind.RELATIVE_PATH, text)


def is_address(text: str) -> bool:
    """Is this what an attribute of kind address accepts?"""
    try:
        _address(text)
    except BadValueError:
        return False
    return True
