"""The `ping` tag: a checker of an address somewhere else."""

from __future__ import annotations

from holdfast.config.schema import TAGS_MAX, Attribute, Kind, Tag
from holdfast.config.tags.probing import ACTIONS, CLASSES, IDENT, INTERVAL, TIMEOUT, WHEN_MEANING

PING = Tag(
    name="ping",
    meaning="Checker that asks an address for an echo (ICMP), giving resource ping.<ident>.",
    maximum=TAGS_MAX,
    attributes=(
        IDENT,
        Attribute(
            name="when",
            kind=Kind.CHOICE,
            choices=CLASSES,
            model_default="pre",
            default="pre",
            dynamic=True,
            meaning=WHEN_MEANING,
        ),
        Attribute(
            name="action",
            kind=Kind.CHOICE,
            choices=ACTIONS,
            model_default="wait",
            default_note="wait; restart unless when is pre",
            dynamic=True,
            meaning="What a failure leads to (rule p_<ident>); for pre only wait or noaction.",
        ),
    ),
    children=(
        Tag(
            name="to",
            meaning="What to ask; up to three requests within one timeout, of which one must be answered.",
            minimum=1,
            attributes=(
                Attribute(name="addr", kind=Kind.ADDRESS, required=True, dynamic=True, meaning="Address or host name."),
                INTERVAL,
                TIMEOUT,
            ),
        ),
    ),
)
