"""One heartbeat network, or several that are one: its loss looks like the loss of the other node."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject
from holdfast.config.model import ClusterConfig, Heartbeat

RISK = (
    "when that network fails, each node takes the other for dead, both run the application (split brain), and what one "
    "of them wrote meanwhile ends in quarantine"
)


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of a mirror whose nodes hear each other over a single network."""
    beats, cluster = subject.config.heart.heartbeats, subject.cluster
    if cluster is not None and any(cluster.lan(beat.lan) is None for beat in beats):
        # A lan that does not exist is an error already, and no advice can be built on it.
        return
    if len(beats) == 1:
        yield _only(beats[0], cluster)
    elif cluster is not None:
        yield from _same(beats, cluster)


def _only(beat: Heartbeat, cluster: ClusterConfig | None) -> Doubt:
    spare = [lan.name for lan in cluster.lans if lan.name != beat.lan] if cluster is not None else []
    more = "over other cables and switches"
    return Doubt(
        at=beat.at,
        what=f"the only heartbeat runs over lan '{beat.lan}'",
        risk=RISK,
        fix=f'<heartbeat name="{spare[0]}"/> beside it, if that lan runs {more}'
        if spare
        else f"a second lan in cluster.xml {more}, and a <heartbeat> on it",
    )


def _same(beats: tuple[Heartbeat, ...], cluster: ClusterConfig) -> Iterator[Doubt]:
    """Two lans on which a node has the same address are one network with two names."""
    seen: dict[str, str] = {}
    for beat in beats:
        lan = cluster.lan(beat.lan)
        assert lan is not None, "lans that are missing were looked for"
        for node in lan.nodes:
            first = seen.setdefault(node.address, beat.lan)
            if first != beat.lan:
                yield Doubt(
                    at=beat.at,
                    what=f"node '{node.name}' has address {node.address} on lan '{first}' and on lan '{beat.lan}'",
                    risk=f"both heartbeats run over the same interface: {RISK}",
                    fix="another address, on another interface, for the second lan in cluster.xml",
                )
                break
