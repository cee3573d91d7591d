"""A lab: made, opened, broken, ended.

with Lab.create("example", nodes=2) as lab:
    lab.node("node1").run(["hostname"])
    lab.cut("node1", lan="lan2", direction=Direction.OUT)
    lab.client.run(["ping", "-c1", "10.77.1.12"])
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from holdfast.lab import fuse, network, power, process
from holdfast.lab.addressing import DEFAULT_LAB, LabName, NodeName, lab_name, lan_names, node_names
from holdfast.lab.cuts import Cut, Direction, cuts_of
from holdfast.lab.errors import LabError, LabNotFoundError, LabUsageError
from holdfast.lab.node import Client, Node
from holdfast.lab.state import LabState, NodeState, directory_of, existing, load, locked, save

DISK_BYTES: Final = 8 * 1024**3
"""Size of a node's disk. The image is sparse: it takes what the node writes."""
DISK_BYTES_MIN: Final = 64 * 1024**2
_INTERRUPTIONS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Lab:
    """A whole cluster on this machine. Used as a context it ends with the context."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.client = Client(directory)

    @classmethod
    def create(
        cls,
        name: str = DEFAULT_LAB,
        *,
        nodes: int = 2,
        lans: int = 2,
        command: Sequence[str] = (),
        disk_bytes: int = DISK_BYTES,
    ) -> Self:
        """Make a lab and start its nodes.

        `command` is what each node runs, and starts again when it ends: usually ("holdfast", "node", "run").
        When anything fails or interrupts, what was made is taken away again. Raises LabUsageError, LabError.
        """
        names, _ = node_names(nodes), lan_names(lans)
        if disk_bytes < DISK_BYTES_MIN:
            raise LabUsageError(f"a disk of {disk_bytes} bytes is too small", hint=f"at least {DISK_BYTES_MIN}")
        directory = directory_of(lab_name(name))
        state = LabState(
            name=LabName(name),
            directory=directory,
            lan_count=lans,
            disk_bytes=disk_bytes,
            command=tuple(command),
            nodes=tuple(NodeState(name=node) for node in names),
        )
        with ExitStack() as undo:
            with _uninterrupted():
                _make_directory(directory)
                undo.callback(destroy, name)
            lab = cls(directory)
            lab._build(state)
            undo.pop_all()
        return lab

    @classmethod
    def open(cls, name: str = DEFAULT_LAB) -> Self:
        """A lab that exists; raises LabNotFoundError."""
        directory = directory_of(lab_name(name))
        load(directory)
        return cls(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def name(self) -> str:
        """The name of the lab."""
        return self.directory.name

    @property
    def state(self) -> LabState:
        """What the lab is now."""
        return load(self.directory)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, in order."""
        return tuple(Node(self.directory, node.name) for node in self.state.nodes)

    def node(self, name: str) -> Node:
        """One node; raises LabNotFoundError."""
        return Node(self.directory, self.state.node(name).name)

    def cut(self, node: str, *, lan: str | None = None, direction: Direction | str = Direction.BOTH) -> None:
        """Lose the packets of a node, on one lan or all; its interfaces stay up."""
        with self._changing() as state:
            name = state.node(node).name
            lans = state.lans if lan is None else (state.lan(lan),)
            self._set_cuts(state, state.cuts | cuts_of(name, lans, Direction(direction)))

    def heal(self, node: str | None = None) -> None:
        """Take away the cuts of a node, or all cuts."""
        with self._changing() as state:
            name = None if node is None else state.node(node).name
            kept = frozenset(cut for cut in state.cuts if name is not None and cut.node != name)
            self._set_cuts(state, kept)

    def unplug(self, node: str, *, lan: str | None = None) -> None:
        """Set the switch ports of a node down, on one lan or all; the node sees its carrier go."""
        self._set_plugged(node, lan, plugged=False)

    def plug(self, node: str, *, lan: str | None = None) -> None:
        """Set the switch ports of a node up."""
        self._set_plugged(node, lan, plugged=True)

    def down(self) -> None:
        """End the lab and everything in it."""
        destroy(self.name)

    def _build(self, state: LabState) -> None:
        with locked(self.directory):
            save(state)
            state = replace(state, switch=network.make_switch(state))
            save(state)
            state = replace(state, client=network.make_client(state))
            save(state)
            for node in state.nodes:
                power.make_node(state, node.name)
        for node in state.nodes:
            self.node(node.name).start()

    def _set_cuts(self, state: LabState, cuts: frozenset[Cut]) -> None:
        network.apply_cuts(state, cuts)
        save(replace(state, cuts=cuts))

    def _set_plugged(self, node: str, lan: str | None, *, plugged: bool) -> None:
        with self._changing() as state:
            own = state.node(node)
            lans = frozenset(state.lans if lan is None else (state.lan(lan),))
            if process.is_alive(own.net):
                network.set_ports(state, NodeName(node), sorted(lans), up=plugged)
            unplugged = own.unplugged - lans if plugged else own.unplugged | lans
            save(state.with_node(replace(own, unplugged=unplugged)))

    @contextmanager
    def _changing(self) -> Iterator[LabState]:
        with locked(self.directory):
            yield load(self.directory)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, mode=0o755)
    except FileExistsError:
        raise LabUsageError(f"lab {directory.name} exists", hint="holdfast lab down ends it") from None


def destroy(name: str) -> None:
    """End a lab, whole or half made, whatever became of who made it. Raises LabNotFoundError, LabError.

    An interruption waits until it is done: half an ending would be of use to nobody.
    """
    directory = directory_of(lab_name(name))
    if not directory.is_dir():
        raise LabNotFoundError(f"there is no lab {name}", hint="holdfast lab ls lists them")
    with _uninterrupted():
        recorded = _recorded(directory)
        process.end(recorded, unstick=lambda: fuse.abort_below(directory))
        process.reap(recorded)
        while found := process.of_lab(directory):
            process.end(found, unstick=lambda: fuse.abort_below(directory))
        power.wait_for_disk(directory)
        shutil.rmtree(directory)


def end_on_signals() -> None:
    """Let a request to terminate end this process as an interruption does, so that it can clean up after itself."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def labs() -> tuple[Lab, ...]:
    """All labs of this machine, half-made ones too."""
    return tuple(Lab(directory_of(name)) for name in existing())


def _recorded(directory: Path) -> list[process.ProcessMark | None]:
    """The processes in the lab's file; none when it is missing or broken, since all carry the lab's mark."""
    try:
        state = load(directory)
    except (LabError, LabNotFoundError):
        return []
    nodes = [mark for node in state.nodes for mark in (node.init, node.cradle, node.net)]
    return [*nodes, state.client, state.switch]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Deliver interruptions at the end only. They arrive in the main thread; in another, nothing is changed."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        received.append(number)

    try:
        before = {number: signal.signal(number, remember) for number in _INTERRUPTIONS}
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[-1])
