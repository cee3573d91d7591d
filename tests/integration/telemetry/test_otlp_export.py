"""Spans on their way to a collector: what it decodes, and that nothing suffers when it does not take them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.envelope import NODE_SCOPE, Envelope, HybridTime
from holdfast.events.module import RunScript, ScriptFinished, SpanEnded
from holdfast.history import export, otlp, spans
from holdfast.history.export import BATCH_SPANS_MAX, SpanExporter
from holdfast.history.spans import FILE_NAME, SpanStore
from holdfast.ids import ModuleId, NodeId
from holdfast.telemetry import new_span, new_trace, span_id, trace_id
from holdfast.testing.services import Listener, NodePlace

from tests.otlp_collector import Collector, decoded

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
WAIT_S_MAX = 60.0
MODULE = ModuleId("shop")


def a_span(trace: str, name: str = "take addresses", **attributes: str) -> SpanEnded:
    return SpanEnded(
        trace_id=trace_id(trace),
        span_id=span_id(new_span(trace)),
        parent_span_id=span_id(trace),
        name=name,
        service="node1/rfs@shop",
        start_wall_ns=1_000,
        end_wall_ns=2_000,
        attributes=attributes,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until(condition: Callable[[], bool]) -> None:
    end_at = asyncio.get_running_loop().time() + WAIT_S_MAX
    while not condition():
        assert asyncio.get_running_loop().time() < end_at, "did not come true in time"
        await asyncio.sleep(0.01)


class Exporting:
    """An exporter that runs beside the steps of a test, and the store that it reads."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.exporter = SpanExporter(endpoint, state_dir=folder, store=FILE_NAME, headers={"authorization": "Bearer x"})
        self._store = SpanStore(folder / FILE_NAME)

    async def end(self, name: str = "take addresses", *, trace: str = "", **attributes: str) -> SpanEnded:
        """Have a span end: it is in the store, and news of it comes over the bus."""
        span = a_span(trace or new_trace(), name, **attributes)
        self._store.add(span)
        self._store.flush()
        await self.exporter.take(_told(span))
        return span

    def play(self, steps: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            task = asyncio.get_running_loop().create_task(self.exporter.run())
            # What is in the store before exporting begins is history.
            await until(lambda: (self.exporter._cursor_file).exists())
            try:
                await steps()
            finally:
                task.cancel()
                await asyncio.wait({task})
            assert task.cancelled()

        try:
            asyncio.run(run())
        finally:
            self._store.close()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses of a real node would only make these tests long."""
    for name in ("GATHER_S", "PAUSE_S_MIN", "PAUSE_S_MAX"):
        monkeypatch.setattr(export, name, 0.01)


def test_a_collector_decodes_what_was_exported(tmp_path: Path) -> None:
    """Service, node, ids, parent, attributes; a link and an error become what the protocol has for them."""
    trace, other = new_trace(), new_trace()
    ended: list[SpanEnded] = []

    with Collector() as collector:
        node = Exporting(tmp_path, collector.endpoint)

        async def steps() -> None:
            ended.append(await node.end(trace=trace, module="shop", link=other, error="OSError: full"))
            await until(lambda: node.exporter.exported == 1)

        node.play(steps)
    assert collector.headers["authorization"] == "Bearer x"
    [received] = collector.spans
    assert (received.node, received.service, received.name) == ("node1", "rfs", "take addresses")
    assert (received.trace_id, received.span_id) == (ended[0].trace_id, ended[0].span_id)
    assert received.parent_span_id == span_id(trace)
    assert received.links == [trace_id(other)]
    assert received.attributes == {"module": "shop", "error": "OSError: full"}
    assert received.failed == "OSError: full"


def test_spans_with_impossible_ids_are_left_out() -> None:
    rubbish = replace(a_span(new_trace()), trace_id="rubbish")
    spans = decoded(otlp.request([rubbish, a_span(new_trace(), "sound")]))
    assert [span.name for span in spans] == ["sound"]


def test_the_next_exporter_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    """Spans that ended while there was none arrive too, and each arrives once."""
    with Collector() as collector:
        first = Exporting(tmp_path, collector.endpoint)

        async def one() -> None:
            await first.end("one")
            await until(lambda: first.exporter.exported == 1)

        first.play(one)
        between = Exporting(tmp_path, collector.endpoint)
        asyncio.run(_ended(between, "between"))
        second = Exporting(tmp_path, collector.endpoint)

        async def three() -> None:
            await second.end("three")
            await until(lambda: second.exporter.exported == 2)

        second.play(three)
    assert [span.name for span in collector.spans] == ["one", "between", "three"]


def test_what_was_there_before_exporting_began_is_not_exported(tmp_path: Path) -> None:
    asyncio.run(_ended(Exporting(tmp_path, "http://127.0.0.1:9"), "long ago"))
    with Collector() as collector:
        node = Exporting(tmp_path, collector.endpoint)

        async def steps() -> None:
            await node.end("new")
            await until(lambda: node.exporter.exported == 1)

        node.play(steps)
    assert [span.name for span in collector.spans] == ["new"]


def test_an_answer_that_is_final_drops_the_batch_and_the_next_one_is_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """500 may not be repeated (OTLP specification, "Failures"); one line says so, and one that it works again."""
    with caplog.at_level(logging.WARNING, "holdfast.export"), Collector(answer=500) as collector:
        node = Exporting(tmp_path, collector.endpoint)

        async def steps() -> None:
            for count in (1, 2):
                await node.end()
                await until(lambda count=count: node.exporter.dropped == count)  # type: ignore[misc]
            collector.answer = 200
            await node.end()
            await until(lambda: node.exporter.exported == 1)

        node.play(steps)
    assert (node.exporter.exported, node.exporter.dropped, collector.requests) == (1, 2, 3)
    first, last = [record.getMessage() for record in caplog.records]
    assert "it answered 500" in first
    assert "again; 2 were dropped" in last


def test_a_collector_that_asks_for_patience_gets_the_same_spans_again(tmp_path: Path) -> None:
    with Collector(answer=503) as collector:
        node = Exporting(tmp_path, collector.endpoint)

        async def steps() -> None:
            await node.end()
            await until(lambda: collector.requests >= 3)
            collector.answer = 200
            await until(lambda: node.exporter.exported == 1)

        node.play(steps)
    assert (len(collector.spans), node.exporter.dropped) == (1, 0)


def test_a_collector_that_comes_late_gets_what_waited(tmp_path: Path) -> None:
    """Nobody listens at first."""
    port = free_port()
    node = Exporting(tmp_path, f"http://127.0.0.1:{port}")

    async def steps() -> None:
        await node.end()
        await until(lambda: node.exporter._is_failing)
        with Collector(port=port) as collector:
            await until(lambda: node.exporter.exported == 1)
        assert len(collector.spans) == 1

    node.play(steps)


def test_the_oldest_spans_are_given_up_for_a_collector_that_stays_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is the queue and has its limit; what it gave up is counted. Nothing waits for the collector."""
    kept, ended = 20, 100
    monkeypatch.setattr(spans, "SPANS_MAX", kept)
    with Collector(answer=503) as collector:
        node = Exporting(tmp_path, collector.endpoint)

        async def steps() -> None:
            for number in range(ended):
                await node.end(f"span {number}")
            await until(lambda: collector.requests > 1)
            collector.answer = 200
            await until(lambda: node.exporter.exported + node.exporter.dropped == ended)

        node.play(steps)
    assert node.exporter.dropped >= ended - kept - BATCH_SPANS_MAX
    assert collector.spans[-1].name == f"span {ended - 1}"
    assert len(collector.spans) == node.exporter.exported


class ForkedNode:
    """A supervisor and the services that it has forked."""

    def __init__(self, place: NodePlace, endpoint: str, *services: str) -> None:
        self.place = place
        settings = f'lifeline_port = {free_port()}\nhttp_port = {free_port()}\notlp_endpoint = "{endpoint}"\n'
        (place.config_dir / "node.toml").write_text(settings)
        scripts = place.settings.module_dir(MODULE) / "active" / "bin"
        scripts.mkdir(parents=True)
        (scripts / "start_prim").write_text("#!/bin/sh\necho started\n")
        (scripts / "start_prim").chmod(0o755)
        command = [sys.executable, str(HERE / "forked_node.py"), *services]
        environment = {**os.environ, **place.environment, "PYTHONPATH": str(ROOT)}
        with (place.root / "stderr").open("w") as errors:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=errors)

    async def listener(self, *services: str) -> Listener:
        """Connect to the node's bus and wait for services to be ready."""
        await until((self.place.run_dir / "bus.json").exists)
        listener = await Listener.connect(self.place)
        for service in services:
            await listener.service_started(service)
        return listener

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(WAIT_S_MAX)
        finally:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def forked(place: NodePlace) -> Iterator[Callable[..., ForkedNode]]:
    nodes: list[ForkedNode] = []

    def begin(endpoint: str, *services: str) -> ForkedNode:
        nodes.append(ForkedNode(place, endpoint, *services))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.end()


