"""After an orderly stop the directories are ordinary files; what anybody does to them then is found and made equal."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.clock import SystemClock

from services.rfs.changes import ChangeJournal
from services.rfs.copy_state import Stoppage
from services.rfs.core.paths import Extent
from services.rfs.survey import SLACK_NS, Survey
from tests.bench.rfs_pair import Node, bring_in_step, pair
from tests.integration.rfs.replication_kit import PlainTree, differences, until

pytestmark = [pytest.mark.root, pytest.mark.filterwarnings("error")]

FILE_BYTES = 600_000
CHANGED_NAMES_MAX = 11
"""What `change` touches: eight names and the two directories that hold them; a new directory is looked at once more for
what is in it. There are 26 names in all."""
EDIT = b"edited while nobody looked"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """Two nodes that were in step with some files, and then stopped."""
    with pair(tmp_path) as (one, two):
        populate(one.directory)
        changed_at = max(newest(one.directory), newest(two.directory))
        until(lambda: SystemClock().wall_ns() > changed_at + SLACK_NS, what="everything is older than the slack")
        stop(one, two)
        for node in (one, two):
            # As two checkpoints leave it: what was done in step needs no look any more.
            for segment in (node.state / "changes").glob("segment-*"):
                segment.unlink()
        yield one, two


def populate(top: Path) -> None:
    for place in ("kept", "kept/deep", "edited", "moved", "moved/deep"):
        (top / place).mkdir()
        for number in range(4):
            (top / place / f"f{number}").write_bytes(os.urandom(FILE_BYTES))
    (top / "kept/link").symlink_to("/etc/passwd")


def newest(top: Path) -> int:
    """The latest change time at and below `top`, in nanoseconds."""
    return max(found.lstat().st_ctime_ns for found in (top, *top.rglob("*")))


def stop(*nodes: Node) -> None:
    for node in nodes:
        node.order("off")
        node.until(lambda report: report.get("mode") == "off" and not report.get("mounted"), "off")


def start(primary: Node, secondary: Node) -> None:
    primary.order("primary")
    primary.until(lambda report: report.get("writable"), "primary")
    secondary.order("secondary")
    bring_in_step(primary, secondary)


def change(top: Path) -> int:
    """Everything that can be done to files; return how many bytes have to be copied when it is done on the primary."""
    edited = top / "edited/f0"
    before = edited.stat()
    with edited.open("r+b") as file:
        file.seek(1000)
        file.write(EDIT)
    # An edit that neither size nor modification time tells.
    os.utime(edited, ns=(before.st_atime_ns, before.st_mtime_ns))
    (top / "edited/new").write_bytes(b"n" * 5000)
    (top / "edited/f1").unlink()
    (top / "edited/f2").chmod(0o600)
    (top / "edited/f3").rename(top / "edited/g3")
    (top / "edited/directory").mkdir()
    (top / "at-the-top").write_bytes(b"t" * 100)
    return FILE_BYTES + 5000 + FILE_BYTES + 100


def exchange_directories(top: Path) -> None:
    """Two directories take each other's name: what is in them is older than the stop."""
    (top / "moved").rename(top / "for-a-moment")
    (top / "kept").rename(top / "moved")
    (top / "for-a-moment").rename(top / "kept")


