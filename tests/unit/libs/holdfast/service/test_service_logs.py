"""Diagnostic logs: JSON lines, and never more than so much."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.errors import StorageError
from holdfast.service import logs
from holdfast.service.logs import JsonLines, configure_logs
from holdfast.settings import NodeSettings, load_settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[NodeSettings]:
    """Logging is the process's own, so what was there is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield load_settings(
        {"HOLDFAST_NODE": "n", "HOLDFAST_CONFIG_DIR": str(tmp_path), "HOLDFAST_STATE_DIR": str(tmp_path)}
    )
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_every_record_is_one_json_object(settings: NodeSettings) -> None:
    configure_logs(settings, "rfs@shop")
    logging.getLogger("holdfast.test").info("two\nlines and half a pair \udcff")
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("holdfast.test").exception("failed")
    lines = (settings.state_dir / "log/rfs@shop.log").read_text().splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["message"].startswith("two\nlines")
    assert (first["level"], first["logger"]) == ("info", "holdfast.test")
    assert "ValueError: why" in second["exception"]


def test_logs_are_bounded_by_size_and_number(settings: NodeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOG_BYTES_MAX", 4096)
    configure_logs(settings, "vip")
    for number in range(500):
        logging.getLogger("holdfast.test").info(f"record {number} {'x' * 100}")
    files = sorted((settings.state_dir / "log").iterdir())
    assert [file.name for file in files] == ["vip.log", "vip.log.1", "vip.log.2", "vip.log.3"]
    assert all(file.stat().st_size <= 4096 for file in files)
    assert "record 499" in (settings.state_dir / "log/vip.log").read_text()


def test_records_of_one_wording_are_limited_and_counted(
    settings: NodeSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rubbish on a socket is told of, again and again, but not each piece of it."""
    configure_logs(settings, "gateway")
    log = logging.getLogger("holdfast.test")
    for number in range(200):
        log.warning("rubbish from %s", number)
    log.warning("something else")
    later = logging.LogRecord("holdfast.test", logging.WARNING, "", 0, "rubbish from %s", (200,), None)
    later.created += logs.WINDOW_S
    log.handle(later)
    told = [json.loads(line) for line in (settings.state_dir / "log/gateway.log").read_text().splitlines()]
    assert [body["message"] for body in told[-2:]] == ["something else", "rubbish from 200"]
    assert len(told) == logs.BURST_MAX + 2
    assert told[-1]["unlogged"] == f"{200 - logs.BURST_MAX} records like this one before it"
    assert capsys.readouterr().err.count("rubbish from") == logs.BURST_MAX + 1


def test_one_record_cannot_push_all_others_out() -> None:
    """Beginning and end of a long text are kept."""
    text = "begin" + "x" * 10_000_000 + "end"
    record = logging.LogRecord("holdfast", logging.INFO, "", 0, text, (), None)
    message = json.loads(JsonLines().format(record))["message"]
    assert len(message) < 2 * logs.TEXT_CHARS_MAX
    assert message.startswith("begin")
    assert message.endswith("end")


def test_a_log_that_cannot_be_opened_is_an_error_that_names_it(settings: NodeSettings) -> None:
    (settings.state_dir / "log").write_text("a file where the directory should be")
    with pytest.raises(StorageError, match=r"log/vip\.log"):
        configure_logs(settings, "vip")
