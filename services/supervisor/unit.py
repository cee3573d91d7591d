"""One service under supervision: its past runs and the present one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from services.supervisor import core


@dataclass(kw_only=True)
class Run:
    """A running process. kill_at_s: when SIGKILL follows the SIGTERM it was sent, None when it was sent none.

    waited: it was a spare and said that it had prepared itself.
    """

    pid: int
    started_s: float
    ready: bool = False
    renewed_s: float | None = None
    kill_at_s: float | None = None
    waited: bool = False


@dataclass(kw_only=True)
class Unit:
    """A service that is wanted, or still running although it is not. leased: it renews a lease.

    spare: a second process that waits to go on in place of the first; the service says when it needs one.
    """

    name: str
    leased: bool = True
    wanted: bool = True
    history: core.History = field(default_factory=core.History)
    run: Run | None = None
    start_at_s: float = 0.0
    spare: Run | None = None
    spare_wanted: bool = False
    spare_history: core.History = field(default_factory=core.History)
    spare_start_at_s: float = 0.0

    def process(self, pid: int) -> Run | None:
        """Return which of this service's processes has this number."""
        return next((run for run in (self.run, self.spare) if run is not None and run.pid == pid), None)

    def lacks_spare(self) -> bool:
        """Whether a spare is to be started. Only beside a process that has its turn, or it would take it first."""
        is_steady = self.run is not None and self.run.kill_at_s is None and (self.run.ready or self.run.waited)
        return self.wanted and self.spare_wanted and self.spare is None and is_steady

    def spare_ends_s(self) -> float | None:
        """Return when a spare that has not prepared itself is taken to hang."""
        if self.spare is None or self.spare.waited:
            return None
        return self.spare.started_s + core.START_LEASE_S

    def promote(self, now_s: float) -> None:
        """Take the spare for the service: it goes on by itself, as soon as the other process is gone."""
        run, self.spare = self.spare, None
        assert run is not None, "there is a spare whose turn has come"
        self.run = run
        run.started_s = now_s
        if run.waited and run.renewed_s is None:
            # It imports nothing any more; what it does with its turn takes no longer than a lease.
            run.renewed_s = now_s
        self.history = core.started(self.history, now_s=now_s)
        if run.ready:
            self.history = core.became_ready(self.history)

    def next_deadline_s(self) -> float | None:
        """Return when something has to be done about this service if nothing happens before."""
        deadlines = (
            self._run_deadline_s(),
            self.spare_start_at_s if self.lacks_spare() else None,
            self.spare_ends_s(),
        )
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _run_deadline_s(self) -> float | None:
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
        if self.spare is not None:
            self.spare.started_s += gap_s
        if self.run is None:
            return
        self.run.started_s += gap_s
        if self.run.renewed_s is not None:
            self.run.renewed_s += gap_s
