"""The health check of a node: what it needs, whether it is there, and what to do where it is not."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from holdfast.config.parse import parse_module
from holdfast.errors import HoldfastError
from holdfast.settings import NodeSettings

from services.gateway.files.cluster import read_cluster
from services.gateway.files.modules import module_place, names

FREE_BYTES_WARN = 1 << 30
"""Room for some days of journals, logs and dumps."""
FREE_BYTES_ERROR = 100 << 20
"""Below this a dump or a resync's change journal may fill the disk."""
RESTARTS_WARN = 3
CLOCK_MS_WARN = 500
"""Beyond this the order of events on a timeline of wall clocks is misleading; nothing is decided on wall clocks."""
FUSE = Path("/dev/fuse")
NETLINK_NETFILTER = 12
"""linux/netlink.h"""
GROUP_OTHER_BITS = 0o077


class Verdict(StrEnum):
    OK = "OK"
    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at. help: what to do, for all but OK."""

    verdict: Verdict
    subject: str
    text: str
    help: str = ""

    def __str__(self) -> str:
        advice = f" ({self.help})" if self.help else ""
        return f"{self.verdict:<5} | {self.subject} | {self.text}{advice}"


@dataclass(frozen=True, kw_only=True)
class ServiceSeen:
    """One service as the supervisor tells it."""

    service: str
    ready: bool
    restarts: int


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What only a running node can tell. services: None when the node does not run. behind_ms: by how much the other
    node's clock is ahead of this one's, as its beats say; None when unknown."""

    services: Sequence[ServiceSeen] | None = None
    behind_ms: float | None = None


def worst(findings: Sequence[Finding]) -> Verdict:
    """The verdict on the whole."""
    found = {finding.verdict for finding in findings}
    return next((verdict for verdict in (Verdict.ERROR, Verdict.WARN) if verdict in found), Verdict.OK)


def report(findings: Sequence[Finding]) -> str:
    """The findings as lines, and the verdict on the whole at the end."""
    return "".join(f"{finding}\n" for finding in findings) + f"result: {worst(findings)}\n"


def examine_health(settings: NodeSettings, observed: Observed) -> tuple[Finding, ...]:
    """Look at everything. Blocking for some milliseconds; no file system that could hang is touched."""
    return (
        *_paths(settings),
        *_cluster(settings),
        *_modules(settings),
        *_services(observed),
        *_disk(settings.state_dir),
        *_clock(observed),
        *_kernel(settings),
        *_encryption(settings),
    )


def _paths(settings: NodeSettings) -> Iterator[Finding]:
    for what, path in (("configuration", settings.config_dir), ("state", settings.state_dir)):
        if not path.is_dir():
            yield _error("paths", f"{what} {path} is not a directory", f"mkdir -p {path}")
        elif not os.access(path, os.W_OK):
            yield _error("paths", f"{what} {path} cannot be written", "run as root; look at the mount's options")
        else:
            yield _ok("paths", f"{what} {path}")


def _cluster(settings: NodeSettings) -> Iterator[Finding]:
    try:
        cluster = read_cluster(settings)
    except HoldfastError as error:
        yield _error("configuration", f"cluster: {error.message}", error.hint or "holdfast cluster config cluster.xml")
        return
    if settings.node not in cluster.nodes:
        known = ", ".join(cluster.nodes)
        yield _error("configuration", f"this node, '{settings.node}', is not in the cluster", f"its nodes: {known}")
    else:
        yield _ok("configuration", f"cluster of {', '.join(cluster.nodes)}; this node is {settings.node}")
    if len(cluster.lans) == 1:
        yield _warn("configuration", "the cluster has one network", "a second one keeps a cut from splitting it")
    if not settings.key_file.exists():
        yield _error("configuration", "the cluster's key is missing", "holdfast cluster config … --key FILE")
    elif settings.key_file.stat().st_mode & GROUP_OTHER_BITS:
        yield _error("configuration", "the cluster's key can be read by others", f"chmod 600 {settings.key_file}")


