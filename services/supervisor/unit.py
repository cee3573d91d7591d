"""One service under supervision: its past runs and the present one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.supervisor import core


@dataclass(kw_only=True)
class Run:
    """A running process. kill_at_s: when SIGKILL follows the SIGTERM it was sent, None when it was sent none."""

    pid: int
    started_s: float
    ready: bool = False
    renewed_s: float | None = None
    kill_at_s: float | None = None


@dataclass(kw_only=True)
class Unit:
    """A service that is wanted, or still running although it is not. leased: it renews a lease."""

    name: str
    leased: bool = True
    wanted: bool = True
    history: core.History = field(default_factory=core.History)
    run: Run | None = None
    start_at_s: float = 0.0

    def next_deadline_s(self) -> float | None:
        """Return when something has to be done about this service if nothing happens before."""
        if self.run is None:
            return self.start_at_s if self.wanted else None
        if self.run.kill_at_s is not None:
            return self.run.kill_at_s
        return self.lease_ends_s()

    def lease_ends_s(self) -> float | None:
        if self.run is None or not self.leased:
            return None
        return core.lease_ends_s(self.name, started_s=self.run.started_s, renewed_s=self.run.renewed_s)

    def forgive(self, gap_s: float) -> None:
        """Add to the lease the time in which we could not have seen it renewed."""
        if self.history.unready_since_s is not None:
            self.history = replace(self.history, unready_since_s=self.history.unready_since_s + gap_s)
        if self.run is None:
            return
        self.run.started_s += gap_s
        if self.run.renewed_s is not None:
            self.run.renewed_s += gap_s
