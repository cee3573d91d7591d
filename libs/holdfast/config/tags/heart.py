"""The `heart` tag: heartbeats of a mirror module."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.config.schema import PORT_MAX, TAGS_MAX, Attribute, Kind, Tag, Unit, ignored
from holdfast.config.tags.server import SERVER


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A pulse and a timeout that fit together."""

    pulse_ms: int
    timeout_ms: int


PRESETS = {
    "default": Preset(pulse_ms=100, timeout_ms=1_000),
    "fast": Preset(pulse_ms=20, timeout_ms=150),
    "virtual": Preset(pulse_ms=250, timeout_ms=5_000),
}
"""`default` detects within a second, `fast` is for quiet real machines, `virtual` for shared hosts."""

PULSES_PER_TIMEOUT = 10
"""Ratio by which one of pulse and timeout follows from the other when only one is given."""

PULSES_PER_TIMEOUT_MIN = 3
"""Below this a single lost packet next to a late one would already mean the loss of the peer."""

assert all(p.timeout_ms >= PULSES_PER_TIMEOUT_MIN * p.pulse_ms for p in PRESETS.values())

HEARTBEAT_NAME = "Lan of cluster.xml."

HEARTBEAT = Tag(
    name="heartbeat",
    meaning="A heartbeat link over one lan of the cluster.",
    minimum=1,
    maximum=TAGS_MAX,
    attributes=(
        Attribute(name="name", kind=Kind.NAME, dynamic=True, meaning=HEARTBEAT_NAME),
        Attribute(
            name="ident",
            kind=Kind.IDENT,
            dynamic=True,
            model_default="= name",
            default_note="= name",
            meaning="Label, giving resource heartbeat.<ident>; `flow` also selects the replication network.",
        ),
        Attribute(
            name="pulse",
            kind=Kind.DURATION,
            unit=Unit.ms,
            minimum=1,
            dynamic=True,
            model_default="inherited",
            default_note="inherited",
            meaning="Interval between beats on this network.",
        ),
        Attribute(
            name="timeout",
            kind=Kind.DURATION,
            unit=Unit.ms,
            minimum=1,
            dynamic=True,
            model_default="inherited",
            default_note="inherited",
            meaning="Silence on this network after which the link is down; at least three pulses.",
        ),
    ),
    children=(SERVER,),
)

HEART = Tag(
    name="heart",
    meaning="Heartbeats between the two nodes of a mirror module.",
    minimum=1,
    attributes=(
        Attribute(
            name="port",
            kind=Kind.INTEGER,
            minimum=1,
            maximum=PORT_MAX,
            dynamic=True,
            model_default="8888 + (id - 1)",
            default_note="8888 + (id - 1)",
            meaning="UDP port of all heartbeats of the module.",
        ),
        Attribute(
            name="preset",
            kind=Kind.CHOICE,
            choices=tuple(PRESETS),
            default="default",
            own=True,
            dynamic=True,
            meaning="Pulse and timeout in one word: default 100ms/1s, fast 20ms/150ms, virtual 250ms/5s.",
        ),
        Attribute(
            name="pulse",
            kind=Kind.DURATION,
            unit=Unit.ms,
            minimum=1,
            dynamic=True,
            model_default="700ms",
            default_note="100ms, or by preset; a tenth of a shorter timeout",
            meaning="Interval between beats.",
        ),
        Attribute(
            name="timeout",
            kind=Kind.DURATION,
            unit=Unit.ms,
            minimum=1,
            dynamic=True,
            model_default="30000ms",
            default_note="1s, or by preset; ten times a longer pulse",
            meaning="Silence after which the peer is lost; at least three pulses.",
        ),
        ignored(
            "permanent_arp",
            "Permanent ARP entry for the peer: not needed, the kernel keeps the entry of a peer it hears.",
            model_default="on",
            dynamic=True,
        ),
    ),
    children=(HEARTBEAT,),
)
