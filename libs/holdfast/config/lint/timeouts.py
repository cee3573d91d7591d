"""Timeouts that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject

SEND_TIMEOUTS_MAX = 5
"""Times the heartbeat's timeout that a longer sendtimeout may be: as much is room for a slow network."""


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of each pair of timeouts of which one makes the other pointless."""
    yield from _heartbeats(subject)
    yield from _replication_link(subject)
    yield from _checks(subject)
    yield from _announcements(subject)
    yield from _rules(subject)


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


def _replication_link(subject: Subject) -> Iterator[Doubt]:
    """Applications wait from the break of the link until it is noticed, and only then are the heartbeats asked."""
    replication, flow = subject.config.replication, subject.config.heart.flow
    if replication is None or replication.send_timeout_s is None:
        return
    if replication.send_timeout_s * 1_000 > SEND_TIMEOUTS_MAX * max(flow.timeout_ms, 1_000):
        yield Doubt(
            at=replication.at,
            what=f"sendtimeout is {replication.send_timeout_s}s, the timeout of heartbeat '{flow.ident}' on the same "
            f"network {flow.timeout_ms}ms",
            risk=f"when only that network is cut, the application's writes wait {replication.send_timeout_s}s until "
            "the break is noticed, although the heartbeat has long been down",
            fix="leave sendtimeout out: it is then the heartbeat's timeout, at least 1s",
        )


def _checks(subject: Subject) -> Iterator[Doubt]:
    for kind, checks in (("tcp", subject.config.tcp_checks), ("ping", subject.config.ping_checks)):
        for check in checks:
            if check.timeout_ms > check.interval_ms:
                yield Doubt(
                    at=check.at,
                    what=f"{kind} checker '{check.ident}' may wait {check.timeout_ms}ms for an answer, but is to look "
                    f"every {check.interval_ms}ms",
                    risk="while there is no answer the interval is not kept, and a failure is found later than it says",
                    fix=f"a timeout of at most {check.interval_ms}ms",
                )


def _rules(subject: Subject) -> Iterator[Doubt]:
    """An action counts as lasting when it is the same at two looks, so a shorter handle_time is that of the period."""
    failover = subject.config.failover
    if failover.period_ms and failover.handle_time_ms % failover.period_ms:
        yield Doubt(
            at=failover.at,
            what=f"handle_time is {failover.handle_time_ms}ms, but the rules are looked at every "
            f"{failover.period_ms}ms",
            risk="an action waits for the next look, so longer than handle_time says",
            fix="a handle_time that is a multiple of period, or no period: then rules are looked at with every event",
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
