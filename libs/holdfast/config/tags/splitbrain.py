"""The `splitbrain` tag: the witness that is asked before a node acts without the other one."""

from __future__ import annotations

from holdfast.config.schema import Attribute, Kind, Tag
from holdfast.config.tags.probing import IDENT

WITNESSES_MAX = 8
"""Addresses that are pinged."""

SPLITBRAIN = Tag(
    name="splitbrain",
    meaning=(
        "The witness of a mirror. When all heartbeats are lost, a node acts alone only if it reaches the witness "
        "(exec, arg), or gets its lease (lease); else it waits (rule splitbrain_failure). Resource splitbrain.<ident>: "
        "the witness is reached; splitbrain.uptodate: down while it keeps this node from acting."
    ),
    attributes=(
        IDENT,
        Attribute(
            name="exec",
            kind=Kind.CHOICE,
            choices=("ping",),
            model_default="ping",
            default="ping",
            dynamic=True,
            meaning="How the witnesses of arg are asked.",
        ),
        Attribute(
            name="arg",
            kind=Kind.TEXT,
            dynamic=True,
            meaning="Addresses or host names, separated by spaces; one that answers is enough.",
        ),
        Attribute(
            name="lease",
            kind=Kind.TEXT,
            own=True,
            dynamic=True,
            meaning=(
                "Instead of exec and arg: address:port of a lease witness (`holdfast witness run`), which lets only "
                "one node of the module act. An echo cannot tell two nodes apart that both reach it; a lease does."
            ),
        ),
    ),
)
