"""A worker is killed at every single step of an operation, and the next one is sent the request again.

A step is each system call, each change of the node map, each intent and each record, with a death before and after
it. Afterwards the tree must be as if nothing had happened, the stream must give the same tree on the other node, and
what applications hold open must still be the same files: they write to them through their node ids.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from services.rfs import libc
from services.rfs.applied import AppliedState
from services.rfs.applier import Applier
from services.rfs.changes import ChangeJournal
from services.rfs.core.operations import Operation, Write
from services.rfs.disk import Disk
from services.rfs.filesystem import IN, OUT, FileSystem, Options
from services.rfs.fuse import abi
from services.rfs.fuse.device import Request
from services.rfs.handlers import files, names
from services.rfs.intents import Intent, Intents
from services.rfs.node_map import NodeMap
from services.rfs.nodes import HIDDEN_DIRECTORY, Descriptor, NodeTable
from services.rfs.syncing import Syncing

COLLAPSE, INSERT = 8, 32
BLOCK = 4096
UMASK = 0o027
"""Of the callers. A worker's thread sets it for itself; here that is this process, which `umask` puts right again."""
OWNER = (os.getuid(), os.getgid())
Handler = Callable[[FileSystem, Request], int]


class KilledError(BaseException):
    """The worker's process ends here; only what is on disk or mapped stays."""


class Steps:
    """Counts the steps, and kills at the one that is due."""

    def __init__(self) -> None:
        self.count = 0
        self.due = -1

    def reach(self) -> None:
        self.count += 1
        if self.count == self.due:
            raise KilledError


class SteppedDisk(Disk):
    """A death before and after every system call."""

    steps: Steps

    def __init__(self, steps: Steps) -> None:
        self.steps = steps


def _stepped(call: Callable[..., object]) -> Callable[..., object]:
    def stepped(self: SteppedDisk, step: str, *arguments: object) -> object:
        self.steps.reach()
        result = call(self, step, *arguments)
        self.steps.reach()
        return result

    return stepped


for _name, _call in list(vars(Disk).items()):
    if not _name.startswith("_"):
        setattr(SteppedDisk, _name, _stepped(_call))


class SteppedMap(NodeMap):
    """A death before and after every change of the node map."""

    def __init__(self, path: Path, steps: Steps) -> None:
        self.steps = steps
        super().__init__(path)

    def publish(self) -> None:
        self.steps.reach()
        super().publish()
        self.steps.reach()

    def remove(self, slot: int) -> None:
        self.steps.reach()
        super().remove(slot)
        self.steps.reach()


class SteppedIntents(Intents):
    """A death before and after an intent is noted."""

    def __init__(self, path: Path, steps: Steps) -> None:
        self.steps = steps
        super().__init__(path)

    def note(self, request: int, intent: Intent) -> None:
        self.steps.reach()
        super().note(request, intent)
        self.steps.reach()


class Stream:
    """The `Replication` port; what was recorded stays when the worker dies."""

    def __init__(self, steps: Steps) -> None:
        self.order = threading.RLock()
        self.steps = steps
        self.recorded: list[Operation] = []

    @property
    def position(self) -> int:
        return len(self.recorded)

    def record(self, operation: Operation) -> int:
        self.steps.reach()
        if isinstance(operation, Write):
            operation = replace(operation, data=bytes(operation.data))
        self.recorded.append(operation)
        self.steps.reach()
        return self.position

    def before(self, paths: tuple[tuple[int, bytes], ...]) -> None:
        self.steps.reach()

    def before_data(self, tree: int, path: bytes, offset: int, length: int) -> None:
        self.steps.reach()

    def before_attributes(self, tree: int, path: bytes) -> None:
        self.steps.reach()

    def wait(self, sequence: int) -> None:
        self.steps.reach()

    def may_write(self) -> bool:
        return True


