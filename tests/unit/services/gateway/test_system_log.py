"""Lines for the system log, and a daemon that hangs or is away."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from holdfast.support.wording import Level, Line

from services.gateway.hub import Item
from services.gateway.support.system_log import TEXT_BYTES_MAX, SystemLog, datagram


def line(level: Level = Level.E, text: str = "Resource tcp.web set to down") -> Line:
    return Line(wall_ns=1, component="checker-tcp", level=level, text=text)


@pytest.mark.parametrize(("level", "priority"), [("C", 26), ("E", 29), ("W", 28), ("I", 30)])
def test_levels_have_the_severities_of_rfc_5424(level: str, priority: int) -> None:
    text = f"<{priority}>holdfast[7]: shop | checker-tcp | {level} | Resource tcp.web set to down"
    assert datagram("shop", line(Level(level)), 7).decode() == text


def test_long_lines_are_cut_to_what_every_receiver_takes() -> None:
    assert len(datagram("shop", line(text="x" * 5000), 7)) == TEXT_BYTES_MAX


def test_details_and_a_switched_off_system_log_send_nothing(tmp_path: Path) -> None:
    nowhere = SystemLog("")
    nowhere.take(Item(id="1", module="shop", line=line()))
    absent = SystemLog(str(tmp_path / "log"))
    absent.take(Item(id="1", module="shop", line=line(Level.D)))
    assert (nowhere.dropped, absent.dropped) == (0, 0)
    absent.take(Item(id="1", module="shop", line=line()))
    assert absent.dropped == 1


def test_a_daemon_that_reads_nothing_holds_nothing_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(path))
        log = SystemLog(str(path))
        for _ in range(2000):
            log.take(Item(id="1", module="shop", line=line()))
        assert 0 < log.dropped < 2000
        log.close()


def test_a_daemon_that_is_restarted_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.support.system_log.AGAIN_S", 0.0)
    path = tmp_path / "log"
    log = SystemLog(str(path))
    for name in ("first", "second"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind(str(path))
            log.take(Item(id="1", module="shop", line=line(text=name)))
            if name == "second":
                # The first line after the restart shows that the old daemon is gone.
                log.take(Item(id="1", module="shop", line=line(text=name)))
            assert daemon.recv(4096).decode().endswith(name)
        path.unlink()
    assert log.dropped == 1
    log.close()
