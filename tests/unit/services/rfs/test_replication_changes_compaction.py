"""The change journal stays as large as what differs, and no death while it is rewritten loses a note."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.rfs import changes
from services.rfs.changes import ChangeJournal
from services.rfs.core.paths import Entry, Extent, PathSet
from services.rfs.faults import FaultyDisk

BOOT = b"b" * 16
PATHS = 50
SEGMENT_BYTES = 32 << 10
ROUNDS = 40
STEPS = ("base.open", "base.write", "base.sync", "base.rename", "directory.sync", "segment.remove")

KILLED = """
import sys
from pathlib import Path
from services.rfs.changes import ChangeJournal
from services.rfs.core.paths import Entry, Extent
from services.rfs.faults import FaultyDisk
disk = FaultyDisk()
journal = ChangeJournal(Path(sys.argv[1]), trees=1, boot=b"b" * 16, disk=disk)
for number in range(4):
    journal.note(0, b"again")
    journal.note(0, b"only-%d" % number)
    journal.note_data(0, b"data", number << 20, 1)
    last = journal.rotate()
disk.arm("changes." + sys.argv[2], 0)
match sys.argv[3]:
    case "together":
        journal.take_together()
    case "drop":
        journal.drop_through(last, [Entry(tree=0, path=path, extent=Extent.WHOLE) for path in (b"again", b"data")])
    case "settle":
        journal.settle()
"""


def shown(found: PathSet) -> list[Entry]:
    return sorted(found.entries(), key=lambda entry: (entry.path, entry.extent, entry.zone))


def size(directory: Path) -> int:
    """Bytes in all segments, of a journal that nothing takes together at the moment."""
    return sum(path.stat().st_size for path in directory.glob("segment-*"))


def test_the_size_is_that_of_the_distinct_paths_however_often_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "JOURNAL_SEGMENT_BYTES", SEGMENT_BYTES)
    journal = ChangeJournal(tmp_path, trees=1, boot=BOOT)
    entries = [Entry(tree=0, path=b"some/path/%d" % number, extent=Extent.WHOLE) for number in range(PATHS)]
    for _ in range(ROUNDS * 20):
        journal.note_all(entries)
    assert journal.entries().paths() == sorted((0, entry.path) for entry in entries)
    journal.close()
    again = ChangeJournal(tmp_path, trees=1, boot=BOOT)
    again.take_together()
    assert again.entries().paths() == sorted((0, entry.path) for entry in entries)
    # A base of all paths, and the newest segment; both far below what was noted.
    assert size(tmp_path) < SEGMENT_BYTES
    again.close()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("what", ["together", "settle", "drop"])
def test_no_death_at_any_step_loses_a_note(tmp_path: Path, step: str, what: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), step, what], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    again = ChangeJournal(tmp_path, trees=1, boot=BOOT)
    kept = {b"again", b"data"} if what == "drop" else {b"again", b"data", *(b"only-%d" % n for n in range(4))}
    found = again.entries()
    assert {path for _, path in found.paths()} >= kept
    data = found.change(0, b"data")
    assert data is not None
    assert data.zones is None or data.zones == {0, 1, 2, 3}
    again.take_together()
    assert shown(again.entries()) == shown(found)
    assert not list(tmp_path.glob("*.new"))
    again.close()


def test_a_failure_of_the_disk_leaves_everything_as_it_was(tmp_path: Path) -> None:
    disk = FaultyDisk()
    journal = ChangeJournal(tmp_path, trees=1, boot=BOOT, disk=disk)
    for number in range(3):
        journal.note(0, b"%d" % number)
        journal.rotate()
    before = shown(journal.entries())
    for step in STEPS[:5]:
        disk.arm(f"changes.{step}", 28)
        with pytest.raises(OSError, match="No space left"):
            journal.take_together()
        disk.disarm()
        assert shown(journal.entries()) == before
    journal.take_together()
    assert shown(journal.entries()) == before
    journal.close()


def test_what_was_taken_together_after_a_reboot_still_asks_for_a_comparison(tmp_path: Path) -> None:
    first = ChangeJournal(tmp_path, trees=1, boot=b"a" * 16)
    first.note(0, b"before")
    first.close()
    second = ChangeJournal(tmp_path, trees=1, boot=BOOT)
    second.rotate()
    second.take_together()
    second.close()
    third = ChangeJournal(tmp_path, trees=1, boot=BOOT)
    assert third.rebooted
    third.close()


def test_a_note_behind_a_torn_one_is_found(tmp_path: Path) -> None:
    class Short(FaultyDisk):
        def write(self, step: str, fd: int, data: bytes | bytearray | memoryview) -> int:
            if step == "changes.append" and b"torn" in bytes(data):
                return super().write(step, fd, data[:5])
            return super().write(step, fd, data)

    journal = ChangeJournal(tmp_path, trees=1, boot=BOOT, disk=Short())
    journal.note(0, b"torn")
    journal.note(0, b"whole")
    assert (0, b"whole") in journal.entries().paths()
    assert journal.entries().subtrees() == [(0, b"", Extent.SUBTREE)]
    journal.close()
