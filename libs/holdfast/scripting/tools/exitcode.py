"""`exitcode N`: ends with this exit code, for scripts in languages that cannot."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors import OperatorError

CODE_MAX = 255


def main(words: Sequence[str]) -> int:
    if len(words) != 1 or not words[0].isdigit() or int(words[0]) > CODE_MAX:
        raise OperatorError("one exit code is needed", hint=f"exitcode 0 to {CODE_MAX}")
    return int(words[0])
