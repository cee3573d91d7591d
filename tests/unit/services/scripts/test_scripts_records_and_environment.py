"""Run records, names of logs, and what scripts find in their environment."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from holdfast.errors import OperatorError
from holdfast.ids import ModuleId
from holdfast.scripting.environment import script_environment
from holdfast.scripting.safe_tree import command_text, write_safe_tree
from holdfast.settings import load_settings

from services.scripts.logs import LOGS_KEPT, log_name, prune_logs
from services.scripts.output import Output
from services.scripts.record import RECORDS_KEPT, Record, Records

SHOP = ModuleId("shop")
RECORD = Record(run="node1-3-1", script="start_prim", runner=7, started_at_wall_ns=5, log="")


def test_record_that_is_written_is_read(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write(SHOP, RECORD)
    assert records.read(SHOP, "node1-3-1") == RECORD
    assert list(records.modules()) == [SHOP]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"run": "x"}', '{"unknown": 1}'])
def test_damaged_record_counts_as_none(tmp_path: Path, text: str) -> None:
    records = Records(tmp_path)
    records.write(SHOP, RECORD)
    records.path(SHOP, RECORD.run).write_text(text)
    assert records.read(SHOP, RECORD.run) is None


@pytest.mark.parametrize("run", ["", "../x", ".hidden", "a/b", "x" * 129])
def test_run_ids_that_are_no_file_names_are_refused(tmp_path: Path, run: str) -> None:
    with pytest.raises(OperatorError):
        Records(tmp_path).path(SHOP, run)


def test_lock_tells_a_living_runner(tmp_path: Path) -> None:
    records = Records(tmp_path)
    held = records.lock(SHOP, "r1")
    assert held is not None
    assert records.lock(SHOP, "r1") is None
    os.close(held)
    again = records.lock(SHOP, "r1")
    assert again is not None
    os.close(again)


def test_only_the_newest_finished_runs_are_remembered(tmp_path: Path) -> None:
    records = Records(tmp_path)
    for number in range(RECORDS_KEPT + 3):
        records.write(SHOP, replace(RECORD, run=f"r{number}", started_at_wall_ns=number, finished=True))
    records.write(SHOP, replace(RECORD, run="running", started_at_wall_ns=0))
    records.prune(SHOP)
    kept = [record.run for record in records.of_module(SHOP)]
    assert len(kept) == RECORDS_KEPT + 1
    assert "running" in kept
    assert "r2" not in kept


def test_log_has_the_models_name() -> None:
    name = log_name("stop_prim", 1_700_000_000_000_042_000)
    assert name == "userlog_2023-11-14T221320.000042_stop_prim.ulog"


def test_oldest_logs_go_first(tmp_path: Path) -> None:
    for number in range(LOGS_KEPT + 2):
        (tmp_path / log_name("s", number * 1_000_000_000)).write_text("x")
    prune_logs(tmp_path)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == LOGS_KEPT
    assert kept[0] == log_name("s", 2_000_000_000)


def test_users_variables_cannot_replace_those_that_find_the_node() -> None:
    settings = load_settings({"HOLDFAST_STATE_DIR": "/s", "HOLDFAST_CONFIG_DIR": "/nowhere", "HOLDFAST_NODE": "n"})
    found = script_environment(
        settings,
        SHOP,
        variables={"SAFE": "/evil", "A": "b", "PATH": "/own"},
        inherited={"HOLDFAST_NODE": "n", "SECRET": "x"},
        trace="00-a-b-01",
    )
    assert found["SAFE"] == "/s/safe"
    assert found["SAFEUSERVAR"] == "/s/modules/shop"
    assert (found["A"], found["PATH"], found["TRACEPARENT"], found["HOLDFAST_NODE"]) == ("b", "/own", "00-a-b-01", "n")
    assert "SECRET" not in found


def test_safe_tree_is_written_once_and_repaired(tmp_path: Path) -> None:
    write_safe_tree(tmp_path, "/usr/bin/python3")
    command = tmp_path / "safekit"
    before = command.stat().st_ino
    write_safe_tree(tmp_path, "/usr/bin/python3")
    assert command.stat().st_ino == before
    command.write_text("broken")
    write_safe_tree(tmp_path, "/usr/bin/python3")
    assert command.read_text() == command_text("/usr/bin/python3")
    assert os.access(tmp_path / "private" / "bin" / "safekit", os.X_OK)


def test_output_is_kept_up_to_its_limit_and_then_only_read(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    output = Output(read_end, tmp_path / "log", 10)
    for text in (b"12345", b"67890", b"more", b"and more"):
        os.write(write_end, text)
        assert output.take()
    os.close(write_end)
    assert not output.take()
    os.close(read_end)
    kept = (tmp_path / "log").read_text()
    assert kept.startswith("1234567890\n--- the output was longer than 10 bytes")
    assert kept.count("---") == 2
