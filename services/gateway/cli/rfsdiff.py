"""`holdfast rfsdiff`."""

from __future__ import annotations

from holdfast.errors import EnvironmentFaultError

from services.gateway.cli.client import Json, call, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show

KINDS = {
    "difference": "by difference",
    "compare": "by comparing all metadata, for a machine went down without an orderly stop",
    "full": "in full: the copies have no common point known here, or a full resynchronisation was ordered",
}
SPEEDS = {
    "measured": "as at the last one",
    "limited": "the configured limit",
    "assumed": "assumed, none was measured yet",
}
UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")


def run(module: ModuleOption, as_json: JsonOption = False) -> None:
    """Estimate what a resynchronisation of the other node would copy at most, and how long that takes.

    Ask the primary: it counts what it has changed. What the other copy has changed itself comes on top.
    Looks at every file concerned, and hinders nobody.

    Example: holdfast rfsdiff -m shop
    """
    found = call("POST", path_of("modules", module, "estimate"), {}, timeout_s=None)
    if found["error"]:
        raise EnvironmentFaultError(f"the resynchronisation could not be estimated: {found['error']}")
    show(found, as_json=as_json, text=_text(module, found))


def _text(module: str, found: Json) -> str:
    lines = [
        f"{module}: resynchronised {KINDS.get(found['kind'], found['kind'])}",
        f"to copy: at most {found['files']} files, {_amount(found['bytes'])}, about {_span(found['seconds'])} at "
        f"{_amount(found['bytes_per_second'])}/s ({SPEEDS.get(found['speed'], found['speed'])})",
    ]
    if found["names"]:
        lines.append(f"to compare: {found['names']} names; what differs among them is copied as well")
    return "\n".join(lines)


def _amount(count: float) -> str:
    """A number of bytes as people say it, in powers of ten."""
    place = 0
    while count >= 1000 and place < len(UNITS) - 1:
        count, place = count / 1000, place + 1
    return f"{count:.0f} {UNITS[place]}" if place == 0 else f"{count:.1f} {UNITS[place]}"


def _span(seconds: float) -> str:
    """A time as people say it."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{max(1, whole)} s"
