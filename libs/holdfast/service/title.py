"""Names a forked process, so that ps, top and the lab show the service and not the program it was forked from."""

from __future__ import annotations

import ctypes
from pathlib import Path

PR_SET_NAME = 15
"""linux/prctl.h; the kernel keeps the first 15 bytes."""
_ARG_START_FIELD = 48
"""proc(5), /proc/pid/stat: addresses of the beginning and the end of the command line are fields 48 and 49."""


def set_title(text: str) -> None:
    """Set the process's short name and write `text` over its command line, as far as it has room."""
    data = text.encode()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_NAME, data[:15] + b"\0")
    start, end = _command_line()
    room = end - start
    if start and room > 0:
        # The kernel reads the command line from this memory each time it is asked for (proc(5), cmdline).
        ctypes.memmove(start, data[: room - 1].ljust(room, b"\0"), room)


def _command_line() -> tuple[int, int]:
    # The second field (the name, in parentheses) may hold blanks; the rest is counted from behind it.
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    position = _ARG_START_FIELD - 3
    return int(fields[position]), int(fields[position + 1])
