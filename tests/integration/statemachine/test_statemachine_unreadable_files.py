"""A module with a damaged journal, record or snapshot beside a sound one: words, no crash, the other goes on."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from holdfast.bus import subjects
from holdfast.errors import ExitCode
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import Envelope
from holdfast.events.module import ServiceStarted
from holdfast.history.snapshots import VERSION
from holdfast.ids import ModuleId
from holdfast.journal.authority import AuthorityStore
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess

SHOP, WEB = ModuleId("shop"), ModuleId("web")
ANSWER_S_MAX = 60.0
START_S_MAX = 120.0
LOOK_AGAIN_S = 0.1
LOOKS_MAX = 600
NOBODY = 65_534
CLUSTER = """<cluster><lans><lan name="net">
<node name="node1" addr="127.0.0.1"/><node name="node2" addr="127.0.0.2"/></lan></lans></cluster>
"""
CONFIGURATION = """<safe><service mode="mirror" boot="off">
<heart><heartbeat name="net"/></heart><rfs><replicated dir="/srv/{module}"/></rfs><user/></service></safe>
"""
FILES = ("journal.db", "authority.db")
Steps = Callable[["Machine"], Awaitable[None]]


class Machine:
    """A state machine as a process, and what it answers."""

    def __init__(self, place: NodePlace, process: ServiceProcess, listener: Listener) -> None:
        self.place = place
        self.process = process
        self._listener = listener

    async def ask(self, verb: str, **request: object) -> dict[str, Any]:
        subject = subjects.ask(self.place.settings.cluster, "statemachine", verb)
        data = await self._listener.context.bus.ask(subject, json.dumps(request).encode(), timeout_s=ANSWER_S_MAX)
        answer: dict[str, Any] = json.loads(data)
        return answer

    async def told(self, module: ModuleId) -> dict[str, Any]:
        """What `holdfast state` would show of a module."""
        models: list[dict[str, Any]] = (await self.ask("state"))["modules"]
        return next(model for model in models if model["module"] == module)

    async def start(self) -> None:
        """Start the process and wait until it serves."""
        started = asyncio.Event()

        async def hear(envelope: Envelope[object]) -> None:
            if isinstance(envelope.payload, ServiceStarted) and envelope.payload.pid == self.process.pid:
                started.set()

        await self._listener.context.on_events(hear, BY_PAYLOAD[ServiceStarted].name)
        self.process.start()
        async with asyncio.timeout(START_S_MAX):
            await started.wait()


def install(place: NodePlace, module: ModuleId, number: int) -> None:
    """Lay a module out as the gateway does when a configuration is applied."""
    root = place.settings.module_dir(module)
    (root / "active").mkdir(parents=True)
    (root / "active" / "userconfig.xml").write_text(CONFIGURATION.format(module=module))
    (root / "module.json").write_text(json.dumps({"id": number}))


@pytest.fixture
def place() -> Iterator[NodePlace]:
    made = NodePlace()
    (made.config_dir / "cluster.xml").write_text(CLUSTER)
    (made.config_dir / "cluster.key").write_text("key")
    for number, module in enumerate((SHOP, WEB), start=1):
        install(made, module, number)
    yield made
    made.remove()


def play(place: NodePlace, steps: Steps) -> None:
    """Run the steps against a state machine on a real bus."""
    server = NatsServer(place.run_dir)
    server.start()
    process = ServiceProcess(place, "services.statemachine")

    async def run() -> None:
        listener = await Listener.connect(place)
        try:
            machine = Machine(place, process, listener)
            await machine.start()
            await steps(machine)
        finally:
            await listener.close()

    try:
        asyncio.run(run())
    finally:
        process.kill()
        server.stop()


def lived(place: NodePlace, *modules: ModuleId) -> None:
    """Let modules have a past: opened, asked to start."""

    async def steps(machine: Machine) -> None:
        for module in modules or (SHOP, WEB):
            assert (await machine.ask("command", module=module, action="start", who="test"))["accepted"]

    play(place, steps)


def holdfast(place: NodePlace, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line; it must end in an orderly way."""
    environment = {**os.environ, **place.environment}
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway.cli", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=ANSWER_S_MAX,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in set(ExitCode)
    return done


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 64)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_the_header(path: Path) -> None:
    os.truncate(path, 50)


