"""A witness that cannot decide: one that is only pinged, or that is one of the nodes it decides between."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject
from holdfast.config.model import ClusterConfig, SplitbrainCheck
from holdfast.witness.wire import address_of


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of a witness whose answer proves less than the nodes take it for."""
    witness = subject.config.splitbrain
    if witness is None:
        return
    if subject.cluster is not None:
        yield from _is_a_node(witness, subject.cluster)
    if witness.lease is None:
        yield Doubt(
            at=witness.at,
            what=f"witness '{witness.ident}' is only pinged",
            risk="it answers both nodes alike: when they are cut from each other but not from it, both act (split "
            "brain), and what one of them wrote meanwhile ends in quarantine",
            fix='lease="address:port" of a lease witness (`holdfast witness run` on a third machine): it lets only '
            "one of them act",
        )


def _is_a_node(witness: SplitbrainCheck, cluster: ClusterConfig) -> Iterator[Doubt]:
    places = {
        address: node.name
        for lan in cluster.lans
        for node in lan.nodes
        for address in (node.address, node.local_address)
        if address
    }
    asked = witness.pinged if witness.lease is None else (address_of(witness.lease)[0],)
    for address in asked:
        if (node := places.get(address)) is not None:
            yield Doubt(
                at=witness.at,
                what=f"witness {address} is an address of node '{node}'",
                risk=f"'{node}' always reaches it and may act whatever is cut; when '{node}' dies, the other node can "
                "never take over",
                fix="a machine that is neither of the two, reached by both over different ways, such as the router",
            )
