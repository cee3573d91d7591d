"""The `check` tag: checkers."""

from __future__ import annotations

from holdfast.config.schema import PORT_MAX, TAGS_MAX, Attribute, Kind, Tag
from holdfast.config.tags.custom import CUSTOM
from holdfast.config.tags.intf import INTF
from holdfast.config.tags.ip import IP
from holdfast.config.tags.module_check import MODULE
from holdfast.config.tags.ping import PING
from holdfast.config.tags.probing import INTERVAL, TIMEOUT
from holdfast.config.tags.splitbrain import SPLITBRAIN

TCP_TO = Tag(
    name="to",
    meaning="What to connect to.",
    minimum=1,
    attributes=(
        Attribute(name="addr", kind=Kind.ADDRESS, required=True, dynamic=True, meaning="Address or host name."),
        Attribute(
            name="port",
            kind=Kind.INTEGER,
            required=True,
            minimum=1,
            maximum=PORT_MAX,
            dynamic=True,
            meaning="TCP port.",
        ),
        INTERVAL,
        TIMEOUT,
    ),
)

TCP = Tag(
    name="tcp",
    meaning="Checker that connects to a TCP port, giving resource tcp.<ident>.",
    maximum=TAGS_MAX,
    attributes=(
        Attribute(name="ident", kind=Kind.IDENT, required=True, dynamic=True, meaning="Name of the resource."),
        Attribute(
            name="when",
            kind=Kind.CHOICE,
            choices=("prim", "second", "both", "pre"),
            default="prim",
            dynamic=True,
            meaning=(
                "Checked between the matching scripts; pre from after prestart until poststop, in any state. "
                "With the action wait of pre the module stays in WAIT until the first verdict."
            ),
        ),
        Attribute(
            name="action",
            kind=Kind.CHOICE,
            choices=("restart", "stopstart", "stop", "wait", "noaction"),
            model_default="restart; wait for pre",
            default_note="restart; wait for pre",
            dynamic=True,
            meaning="What a failure leads to (rule t_<ident>); for pre only wait or noaction.",
        ),
    ),
    children=(TCP_TO,),
)

CHECK = Tag(name="check", meaning="Checkers of the module.", children=(TCP, PING, INTF, IP, CUSTOM, MODULE, SPLITBRAIN))
