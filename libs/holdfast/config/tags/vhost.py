"""The `vhost` tag: another host name for the application."""

from __future__ import annotations

from holdfast.config.schema import Attribute, Kind, Tag

VIRTUALHOSTNAME = Tag(
    name="virtualhostname",
    meaning=(
        "A host name that the application finds on either node. Scripts, and what they start, get it in a UTS "
        "namespace of their own. A unit of systemd does not: the drop-in ENVFILE.conf is made for it."
    ),
    minimum=1,
    attributes=(
        Attribute(name="name", kind=Kind.HOST, required=True, meaning="The virtual host name."),
        Attribute(
            name="envfile",
            kind=Kind.RELATIVE_PATH,
            default="vhostenv",
            meaning="File made at configuration in the module's bin; who sources it has the name from then on.",
        ),
        Attribute(
            name="when",
            kind=Kind.CHOICE,
            choices=("prim", "second", "both"),
            model_default="prim",
            default="prim",
            meaning="Role whose scripts have the name from their start, whether they source the file or not.",
        ),
    ),
)

VHOST = Tag(name="vhost", meaning="Another host name for the application.", children=(VIRTUALHOSTNAME,))
