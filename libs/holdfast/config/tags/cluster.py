"""cluster.xml: nodes, networks and their addresses."""

from __future__ import annotations

from holdfast.config.schema import PORT_MAX, TAGS_MAX, Attribute, Kind, Tag, Unit, ignored

LANS_MAX = 16
"""Networks of one cluster; a server rarely has more than four."""

_ADDR = "Address or DNS name as the other nodes see it; IPv6 in square brackets."

_NO_MEMBERSHIP = (
    "there is no membership service beside the heartbeats of the modules; set pulse and timeout of their <heart>."
)

NODE = Tag(
    name="node",
    meaning="One node's place on the lan.",
    minimum=1,
    maximum=TAGS_MAX,
    attributes=(
        Attribute(
            name="name",
            kind=Kind.NAME,
            required=True,
            meaning="Logical node name, the same on every lan.",
        ),
        Attribute(name="addr", kind=Kind.ADDRESS, required=True, meaning=_ADDR),
        Attribute(
            name="laddr",
            kind=Kind.ADDRESS,
            meaning="Local address, where address translation stands between the nodes.",
            default_note="the same as addr",
        ),
    ),
)

LAN = Tag(
    name="lan",
    meaning="A named network with one address for each node.",
    minimum=1,
    maximum=LANS_MAX,
    attributes=(
        Attribute(name="name", kind=Kind.NAME, required=True, meaning="Logical name, by which modules refer to it."),
        Attribute(
            name="command",
            kind=Kind.SWITCH,
            model_default="off",
            default="off",
            meaning="This lan carries distributed commands; at most one, with all nodes on it; else the first.",
        ),
        ignored("console", "Obsolete in the model since 8.2."),
        ignored("framework", "Obsolete in the model since 8.2."),
        ignored("connect", "Obsolete in the model since 8.2."),
    ),
    children=(NODE,),
)

LANS = Tag(
    name="lans",
    meaning="The networks of the cluster and the settings of node membership.",
    minimum=1,
    attributes=(
        Attribute(
            name="port",
            kind=Kind.INTEGER,
            model_default="4800",
            default="4800",
            minimum=1,
            maximum=PORT_MAX,
            meaning="Port of node membership (UDP in the model; Holdfast also listens on TCP).",
        ),
        Attribute(
            name="pulse",
            kind=Kind.DURATION,
            unit=Unit.ms,
            model_default="100ms",
            default="100ms",
            minimum=1,
            same_as_absent=("100", "100ms"),
            without_effect=_NO_MEMBERSHIP,
            meaning="Interval between membership packets.",
        ),
        Attribute(
            name="mlost_count",
            kind=Kind.INTEGER,
            model_default="20",
            default="20",
            minimum=1,
            maximum=10_000,
            same_as_absent=("20",),
            without_effect=_NO_MEMBERSHIP,
            meaning="Missed packets before a new leader is elected.",
        ),
        Attribute(
            name="slost_count",
            kind=Kind.INTEGER,
            model_default="10",
            default="10",
            minimum=1,
            maximum=10_000,
            same_as_absent=("10",),
            without_effect=_NO_MEMBERSHIP,
            meaning="Missed packets before a follower is declared offline.",
        ),
    ),
    children=(LAN,),
)

CLUSTER = Tag(name="cluster", meaning="Root of cluster.xml.", minimum=1, children=(LANS,))
