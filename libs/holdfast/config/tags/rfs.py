"""The `rfs` tag: replicated directories of a mirror module."""

from __future__ import annotations

from holdfast.config.schema import TAGS_MAX, Attribute, Kind, Status, Tag, Unit, ignored
from holdfast.config.tags.server import FLOW

_NO_NFS = "Directories are replicated by a file system of Holdfast's own (FUSE), not by a loop-back NFS server"

NOTREPLICATED = Tag(
    name="notreplicated",
    meaning="Something left out of the replication; either path or regexpath.",
    maximum=TAGS_MAX,
    attributes=(
        Attribute(
            name="path",
            kind=Kind.RELATIVE_PATH,
            meaning="Path relative to the directory, left out with all below it.",
        ),
        Attribute(
            name="regexpath",
            kind=Kind.REGEX,
            meaning="Expression on entry names; a leading `!` inverts: replicate only what matches.",
        ),
    ),
)

TOCHECK = Tag(
    name="tocheck",
    meaning="A file that must exist before replication starts, against an unmounted file system.",
    maximum=TAGS_MAX,
    attributes=(
        Attribute(
            name="path",
            kind=Kind.PATH,
            required=True,
            meaning="Path of the file, relative to the directory or absolute.",
        ),
    ),
)

REPLICATED = Tag(
    name="replicated",
    meaning="A replicated directory.",
    minimum=1,
    maximum=TAGS_MAX,
    attributes=(
        Attribute(
            name="dir",
            kind=Kind.ABSOLUTE_PATH,
            required=True,
            meaning="Absolute path, the same on both nodes; directories must not contain each other.",
        ),
        Attribute(
            name="mode",
            kind=Kind.CHOICE,
            choices=("read_only",),
            default="read_only",
            meaning="The directory is read-only on the secondary, which it always is here.",
        ),
    ),
    children=(NOTREPLICATED, TOCHECK),
)

_IMPLEMENTED = (
    Attribute(
        name="async",
        kind=Kind.CHOICE,
        choices=("second", "none"),
        model_default="second",
        default="none",
        dynamic=True,
        meaning="The secondary acknowledges on reception (second) or after its disk write (none).",
    ),
    Attribute(
        name="acl",
        kind=Kind.SWITCH,
        model_default="off",
        default="on",
        same_as_absent=("on",),
        without_effect="access control lists are always replicated, so that the copies do not differ unseen.",
        meaning="Replicate access control lists.",
    ),
    Attribute(
        name="nbrei",
        kind=Kind.INTEGER,
        model_default="6",
        default="6",
        minimum=1,
        maximum=64,
        dynamic=True,
        meaning="Parallel workers of a resync.",
    ),
    Attribute(
        name="reipacketsize",
        kind=Kind.INTEGER,
        model_default="8388608",
        default="8388608",
        minimum=4096,
        maximum=64 * 1024 * 1024,
        without_effect="a resync chooses its own packets; limit it with reiallowedbw, widen it with nbrei.",
        meaning="Bytes that one resync packet carries at most.",
    ),
    Attribute(
        name="reiallowedbw",
        kind=Kind.INTEGER,
        model_default="unlimited",
        default_note="unlimited",
        minimum=1,
        maximum=1_000_000_000,
        meaning="Cap on the bandwidth of a resync in KB/s (1024 bytes); replication itself is not capped.",
    ),
    Attribute(
        name="sendtimeout",
        kind=Kind.DURATION,
        unit=Unit.s,
        model_default="30s",
        default_note="the timeout of the flow heartbeat, at least 1s",
        minimum=1,
        meaning=(
            "How long the secondary's network may leave data unconfirmed before the replication link counts as "
            "broken; applications wait meanwhile, then the primary goes on alone."
        ),
    ),
    Attribute(
        name="locktimeout",
        kind=Kind.DURATION,
        unit=Unit.s,
        model_default="100s",
        default="100s",
        minimum=1,
        without_effect=(
            "no request times out by itself: a broken link freezes the primary until the secondary is recorded as "
            "outdated or is lost, which <heart timeout> decides; set that instead."
        ),
        meaning="Timeout of a replication request, after which the primary goes on alone.",
    ),
    Attribute(
        name="reitimeout",
        kind=Kind.DURATION,
        unit=Unit.s,
        model_default="150s",
        default="150s",
        minimum=1,
        dynamic=True,
        meaning="Timeout of a resync request.",
    ),
    Attribute(
        name="nbremconn",
        kind=Kind.INTEGER,
        model_default="1",
        default="1",
        minimum=1,
        maximum=16,
        same_as_absent=("1",),
        without_effect="one connection carries the ordered stream; more are not opened. Leave it out.",
        meaning="TCP connections between the nodes; more help on high latency.",
    ),
    Attribute(
        name="scripts",
        kind=Kind.SWITCH,
        model_default="off",
        default="off",
        same_as_absent=("off",),
        without_effect="no `_rfs_*` script is called; use the script transition, or start_second and stop_second.",
        meaning="Call the module's `_rfs_*` scripts.",
    ),
    Attribute(
        name="syncdelta",
        kind=Kind.DURATION,
        unit=Unit.m,
        model_default="0m",
        default="0m",
        meaning=(
            "Above 1m: a node that starts and finds the other one lost becomes primary though that one may have newer "
            "data, if its last synchronisation is younger than this. What was promised since may then be missing."
        ),
    ),
)

