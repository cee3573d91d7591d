"""What is noted is found again, by another process, after a torn write, and after too much of it."""

from __future__ import annotations

from pathlib import Path

from services.rfs.changes import ChangeJournal, note_operation
from services.rfs.copy_state import Stoppage
from services.rfs.core import operations as ops
from services.rfs.core.limits import ZONE_BYTES
from services.rfs.core.paths import Entry, Extent, PathSet

BOOT = b"b" * 16


def journal(path: Path, boot: bytes = BOOT) -> ChangeJournal:
    return ChangeJournal(path, trees=1, boot=boot)


def test_notes_survive_the_process(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.note(0, b"whole")
    first.note_data(0, b"data", 3 * ZONE_BYTES - 1, 2)
    first.note_attributes(0, b"mode")
    first.note_subtree(0, b"dir")
    first.close()
    again = journal(tmp_path)
    found = again.entries()
    whole, data, mode = (found.change(0, path) for path in (b"whole", b"data", b"mode"))
    assert whole is not None
    assert whole.zones is None
    assert data is not None
    assert data.zones == {2, 3}
    assert mode is not None
    assert mode.zones == set()
    assert found.subtrees() == [(0, b"dir", Extent.SUBTREE_FULL)]
    assert not again.rebooted
    again.close()


def test_a_repeated_note_costs_no_write(tmp_path: Path) -> None:
    noted = journal(tmp_path)
    noted.note_data(0, b"f", 0, 10)
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    for offset in range(0, ZONE_BYTES, 4096):
        noted.note_data(0, b"f", offset, 4096)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == size
    noted.close()


def test_another_boot_is_noticed_and_a_torn_record_ends_the_segment(tmp_path: Path) -> None:
    noted = journal(tmp_path)
    noted.note(0, b"a")
    noted.note(0, b"b")
    noted.close()
    segment = max(tmp_path.glob("segment-*"))
    segment.write_bytes(segment.read_bytes()[:-1])
    again = journal(tmp_path, boot=b"c" * 16)
    assert again.rebooted
    assert again.entries().paths() == [(0, b"a")]
    again.close()


def test_a_checkpoint_forgets_what_it_covers_but_not_what_remains(tmp_path: Path) -> None:
    noted = journal(tmp_path)
    noted.note(0, b"old")
    noted.note(0, b"pending")
    segment = noted.rotate()
    noted.note(0, b"new")
    noted.drop_through(segment, [Entry(tree=0, path=b"pending", extent=Extent.WHOLE)])
    assert noted.entries().paths() == [(0, b"new"), (0, b"pending")]
    noted.drop_through(noted.rotate())
    assert noted.entries().paths() == []
    noted.close()


def test_directories_in_another_order_have_nothing_in_common(tmp_path: Path) -> None:
    noted = journal(tmp_path)
    noted.use_directories(("/a", "/b"))
    noted.last_session = "s"
    noted.use_directories(("/a", "/b"))
    assert noted.last_session == "s"
    noted.use_directories(("/b", "/a"))
    assert noted.last_session == ""
    noted.close()


def test_names_and_their_directories_are_noted(tmp_path: Path) -> None:
    noted = journal(tmp_path)
    note_operation(
        noted,
        ops.Rename(tree=0, path=b"d/a", target=b"b", flags=0, parent_mtime_ns=0, target_parent_mtime_ns=0),
    )
    assert noted.entries().paths() == [(0, b""), (0, b"b"), (0, b"d"), (0, b"d/a")]
    noted.close()


def test_too_many_entries_become_a_comparison_of_the_tree() -> None:
    found = PathSet(limit=100)
    for number in range(101):
        found.add(Entry(tree=0, path=b"%d" % number, extent=Extent.WHOLE))
    assert found.subtrees() == [(0, b"", Extent.SUBTREE)]
    assert found.paths() == []


def test_what_is_below_a_new_directory_is_covered_but_not_what_is_below_a_touched_one() -> None:
    found = PathSet()
    found.add(Entry(tree=0, path=b"new", extent=Extent.WHOLE))
    found.add(Entry(tree=0, path=b"touched", extent=Extent.ATTRIBUTES))
    assert found.covers(0, b"new/a/b")
    assert not found.covers(0, b"touched/a")
    assert not found.covers(1, b"new")


def test_a_larger_reach_swallows_a_smaller_one_and_survives_its_comparison() -> None:
    found = PathSet()
    found.add(Entry(tree=0, path=b"d", extent=Extent.LISTING))
    found.add(Entry(tree=0, path=b"d", extent=Extent.SUBTREE))
    found.add(Entry(tree=0, path=b"d", extent=Extent.LISTING))
    assert found.subtrees() == [(0, b"d", Extent.SUBTREE)]
    assert found.covers(0, b"d/below/deep")
    found.discard_subtree(0, b"d", Extent.LISTING)
    assert found.subtrees() == [(0, b"d", Extent.SUBTREE)]
    found.discard_subtree(0, b"d", Extent.SUBTREE)
    assert not len(found)


def test_a_stop_is_kept_until_it_is_looked_into(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.last_session = "s"
    stoppage = Stoppage(7, ((1, 2), (3, 4)))
    first.state.note_stop(stoppage)
    first.close()
    again = journal(tmp_path)
    assert again.state.stopped == stoppage
    again.state.note_stop(Stoppage(9, ()))
    assert again.state.stopped == stoppage
    again.state.forget_stop()
    assert again.state.stopped is None
    assert again.last_session == "s"
    again.close()