def run_script(run: str) -> RunScript:
    return RunScript(
        run=run, script="start_prim", arguments=(), environment={}, timeout_ms=20_000, log_bytes_max=100_000
    )


def test_a_script_run_by_a_forked_service_reaches_the_collector(forked: Callable[..., ForkedNode]) -> None:
    """It runs to its end (a runner forked beside a tracing library would hang), and its span arrives exactly once."""
    trace = new_trace()

    async def scenario(node: ForkedNode) -> None:
        listener = await node.listener("statemachine", "scripts", "gateway")
        try:
            await listener.order(MODULE, "scripts", run_script("one"), trace=trace)
            finished = await listener.wait_for(ScriptFinished, lambda fact: fact.run == "one")
            assert finished.exit_code == 0
        finally:
            await listener.close()

    with Collector() as collector:
        asyncio.run(scenario(forked(collector.endpoint, "statemachine", "scripts", "gateway")))
        collector.until(lambda: bool(collector.spans))
    [span] = collector.spans
    assert (span.node, span.service, span.name) == ("node1", "scripts", "script start_prim")
    assert (span.trace_id, span.parent_span_id) == (trace_id(trace), span_id(trace))


@pytest.mark.parametrize("answer", [0, 500, None], ids=["hangs", "refuses", "absent"])
def test_no_collector_holds_a_node_up(forked: Callable[..., ForkedNode], answer: int | None) -> None:
    """Under a flood of spans scripts run and the gateway answers; nothing is said to have been exported."""

    async def scenario(node: ForkedNode) -> None:
        listener = await node.listener("statemachine", "scripts", "gateway")
        try:
            # A subscription of its own: the listener keeps a limited number of facts.
            finished, trace = asyncio.Event(), new_trace()

            async def hear(_envelope: Envelope[object]) -> None:
                finished.set()

            await listener.context.on_events(hear, BY_PAYLOAD[ScriptFinished].name)
            figures: dict[str, float] = {}
            while not (figures.get("holdfast_spans_waiting") or figures.get("holdfast_spans_dropped")):
                for number in range(2 * BATCH_SPANS_MAX):
                    await listener.context.publish(NODE_SCOPE, a_span(trace, f"span {number}"))
                figures = await asyncio.to_thread(_figures, node.place.settings.http_port)
            await listener.order(MODULE, "scripts", run_script("one"), trace=trace)
            async with asyncio.timeout(WAIT_S_MAX):
                await finished.wait()
            figures = await asyncio.to_thread(_figures, node.place.settings.http_port)
            assert figures["holdfast_spans_exported"] == 0
        finally:
            await listener.close()

    if answer is None:
        asyncio.run(scenario(forked("http://127.0.0.1:9", "statemachine", "scripts", "gateway")))
        return
    with Collector(answer=answer) as collector:
        asyncio.run(scenario(forked(collector.endpoint, "statemachine", "scripts", "gateway")))


@pytest.mark.parametrize("service", ["heartbeat", "statemachine", "vip", "scripts", "rfs", "supervisor"])
def test_no_service_but_the_gateway_loads_a_tracing_library(service: str) -> None:
    """One that acts on forks makes a child of such a process wait for a thread that it does not have."""
    loaded = f"import sys, services.{service}.service; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S_MAX, check=True
    )
    assert done.stdout == "[]\n"


async def _ended(node: Exporting, name: str) -> None:
    await node.end(name)
    node._store.close()


def _told(span: SpanEnded) -> Envelope[object]:
    return Envelope(
        id="1",
        module=NODE_SCOPE,
        node=NodeId("node1"),
        source="vip",
        at_wall_ns=1,
        at_mono_ns=1,
        hybrid=HybridTime(wall_ms=1, counter=0),
        cause="",
        trace="",
        payload=span,
    )


def _figures(port: int) -> dict[str, float]:
    """The gateway's figures that have no labels; none while it does not answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
            text = client.makefile().read()
    except OSError:
        return {}
    lines = [line.split() for line in text.splitlines() if line.startswith("holdfast_spans")]
    return {name: float(value) for name, value in lines}
