"""The scripts service as a real process on a real bus, running real shell scripts."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from holdfast.bus.nats import NatsBus
from holdfast.events.module import ForgetScripts, ReportFacts, RunScript, ScriptFinished, SpanEnded
from holdfast.scripting.host_name import envfile_text
from holdfast.testing.nats_server import NatsServer
from holdfast.testing.services import Listener, NodePlace, ServiceProcess

MODULE = "shop"
Scenario = Callable[[Listener], Awaitable[None]]


class ScriptsNode:
    """A node with the scripts service and one module."""

    def __init__(self, place: NodePlace) -> None:
        self.place = place
        self.service = ServiceProcess(place, "services.scripts")
        self.bin = place.state_dir / "modules" / MODULE / "active" / "bin"
        self.bin.mkdir(parents=True)
        self.heard = place.root / "heard"
        os.mkfifo(self.heard)

    def script(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def play(self, scenario: Scenario) -> None:
        """Start the service, wait until it is ready, then run the scenario."""

        async def run() -> None:
            listener = await Listener.connect(self.place)
            self.service.start()
            try:
                await listener.service_started("scripts")
                await scenario(listener)
            finally:
                await listener.close()

        asyncio.run(run())

    async def restart(self, listener: Listener) -> None:
        listener.forget()
        self.service.start()
        await listener.service_started("scripts")

    async def hear(self) -> str:
        """Return what a script writes into the pipe `heard`."""
        return await asyncio.to_thread(self.heard.read_text)


@pytest.fixture
def node(place: NodePlace, nats_server: NatsServer) -> Iterator[ScriptsNode]:
    made = ScriptsNode(place)
    yield made
    made.service.stop()


def order(
    run: str,
    script: str,
    *,
    timeout_ms: int = 20_000,
    log_bytes_max: int = 100_000,
    host_name: str = "",
    has_host_name: bool = False,
    **more: str,
) -> RunScript:
    return RunScript(
        run=run,
        script=script,
        arguments=("STOP", "WAIT", "start"),
        environment=more,
        timeout_ms=timeout_ms,
        log_bytes_max=log_bytes_max,
        host_name=host_name,
        has_host_name=has_host_name,
    )


async def finished(listener: Listener, run: str) -> ScriptFinished:
    return await listener.wait_for(ScriptFinished, lambda fact: fact.run == run)


def log_text(fact: ScriptFinished) -> str:
    return Path(fact.log).read_text()


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def end_of(pid: int) -> None:
    """Wait until a process has ended."""
    if is_gone(pid):
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(10):
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def test_script_gets_the_models_environment_and_arguments(node: ScriptsNode) -> None:
    node.script("start_prim", 'env | sort; echo "arguments: $*"; pwd; exit 3')

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "start_prim", SERVICES="a b", SAFEMODULE="other"))
        fact = await finished(listener, "r1")
        assert (fact.exit_code, fact.timed_out) == (3, False)
        lines = log_text(fact).splitlines()
        state = node.place.state_dir
        for line in (
            f"SAFE={state}/safe",
            "SAFEMODULE=shop",
            f"SAFEBIN={state}/safe/private/bin",
            f"SAFEUSERBIN={node.bin}",
            f"SAFEUSERCONF={node.bin.parent}",
            f"SAFEVAR={state}",
            f"SAFEUSERVAR={state}/modules/shop",
            "SERVICES=a b",
            "arguments: STOP WAIT start",
            str(node.bin),
        ):
            assert line in lines
        assert Path(fact.log).parent == state / "modules" / MODULE / "log"

    node.play(scenario)


def test_missing_script_counts_as_finished_well(node: ScriptsNode) -> None:
    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "transition"))
        assert (await finished(listener, "r1")).exit_code == 0

    node.play(scenario)


@pytest.mark.parametrize("name", ["../../outside", ".hidden", "", "a/../../outside", "/bin/true"])
def test_script_outside_the_modules_bin_is_not_started(node: ScriptsNode, name: str) -> None:
    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", name))
        assert (await finished(listener, "r1")).exit_code == -1

    node.play(scenario)


def test_file_that_cannot_be_executed_says_so_in_its_log(node: ScriptsNode) -> None:
    node.script("prestart", "true")
    (node.bin / "prestart").chmod(0o644)

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "prestart"))
        fact = await finished(listener, "r1")
        assert fact.exit_code == -1
        assert "could not be started: Permission denied" in log_text(fact)

    node.play(scenario)


def test_same_run_ordered_again_only_repeats_the_result(node: ScriptsNode) -> None:
    count = node.place.root / "count"
    node.script("start_prim", f"echo x >> {count}; exit 4")

    async def scenario(listener: Listener) -> None:
        for _ in range(3):
            await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        await finished(listener, "r1")
        listener.forget()
        await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        assert (await finished(listener, "r1")).exit_code == 4
        assert count.read_text() == "x\n"

    node.play(scenario)


def test_script_outlives_the_killed_service_and_its_end_is_reported_by_the_next_one(node: ScriptsNode) -> None:
    gate = node.place.root / "gate"
    os.mkfifo(gate)
    node.script("start_prim", f"echo started > {node.heard}; read line < {gate}; echo went on; exit 5")

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        assert await node.hear() == "started\n"
        node.service.kill()
        await node.restart(listener)
        await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        await asyncio.to_thread(gate.write_text, "go\n")
        fact = await finished(listener, "r1")
        assert fact.exit_code == 5
        assert log_text(fact) == "went on\n"

    node.play(scenario)


def test_script_that_ends_while_no_service_runs_is_reported_when_one_is_back(node: ScriptsNode) -> None:
    gate = node.place.root / "gate"
    os.mkfifo(gate)
    node.script("stop_prim", f"echo $PPID > {node.heard}; read line < {gate}; exit 6")

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "stop_prim"))
        runner = int(await node.hear())
        node.service.kill()
        await asyncio.to_thread(gate.write_text, "go\n")
        await end_of(runner)
        await node.restart(listener)
        await listener.order("_node", "all", ReportFacts())
        assert (await finished(listener, "r1")).exit_code == 6

    node.play(scenario)


def test_daemon_left_behind_does_not_hold_up_the_run_and_keeps_an_open_output(node: ScriptsNode) -> None:
    gate = node.place.root / "gate"
    os.mkfifo(gate)
    node.script(
        "start_prim",
        f"echo begun; setsid sh -c 'read line < {gate}; echo from the daemon; echo $? > {node.heard}' &\nexit 0",
    )

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        fact = await finished(listener, "r1")
        assert fact.exit_code == 0
        await asyncio.to_thread(gate.write_text, "go\n")
        assert await node.hear() == "0\n"

    node.play(scenario)


def test_output_is_bounded_and_the_cut_is_said(node: ScriptsNode) -> None:
    node.script("start_prim", "head -c 50000000 /dev/zero | tr '\\0' x; echo end; exit 0")

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "start_prim", log_bytes_max=1000))
        fact = await finished(listener, "r1")
        text = log_text(fact)
        assert fact.exit_code == 0
        assert text.startswith("x" * 1000 + "\n--- the output was longer than 1000 bytes")
        assert len(text) < 1200

    node.play(scenario)


def test_script_over_its_time_is_ended_with_its_whole_session(node: ScriptsNode) -> None:
    node.script("stop_prim", f"trap '' TERM; sleep 1000 & echo $! > {node.heard}; wait; sleep 1000")

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "stop_prim", timeout_ms=200))
        child = int(await node.hear())
        fact = await finished(listener, "r1")
        assert (fact.exit_code, fact.timed_out) == (128 + signal.SIGKILL, True)
        await end_of(child)
        assert is_gone(child)

    node.play(scenario)


def test_forget_ends_running_scripts_of_that_module(node: ScriptsNode) -> None:
    node.script("start_prim", f"echo up > {node.heard}; exec sleep 1000")

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        await node.hear()
        await listener.order(MODULE, "scripts", ForgetScripts(reason="forcestop"))
        fact = await finished(listener, "r1")
        assert (fact.exit_code, fact.timed_out) == (128 + signal.SIGTERM, False)

    node.play(scenario)


def test_killed_runner_takes_its_script_along_and_is_reported(node: ScriptsNode) -> None:
    node.script("start_prim", f"echo $$ $PPID > {node.heard}; exec sleep 1000")

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        script, runner = map(int, (await node.hear()).split())
        os.kill(runner, signal.SIGKILL)
        assert (await finished(listener, "r1")).exit_code == 137
        await end_of(script)
        assert is_gone(script)

    node.play(scenario)


def test_running_script_ends_when_the_supervisor_is_gone(place: NodePlace, nats_server: NatsServer) -> None:
    """A shell stands where the supervisor would: it starts the service and is then killed."""
    node = ScriptsNode(place)
    node.script("start_prim", f"echo $$ > {node.heard}; exec sleep 1000")

    async def scenario() -> None:
        listener = await Listener.connect(place)
        environment = {**os.environ, **place.environment}
        supervisor = await asyncio.create_subprocess_exec(
            "sh", "-c", "python -m services.scripts & wait", env={**environment, "PATH": _path(environment)}
        )
        try:
            await listener.service_started("scripts")
            await listener.order(MODULE, "scripts", order("r1", "start_prim"))
            script = int(await node.hear())
            supervisor.kill()
            await supervisor.wait()
            await end_of(script)
            assert is_gone(script)
        finally:
            if supervisor.returncode is None:
                supervisor.kill()
                await supervisor.wait()
            await listener.close()

    asyncio.run(scenario())


def test_traced_runs_leave_a_span_each_and_the_service_can_go_on_forking(node: ScriptsNode) -> None:
    """Tracing must not bring threads or fork handlers into the process that forks runners."""
    node.script("start_prim", "exit 0")
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"

    async def scenario(listener: Listener) -> None:
        for run in ("r1", "r2", "r3"):
            await listener.order(MODULE, "scripts", order(run, "start_prim"), trace=trace)
            assert (await finished(listener, run)).exit_code == 0
            span = await listener.wait_for(SpanEnded, lambda span, run=run: span.attributes["run"] == run)
            assert (span.trace_id, span.parent_span_id, span.name) == ("ab" * 16, "cd" * 8, "script start_prim")
        tasks = await asyncio.to_thread(os.listdir, f"/proc/{node.service.pid}/task")
        assert len(tasks) == 1

    node.play(scenario)


def test_service_goes_on_after_the_bus_was_away(node: ScriptsNode, nats_server: NatsServer) -> None:
    node.script("start_prim", "exit 7")

    async def scenario(listener: Listener) -> None:
        nats_server.kill()
        nats_server.start()
        wanted = asyncio.ensure_future(finished(listener, "r1"))
        while not wanted.done():
            # The state machine, too, repeats its order for as long as both are finding back to the bus.
            await listener.order(MODULE, "scripts", order("r1", "start_prim"))
            await asyncio.wait({wanted}, timeout=0.2)
        assert wanted.result().exit_code == 7

    node.play(scenario)


def test_rubbish_on_the_bus_is_refused_and_the_service_goes_on(node: ScriptsNode) -> None:
    node.script("start_prim", "exit 8")

    async def scenario(listener: Listener) -> None:
        bus = await NatsBus.connect(node.place.run_dir, "rubbish")
        for data in (b"", b"{", b"\xff" * 100, b'{"type":"run.script"}'):
            await bus.publish("holdfast.v1.main.order.shop.scripts.run-script", data)
        await bus.close()
        await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        assert (await finished(listener, "r1")).exit_code == 8

    node.play(scenario)


def _path(environment: dict[str, str]) -> str:
    """A path on which `python` is the one that runs this test."""
    return f"{Path(sys.executable).parent}:{environment['PATH']}"


ASKS = 'uname -n; cat /proc/sys/kernel/hostname; python3 -c "import socket; print(socket.gethostname())"'
SOURCES = f'. "$SAFEUSERBIN/vhostenv"; {ASKS}; echo "$VIRTUALHOSTNAME $HOSTNAME"'


@pytest.mark.root
def test_script_of_the_role_and_its_daemon_find_the_virtual_host_name(node: ScriptsNode) -> None:
    node.script("start_prim", f"{ASKS}; (sleep 0.2; uname -n >{node.heard}) >/dev/null 2>&1 &")
    own = os.uname().nodename

    async def scenario(listener: Listener) -> None:
        await listener.order(
            MODULE, "scripts", order("r1", "start_prim", host_name="shop.example.org", has_host_name=True)
        )
        said = asyncio.create_task(node.hear())
        fact = await finished(listener, "r1")
        assert log_text(fact) == "shop.example.org\n" * 3
        assert await said == "shop.example.org\n"
        assert os.uname().nodename == own

    node.play(scenario)


@pytest.mark.root
def test_other_script_finds_it_once_it_has_sourced_the_envfile(node: ScriptsNode) -> None:
    own = os.uname().nodename
    (node.bin / "vhostenv").write_text(envfile_text("shop"))
    node.script("prestart", f'uname -n; "$SAFEUSERBIN/stop_prim"; {SOURCES}')
    node.script("stop_prim", "uname -n")

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "prestart", host_name="shop"))
        assert log_text(await finished(listener, "r1")) == f"{own}\n{own}\nshop\nshop\nshop\nshop shop\n"
        # Without a namespace of its own a script must never rename the node.
        await listener.order(MODULE, "scripts", order("r2", "prestart"))
        assert log_text(await finished(listener, "r2")) == f"{own}\n" * 5 + "shop shop\n"
        assert os.uname().nodename == own

    node.play(scenario)


@pytest.mark.root
def test_tool_runs_a_command_under_a_host_name(node: ScriptsNode) -> None:
    node.script("start_prim", '"$SAFEBIN/vhost" shop uname -n; "$SAFE/safekit" -r vhost shop2 uname -n; uname -n')

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "start_prim"))
        assert log_text(await finished(listener, "r1")) == f"shop\nshop2\n{os.uname().nodename}\n"

    node.play(scenario)


@pytest.mark.root
def test_host_name_that_cannot_be_had_fails_the_script_and_says_why(node: ScriptsNode) -> None:
    node.script("start_prim", "true")

    async def scenario(listener: Listener) -> None:
        await listener.order(MODULE, "scripts", order("r1", "start_prim", host_name="x" * 65, has_host_name=True))
        fact = await finished(listener, "r1")
        assert fact.exit_code == -1
        assert "could not be started" in log_text(fact)

    node.play(scenario)
