"""What a lab is, kept in one file of its directory, so that any later command finds it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, cast

from holdfast.lab.addressing import LabName, LanName, NodeName, lab_name, lan_names
from holdfast.lab.cuts import Cut, Direction
from holdfast.lab.errors import LabError, LabNotFoundError
from holdfast.lab.process import ProcessMark

BASE_VARIABLE: Final = "HOLDFAST_LAB_BASE"
"""Environment variable that moves the labs away from their usual directory."""
_BASE: Final = Path("/var/lib/holdfast-lab")
_FILE: Final = "lab.json"
_LOCK: Final = "lock"


@dataclass(frozen=True, kw_only=True)
class NodeState:
    """One node. `net` holds its network namespace; `cradle` started `init`, the first process in it."""

    name: NodeName
    net: ProcessMark | None = None
    cradle: ProcessMark | None = None
    init: ProcessMark | None = None
    unplugged: frozenset[LanName] = frozenset()


@dataclass(frozen=True, kw_only=True)
class LabState:
    """A whole lab. `command` is what the first process of every node runs and keeps running; may be empty."""

    name: LabName
    directory: Path
    lan_count: int
    disk_bytes: int
    command: tuple[str, ...] = ()
    switch: ProcessMark | None = None
    client: ProcessMark | None = None
    nodes: tuple[NodeState, ...] = ()
    cuts: frozenset[Cut] = field(default_factory=frozenset)

    @property
    def lans(self) -> tuple[LanName, ...]:
        """The lans, in order."""
        return lan_names(self.lan_count)

    def node(self, name: str) -> NodeState:
        """The node of this name; raises LabNotFoundError."""
        for node in self.nodes:
            if node.name == name:
                return node
        known = ", ".join(node.name for node in self.nodes)
        raise LabNotFoundError(f"lab {self.name} has no node {name!r}", hint=f"it has {known}")

    def lan(self, name: str) -> LanName:
        """The lan of this name; raises LabNotFoundError."""
        if name in self.lans:
            return LanName(name)
        raise LabNotFoundError(f"lab {self.name} has no lan {name!r}", hint=f"it has {', '.join(self.lans)}")

    def with_node(self, changed: NodeState) -> LabState:
        """The same lab with one node changed."""
        nodes = tuple(changed if node.name == changed.name else node for node in self.nodes)
        return replace(self, nodes=nodes)


def base_directory() -> Path:
    """Where the labs are."""
    return Path(os.environ.get(BASE_VARIABLE) or _BASE)


def directory_of(name: LabName) -> Path:
    """The directory of a lab, whether it exists or not."""
    return base_directory() / name


def existing() -> tuple[LabName, ...]:
    """The labs that have a directory, whole or not."""
    base = base_directory()
    if not base.is_dir():
        return ()
    return tuple(lab_name(entry.name) for entry in sorted(base.iterdir()) if entry.is_dir())


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let one command at a time change a lab; waits for the other."""
    with (directory / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def load(directory: Path) -> LabState:
    """Read a lab; raises LabNotFoundError when there is none, LabError when its file makes no sense."""
    path = directory / _FILE
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise LabNotFoundError(f"there is no lab {directory.name}", hint="holdfast lab ls lists them") from None
    try:
        return decode(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"{path} cannot be understood: {error}", hint="holdfast lab down ends it all the same"
        ) from error


def save(state: LabState) -> None:
    """Replace the file at once: a reader sees the old text or the new."""
    path = state.directory / _FILE
    new = path.with_suffix(".new")
    new.write_text(json.dumps(encode(state), indent=1) + "\n")
    new.replace(path)


def encode(state: LabState) -> dict[str, object]:
    """The lab as JSON values."""
    return {
        "name": state.name,
        "directory": str(state.directory),
        "lan_count": state.lan_count,
        "disk_bytes": state.disk_bytes,
        "command": list(state.command),
        "switch": _encode_process(state.switch),
        "client": _encode_process(state.client),
        "nodes": [
            {
                "name": node.name,
                "net": _encode_process(node.net),
                "cradle": _encode_process(node.cradle),
                "init": _encode_process(node.init),
                "unplugged": sorted(node.unplugged),
            }
            for node in state.nodes
        ],
        "cuts": [[cut.node, cut.lan, cut.direction.value] for cut in sorted(state.cuts)],
    }


def decode(value: object) -> LabState:
    """The lab that `encode` wrote; raises ValueError, KeyError or TypeError."""
    fields = _object(value)
    return LabState(
        name=lab_name(str(fields["name"])),
        directory=Path(str(fields["directory"])),
        lan_count=_integer(fields["lan_count"]),
        disk_bytes=_integer(fields["disk_bytes"]),
        command=tuple(str(word) for word in _list(fields["command"])),
        switch=_decode_process(fields["switch"]),
        client=_decode_process(fields["client"]),
        nodes=tuple(_decode_node(_object(node)) for node in _list(fields["nodes"])),
        cuts=frozenset(_decode_cut(_list(cut)) for cut in _list(fields["cuts"])),
    )


def _encode_process(process: ProcessMark | None) -> list[int] | None:
    return None if process is None else [process.pid, process.started]


def _decode_process(value: object) -> ProcessMark | None:
    if value is None:
        return None
    pid, started = _list(value)
    return ProcessMark(pid=_integer(pid), started=_integer(started))


def _decode_node(fields: dict[str, object]) -> NodeState:
    return NodeState(
        name=NodeName(str(fields["name"])),
        net=_decode_process(fields["net"]),
        cradle=_decode_process(fields["cradle"]),
        init=_decode_process(fields["init"]),
        unplugged=frozenset(LanName(str(lan)) for lan in _list(fields["unplugged"])),
    )


def _decode_cut(value: list[object]) -> Cut:
    node, lan, direction = value
    return Cut(node=NodeName(str(node)), lan=LanName(str(lan)), direction=Direction(str(direction)))


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError(f"an object was expected, not {value!r}")
    return cast("dict[str, object]", value)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"a list was expected, not {value!r}")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise ValueError(f"a whole number was expected, not {value!r}")
    return value
