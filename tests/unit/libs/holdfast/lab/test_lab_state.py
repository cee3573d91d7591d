"""The file that says what a lab is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from holdfast.lab import state
from holdfast.lab.addressing import LabName, LanName, NodeName
from holdfast.lab.cuts import Cut, Direction
from holdfast.lab.errors import LabError, LabNotFoundError
from holdfast.lab.process import ProcessMark


def example(directory: Path) -> state.LabState:
    """A lab with something in every field."""
    node = state.NodeState(
        name=NodeName("node1"),
        net=ProcessMark(pid=1, started=2),
        cradle=ProcessMark(pid=3, started=4),
        init=ProcessMark(pid=5, started=6),
        unplugged=frozenset({LanName("lan2")}),
    )
    return state.LabState(
        name=LabName("example"),
        directory=directory,
        lan_count=2,
        disk_bytes=1 << 30,
        command=("holdfast", "node", "run"),
        switch=ProcessMark(pid=7, started=8),
        nodes=(node, state.NodeState(name=NodeName("node2"))),
        cuts=frozenset({Cut(node=NodeName("node1"), lan=LanName("lan1"), direction=Direction.IN)}),
    )


def test_lab_is_read_as_it_was_written(tmp_path: Path) -> None:
    state.save(example(tmp_path))
    assert state.load(tmp_path) == example(tmp_path)


def test_missing_lab_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(LabNotFoundError, match="there is no lab nowhere"):
        state.load(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x"}', "\x00"])
def test_broken_file_is_named_with_what_still_helps(tmp_path: Path, text: str) -> None:
    (tmp_path / "lab.json").write_text(text)
    with pytest.raises(LabError, match=r"lab.json cannot be understood.*holdfast lab down"):
        state.load(tmp_path)


def test_wrong_type_in_the_file_is_refused(tmp_path: Path) -> None:
    fields = state.encode(example(tmp_path)) | {"switch": ["one", 2]}
    (tmp_path / "lab.json").write_text(json.dumps(fields))
    with pytest.raises(LabError, match="whole number"):
        state.load(tmp_path)


def test_unknown_node_and_lan_are_answered_with_the_known_ones(tmp_path: Path) -> None:
    lab = example(tmp_path)
    with pytest.raises(LabNotFoundError, match="node1, node2"):
        lab.node("node3")
    with pytest.raises(LabNotFoundError, match="lan1, lan2"):
        lab.lan("lan3")
