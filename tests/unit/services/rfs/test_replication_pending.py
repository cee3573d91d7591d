"""Which operations stay out of the stream while a resync is under way."""

from __future__ import annotations

from services.rfs.core import operations as ops
from services.rfs.core.exclusion import exclusion
from services.rfs.core.paths import Entry, Extent
from services.rfs.core.pending import Pending


def pending(*paths: bytes, directories: tuple[bytes, ...] = ()) -> Pending:
    entries = iter([Entry(tree=0, path=path, extent=Extent.WHOLE) for path in paths])
    return Pending(entries, lambda tree, path: path in directories)


def write(path: bytes) -> ops.Write:
    return ops.Write(tree=0, path=path, offset=0, data=b"x")


def rename(path: bytes, target: bytes) -> ops.Rename:
    return ops.Rename(tree=0, path=path, target=target, flags=0, parent_mtime_ns=0, target_parent_mtime_ns=0)


def test_an_operation_on_a_pending_path_is_withheld_and_others_are_not() -> None:
    state = pending(b"a")
    assert state.withholds(write(b"a"))
    assert not state.withholds(write(b"b"))


def test_writes_while_a_path_is_looked_at_are_collected_and_after_it_is_admitted_streamed() -> None:
    state = pending(b"a")
    assert state.examine(0, b"a") is not None
    assert state.withholds(write(b"a"))
    touched = state.admit(0, b"a")
    assert touched is not None
    assert touched.zones == {0}
    assert not state.withholds(write(b"a"))
    state.done(0, b"a")
    assert state.is_empty


def test_a_rename_takes_a_path_that_is_being_copied_back_to_pending() -> None:
    state = pending(b"a")
    state.examine(0, b"a")
    state.admit(0, b"a")
    assert state.withholds(rename(b"a", b"b"))
    assert not state.is_equalising(0, b"a")
    assert {b"a", b"b"} <= {path for _, path in state.set.paths()}


def test_a_directory_with_something_pending_below_it_moves_as_a_whole() -> None:
    state = pending(b"d/x", directories=(b"e",))
    assert state.withholds(rename(b"d", b"e"))
    assert [path for _, path, _ in state.set.subtrees()] == [b"d", b"e"]


def test_removing_a_directory_waits_for_what_is_pending_below_it() -> None:
    state = pending(b"d/x")
    assert state.withholds(ops.RemoveDirectory(tree=0, path=b"d", parent_mtime_ns=0))


def test_an_interrupted_resync_leaves_everything_unfinished() -> None:
    state = pending(b"a", b"b", b"c")
    state.examine(0, b"a")
    state.examine(0, b"b")
    state.admit(0, b"b")
    state.equal(0, b"c")
    again = pending()
    for entry in state.remaining():
        again.set.add(entry)
    assert again.set.paths() == [(0, b"a"), (0, b"b")]
    change = again.set.change(0, b"a")
    assert change is not None
    assert change.zones is None


def test_exclusion_covers_paths_names_and_what_is_below() -> None:
    is_excluded = exclusion(("log", "run/x"), (r"\.tmp$",))
    excluded = (b"log", b"log/a", b"run/x/y", b"a.tmp", b"d/a.tmp/z")
    assert all(is_excluded(path) for path in excluded)
    assert not any(is_excluded(path) for path in (b"", b"logs", b"run", b"a.tmpx"))


def test_an_inverted_pattern_replicates_only_what_matches() -> None:
    is_excluded = exclusion((), ("!^keep",))
    assert is_excluded(b"other")
    assert not is_excluded(b"keep-this")
