"""A census finds exactly what comparing name by name finds, and costs nothing where directories are equal."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from holdfast.errors import PeerError

from services.rfs import census, rows
from services.rfs.comparing import Search
from services.rfs.core import census as codec
from services.rfs.core.census import Census
from services.rfs.core.paths import Entry, Extent
from services.rfs.core.rows import Row

ROW = Row(b"name", 0o100644, 1, 2, 3, 4, 0, 2, 77, 0)


@dataclass
class Side:
    """As much of a tree as comparing needs."""

    path: Path
    root_fd: int
    index: int = 0

    def is_excluded(self, path: bytes) -> bool:
        return path.startswith(b"excluded")


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(Side(tmp_path / name, os.open(tmp_path / name, os.O_RDONLY | os.O_DIRECTORY)))
    yield made[0], made[1]
    for side in made:
        os.close(side.root_fd)


def populate(top: Path) -> None:
    """Files, directories, links of both kinds, something excluded."""
    for directory in ("a", "a/b", "a/b/c", "d", "e"):
        (top / directory).mkdir()
        for number in range(3):
            (top / directory / f"f{number}").write_bytes(b"x" * number)
    os.link(top / "d/f1", top / "e/g1")
    os.link(top / "d/f2", top / "e/g2")
    (top / "a/s").symlink_to("nowhere")
    (top / "excluded").write_bytes(bytes(random.Random().randrange(1, 100)))


def same_times(one: Side, two: Side) -> None:
    for place, names, files in os.walk(one.path, topdown=False):
        for name in (*names, *files, "."):
            source = Path(place, name)
            target = two.path / source.relative_to(one.path)
            if target.is_symlink() or target.exists():
                os.utime(target, ns=(0, source.lstat().st_mtime_ns), follow_symlinks=False)


def by_rows(one: Side, two: Side) -> list[Entry]:
    search = Search(one, b"", Extent.SUBTREE, ({}, {}))  # type: ignore[arg-type]
    for directory, theirs in rows.walk(two.root_fd, b"", two.is_excluded):
        search.compare(directory, theirs)
    return found(search)


def by_census(one: Side, two: Side) -> tuple[list[Entry], list[bytes]]:
    """What was found, and which directories had to be told name by name."""
    search = Search(one, b"", Extent.SUBTREE, ({}, {}))  # type: ignore[arg-type]
    asked: list[bytes] = []
    with census.own_directory():
        for theirs in list(census.walk(two.root_fd, b"", two.is_excluded)):
            for told in codec.decode(codec.encode(theirs)):
                search.count(told)
    while (directory := search.next_differing()) is not None:
        asked.append(directory)
        search.compare_differing(directory, rows.rows_in(two.root_fd, directory, two.is_excluded) or [])
    return found(search), asked


def found(search: Search) -> list[Entry]:
    return sorted(search.found(), key=lambda entry: (entry.path, entry.extent.value))


def linked_otherwise(top: Path) -> None:
    """The same names, contents and times; other pairs of them are one file."""
    for name in ("g1", "g2"):
        (top / f"e/{name}").unlink()
    os.link(top / "d/f2", top / "e/g1")
    os.link(top / "d/f1", top / "e/g2")


CHANGES: dict[str, Callable[[Path], object]] = {
    "nothing": lambda top: None,
    "size": lambda top: (top / "a/b/f2").write_bytes(b"longer"),
    "mode": lambda top: (top / "a/b/c/f0").chmod(0o601),
    "time": lambda top: os.utime(top / "e/f0", ns=(0, 5)),
    "directory's mode": lambda top: (top / "a/b").chmod(0o711),
    "missing file": lambda top: (top / "a/f1").unlink(),
    "more": lambda top: (top / "a/b/new").touch(),
    "missing directory": lambda top: shutil.rmtree(top / "a/b"),
    "more directories": lambda top: (top / "a/n/m").mkdir(parents=True),
    "another type": lambda top: (shutil.rmtree(top / "a/b/c"), (top / "a/b/c").touch()),
    "target": lambda top: ((top / "a/s").unlink(), (top / "a/s").symlink_to("elsewhere")),
    "attribute": lambda top: os.setxattr(top / "a/f0", "user.colour", b"green"),
    "one name less": lambda top: (top / "e/g1").unlink(),
    "one name more": lambda top: os.link(top / "a/f0", top / "a/b/also"),
    "other links": linked_otherwise,
    "excluded": lambda top: (top / "excluded-too").touch(),
}


@pytest.mark.parametrize("which", ["one", "two"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_census_finds_what_comparing_name_by_name_finds(sides: tuple[Side, Side], change: str, which: str) -> None:
    one, two = sides
    for side in sides:
        populate(side.path)
    same_times(one, two)
    try:
        CHANGES[change]((one if which == "one" else two).path)
    except OSError as error:
        pytest.skip(f"this file system cannot do it: {error}")
    if change != "time":
        same_times(one, two)
    entries, asked = by_census(one, two)
    assert entries == by_rows(one, two)
    if change in ("nothing", "excluded"):
        assert [entry.path for entry in entries] == [b""]
        assert asked == []
    elif change != "other links":
        assert len(entries) > 1
        assert len(asked) <= 2


def test_a_directory_that_came_after_the_walk_is_left_to_be_looked_into(sides: tuple[Side, Side]) -> None:
    one, two = sides
    for side in sides:
        populate(side.path)
    same_times(one, two)
    search = Search(one, b"", Extent.SUBTREE, ({}, {}))  # type: ignore[arg-type]
    with census.own_directory():
        for theirs in census.walk(two.root_fd, b"", two.is_excluded):
            if theirs.directory != b"a/b":
                search.count(theirs)
    assert Entry(tree=0, path=b"a/b", extent=Extent.SUBTREE) in search.found()


def test_the_working_directory_is_put_back(sides: tuple[Side, Side]) -> None:
    before = os.getcwd()
    with census.own_directory():
        assert census.take(sides[0].root_fd, b"", sides[0].is_excluded) is not None
        assert os.getcwd() == str(sides[0].path)
    assert os.getcwd() == before


def test_what_is_no_directory_has_no_census(sides: tuple[Side, Side]) -> None:
    one, _ = sides
    (one.path / "file").touch()
    with census.own_directory():
        assert census.take(one.root_fd, b"file", one.is_excluded) is None
        assert census.take(one.root_fd, b"gone", one.is_excluded) is None


def test_several_in_one_message_come_out_as_they_went_in() -> None:
    told = [
        Census(directory=b"a", digest=bytes(range(16))),
        Census(directory=b"b", rows=[ROW, ROW]),
        Census(directory=b"", digest=bytes(16)),
    ]
    assert list(codec.decode(b"".join(map(codec.encode, told)))) == told


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_message_that_was_cut_is_refused(cut: int) -> None:
    message = codec.encode(Census(directory=b"abc", digest=bytes(16)))
    with pytest.raises(PeerError):
        list(codec.decode(message[:-cut]))
