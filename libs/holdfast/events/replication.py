"""Replication: the order a node's rfs obeys and the report it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.ids import NO_SESSION, Epoch, Generation, Session


class ReplicationMode(StrEnum):
    OFF = "off"
    """Not mounted; the directories are ordinary files."""
    PRIMARY = "primary"
    SECONDARY = "secondary"


class Stance(StrEnum):
    """What a primary's rfs may promise its applications."""

    ALONE = "alone"
    """Acts alone: promises need no peer, changes are journalled; a secondary may attach and is resynchronised."""
    IN_STEP = "in_step"
    """Promises need the peer in `session`; when the link breaks they freeze until the order changes."""
    DRAIN = "drain"
    """Take no more writes, have everything acknowledged, then report drained."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicatedDirectory:
    path: str
    excluded: tuple[str, ...] = ()
    excluded_patterns: tuple[str, ...] = ()
    """Extended regular expressions on entry names; a leading `!` replicates only what matches."""
    must_exist: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicationSettings:
    directories: tuple[ReplicatedDirectory, ...]
    acknowledge_on_disk: bool = True
    """True: async="none", the secondary has it on disk; False: async="second", in its memory."""
    connections: int = 1
    resync_readers: int = 6
    resync_bytes_per_second: int = 0
    """0: not limited."""
    send_timeout_ms: int = 30_000
    resync_timeout_ms: int = 150_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicateDirectories:
    """The order, level-triggered: the whole wanted condition, repeated whenever asked.

    epoch, generation: of this node as it acts now. base: the newest generation that this copy and the peer's have in
    common, empty when none (full copy or full compare needed). session: the session to be in step in (IN_STEP), or the
    one just drained (DRAIN). fence_epoch: streams from primaries with a lower epoch are refused.
    quarantine: this node's copy has diverged and its differing files must be kept before they are overwritten.

    Taking over comes in two orders. PRIMARY with DRAIN to a secondary, epoch unchanged: refuse the old primary's stream
    from now on, apply everything received, stay read-only, report mode PRIMARY and applied_all. Then PRIMARY with ALONE
    and a higher epoch, sent after that epoch is durable: become writable.
    A primary that is ordered ALONE in place of IN_STEP gives its frozen promises out: the peer can no more take over.
    An epoch may rise while a primary stays ALONE; nothing but the epoch in its stream changes then.
    """

    mode: ReplicationMode
    stance: Stance = Stance.ALONE
    epoch: Epoch
    fence_epoch: Epoch
    generation: Generation
    base: Generation
    session: Session = NO_SESSION
    full: bool = False
    quarantine: bool = False
    local_address: str
    peer_address: str
    port: int
    key_file: str = ""
    settings: ReplicationSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class ResyncProgress:
    files_done: int = 0
    files_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    eta_s: float = -1.0
    kind: str = ""
    """difference | compare | full"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicationReported:
    """What rfs now is, whole; published when it changes, on start and on request. Progress at most once a second.

    mode, epoch: those of the order in force. mounted: the directories are mounted. writable: applications may
    write. connected: the link to the peer's rfs is up. proposed_session: primary ALONE with an equal peer
    attached proposes this id for being in step ("" otherwise: nothing caught up). in_step_session: primary:
    promises need the peer in this session now; secondary: its marker has been applied, the copy is in step in
    this session. broken_session: primary, in step but the link is gone: promises are frozen. drained_session:
    the drain of this session is complete on both sides. applied_all: a secondary told to be primary has applied
    everything it had received. resyncing: a resync is under way. failed: why replication cannot go on by
    itself, in words, else "".
    """

    mode: ReplicationMode
    epoch: Epoch
    mounted: bool
    writable: bool
    connected: bool
    proposed_session: Session = NO_SESSION
    in_step_session: Session = NO_SESSION
    broken_session: Session = NO_SESSION
    drained_session: Session = NO_SESSION
    applied_all: bool = False
    resyncing: bool = False
    progress: ResyncProgress = field(default_factory=ResyncProgress)
    sequence: int = 0
    acknowledged: int = 0
    quarantined_files: int = 0
    failed: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    """Values of the rfs.* resources (rep_bandwidth, rei_bandwidth, …) by their short names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyReplicas:
    """Order: compare both copies, byte for byte and attribute for attribute. Answered by ReplicasVerified."""

    request: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicaDifference:
    path: str
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplicasVerified:
    request: str
    equal: bool
    files: int
    bytes: int
    differences: tuple[ReplicaDifference, ...] = ()
    differences_total: int = 0
    error: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimateResync:
    """Order: estimate how much a resync would copy. Answered by ResyncEstimated."""

    request: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ResyncEstimated:
    """What a resync would copy at most of what this node has changed; what the other one has changed comes on top.

    kind: difference | compare | full. files, bytes: of regular files known to differ. names: names whose metadata
    are compared because what differs among them is not known. seconds: to copy these bytes at bytes_per_second.
    speed: measured (at the last resync) | limited (by configuration) | assumed. error: why there is no estimate.
    """

    request: str
    kind: str = ""
    files: int = 0
    bytes: int = 0
    names: int = 0
    seconds: float = 0.0
    bytes_per_second: int = 0
    speed: str = ""
    error: str = ""