def cut_in_a_page(path: Path) -> None:
    os.truncate(path, 5000)


def page_overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 4096)


def directory_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount


def record_cut(path: Path) -> None:
    execute(path, "UPDATE record SET body = substr(body, 1, 20)")


def record_rubbish(path: Path) -> None:
    execute(path, "UPDATE record SET body = 'rubbish'")


def record_altered(path: Path) -> None:
    execute(path, """UPDATE record SET body = replace(body, '"epoch":0', '"epoch":9')""")


def record_newer(path: Path) -> None:
    execute(path, "UPDATE record SET version = 99")


def record_gone(path: Path) -> None:
    execute(path, "DELETE FROM record")


RECORD_DAMAGES = (record_cut, record_rubbish, record_altered, record_newer, record_gone)
DAMAGES = (garbage, emptied, cut_in_the_header, cut_in_a_page, page_overwritten, directory_instead)


def damage(path: Path, how: Callable[[Path], None]) -> None:
    """Damage a file as it is after an orderly end: without a write-ahead log that could make up for it."""
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    how(path)


CASES = {
    **{f"{how.__name__}-{file[:-3]}": (how, file) for how in DAMAGES for file in FILES},
    **{how.__name__: (how, "authority.db") for how in RECORD_DAMAGES},
}
"""Module → what is done to which of its files."""


def test_damaged_files_close_their_modules_only(place: NodePlace) -> None:
    """Every file is named with what is wrong, exit code 8, and the sound module does what it is asked."""
    for number, name in enumerate(CASES, start=10):
        install(place, ModuleId(name), number)
    lived(place, *(ModuleId(name) for name in CASES))
    paths: dict[str, Path] = {}
    for name, (how, file) in CASES.items():
        paths[name] = place.settings.module_dir(ModuleId(name)) / file
        damage(paths[name], how)
    before = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}

    async def steps(machine: Machine) -> None:
        for name, path in paths.items():
            answer = await machine.ask("command", module=name, action="start", who="test")
            assert (answer["accepted"], answer["code"]) == (False, ExitCode.ENVIRONMENT), name
            assert str(path) in answer["reason"]
            model = await machine.told(ModuleId(name))
            assert (model["role"], model["status"]) == ("STOP", "NotReady")
            assert str(path) in model["reason"]
        assert (await machine.ask("command", module=WEB, action="start", who="test"))["accepted"]
        assert (await machine.told(WEB))["role"] != "STOP"

    play(place, steps)
    assert {name: path.read_bytes() for name, path in paths.items() if path.is_file()} == before


def test_commands_that_read_a_damaged_file_say_so(place: NodePlace) -> None:
    """Without any service running."""
    lived(place)
    path, spans = place.settings.module_dir(SHOP) / "journal.db", place.settings.state_dir / "traces.db"
    sound = path.read_bytes()
    for how in DAMAGES:
        damage(path, how)
        done = holdfast(place, "replay", "-m", SHOP)
        assert (done.returncode, str(path) in done.stderr) == (ExitCode.ENVIRONMENT, True), (how, done)
        if path.is_file():
            path.write_bytes(sound)
    damage(spans, garbage)
    for words, file in ((("timeline", "-m", SHOP), path), (("trace",), spans)):
        done = holdfast(place, *words)
        assert (done.returncode, str(file) in done.stderr) == (ExitCode.ENVIRONMENT, True), done


