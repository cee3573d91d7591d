"""What a request to the state machine holds, checked."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.errors import OperatorError

TEXT_CHARS_MAX = 1024
"""Longest text accepted as a value, a name or an argument."""

Request = Mapping[str, object]


def text_of(request: Request, name: str, default: str | None = None) -> str:
    """Return a text of the request; raise OperatorError when it is missing, too long, or none."""
    value = request.get(name, default)
    if not isinstance(value, str) or len(value) > TEXT_CHARS_MAX or (default is None and not value):
        raise OperatorError(f"{name!r} is missing or not a text of at most {TEXT_CHARS_MAX} characters")
    return value


def flag_of(request: Request, name: str, *, default: bool) -> bool:
    """Return a yes or no of the request; raise OperatorError when it is anything else."""
    value = request.get(name, default)
    if not isinstance(value, bool):
        raise OperatorError(f"{name!r} is neither true nor false")
    return value
