"""Diagnostic logs: one bounded file per service, one JSON object per record, warnings also on standard error."""

from __future__ import annotations

import json
import logging
import logging.handlers
import sys
import time

from holdfast.settings import NodeSettings

LOG_BYTES_MAX = 4 << 20
LOG_FILES_KEPT = 3


class JsonLines(logging.Formatter):
    """time (UTC, ms), level, logger, message, and the exception when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        body = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            body["exception"] = self.formatException(record.exc_info)
        return json.dumps(body)


def configure_logs(settings: NodeSettings, service: str) -> None:
    """Send everything from level info to `<state>/log/<service>.log`, and warnings to standard error."""
    directory = settings.state_dir / "log"
    directory.mkdir(parents=True, exist_ok=True)
    keep = logging.handlers.RotatingFileHandler(
        directory / f"{service}.log", maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_KEPT
    )
    keep.setFormatter(JsonLines())
    loud = logging.StreamHandler(sys.stderr)
    loud.setLevel(logging.WARNING)
    loud.setFormatter(logging.Formatter(f"{service}: %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [keep, loud]
    root.setLevel(logging.INFO)
