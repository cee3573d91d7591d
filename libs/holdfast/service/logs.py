"""Diagnostic logs: one bounded file per service, one JSON object per record, warnings also on standard error."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time

from holdfast.errors import StorageError
from holdfast.settings import NodeSettings

LOG_BYTES_MAX = 4 << 20
LOG_FILES_KEPT = 3
"""Rotated files beside the one written to: 16 MiB per service in all."""
TEXT_CHARS_MAX = 16 << 10
"""Of one message or one exception; an output or a packet quoted in full must not push everything else out."""


BURST_MAX = 10
WINDOW_S = 10.0
"""Of records with the same wording (before values are put in) so many are kept in this time: more than any work of ours
makes, and few enough that rubbish on a socket fills no log."""
WORDINGS_MAX = 256
"""Wordings that are counted at once; a program has fewer."""


class Sparing(logging.Filter):
    """Keeps the first BURST_MAX records of a wording in each window; the first of a later one tells how many were
    not kept (`unlogged`)."""

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, int, str], tuple[float, int]] = {}
        """Wording → when its window began, and how many records have come in it."""

    def filter(self, record: logging.LogRecord) -> bool:
        wording = (record.name, record.levelno, str(record.msg)[:TEXT_CHARS_MAX])
        began_at, count = self._windows.get(wording, (0.0, 0))
        if not 0 <= record.created - began_at < WINDOW_S:
            record.unlogged = max(0, count - BURST_MAX)
            if len(self._windows) >= WORDINGS_MAX:
                self._windows.clear()
            began_at, count = record.created, 0
        self._windows[wording] = (began_at, count + 1)
        return count < BURST_MAX


class JsonLines(logging.Formatter):
    """time (UTC, ms), level, logger, message; the exception, and how many like it were not kept, when there are any."""

    def format(self, record: logging.LogRecord) -> str:
        body = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _bounded(record.getMessage()),
        }
        if getattr(record, "unlogged", 0):
            body["unlogged"] = f"{getattr(record, 'unlogged', 0)} records like this one before it"
        if record.exc_info:
            body["exception"] = _bounded(self.formatException(record.exc_info))
        return json.dumps(body)


def _bounded(text: str) -> str:
    """The first and the last part of a long text: what was attempted, and how it ended."""
    if len(text) <= TEXT_CHARS_MAX:
        return text
    half = TEXT_CHARS_MAX // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters left out … {text[-half:]}"


def configure_logs(settings: NodeSettings, service: str) -> None:
    """Send everything from level info to `<state>/log/<service>.log`, and warnings to standard error.

    Raises StorageError when the file cannot be opened.
    """
    path = settings.state_dir / "log" / f"{service}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        keep = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_KEPT)
    except OSError as error:
        raise StorageError(f"{path}: the log cannot be opened: {error}") from error
    keep.setFormatter(JsonLines())
    keep.addFilter(Sparing())
    loud = logging.StreamHandler(sys.stderr)
    loud.setLevel(logging.WARNING)
    loud.addFilter(Sparing())
    loud.setFormatter(logging.Formatter(f"{service}: %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [keep, loud]
    root.setLevel(logging.INFO)