class Worker:
    """A file system without a kernel: its requests are made by hand. `die` replaces it by a new one."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.tree = place / "tree"
        self.tree.mkdir(parents=True)
        self.steps = Steps()
        self.stream = Stream(self.steps)
        self.held: dict[str, int] = {}
        self._uniques = iter(range(2, 10_000, 2))
        self.fs = self._start()

    def _start(self) -> FileSystem:
        root = Descriptor(os.open(self.tree, os.O_RDONLY | os.O_DIRECTORY))
        nodes = NodeTable(SteppedMap(self.place / "nodes", self.steps), os.fstat(root.fd), lambda path: False)
        fs = FileSystem(
            options=Options(tree=0),
            root=root,
            nodes=nodes,
            intents=SteppedIntents(self.place / "intents", self.steps),
            disk=SteppedDisk(self.steps),
            replication=self.stream,
        )
        fs.is_writable = True
        return fs

    def die(self) -> None:
        self.steps.due = -1
        self.stream.order = threading.RLock()
        self.fs = self._start()

    def request(self, node_id: int, payload: bytes) -> Request:
        request = Request()
        request.unique, request.node_id = next(self._uniques), node_id
        request.uid, request.gid = OWNER
        request.data[IN : IN + len(payload)] = payload
        request.length = IN + len(payload)
        return request

    def do(self, handler: Handler, request: Request) -> bool:
        """Carry a request out, dying where that is due; True when the worker was killed and it was sent again."""
        try:
            handler(self.fs, request)
        except KilledError:
            self.die()
            request.is_resent = True
            request.unique |= abi.UNIQUE_RESEND
            handler(self.fs, request)
            return True
        return False

    def look_up(self, name: str) -> int:
        """The node id of a name at the top, which the kernel then keeps."""
        request = self.request(1, name.encode() + b"\0")
        names.lookup(self.fs, request)
        return int(abi.ENTRY_HEAD.unpack_from(request.out, OUT)[0])

    def open(self, name: str) -> None:
        """An application opens the file, and keeps it open."""
        request = self.request(self.look_up(name), abi.OPEN_IN.pack(os.O_RDWR, 0))
        files.open_file(self.fs, request)
        self.held[name] = request.node_id

    def write(self, node_id: int, text: bytes) -> None:
        self.do(files.write, self.request(node_id, abi.WRITE_IN.pack(1, 0, len(text), 0, 0, 0, 0) + text))

    def contents(self, node_id: int) -> bytes:
        node = self.fs.nodes.get(node_id)
        return os.pread(self.fs.descriptor(node, write=False).fd, 100, 0)


def shown(tree: Path) -> dict[str, bytes | None]:
    """Every name below a directory with the contents of files; hidden files are not shown."""
    found: dict[str, bytes | None] = {}
    for path in sorted(tree.rglob("*")):
        if HIDDEN_DIRECTORY.decode() not in path.parts:
            found[str(path.relative_to(tree))] = path.read_bytes() if path.is_file() else None
    return found


def fill(tree: Path) -> None:
    """The same beginning on both nodes."""
    for name in ("a", "b"):
        (tree / name).write_bytes(name.encode() * 2 * BLOCK)
    (tree / "d").mkdir()


def follow(place: Path, stream: list[Operation]) -> dict[str, bytes | None]:
    """What the other node makes of the stream."""
    copy = place / "copy"
    copy.mkdir()
    fill(copy)
    root = os.open(copy, os.O_RDONLY | os.O_DIRECTORY)
    journal = ChangeJournal(place / "journal", trees=1)
    applier = Applier([root], state=AppliedState(place / "applied"), journal=journal, syncing=Syncing())
    for number, operation in enumerate(stream):
        applier._state.position = number
        applier.apply(operation)
    applier.close()
    os.close(root)
    return shown(copy)


def rename_request(worker: Worker, flags: int = 0) -> Request:
    return worker.request(1, abi.RENAME2_IN.pack(1, flags, 0) + b"a\0b\0")


CASES: dict[str, tuple[Handler, Callable[[Worker], Request]]] = {
    "rename over an open file": (names.rename2, rename_request),
    "exchange": (names.rename2, lambda worker: rename_request(worker, libc.RENAME_EXCHANGE)),
    "rename into a directory": (
        names.rename2,
        lambda worker: worker.request(1, abi.RENAME2_IN.pack(worker.look_up("d"), 0, 0) + b"a\0c\0"),
    ),
    "unlink of an open file": (names.unlink, lambda worker: worker.request(1, b"b\0")),
    "link": (names.make_link, lambda worker: worker.request(1, abi.LINK_IN.pack(worker.held["a"]) + b"c\0")),
    "create": (
        names.create,
        lambda worker: worker.request(1, abi.CREATE_IN.pack(os.O_RDWR | os.O_CREAT, 0o100644, UMASK, 0) + b"c\0"),
    ),
    "make a directory": (
        names.make_directory,
        lambda worker: worker.request(1, abi.MKDIR_IN.pack(0o755, UMASK) + b"c\0"),
    ),
    "remove a directory": (names.remove_directory, lambda worker: worker.request(1, b"d\0")),
    "collapse": (
        files.fallocate,
        lambda worker: worker.request(worker.held["a"], abi.FALLOCATE_IN.pack(1, 0, BLOCK, COLLAPSE, 0)),
    ),
    "insert": (
        files.fallocate,
        lambda worker: worker.request(worker.held["a"], abi.FALLOCATE_IN.pack(1, 0, BLOCK, INSERT, 0)),
    ),
}


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(UMASK)
    yield
    os.umask(before)


def carried_out(place: Path, case: str, due: int) -> tuple[Worker, bool]:
    """One operation, with a death at step `due` (none when it is never reached)."""
    worker = Worker(place)
    fill(worker.tree)
    worker.open("a")
    worker.open("b")
    worker.look_up("d")
    handler, make = CASES[case]
    request = make(worker)
    worker.steps.count, worker.steps.due = 0, due
    was_killed = worker.do(handler, request)
    worker.steps.due = -1
    for name, node_id in worker.held.items():
        worker.write(node_id, f"still {name}".encode())
    return worker, was_killed


@pytest.mark.parametrize("case", CASES)
def test_a_death_at_any_step_changes_nothing(tmp_path: Path, case: str) -> None:
    try:
        wanted, _ = carried_out(tmp_path / "whole", case, due=-1)
    except OSError as error:
        pytest.skip(f"the file system here cannot do it: {error}")
    steps, tree = wanted.steps.count, shown(wanted.tree)
    assert follow(wanted.place, wanted.stream.recorded) == tree
    deaths = 0
    for due in range(1, steps + 1):
        worker, was_killed = carried_out(tmp_path / str(due), case, due)
        deaths += was_killed
        at = f"{case}, killed at step {due}"
        assert shown(worker.tree) == tree, at
        assert follow(worker.place, worker.stream.recorded) == tree, at
        for name, node_id in worker.held.items():
            assert worker.contents(node_id).startswith(f"still {name}".encode()), at
        assert _hidden(worker) == _hidden(wanted), at
        for path in worker.tree.iterdir():
            if path.is_file():
                assert path.stat().st_nlink == (wanted.tree / path.name).stat().st_nlink, at
    assert deaths >= 6, "too few steps for a test of every step"


def test_a_removal_that_is_refused_leaves_no_hidden_name(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "w")
    fill(worker.tree)
    worker.open("b")
    (worker.tree / "full").mkdir()
    worker.look_up("d")
    payload = abi.RENAME2_IN.pack(1, 0, 0) + b"d\0b\0"
    with pytest.raises(OSError, match="Not a directory"):
        names.rename2(worker.fs, worker.request(1, payload))
    assert _hidden(worker) == []
    assert (worker.tree / "b").stat().st_nlink == 1


def test_an_intent_is_found_by_its_request_until_it_is_replaced(tmp_path: Path) -> None:
    intents = Intents(tmp_path / "intents")
    intents.note(2, Intent(before=7, position=9))
    again = Intents(tmp_path / "intents")
    assert again.find(2) == Intent(before=7, position=9)
    assert again.find(4) is None
    for number in range(3, 67):
        intents.note(number, Intent(before=1, position=1))
    assert intents.find(2) is None
    for each in (intents, again):
        each.close()


def _hidden(worker: Worker) -> list[str]:
    with suppress(FileNotFoundError):
        return sorted(os.listdir(worker.tree / HIDDEN_DIRECTORY.decode()))
    return []
