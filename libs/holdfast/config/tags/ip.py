"""The `ip` tag: a checker of an address that this node has."""

from __future__ import annotations

from holdfast.config.schema import TAGS_MAX, Attribute, Kind, Tag
from holdfast.config.tags.probing import IDENT, INTERVAL

IP = Tag(
    name="ip",
    meaning=(
        "Checker of a local address, giving resource ip.<ident>: down, when it is away or somebody else answers for "
        'it, leads to stopstart (rule ip_failure). <virtual_addr check="on"> makes one by itself.'
    ),
    maximum=TAGS_MAX,
    attributes=(
        IDENT,
        Attribute(
            name="when",
            kind=Kind.CHOICE,
            choices=("prim", "second", "both"),
            model_default="prim; both in a farm",
            default_note="prim; both in a farm",
            dynamic=True,
            meaning="Checked between the matching scripts.",
        ),
    ),
    children=(
        Tag(
            name="to",
            meaning="Which address.",
            minimum=1,
            attributes=(
                Attribute(name="addr", kind=Kind.ADDRESS, required=True, dynamic=True, meaning="Address or host name."),
                INTERVAL,
            ),
        ),
    ),
)
