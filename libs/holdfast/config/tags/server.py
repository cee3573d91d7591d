"""The `server` tag: addresses in the module's own file, as they were written before lans had names."""

from __future__ import annotations

from holdfast.config.schema import Attribute, Kind, Tag

SERVERS = 2
"""Nodes of a mirror."""

SERVER = Tag(
    name="server",
    meaning="One node's address in the syntax before 7.2, in place of the name of a lan: the lan of cluster.xml with "
    "these addresses is meant.",
    maximum=SERVERS,
    attributes=(
        Attribute(
            name="addr",
            kind=Kind.ADDRESS,
            required=True,
            dynamic=True,
            meaning="The address, as cluster.xml has it.",
        ),
    ),
)

FLOW = Tag(
    name="flow",
    meaning="Replication network in the syntax before 7.2; those addresses are also a heartbeat's.",
    children=(SERVER,),
)
