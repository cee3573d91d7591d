"""userconfig.xml: the root, macros and the `service` tag."""

from __future__ import annotations

from holdfast.config.schema import Attribute, Kind, Tag, Unit
from holdfast.config.tags.check import CHECK
from holdfast.config.tags.errd import ERRD
from holdfast.config.tags.failover import FAILOVER
from holdfast.config.tags.heart import HEART
from holdfast.config.tags.later import FARM
from holdfast.config.tags.rfs import RFS
from holdfast.config.tags.user import USER
from holdfast.config.tags.vhost import VHOST
from holdfast.config.tags.vip import VIP

MACROS_MAX = 256
"""Macros of one file."""

MACRO = Tag(
    name="macro",
    meaning="A name for a text: %NAME% in any attribute is replaced, before the environment is asked.",
    maximum=MACROS_MAX,
    attributes=(
        Attribute(name="name", kind=Kind.VARIABLE, required=True, meaning="Name of the macro."),
        Attribute(name="value", kind=Kind.TEXT, required=True, meaning="The text, itself expanded."),
    ),
)

SERVICE = Tag(
    name="service",
    meaning="The module.",
    minimum=1,
    attributes=(
        Attribute(
            name="mode",
            kind=Kind.CHOICE,
            choices=("mirror",),
            later_choices=("farm", "light"),
            required=True,
            meaning="Module type.",
        ),
        Attribute(
            name="boot",
            kind=Kind.CHOICE,
            choices=("on", "off", "auto", "ignore"),
            model_default="ignore",
            default="ignore",
            dynamic=True,
            meaning="Start at machine boot: always, never, if it was running, or as the boot command says.",
        ),
        Attribute(
            name="boot_delay",
            kind=Kind.DURATION,
            unit=Unit.s,
            model_default="0s",
            default="0s",
            dynamic=True,
            meaning="Wait before the start at boot.",
        ),
        Attribute(
            name="failover",
            kind=Kind.SWITCH,
            model_default="on",
            default="on",
            meaning="May the secondary take over by itself.",
        ),
        Attribute(
            name="defaultprim",
            kind=Kind.NAME,
            model_default="alone",
            default="alone",
            meaning="Preferred primary when an alone node is joined: alone (it stays), a node name, or lastprim.",
        ),
        Attribute(
            name="maxloop",
            kind=Kind.INTEGER,
            model_default="3",
            default="3",
            minimum=0,
            maximum=1_000_000,
            dynamic=True,
            meaning="Automatic actions tolerated within loop_interval before the module stops.",
        ),
        Attribute(
            name="loop_interval",
            kind=Kind.DURATION,
            unit=Unit.h,
            resolution=Unit.s,
            model_default="24h",
            default="24h",
            dynamic=True,
            meaning="Window of maxloop; 0 switches the counter off.",
        ),
        Attribute(
            name="automatic_reboot",
            kind=Kind.SWITCH,
            model_default="off",
            default="off",
            dynamic=True,
            meaning=(
                "A stopstart that a checker, a rule, a handler or a script asks for also reboots the machine, "
                "by reboot_command of node.toml. Loop protection counts across reboots."
            ),
        ),
    ),
    children=(HEART, FARM, VIP, RFS, USER, VHOST, ERRD, CHECK, FAILOVER),
)

SAFE = Tag(name="safe", meaning="Root of userconfig.xml.", minimum=1, children=(MACRO, SERVICE))
