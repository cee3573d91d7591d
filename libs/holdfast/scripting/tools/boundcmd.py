"""`boundcmd SECONDS COMMAND ARGUMENTS…`: runs a command for at most so long; exit code 2 when its time was over."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

from holdfast.errors import NotFoundError, OperatorError

TIME_IS_OVER = 2
"""The model's exit code. A command of its own that ends with 2 looks the same."""
SECONDS_MAX = 7 * 24 * 3600
GRACE_S = 2.0
"""Between SIGTERM and SIGKILL, as for scripts."""


def main(words: Sequence[str]) -> int:
    """Return the command's exit code (128+n for signal n), or `TIME_IS_OVER`; its whole process group is ended then."""
    if len(words) < 2 or not words[0].isdigit() or not 0 < int(words[0]) <= SECONDS_MAX:
        raise OperatorError("a time in seconds and a command are needed", hint="boundcmd 30 umount /data")
    try:
        process = subprocess.Popen(words[1:], process_group=0)
    except OSError as error:
        raise NotFoundError(f"{words[1]} cannot be run: {error.strerror}") from error
    # Who ends this program ends the command too: it has a process group of its own.
    signal.signal(signal.SIGTERM, lambda _number, _frame: _end(process))
    try:
        code = process.wait(int(words[0]))
    except subprocess.TimeoutExpired:
        _end(process)
        return TIME_IS_OVER
    return 128 - code if code < 0 else code


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        # The command may be gone and have left others of its group.
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
