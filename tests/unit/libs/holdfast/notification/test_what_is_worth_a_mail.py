"""Which facts are worth a mail, settings, and the mail itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from holdfast.errors import ConfigError
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.membership import PeerFound, PeerLost
from holdfast.events.module import AddressesReported, ScriptFinished, StateChanged
from holdfast.events.replication import ReplicationMode, ReplicationReported
from holdfast.ids import Epoch, ModuleId, NodeId
from holdfast.notification.event import Event, Kind, Watcher, is_wanted
from holdfast.notification.message import digest
from holdfast.notification.settings import (
    Credentials,
    NotificationSettings,
    checked,
    load_credentials,
    load_notification,
    save_credentials,
    save_notification,
)
from holdfast.support.wording import STOPPED_BY_MAXLOOP


def envelope(payload: object) -> Envelope[object]:
    return Envelope(
        id="e1",
        module=ModuleId("shop"),
        node=NodeId("node2"),
        source="statemachine",
        at_wall_ns=1_700_000_000_000_000_000,
        at_mono_ns=1,
        hybrid=HybridTime(wall_ms=1, counter=0),
        cause="",
        trace="",
        payload=payload,
    )


def state(before: str, role: str, status: str = "Ready", reason: str = "a reason") -> StateChanged:
    return StateChanged(role=role, status=status, previous_role=before, previous_status="Ready", epoch=3, reason=reason)


def kind(payload: object) -> Kind | None:
    event = Watcher().take(envelope(payload))
    return event.kind if event is not None else None


def test_states_count_when_they_have_come_to_rest() -> None:
    assert kind(state("WAIT", "PRIM")) is Kind.STATE
    assert kind(state("STOP", "WAIT", "NotReady")) is Kind.STATE
    assert kind(state("PRIM", "WAIT", "Transient")) is None


def test_stop_by_loop_protection_has_a_kind_of_its_own() -> None:
    assert kind(state("PRIM", "STOP", "NotReady", f"{STOPPED_BY_MAXLOOP}: everything is stopped")) is Kind.LOOP


def test_failover_is_told_with_its_reason() -> None:
    watcher = Watcher()
    lost = PeerLost(reason="silence", last_heard_mono_ns=1, silent_ms=1003.0, evidence="")
    assert watcher.take(envelope(lost)) is not None
    event = watcher.take(envelope(state("SECOND", "ALONE", "Transient", "this node takes over")))
    assert event is not None
    assert event.kind is Kind.FAILOVER
    assert event.text.endswith(
        "Local state ALONE Transient (this node takes over); Remote node is lost: silence after 1003 ms"
    )
    watcher.take(envelope(PeerFound(incarnation=2)))
    again = watcher.take(envelope(state("SECOND", "ALONE", "Transient", "this node takes over")))
    assert again is not None
    assert again.text.endswith("(this node takes over)")


def test_what_is_only_repeated_is_told_once() -> None:
    watcher = Watcher()
    trouble = envelope(AddressesReported(held=True, present=(), problem="no interface"))
    fine = envelope(AddressesReported(held=True, present=("10.0.0.9",)))
    told = [watcher.take(each) is not None for each in (trouble, trouble, fine, trouble)]
    assert told == [True, False, False, True]


def test_replication_counts_when_it_cannot_go_on() -> None:
    def report(failed: str) -> ReplicationReported:
        return ReplicationReported(
            mode=ReplicationMode.PRIMARY, epoch=Epoch(3), mounted=True, writable=True, connected=True, failed=failed
        )

    assert kind(report("")) is None
    assert kind(report("the disk is full")) is Kind.REPLICATION


def test_scripts_count_when_they_fail() -> None:
    def run(code: int) -> ScriptFinished:
        return ScriptFinished(run="r", script="start_prim", exit_code=code, duration_ms=1.0, timed_out=False, log="")

    assert kind(run(0)) is None
    assert kind(run(3)) is Kind.SCRIPT


def test_critical_covers_what_is_critical() -> None:
    event = Event(kind=Kind.LOOP, module="shop", wall_ns=1, text="x")
    assert is_wanted(event, frozenset({Kind.CRITICAL}))
    assert is_wanted(event, frozenset({Kind.LOOP}))
    assert not is_wanted(event, frozenset({Kind.STATE}))


def test_settings_survive_the_file(tmp_path: Path) -> None:
    assert load_notification(tmp_path) == NotificationSettings()
    settings = checked({"sender": "a@b.example", "recipients": ["c@d.example"], "protocol": "smtps", "delay_s": 5})
    save_notification(tmp_path, settings)
    assert load_notification(tmp_path) == settings
    assert settings.server_port == 465


def test_all_that_is_wrong_in_settings_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        checked({"sender": "nobody", "events": ["weather"], "port": 99_999, "colour": "red", "protocol": "gopher"})
    problems = "\n".join(map(str, caught.value.problems))
    for name in ("sender", "events", "port", "colour", "protocol"):
        assert name in problems


def test_credentials_are_for_root_alone(tmp_path: Path) -> None:
    save_credentials(tmp_path, Credentials(user="ha", password="secret"))
    assert (tmp_path / "notification.secret").stat().st_mode & 0o777 == 0o600
    assert load_credentials(tmp_path).password == "secret"
    assert "secret" not in repr(load_credentials(tmp_path))
    save_credentials(tmp_path, Credentials())
    assert load_credentials(tmp_path) == Credentials()


def test_mail_tells_all_events_in_order_and_what_it_leaves_out() -> None:
    settings = checked({"sender": "ha@example.org", "recipients": ["ops@example.org", "boss@example.org"]})
    events = [Event(kind=Kind.STATE, module="shop", wall_ns=at, text=f"at {at}") for at in (2, 1)]
    mail = digest(settings, "node1", events, dropped=7, now=datetime(2026, 1, 2, tzinfo=UTC), number="n1")
    assert mail["Subject"] == "[Holdfast] node1: shop, 2 events"
    assert mail["To"] == "ops@example.org, boss@example.org"
    assert mail["Message-ID"] == "<n1@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    body = mail.get_content()
    assert body.index("at 1") < body.index("at 2")
    assert "7 earlier events" in body
