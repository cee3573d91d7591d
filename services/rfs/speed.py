"""How fast this node's last resync of some size was, for estimates. Losing it costs nothing but precision."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from services.rfs.resync import Counts

log = logging.getLogger("holdfast.rfs.resync")

MEASURED_BYTES_MIN = 32 << 20
"""A resync that copied less says little about the network and the disks."""
ASSUMED_BYTES_PER_SECOND = 90_000_000
"""Before any was measured: about 1 TB in three hours, what a network of 1 Gbit/s gives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """source: limited (by configuration) | measured (at the last resync) | assumed."""

    bytes_per_second: int
    source: str


class SpeedMemory:
    """The speed of the last resync, in one small file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, counts: Counts, now_ns: int) -> None:
        """Remember how fast a resync was that has just ended."""
        spent_ns = now_ns - counts.started_ns
        if counts.bytes_sent < MEASURED_BYTES_MIN or spent_ns <= 0:
            return
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps({"bytes_per_second": counts.bytes_sent * 1_000_000_000 // spent_ns}))
            os.replace(temporary, self._path)
        except OSError as error:
            log.warning("the speed of the resync is not kept: %s", error)

    def expect(self, limit: int) -> Speed:
        """What the next resync may reach; `limit`: the configured one in bytes per second, 0 for none."""
        measured = self._read()
        known = measured or ASSUMED_BYTES_PER_SECOND
        if 0 < limit < known:
            return Speed(bytes_per_second=limit, source="limited")
        return Speed(bytes_per_second=known, source="measured" if measured else "assumed")

    def _read(self) -> int:
        try:
            value = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return 0
        found = value.get("bytes_per_second") if isinstance(value, dict) else None
        return found if isinstance(found, int) and found > 0 else 0
