"""Sizes of what comes in from outside."""

from __future__ import annotations

from holdfast.config.layout import PACKAGE_BYTES_MAX

BODY_BYTES_MAX = PACKAGE_BYTES_MAX
"""Of one request; the largest thing that is sent is a package."""
RESOURCE_CHARS_MAX = 128
VALUE_CHARS_MAX = 1024
TEXT_CHARS_MAX = 4096
"""Of a line that a script writes into the log."""
WHO_CHARS_MAX = 128
LINES_MAX = 10_000
