"""Identifiers: one type per kind, never a bare string, and the characters they may hold.

Names become bus subjects, file names and interface labels, so they are limited to letters, digits, dash and
underscore (a dot would split a subject).
"""

from __future__ import annotations

import re
from typing import NewType

from holdfast.errors import OperatorError

NodeId = NewType("NodeId", str)
ModuleId = NewType("ModuleId", str)
ClusterId = NewType("ClusterId", str)
Epoch = NewType("Epoch", int)
"""Grows at each change of primary; an older epoch is refused (fencing token)."""
Generation = NewType("Generation", str)
"""Names one history of the data; a new one begins whenever two copies may part ways."""
Session = NewType("Session", str)
"""Names one period in which primary and secondary are in step; empty when there is none."""

NAME_LENGTH_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")

NO_SESSION = Session("")


def checked_name(kind: str, text: str) -> str:
    """Return `text` if it may name a node, module or cluster; raise OperatorError that says what is accepted."""
    if not _NAME.match(text):
        raise OperatorError(
            f"{kind} name {text!r} is not valid",
            hint=f"1 to {NAME_LENGTH_MAX} letters, digits, dashes or underscores",
        )
    return text