def _modules(settings: NodeSettings) -> Iterator[Finding]:
    installed = names(settings)
    if not installed:
        yield _warn("configuration", "no module is installed", "holdfast module install")
    for name in installed:
        active = module_place(settings, name) / "active" / "userconfig.xml"
        if not active.exists():
            yield _warn("configuration", f"module {name} is not configured", f"holdfast config -m {name}")
            continue
        try:
            parse_module(active.read_bytes(), str(active), os.environ)
        except (HoldfastError, OSError) as error:
            yield _error("configuration", f"module {name}: {error}", f"holdfast confcheck -m {name}")
        else:
            yield _ok("configuration", f"module {name}")


def _services(observed: Observed) -> Iterator[Finding]:
    if observed.services is None:
        yield _error("services", "the node does not run", "holdfast node run")
        return
    for seen in observed.services:
        if not seen.ready:
            yield _error("services", f"{seen.service} is not ready", f"its log: {seen.service}.log below log/")
        elif seen.restarts >= RESTARTS_WARN:
            log = f"its log: {seen.service}.log below log/"
            yield _warn("services", f"{seen.service} was restarted {seen.restarts} times", log)
        else:
            yield _ok("services", f"{seen.service} is ready")


def _disk(path: Path) -> Iterator[Finding]:
    """The node's own disk. The replicated directories' is that of their parents, and may be any: the linter's."""
    try:
        seen = os.statvfs(path)
    except OSError as error:
        yield _error("disk", f"{path}: {error.strerror}", "")
        return
    free = seen.f_bavail * seen.f_frsize
    text = f"{free / (1 << 20):.0f} MiB are free below {path}"
    if free < FREE_BYTES_ERROR:
        yield _error("disk", text, f"at least {FREE_BYTES_ERROR >> 20} MiB are needed")
    elif free < FREE_BYTES_WARN:
        yield _warn("disk", text, f"{FREE_BYTES_WARN >> 20} MiB leave room for journals and dumps")
    else:
        yield _ok("disk", text)


def _clock(observed: Observed) -> Iterator[Finding]:
    if observed.behind_ms is None:
        yield _warn("clock", "the difference to the other node is not known", "it is read from the other node's beats")
    elif observed.behind_ms > CLOCK_MS_WARN:
        behind = f"this node's clock is {observed.behind_ms:.0f} ms behind the other node's"
        yield _warn("clock", behind, "chrony or systemd-timesyncd on both nodes")
    else:
        yield _ok("clock", "this node's clock is not behind the other node's")


def _kernel(settings: NodeSettings) -> Iterator[Finding]:
    if FUSE.exists():
        yield _ok("kernel", "FUSE is there")
    else:
        verdict = Verdict.ERROR if _replicating(settings) else Verdict.WARN
        yield Finding(verdict=verdict, subject="kernel", text=f"{FUSE} is missing", help="modprobe fuse")
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER).close()
    except OSError:
        yield _warn("kernel", "nftables is missing; farm modules need it", "modprobe nf_tables")
    else:
        yield _ok("kernel", "netfilter (nftables) can be reached")


def _replicating(settings: NodeSettings) -> list[str]:
    files = {name: module_place(settings, name) / "active" / "safeconf.xml" for name in names(settings)}
    return [name for name, file in files.items() if file.exists() and b"<rfs" in file.read_bytes()]


def _encryption(settings: NodeSettings) -> Iterator[Finding]:
    """Without certificates the cluster's key authenticates beats and replication, and hides nothing."""
    for name in _replicating(settings):
        text = f"module {name} has no certificates: its data cross the network unencrypted"
        yield _warn("encryption", text, "use a network that nobody else is on")


def _ok(subject: str, text: str) -> Finding:
    return Finding(verdict=Verdict.OK, subject=subject, text=text)


def _warn(subject: str, text: str, advice: str) -> Finding:
    return Finding(verdict=Verdict.WARN, subject=subject, text=text, help=advice)


def _error(subject: str, text: str, advice: str) -> Finding:
    return Finding(verdict=Verdict.ERROR, subject=subject, text=text, help=advice)
