"""What a check looks at, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from holdfast.config.model import ClusterConfig, ModuleConfig, Position, TcpCheck
from holdfast.config.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A valid configuration with what stands around it.

    scripts: file names in the module's bin. runtime_files: for each replicated directory the sockets and pid files that
    were found in it, relative to it. unknown_units: names of units that the running systemd does not know. others:
    modules of this node, by name, as they are edited now.
    """

    config: ModuleConfig
    scripts: frozenset[str] = frozenset()
    cluster: ClusterConfig | None = None
    runtime_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown_units: frozenset[str] = frozenset()
    others: Mapping[str, ModuleConfig] = field(default_factory=dict)

    def own_addresses(self) -> frozenset[str]:
        """The module's virtual addresses."""
        return frozenset(virtual.address for virtual in self.config.virtual_addresses)

    def has_script(self, *names: str) -> bool:
        """Is one of these scripts in the module's bin?"""
        return any(name in self.scripts for name in names)

    def loopback_checks(self) -> Iterator[TcpCheck]:
        """TCP checkers of something on the node itself."""
        for check in self.config.tcp_checks:
            if check.address == "localhost" or check.address.startswith("127.") or check.address == "::1":
                yield check


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """what: the finding. risk: what could happen. fix: what would be better."""

    at: Position
    what: str
    risk: str
    fix: str

    def problem(self, source: str, name: str) -> Problem:
        """As a warning of the file. `name`: of the check, for people who look for it."""
        return Problem(source=source, at=self.at, message=f"[{name}] {self.what}: {self.risk}; better: {self.fix}")
