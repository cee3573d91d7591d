"""A node switched on and off."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import holdfast
from holdfast.lab import fuse, namespace, rootfs
from holdfast.lab.addressing import NodeName, hosts_file
from holdfast.lab.errors import LabError
from holdfast.lab.init import InitSpec
from holdfast.lab.process import ProcessMark, end, mark, reap
from holdfast.lab.state import LabState, NodeState

LOOP_TIMEOUT_S: Final = 10.0
"""The kernel unmounts a dead node's disk in the background, after its last process has ended."""
_POLL_S: Final = 0.005

# The cradle enters the node's network, makes its other namespaces, and dies with the first process, or it
# with it.
_CRADLE: Final = ("unshare", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child=SIGKILL", "--")


def node_directory(state: LabState, node: NodeName) -> Path:
    """Where the disk of a node is."""
    return state.directory / node


def make_node(state: LabState, node: NodeName) -> None:
    """The directory and the empty disk of a node."""
    directory = node_directory(state, node)
    for part in (directory, directory / "disk", directory / "root"):
        part.mkdir()
    rootfs.make_disk(directory / "disk.img", state.disk_bytes)


def start_init(state: LabState, node: NodeName, net: ProcessMark) -> tuple[ProcessMark, ProcessMark]:
    """Start the first process of a node in its network; returns its cradle and itself. Raises LabError."""
    directory = node_directory(state, node)
    wait_for_disk(directory)
    spec = InitSpec(
        name=node,
        directory=str(directory),
        hosts=hosts_file([other.name for other in state.nodes], state.lans),
        shared=rootfs.shared_directories(_checkout(), Path("/proc/self/mountinfo").read_text()),
        command=state.command,
        python_bin=str(Path(sys.executable).parent),
    )
    command = [*namespace.network_of(net), *_CRADLE, sys.executable, "-m", "holdfast.lab.init", spec.encode()]
    cradle, said = namespace.launch(command, state.directory)
    if not said.isdigit():
        raise LabError(f"{node} did not start: {said}")
    return cradle, mark(int(said))


def end_processes(state: LabState, node: NodeState) -> None:
    """End everything that runs in a node, though a file system of it hangs. Raises LabError."""
    directory = node_directory(state, node.name)
    end([node.init, node.cradle], unstick=lambda: fuse.abort_below(directory))


def upper_directory(state: LabState, node: NodeName) -> Path:
    """What names the node in the mount tables of its processes."""
    return rootfs.upper_directory(node_directory(state, node))


def switch_off(state: LabState, node: NodeState) -> NodeState:
    """End everything in a node, its network too."""
    end_processes(state, node)
    end([node.net])
    reap([node.cradle, node.net])
    return replace(node, net=None, cradle=None, init=None)


def wait_for_disk(directory: Path) -> None:
    """Wait until the kernel has freed the loop devices of images below a directory; raises LabError."""
    deadline = time.monotonic() + LOOP_TIMEOUT_S
    while devices := _loop_devices(directory):
        if time.monotonic() > deadline:
            raise LabError(f"{', '.join(devices)} is still in use", hint="losetup -a shows by what file")
        time.sleep(_POLL_S)


def _loop_devices(directory: Path) -> list[str]:
    found: list[str] = []
    for entry in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            image = entry.read_text()
        except OSError:
            continue
        if image.startswith(f"{directory}/"):
            found.append(f"/dev/{entry.parts[3]}")
    return found


def _checkout() -> Path | None:
    """The checkout that this program runs from, if it does."""
    for parent in Path(holdfast.__file__).resolve().parents:
        if (parent / "pyproject.toml").is_file():
            return parent
    return None
