"""The notifier against a real datagram socket, as the supervisor's."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.errors import UnavailableError
from holdfast.service.notify import Notifier

DATAGRAM_BYTES = 4096


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: that of a Unix socket has at most 107 characters (unix(7))."""
    with tempfile.TemporaryDirectory(prefix="hf-") as name:
        yield Path(name) / "notify.sock"


@pytest.fixture
def supervisor(place: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(place))
        receiver.settimeout(10)
        yield receiver


@pytest.fixture
def notifier(place: Path, supervisor: socket.socket) -> Iterator[Notifier]:
    made = Notifier({"NOTIFY_SOCKET": str(place)})
    yield made
    made.close()


def heard(supervisor: socket.socket) -> bytes:
    return supervisor.recv(DATAGRAM_BYTES)


def test_ready_lease_and_stopping_are_said_in_systemds_words(notifier: Notifier, supervisor: socket.socket) -> None:
    notifier.ready()
    notifier.lease()
    notifier.stopping()
    assert [heard(supervisor) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_kept_descriptor_arrives_and_is_the_same_file(
    notifier: Notifier, supervisor: socket.socket, tmp_path: Path
) -> None:
    with (tmp_path / "file").open("w+") as file:
        file.write("content")
        file.flush()
        notifier.keep("fuse-0", file.fileno())
    text, descriptors, _, _ = socket.recv_fds(supervisor, DATAGRAM_BYTES, 4)
    assert text == b"FDSTORE=1\nFDNAME=fuse-0"
    assert len(descriptors) == 1
    try:
        assert os.pread(descriptors[0], 100, 0) == b"content"
    finally:
        os.close(descriptors[0])


def test_a_kept_descriptor_can_be_forgotten(notifier: Notifier, supervisor: socket.socket) -> None:
    notifier.forget("fuse-0")
    assert heard(supervisor) == b"FDSTOREREMOVE=1\nFDNAME=fuse-0"


def test_a_name_in_the_abstract_namespace_is_understood() -> None:
    name = f"hf-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(10)
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}"})
        notifier.ready()
        notifier.close()
        assert heard(receiver) == b"READY=1"


def test_without_a_supervisor_nothing_is_said() -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.lease()
    notifier.keep("fuse-0", 0)
    assert notifier.take("fuse-0") is None


def test_a_supervisor_that_is_gone_is_no_error(notifier: Notifier, supervisor: socket.socket, place: Path) -> None:
    supervisor.close()
    notifier.lease()
    place.unlink()
    notifier.ready()


def test_a_supervisor_that_does_not_read_never_holds_up_a_lease(notifier: Notifier, supervisor: socket.socket) -> None:
    """The queue holds net.unix.max_dgram_qlen datagrams; many more are sent here."""
    for _ in range(5_000):
        notifier.lease()
    notifier.stopping()
    assert heard(supervisor) == b"WATCHDOG=1"


@pytest.mark.slow
def test_what_must_not_be_missed_fails_loudly(notifier: Notifier, supervisor: socket.socket) -> None:
    for _ in range(5_000):
        notifier.lease()
    with pytest.raises(UnavailableError, match="does not read"):
        notifier.ready()


def test_descriptors_of_the_last_life_are_taken_once() -> None:
    notifier = Notifier({"LISTEN_FDS": "2", "LISTEN_FDNAMES": "fuse-0:root", "LISTEN_PID": str(os.getpid())})
    assert (notifier.take("fuse-0"), notifier.take("root")) == (3, 4)
    assert notifier.take("fuse-0") is None


@pytest.mark.parametrize(
    "environment",
    [
        {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "a", "LISTEN_PID": "1"},
        {"LISTEN_FDS": "0", "LISTEN_FDNAMES": "a"},
        {"LISTEN_FDS": "many", "LISTEN_FDNAMES": "a"},
        {"LISTEN_FDNAMES": "a"},
    ],
)
def test_descriptors_meant_for_others_are_not_taken(environment: dict[str, str]) -> None:
    assert Notifier(environment).take("a") is None


def test_programs_that_the_service_starts_do_not_inherit_the_line() -> None:
    """A database that speaks sd_notify would otherwise report itself ready in the service's place."""
    environment = {"NOTIFY_SOCKET": "/nowhere", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a", "PATH": "/bin"}
    Notifier(environment).close()
    assert environment == {"PATH": "/bin"}
