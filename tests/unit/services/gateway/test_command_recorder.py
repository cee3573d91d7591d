"""What of a request is kept in the command log, and a disk that fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast.clock import SystemClock
from holdfast.support.command_log import CommandEntry

from services.gateway.recording import NOT_RECORDED, Recorder, _arguments, _entry


def scope(path: str = "/api/v1/modules/shop/commands", **headers: str) -> dict[str, object]:
    return {
        "method": "POST",
        "path": path,
        "query_string": b"restore=1",
        "client": ("0", 17),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


def test_entry_says_who_what_and_for_which_module() -> None:
    kept = _entry(
        scope(holdfast_command="holdfast%20start%20-m%20shop", holdfast_caller="ann", content_type="application/json"),
        b'{"action": "start", "who": "ann"}',
        5,
    )
    assert (kept.module, kept.who, kept.uid, kept.pid) == ("shop", "ann", 0, 17)
    assert kept.command == "holdfast start -m shop"
    assert kept.request == "POST /api/v1/modules/shop/commands?restore=1"
    assert kept.arguments == '{"action": "start"}'


def test_caller_is_the_account_when_nobody_says_more() -> None:
    assert _entry(scope(), b"", 5).who == "root"


def test_control_characters_of_a_caller_are_left_out() -> None:
    assert _entry(scope(holdfast_caller="an%0An%1B[2J"), b"", 5).who == "ann[2J"


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"password": "secret", "user": "ha"}', '{"password": "…", "user": "ha"}'),
        (b"[1]", "(JSON that is no object)"),
        (b"{", "(JSON that is not kept)"),
        (b"", ""),
    ],
)
def test_secrets_and_rubbish_are_not_kept(body: bytes, kept: str) -> None:
    assert _arguments(b"application/json", body) == kept
    assert "secret" not in _arguments(b"application/octet-stream", body)


@pytest.mark.parametrize(
    ("path", "is_kept"),
    [("commands", True), ("resources/custom.web", False), ("log", False), ("configuration", True), ("verify", False)],
)
def test_what_checkers_do_every_few_seconds_is_not_kept(path: str, is_kept: bool) -> None:
    assert (NOT_RECORDED.search(f"/api/v1/modules/shop/{path}") is None) is is_kept


def test_a_disk_that_fails_is_counted_and_holds_nobody_up(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SystemClock())
    command = recorder.begin(CommandEntry(began_wall_ns=1, request="POST /x"))
    recorder.end(command, exit_code=0, result="")
    recorder.close()
    recorder.wait_closed()
    assert recorder.left_out == 1
