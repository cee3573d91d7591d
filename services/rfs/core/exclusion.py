"""Which paths of a replicated directory are not replicated. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from holdfast.errors import ConfigError


def exclusion(paths: Sequence[str], patterns: Sequence[str]) -> Callable[[bytes], bool]:
    """A predicate on relative paths: `paths` and all below them; entry names that a pattern matches, and all below.

    A pattern with a leading `!` excludes the names that it does not match. Raises ConfigError for a pattern that is no
    regular expression.
    """
    prefixes = tuple(_bytes(path.strip("/")) for path in paths if path.strip("/"))
    tests = tuple(_compiled(pattern) for pattern in patterns)
    if not prefixes and not tests:
        return lambda path: False

    def is_excluded(path: bytes) -> bool:
        if any(path == prefix or path.startswith(prefix + b"/") for prefix in prefixes):
            return True
        return (
            bool(tests)
            and bool(path)
            and any(
                (expression.search(name) is None) is when_absent
                for name in path.split(b"/")
                for expression, when_absent in tests
            )
        )

    return is_excluded


def _compiled(pattern: str) -> tuple[re.Pattern[bytes], bool]:
    """The expression, and whether a name is excluded when it is absent from it."""
    inverted = pattern.startswith("!")
    text = pattern[1:] if inverted else pattern
    try:
        return re.compile(_bytes(text)), inverted
    except re.error as error:
        raise ConfigError(f"regexpath {pattern!r} is no regular expression: {error}") from error


def _bytes(text: str) -> bytes:
    """A name from the configuration as it stands on disk (names may hold any bytes; see os.fsencode)."""
    return text.encode("utf-8", "surrogateescape")