def test_what_was_changed_on_the_primary_to_be_is_copied_and_nothing_else(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    expected = change(one.directory)
    start(one, two)
    assert one.report["progress"]["kind"] == "difference"
    assert one.report["progress"]["bytes_done"] == expected
    assert one.report["progress"]["files_done"] <= CHANGED_NAMES_MAX
    stop(two, one)
    assert differences(one.directory, two.directory) == []
    assert EDIT in (two.directory / "edited/f0").read_bytes()


def test_what_was_changed_on_the_secondary_to_be_is_undone(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    change(two.directory)
    start(one, two)
    assert one.report["progress"]["kind"] == "difference"
    # The edited file, the removed one, and the one that was given another name.
    assert one.report["progress"]["bytes_done"] == 3 * FILE_BYTES
    assert one.report["progress"]["files_done"] <= CHANGED_NAMES_MAX
    stop(two, one)
    assert differences(one.directory, two.directory) == []
    assert not (two.directory / "edited/new").exists()
    assert EDIT not in (two.directory / "edited/f0").read_bytes()


@pytest.mark.parametrize("where", [0, 1])
def test_directories_that_exchanged_their_names_are_found_whole(nodes: tuple[Node, Node], where: int) -> None:
    one, two = nodes
    exchange_directories(nodes[where].directory)
    start(one, two)
    stop(two, one)
    assert differences(one.directory, two.directory) == []


def test_changes_on_both_sides_end_as_the_primary_has_them(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    change(one.directory)
    exchange_directories(two.directory)
    (two.directory / "kept/f1").write_bytes(b"only here")
    start(one, two)
    stop(two, one)
    assert differences(one.directory, two.directory) == []


def test_a_worker_killed_after_the_restart_still_finds_them(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    change(one.directory)
    one.order("primary")
    one.until(lambda report: report.get("writable"), "primary")
    one.kill()
    one.until(lambda report: report.get("writable"), "primary again")
    two.order("secondary")
    bring_in_step(one, two)
    stop(two, one)
    assert differences(one.directory, two.directory) == []


class Stopped:
    """A directory and its journal, as an orderly stop left them."""

    def __init__(self, base: Path) -> None:
        self.tree = PlainTree(0, base / "tree", excluded=lambda path: path.startswith(b"excluded"))
        self.path = base / "tree"
        self.journal = ChangeJournal(base / "journal", trees=1)
        (self.path / "a/b/c").mkdir(parents=True)
        for place in ("a/one", "a/b/two", "a/b/c/three"):
            (self.path / place).write_bytes(b"x")
        (self.path / "excluded").mkdir()

    def stop(self, *, ahead_ns: int = 0) -> None:
        """Record a stop such that everything until now is before it, and everything from now on is later."""
        latest = newest(self.path)
        probe = self.path.parent / "probe"

        def has_passed() -> bool:
            probe.write_bytes(b"")
            return probe.stat().st_ctime_ns > latest + 1

        until(has_passed)
        root = os.fstat(self.tree.root_fd)
        self.journal.state.note_stop(Stoppage(latest + 1 + SLACK_NS + ahead_ns, ((root.st_dev, root.st_ino),)))

    def survey(self) -> set[tuple[bytes, Extent]]:
        survey = Survey([self.tree], self.journal, LaterClock())
        survey.start()
        assert survey.wait(threading.Event())
        survey.stop()
        return {(entry.path, entry.extent) for entry in self.journal.entries().entries()}

    def close(self) -> None:
        self.tree.close()
        self.journal.close()


class LaterClock(SystemClock):
    """A wall clock that has passed the slack."""

    def wall_ns(self) -> int:
        return super().wall_ns() + 2 * SLACK_NS


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Stopped]:
    made = Stopped(tmp_path)
    yield made
    made.close()


def test_nothing_is_noted_when_nothing_was_changed(stopped: Stopped) -> None:
    stopped.stop()
    assert stopped.survey() == set()
    assert stopped.journal.state.stopped is None


def test_exactly_the_changed_names_and_listings_are_noted(stopped: Stopped) -> None:
    stopped.stop()
    (stopped.path / "a/one").write_bytes(b"y")
    (stopped.path / "a/b/c/three").unlink()
    assert stopped.survey() == {(b"a/one", Extent.WHOLE), (b"a/b/c", Extent.LISTING)}


def test_a_renamed_directory_is_noted_with_all_below_it(stopped: Stopped) -> None:
    stopped.stop()
    (stopped.path / "a/b").rename(stopped.path / "a/d")
    assert stopped.survey() == {(b"a", Extent.LISTING), (b"a/d", Extent.SUBTREE)}


def test_excluded_names_and_links_out_of_the_tree_are_not_followed(stopped: Stopped) -> None:
    outside = stopped.path.parent / "outside"
    outside.mkdir()
    stopped.stop()
    (outside / "file").write_bytes(b"")
    (stopped.path / "excluded/file").write_bytes(b"")
    (stopped.path / "a/b/out").symlink_to(outside)
    assert stopped.survey() == {(b"a/b", Extent.LISTING), (b"a/b/out", Extent.WHOLE)}


def test_a_stop_in_the_future_has_all_metadata_compared(stopped: Stopped) -> None:
    stopped.stop(ahead_ns=3600 * 10**9)
    assert (b"", Extent.SUBTREE) in stopped.survey()


def test_another_directory_in_its_place_has_all_metadata_compared(stopped: Stopped) -> None:
    stopped.stop()
    stopped.path.rename(stopped.path.parent / "old")
    stopped.tree.close()
    stopped.tree = PlainTree(0, stopped.path)
    assert (b"", Extent.SUBTREE) in stopped.survey()


def test_a_second_stop_before_the_walk_was_finished_does_not_hide_the_first(stopped: Stopped) -> None:
    stopped.stop()
    first = stopped.journal.state.stopped
    assert first is not None
    stopped.journal.state.note_stop(Stoppage(first.at_ns + 10**12, first.roots))
    assert stopped.journal.state.stopped == first
