"""Labs for tests, and what of the machine must be as before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from holdfast.lab.lab import Lab
from holdfast.lab.process import LAB_VARIABLE

Things = dict[str, list[str]]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A bare lab of two nodes and two lans, for one test file."""
    with Lab.create(f"t{os.getpid()}", disk_bytes=256 * 1024**2) as made:
        yield made


@pytest.fixture
def leftovers() -> Callable[[str], Things]:
    """Everything on this machine that belongs to a lab of a name; empty when there is nothing."""
    return find_leftovers


@pytest.fixture
def shape() -> Callable[[], Things]:
    """What a lab could add to the machine without its name being on it."""
    return lambda: {
        "links": sorted(os.listdir("/sys/class/net")),
        "network namespaces": sorted(os.listdir("/run/netns")) if Path("/run/netns").is_dir() else [],
    }


def find_leftovers(name: str) -> Things:
    """Processes, mounts and loop devices; a kind that has none is left out."""
    marker = f"/holdfast-lab/{name}"
    needle = f"{LAB_VARIABLE}=".encode()
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    found = {
        "processes": [
            pid
            for pid in pids
            for word in _read(f"/proc/{pid}/environ").split(b"\0")
            if word.startswith(needle) and marker.encode() in word
        ],
        "mounts": [line for line in _read("/proc/self/mountinfo").decode().splitlines() if marker in line],
        "loops": [
            str(path)
            for path in Path("/sys/block").glob("loop*/loop/backing_file")
            if marker.encode() in _read(str(path))
        ],
    }
    return {kind: things for kind, things in found.items() if things}


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
