"""The `intf` tag: a checker of a network interface of this node."""

from __future__ import annotations

from holdfast.config.schema import TAGS_MAX, Attribute, Kind, Tag
from holdfast.config.tags.probing import IDENT

INTF = Tag(
    name="intf",
    meaning=(
        "Checker of a network interface, giving resource intf.<ident>: down leads to WAIT (rule interface_failure). "
        '<interface check="on"> makes one by itself.'
    ),
    maximum=TAGS_MAX,
    attributes=(
        IDENT,
        Attribute(
            name="when",
            kind=Kind.CHOICE,
            choices=("pre",),
            model_default="pre",
            default="pre",
            dynamic=True,
            meaning="From after prestart until poststop, in any state.",
        ),
    ),
    children=(
        Tag(
            name="to",
            meaning="Which interface.",
            minimum=1,
            attributes=(
                Attribute(
                    name="local_addr",
                    kind=Kind.ADDRESS,
                    required=True,
                    dynamic=True,
                    meaning="The interface that has this address, or else whose network holds it.",
                ),
            ),
        ),
    ),
)