_LATER = (
    Attribute(
        name="syncat",
        kind=Kind.TEXT,
        status=Status.LATER,
        meaning="Scheduled resync (crontab syntax).",
    ),
)

_WITHOUT_EFFECT = (
    Attribute(
        name="roflags",
        kind=Kind.CHOICE,
        choices=("0x10", "16", "0x10000", "65536", "0x10010", "65552"),
        model_default="0x10",
        same_as_absent=("0x10", "16"),
        without_effect="nothing but replication can write on the secondary: foreign writes are refused, not noticed.",
        meaning="Windows: log (0x10) or stop on (0x10000) foreign writes on the secondary.",
    ),
    Attribute(
        name="allocthreshold",
        kind=Kind.INTEGER,
        minimum=0,
        maximum=1_000_000,
        model_default="0",
        same_as_absent=("0",),
        without_effect="no request times out on a big file, and the space that the application reserves is reserved on "
        "both nodes; leave it out.",
        meaning="Windows: preallocate big files on the secondary from this size in GB.",
    ),
    Attribute(
        name="reidetail",
        kind=Kind.SWITCH,
        model_default="off",
        same_as_absent=("off",),
        dynamic=True,
        without_effect="the progress of a resync stands in `holdfast state --json`; leave it out.",
        meaning="Detailed resync log.",
    ),
)

_IGNORED = (
    ignored("mountover", "Undocumented in the model; directories are always mounted over."),
    ignored(
        "mountoversuffix",
        f"{_NO_NFS}; the real directory is not renamed.",
        model_default="_For_SafeKit_Replication",
    ),
    ignored("packetsize", f"{_NO_NFS}; requests have the size the kernel gives them."),
    ignored(
        "ruzone_blocksize",
        "Zone size of the model's change bitmap; changes are recorded as exact ranges.",
        model_default="= reipacketsize",
    ),
    ignored(
        "iotimeout",
        "Windows only; no request times out by itself, the heartbeats decide whether the peer is lost.",
        model_default="300s",
    ),
    ignored(
        "namespacepolicy",
        "A resync always goes by difference and resumes, as policy 4 of the model asks.",
        model_default="4",
    ),
    ignored("reicommit", "A resync makes each file durable when it is complete.", model_default="0"),
    ignored("checktime", "The supervisor watches the file system by its lease.", model_default="220000ms"),
    ignored("checkintv", "The supervisor watches the file system by its lease.", model_default="120s"),
    ignored("nfsbox_options", "Windows only: reparse points.", model_default="cross"),
    ignored("smartwrite", "Undocumented in the model."),
)

RFS = Tag(
    name="rfs",
    meaning="Replication of directories from the primary to the secondary.",
    attributes=(*_IMPLEMENTED, *_LATER, *_WITHOUT_EFFECT, *_IGNORED),
    children=(REPLICATED, FLOW),
)
