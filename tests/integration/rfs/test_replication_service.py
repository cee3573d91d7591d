"""The service on a bus: obeys orders, reports, compares on request, goes on with its last order by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from holdfast.bus import subjects
from holdfast.bus.memory import MemoryBus
from holdfast.clock import HybridClock, SystemClock
from holdfast.events import codec
from holdfast.events.envelope import Envelope
from holdfast.events.replication import (
    EstimateResync,
    ReplicasVerified,
    ReplicatedDirectory,
    ReplicateDirectories,
    ReplicationMode,
    ReplicationReported,
    ReplicationSettings,
    ResyncEstimated,
    VerifyReplicas,
)
from holdfast.ids import ClusterId, Epoch, Generation, ModuleId, NodeId
from holdfast.service.context import Context
from holdfast.service.notify import Notifier
from holdfast.settings import NodeSettings

from services.rfs.service import serve

pytestmark = [pytest.mark.root, pytest.mark.slow]

MODULE = ModuleId("test")
CLUSTER = ClusterId("main")


class Watcher:
    """Sees what the service publishes and gives it orders."""

    def __init__(self, base: Path, bus: MemoryBus) -> None:
        self.directory = base / "replicated"
        self.directory.mkdir()
        self.bus = bus
        settings = NodeSettings(
            node=NodeId("one"), cluster=CLUSTER, config_dir=base, state_dir=base / "state", run_dir=base / "run"
        )
        clock = SystemClock()
        self.context = Context(
            name=f"rfs@{MODULE}",
            settings=settings,
            bus=bus,
            clock=clock,
            hybrid=HybridClock(clock),
            notifier=Notifier({}),
        )
        self.report: ReplicationReported | None = None
        self.verified: ReplicasVerified | None = None
        self.estimated: ResyncEstimated | None = None
        self._changed = asyncio.Condition()

    async def watch(self) -> None:
        async def take(_subject: str, data: bytes) -> None:
            payload = codec.decode(data).payload
            async with self._changed:
                if isinstance(payload, ReplicationReported):
                    self.report = payload
                elif isinstance(payload, ReplicasVerified):
                    self.verified = payload
                elif isinstance(payload, ResyncEstimated):
                    self.estimated = payload
                self._changed.notify_all()

        await self.bus.subscribe(subjects.event(CLUSTER, MODULE, subjects.ANY, subjects.ANY), take)

    async def order(self, payload: ReplicateDirectories | VerifyReplicas | EstimateResync, name: str) -> None:
        envelope: Envelope[object] = self.context.envelope(MODULE, payload)
        await self.bus.publish(subjects.order(CLUSTER, MODULE, self.context.name, name), codec.encode(envelope))

    async def replicate(self, mode: ReplicationMode, path: str = "") -> None:
        directory = ReplicatedDirectory(path=path or str(self.directory))
        order = ReplicateDirectories(
            mode=mode,
            epoch=Epoch(1),
            fence_epoch=Epoch(1),
            generation=Generation("g"),
            base=Generation(""),
            local_address="127.0.0.1",
            peer_address="127.0.0.1",
            port=5651,
            settings=ReplicationSettings(directories=(directory,)),
        )
        await self.order(order, "replicate.directories")

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(condition)


async def _run(base: Path) -> None:
    watcher = Watcher(base, MemoryBus())
    await watcher.watch()
    task = asyncio.create_task(serve(watcher.context))

    def said() -> ReplicationReported | None:
        return watcher.report

    try:
        await watcher.until(lambda: said())
        await watcher.replicate(ReplicationMode.PRIMARY, "/nowhere/at/all")
        await watcher.until(lambda: (report := said()) and "does not exist" in report.failed)
        await watcher.replicate(ReplicationMode.PRIMARY)
        await watcher.until(lambda: (report := said()) and report.writable and report.mounted and not report.failed)
        await asyncio.to_thread((watcher.directory / "a").write_bytes, b"through the mount")
        await watcher.order(VerifyReplicas(request="r"), "verify.replicas")
        await watcher.until(lambda: watcher.verified)
        assert watcher.verified is not None
        assert "no secondary" in watcher.verified.error
        await watcher.order(EstimateResync(request="e"), "estimate.resync")
        await watcher.until(lambda: watcher.estimated)
        assert watcher.estimated is not None
        assert (watcher.estimated.kind, watcher.estimated.files, watcher.estimated.bytes) == ("full", 1, 17)
        await watcher.replicate(ReplicationMode.OFF)
        await watcher.until(lambda: (report := said()) and report.mode is ReplicationMode.OFF and not report.mounted)
        assert (watcher.directory / "a").read_bytes() == b"through the mount"
    finally:
        watcher.context.stopping.set()
        await task


def test_the_service_obeys_reports_and_leaves_ordinary_files(tmp_path: Path) -> None:
    asyncio.run(_run(tmp_path))
