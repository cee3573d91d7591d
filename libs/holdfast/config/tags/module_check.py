"""The `module` tag: a checker of another module."""

from __future__ import annotations

from holdfast.config.schema import PORT_MAX, TAGS_MAX, Attribute, Kind, Tag
from holdfast.config.tags.probing import INTERVAL, TIMEOUT

HTTP_PORT, HTTPS_PORT = 9010, 9453
"""Of a gateway; the model's numbers."""

MODULE = Tag(
    name="module",
    meaning=(
        "Checker of another module, here or in another cluster: up while its application serves (ALONE, PRIM or UP, "
        "Ready), giving resource module.<ident>. Down leads to WAIT (rule module_failure); it goes down for a moment, "
        "too, when that application was started again or elsewhere."
    ),
    maximum=TAGS_MAX,
    attributes=(
        Attribute(name="name", kind=Kind.NAME, required=True, dynamic=True, meaning="The other module's name."),
        Attribute(
            name="ident",
            kind=Kind.IDENT,
            default_note="the name; with `to` <name>_<addr>",
            dynamic=True,
            meaning="Name of the resource.",
        ),
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
            meaning="Where the gateway that knows the module answers, such as its virtual address; without: this node.",
            attributes=(
                Attribute(name="addr", kind=Kind.ADDRESS, required=True, dynamic=True, meaning="Address or host name."),
                Attribute(
                    name="port",
                    kind=Kind.INTEGER,
                    minimum=1,
                    maximum=PORT_MAX,
                    model_default=f"{HTTP_PORT}; {HTTPS_PORT} when secure",
                    default_note=f"{HTTP_PORT}; {HTTPS_PORT} when secure",
                    dynamic=True,
                    meaning="TCP port.",
                ),
                INTERVAL,
                TIMEOUT,
                Attribute(
                    name="secure",
                    kind=Kind.SWITCH,
                    model_default="off",
                    default="off",
                    dynamic=True,
                    meaning="HTTPS instead of HTTP.",
                ),
            ),
        ),
    ),
)
