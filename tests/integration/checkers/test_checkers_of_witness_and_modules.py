"""Checkers splitbrain and module: a real witness beyond a real cable, real gateways' answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from holdfast.events.module import (
    ModuleWatch,
    ReportFacts,
    WatchResources,
    WitnessKind,
    WitnessReported,
    WitnessWatch,
)

from tests.integration.checkers.checker_stage import NEIGHBOUR, NEIGHBOUR_6, Stage, play, sh

pytestmark = pytest.mark.root

PORT = 4805


@contextlib.contextmanager
def witness(stage: Stage, directory: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """`holdfast witness run` where the neighbour is, until the context ends."""
    command = ["nsenter", "-t", str(stage.neighbour_pid), "-n", sys.executable, "-m", "services.witness"]
    command += ["--listen", f"{NEIGHBOUR}:{PORT}", "--state", str(directory), *words]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        assert b"the witness answers" in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def lease(question: str = "", **more: object) -> WatchResources:
    watch = WitnessWatch(ident="third", kind=WitnessKind.LEASE, targets=(f"{NEIGHBOUR}:{PORT}",), question=question)
    changed = {name: value for name, value in more.items() if value is not None}
    return WatchResources(witnesses=(WitnessWatch(**{**_fields(watch), "epoch": 3, "in_step": True, **changed}),))


def pinged(question: str, *targets: str) -> WatchResources:
    return WatchResources(
        witnesses=(WitnessWatch(ident="third", kind=WitnessKind.PING, targets=targets, question=question),)
    )


def _fields(watch: WitnessWatch) -> dict[str, object]:
    return {name: getattr(watch, name) for name in WitnessWatch.__dataclass_fields__}


async def answered(stage: Stage, question: str, *, granted: bool, reachable: bool = True) -> WitnessReported:
    wanted = (question, granted, reachable)
    return await stage.listener.wait_for(
        WitnessReported, lambda fact: (fact.question, fact.granted, fact.reachable) == wanted
    )


def kept(stage: Stage, directory: Path) -> Path:
    """Where the witness keeps the lease of module shop."""
    return directory / f"{stage.place.settings.cluster}.shop.json"


def lease_on_disk(stage: Stage, directory: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads(kept(stage, directory).read_text())["lease"]
    return found


def test_lease_is_granted_once_and_given_back_when_it_is_no_longer_wanted(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        with witness(stage, tmp_path):
            await stage.watch(lease("1.1"))
            await answered(stage, "1.1", granted=True)
            assert lease_on_disk(stage, tmp_path)["holder"] == "node1"
            await stage.watch(lease("", epoch=4, in_step=False, acting=True))
            await answered(stage, "", granted=False)
            assert lease_on_disk(stage, tmp_path)["acting"] is True
            stage.listener.forget()
            await stage.watch(lease("", epoch=4))
            await answered(stage, "", granted=False)
            assert lease_on_disk(stage, tmp_path) == {"holder": "", "epoch": 4, "acting": False}

    play("splitbrain", scenario)


def test_node_is_told_who_has_the_lease(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        held = {"lease": {"holder": "node2", "epoch": 4, "acting": True}, "numbers": {"node2": 1}}
        kept(stage, tmp_path).write_text(json.dumps(held))
        with witness(stage, tmp_path):
            await stage.watch(lease("1.1"))
            assert "has let node2 act" in (await answered(stage, "1.1", granted=False)).why

    play("splitbrain", scenario)


def test_witness_that_comes_back_is_asked_on_and_a_killed_one_has_forgotten_nothing(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(lease("1.1"))
        assert "is not reached" in (await answered(stage, "1.1", granted=False, reachable=False)).why
        with witness(stage, tmp_path) as first:
            await answered(stage, "1.1", granted=True)
            first.send_signal(signal.SIGKILL)
        with witness(stage, tmp_path):
            await stage.watch(lease("1.2"))
            await answered(stage, "1.2", granted=True)

    play("splitbrain", scenario)


def test_key_of_the_cluster_has_to_be_right(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        right, wrong = tmp_path / "right", tmp_path / "wrong"
        right.write_text("one\n")
        wrong.write_text("two\n")
        with witness(stage, tmp_path / "leases", "--key", str(right)):
            for number, path in enumerate(("", str(wrong), str(tmp_path / "absent"))):
                await stage.watch(lease(f"1.{number}", key_file=path))
                await answered(stage, f"1.{number}", granted=False, reachable=False)
            await stage.watch(lease("1.9", key_file=str(right)))
            await answered(stage, "1.9", granted=True)

    play("splitbrain", scenario)


def test_clock_that_was_set_back_keeps_nobody_from_asking(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        ahead = {"lease": {"holder": "", "epoch": 3, "acting": False}, "numbers": {"node1": 2**60}}
        kept(stage, tmp_path).write_text(json.dumps(ahead))
        with witness(stage, tmp_path):
            await stage.watch(lease("1.1"))
            await answered(stage, "1.1", granted=True)

    play("splitbrain", scenario)


def test_killed_checker_asks_again_and_its_last_word_is_repeated_on_demand(tmp_path: Path) -> None:
    async def scenario(stage: Stage) -> None:
        with witness(stage, tmp_path):
            await stage.watch(lease("1.1"))
            await answered(stage, "1.1", granted=True)
            await stage.kill_and_restart()
            await stage.watch(lease("1.1"))
            await answered(stage, "1.1", granted=True)
            stage.listener.forget()
            await stage.listener.order("shop", "checker-splitbrain", ReportFacts())
            await answered(stage, "1.1", granted=True)

    play("splitbrain", scenario)


def test_one_pinged_witness_that_answers_is_enough_and_the_cable_decides() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(pinged("1.1", "192.0.2.1", NEIGHBOUR_6))
        await answered(stage, "1.1", granted=True)
        stage.neighbour("ip link set eth0 down")
        await stage.watch(pinged("1.2", "192.0.2.1", NEIGHBOUR))
        assert f"192.0.2.1, {NEIGHBOUR}" in (await answered(stage, "1.2", granted=False, reachable=False)).why
        stage.neighbour("ip link set eth0 up")
        await answered(stage, "1.2", granted=True)

    play("splitbrain", scenario)


class Gateway:
    """Answers like one; `says` is what it says of each path."""

    def __init__(self) -> None:
        self.says: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []

    def serves(self, application: str, *, role: str = "PRIM", status: str = "Ready") -> None:
        body = json.dumps({"module": "db", "role": role, "status": status, "application": application})
        self.says = {"/api/v1/modules/db/state": (200, body.encode())}

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        path = request.split()[1].decode()
        self.asked.append(path)
        status, body = self.says.get(path, (404, b""))
        writer.write(
            b"HTTP/1.1 %d Word\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body)) + body
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def on_socket(stage: Stage) -> AsyncIterator[Gateway]:
    gateway = Gateway()
    server = await asyncio.start_unix_server(gateway.answer, stage.place.run_dir / "gateway.sock")
    async with server:
        yield gateway


@contextlib.asynccontextmanager
async def on_port(port: int) -> AsyncIterator[Gateway]:
    gateway = Gateway()
    async with await asyncio.start_server(gateway.answer, "127.0.0.1", port):
        yield gateway


HERE = WatchResources(modules=(ModuleWatch(key="db", name="db", interval_ms=50, timeout_ms=2000),))
THERE = WatchResources(
    modules=(ModuleWatch(key="db", name="db", address="127.0.0.1", port=9010, interval_ms=50, timeout_ms=2000),)
)


def test_module_of_this_node_is_up_while_it_serves() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.watch(HERE)
        assert (await stage.reported("module.db", "down")).action == "wait"
        async with on_socket(stage) as gateway:
            gateway.serves("node1-1-4")
            await stage.reported("module.db", "up")
            for role, status in (("PRIM", "Transient"), ("SECOND", "Ready"), ("WAIT", "NotReady")):
                gateway.serves("node1-1-4")
                await stage.reported("module.db", "up")
                stage.listener.forget()
                gateway.serves("node1-1-4", role=role, status=status)
                await stage.reported("module.db", "down")
                stage.listener.forget()

    play("module", scenario)


def test_restart_that_nobody_saw_is_told_as_down_and_up() -> None:
    async def scenario(stage: Stage) -> None:
        async with on_port(9010) as gateway:
            gateway.serves("node1-1-4")
            await stage.watch(THERE)
            await stage.reported("module.db", "up")
            stage.listener.forget()
            gateway.serves("node2-1-9")
            await stage.reported("module.db", "down")
            await stage.reported("module.db", "up")
            assert stage.values("module.db") == ["down", "up"]

    play("module", scenario)


def test_gateway_that_keeps_states_to_itself_is_asked_what_load_balancers_may_know() -> None:
    async def scenario(stage: Stage) -> None:
        async with on_port(9010) as gateway:
            gateway.says = {
                "/api/v1/modules/db/state": (401, b"{}"),
                "/var/modules/db/ready.txt": (200, b"OK\n"),
            }
            await stage.watch(THERE)
            await stage.reported("module.db", "up")
            gateway.says["/var/modules/db/ready.txt"] = (404, b"NOT FOUND\n")
            await stage.reported("module.db", "down")

    play("module", scenario)


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff" * 50, b"x" * (1 << 21)], ids=["list", "half", "bytes", "huge"])
def test_rubbish_from_a_gateway_is_down(body: bytes) -> None:
    async def scenario(stage: Stage) -> None:
        async with on_port(9010) as gateway:
            gateway.says = {"/api/v1/modules/db/state": (200, body)}
            await stage.watch(THERE)
            await stage.reported("module.db", "down")
            gateway.serves("node1-1-4")
            await stage.reported("module.db", "up")

    play("module", scenario)


def test_gateway_that_never_answers_is_down_after_the_timeout() -> None:
    async def scenario(stage: Stage) -> None:
        sh("ip link set lo up")
        quiet = asyncio.Event()

        async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await quiet.wait()
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 9010):
            watch = ModuleWatch(key="db", name="db", address="127.0.0.1", port=9010, interval_ms=50, timeout_ms=100)
            await stage.watch(WatchResources(modules=(watch,)))
            await stage.reported("module.db", "down")
            quiet.set()

    play("module", scenario)