def test_a_module_whose_files_belong_to_nobody_runs(place: NodePlace) -> None:
    """The services are root's; whom the files belong to is no reason to stop."""
    lived(place)
    root = place.settings.module_dir(SHOP)
    for path in (root, *root.glob("*.db*")):
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)

    async def steps(machine: Machine) -> None:
        assert (await machine.ask("command", module=SHOP, action="start", who="test"))["accepted"]

    play(place, steps)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Make a directory one that not even root can write to."""
    for words in (("--bind", str(directory), str(directory)), ("-o", "remount,bind,ro", str(directory))):
        subprocess.run(["mount", *words], check=True, timeout=ANSWER_S_MAX)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=ANSWER_S_MAX)


@pytest.mark.root
def test_a_module_in_a_read_only_directory_is_opened_when_it_can_be_written_again(place: NodePlace) -> None:
    """It is tried again, and needs nobody to do anything."""
    lived(place)

    async def steps(machine: Machine) -> None:
        answer = await machine.ask("command", module=SHOP, action="start", who="test")
        assert (answer["accepted"], answer["code"]) == (False, ExitCode.ENVIRONMENT)
        assert "readonly" in answer["reason"] or "read-only" in answer["reason"].lower()
        assert (await machine.ask("command", module=WEB, action="start", who="test"))["accepted"]
        writable_again.__exit__(None, None, None)
        for _ in range(LOOKS_MAX):
            if not (await machine.told(SHOP))["reason"].startswith("cannot be run"):
                return
            await asyncio.sleep(LOOK_AGAIN_S)
        raise AssertionError("the module was not tried again")

    writable_again = read_only(place.settings.module_dir(SHOP))
    writable_again.__enter__()
    play(place, steps)


def told_role(model: dict[str, Any]) -> tuple[str, str]:
    return str(model["role"]), str(model["wish"])


SAVED_OTHERWISE = {
    "unknown_shape": """UPDATE snapshots SET state = '{"of": "another program"}'""",
    "newer_version": f"""UPDATE snapshots SET state = json_set(state, '$.version', {VERSION + 1})""",
    "no_json": "UPDATE snapshots SET state = substr(state, 1, 100)",
}


def test_a_new_life_of_the_node_needs_no_snapshot(place: NodePlace) -> None:
    """It begins from the record, also when the snapshots were written by another program."""
    for number, name in enumerate(SAVED_OTHERWISE, start=10):
        install(place, ModuleId(name), number)
    lived(place, *(ModuleId(name) for name in SAVED_OTHERWISE))
    for name, statement in SAVED_OTHERWISE.items():
        execute(place.settings.module_dir(ModuleId(name)) / "journal.db", statement)
    (place.run_dir / "statemachine.json").unlink()

    async def steps(machine: Machine) -> None:
        for name in SAVED_OTHERWISE:
            answer = await machine.ask("command", module=name, action="start", who="test")
            assert answer["accepted"], (name, answer)

    play(place, steps)


def test_the_same_life_goes_on_from_the_journal_when_snapshots_are_of_another_shape(place: NodePlace) -> None:
    """The state is folded again from the configuration that the module was opened with."""
    opened_only = "UPDATE snapshots SET state = json_set(state, '$.wish', 'of another program')"

    async def steps(machine: Machine) -> None:
        assert (await machine.ask("command", module=SHOP, action="start", who="test"))["accepted"]
        before = await machine.told(SHOP)
        machine.process.kill()
        execute(place.settings.module_dir(SHOP) / "journal.db", opened_only)
        await machine.start()
        after = await machine.told(SHOP)
        assert told_role(after) == told_role(before)
        assert (after["epoch"], after["incarnation"]) == (before["epoch"], before["incarnation"])

    play(place, steps)
    store = AuthorityStore(place.settings.module_dir(SHOP) / "authority.db", read_only=True)
    assert store.read().incarnation == 1
    store.close()


def test_the_same_life_is_refused_when_the_journal_would_tell_another_story_than_the_record(place: NodePlace) -> None:
    """Nothing is written: the record counts, and the hint says how to begin from it."""

    async def steps(machine: Machine) -> None:
        assert (await machine.ask("command", module=SHOP, action="start", who="test"))["accepted"]
        machine.process.kill()
        root = place.settings.module_dir(SHOP)
        execute(
            root / "journal.db", "UPDATE snapshots SET state = json_set(state, '$.authority.epoch', 41, '$.wish', 'x')"
        )
        record = AuthorityStore(root / "authority.db", read_only=True).read()
        await machine.start()
        answer = await machine.ask("command", module=SHOP, action="stop", who="test")
        assert (answer["accepted"], answer["code"]) == (False, ExitCode.ENVIRONMENT)
        assert "restart the node" in answer["reason"]
        assert AuthorityStore(root / "authority.db", read_only=True).read() == record

    play(place, steps)
