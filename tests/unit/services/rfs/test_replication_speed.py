"""What the next resync may reach, from the last one, the configuration, or an assumption."""

from __future__ import annotations

from pathlib import Path

from services.rfs.resync import Counts
from services.rfs.speed import ASSUMED_BYTES_PER_SECOND, Speed, SpeedMemory

GB = 1_000_000_000


def test_speed_is_measured_at_a_resync_of_some_size(tmp_path: Path) -> None:
    memory = SpeedMemory(tmp_path / "speed.json")
    assert memory.expect(0) == Speed(bytes_per_second=ASSUMED_BYTES_PER_SECOND, source="assumed")
    memory.note(Counts(bytes_sent=1000, started_ns=0), GB)
    assert memory.expect(0).source == "assumed"
    memory.note(Counts(bytes_sent=GB, started_ns=GB), 5 * GB)
    assert memory.expect(0) == Speed(bytes_per_second=GB // 4, source="measured")
    assert memory.expect(10_000) == Speed(bytes_per_second=10_000, source="limited")
    assert memory.expect(2 * GB) == Speed(bytes_per_second=GB // 4, source="measured")


def test_unreadable_memory_costs_only_precision(tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text("rubbish")
    assert SpeedMemory(tmp_path / "speed.json").expect(0).source == "assumed"
    SpeedMemory(tmp_path / "missing" / "speed.json").note(Counts(bytes_sent=GB, started_ns=0), GB)
