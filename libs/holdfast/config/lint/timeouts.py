"""Timeouts that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of each pair of timeouts of which one makes the other pointless."""
    yield from _heartbeats(subject)
    yield from _tcp_checks(subject)
    yield from _announcements(subject)


def _heartbeats(subject: Subject) -> Iterator[Doubt]:
    """The peer is lost when every network is silent, so the longest timeout decides, not that of <heart>."""
    heart = subject.config.heart
    for beat in heart.heartbeats:
        if beat.timeout_ms > heart.timeout_ms:
            yield Doubt(
                at=beat.at,
                what=f"heartbeat '{beat.ident}' has a timeout of {beat.timeout_ms}ms, <heart> one of "
                f"{heart.timeout_ms}ms",
                risk="the other node counts as lost only when every network is silent, so a failover takes "
                f"{beat.timeout_ms}ms and not {heart.timeout_ms}ms",
                fix="the shorter timeout on the network, or the longer one in <heart>",
            )


def _tcp_checks(subject: Subject) -> Iterator[Doubt]:
    for check in subject.config.tcp_checks:
        if check.timeout_ms > check.interval_ms:
            yield Doubt(
                at=check.at,
                what=f"tcp checker '{check.ident}' may wait {check.timeout_ms}ms for an answer, but is to look every "
                f"{check.interval_ms}ms",
                risk="while there is no answer the interval is not kept, and a failure is found later than it says",
                fix=f"a timeout of at most {check.interval_ms}ms",
            )


def _announcements(subject: Subject) -> Iterator[Doubt]:
    for virtual in subject.config.virtual_addresses:
        interface = virtual.interface
        if interface.arp_reroute and interface.arp_elapse_s < interface.arp_interval_s:
            yield Doubt(
                at=virtual.at,
                what=f"the announcement of {virtual.address} is to be repeated every {interface.arp_interval_s}s, but "
                f"for {interface.arp_elapse_s}s only",
                risk="it is never repeated, and a switch that missed the first one sends clients to the dead node",
                fix=f"arpelapse of several times arpinterval, such as {20 * interface.arp_interval_s}s",
            )
