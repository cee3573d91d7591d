"""The `vip` tag: virtual addresses of a mirror module."""

from __future__ import annotations

from holdfast.config.schema import TAGS_MAX, Attribute, Kind, Status, Tag, Unit
from holdfast.config.tags.later import LOADBALANCING_LIST, VIRTUAL_INTERFACE

VIRTUAL_ADDR = Tag(
    name="virtual_addr",
    meaning="An address that follows the primary.",
    minimum=1,
    maximum=TAGS_MAX,
    attributes=(
        Attribute(
            name="addr",
            kind=Kind.ADDRESS,
            required=True,
            meaning="IPv4 or IPv6 address, or a host name, which is looked up when the configuration is applied.",
        ),
        Attribute(
            name="where",
            kind=Kind.CHOICE,
            choices=("one_side_alias", "one_side"),
            later_choices=("alias",),
            required=True,
            meaning="On the primary beside the interface's addresses, or as the one outgoing connections carry.",
        ),
        Attribute(
            name="check",
            kind=Kind.SWITCH,
            model_default="on",
            default="on",
            meaning=(
                "Watch that the address is there, and that nobody else answers for it (resource ip.<addr>): when it "
                "stays away the module restarts (rule ip_failure)."
            ),
        ),
        Attribute(
            name="netmask",
            kind=Kind.NETMASK,
            model_default="the interface's",
            default_note="the interface's",
            meaning="Netmask of an IPv4 address.",
        ),
        Attribute(
            name="connections",
            kind=Kind.SWITCH,
            model_default="off",
            default="off",
            same_as_absent=("off",),
            status=Status.LATER,
            meaning="Count active connections into connections.<addr>.",
        ),
    ),
)

REAL_INTERFACE = Tag(
    name="real_interface",
    meaning="Addresses carried by the interface's own MAC.",
    children=(VIRTUAL_ADDR,),
)

INTERFACE = Tag(
    name="interface",
    meaning="A network interface and the addresses on it.",
    minimum=1,
    maximum=TAGS_MAX,
    attributes=(
        Attribute(
            name="name",
            kind=Kind.INTERFACE,
            model_default="detected",
            default_note="detected from the address",
            meaning="Interface by name, the same on all nodes.",
        ),
        Attribute(
            name="check",
            kind=Kind.SWITCH,
            model_default="on",
            default="on",
            meaning=(
                "Watch the interface (resource intf.<name>, or intf.<addr> for each address of an interface without a "
                "name): while it is down, or without carrier, the module waits (rule interface_failure)."
            ),
        ),
        Attribute(
            name="arpreroute",
            kind=Kind.SWITCH,
            model_default="off",
            default="off",
            meaning="Repeat the announcement of the addresses; it is made at each take-over in any case.",
        ),
        Attribute(
            name="arpinterval",
            kind=Kind.DURATION,
            unit=Unit.s,
            minimum=1,
            model_default="60s",
            default="60s",
            meaning="Period of the repeated announcement.",
        ),
        Attribute(
            name="arpelapse",
            kind=Kind.DURATION,
            unit=Unit.s,
            model_default="1200s",
            default="1200s",
            meaning="How long the announcement is repeated.",
        ),
    ),
    children=(REAL_INTERFACE, VIRTUAL_INTERFACE),
)

INTERFACE_LIST = Tag(name="interface_list", meaning="The interfaces.", minimum=1, children=(INTERFACE,))

VIP = Tag(
    name="vip",
    meaning="Virtual addresses of the module.",
    attributes=(
        Attribute(
            name="tcpreset",
            kind=Kind.SWITCH,
            model_default="on",
            default="on",
            meaning="Reset connections sourced from a virtual address before it is removed.",
        ),
        Attribute(
            name="scriptcontrol",
            kind=Kind.SWITCH,
            model_default="off",
            default="off",
            same_as_absent=("off",),
            status=Status.LATER,
            meaning="Scripts open and close the traffic (farm).",
        ),
    ),
    children=(INTERFACE_LIST, LOADBALANCING_LIST),
)
