"""Pure: the mail itself (RFC 5322)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime

from holdfast.notification.event import Event
from holdfast.notification.settings import NotificationSettings


def digest(
    settings: NotificationSettings, node: str, events: Sequence[Event], *, dropped: int, now: datetime, number: str
) -> EmailMessage:
    """One mail with all events, oldest first. dropped: events that there was no room for. number: unique."""
    modules = ", ".join(dict.fromkeys(event.module for event in events))
    count = "1 event" if len(events) == 1 else f"{len(events)} events"
    lines = [f"What happened on node {node} (times are UTC):", ""]
    lines += [f"{event.module} | {event.kind} | {event.text}" for event in sorted(events, key=lambda e: e.wall_ns)]
    if dropped:
        lines += ["", f"{dropped} earlier events are not in this mail; holdfast log has them."]
    return _message(settings, f"[Holdfast] {node}: {modules}, {count}", lines, now=now, number=number)


def trial(settings: NotificationSettings, node: str, *, now: datetime, number: str) -> EmailMessage:
    """The mail of `holdfast notification test`."""
    lines = [f"This is a test from node {node}: mails about its modules will arrive like this one."]
    return _message(settings, f"[Holdfast] {node}: test", lines, now=now, number=number)


def _message(
    settings: NotificationSettings, subject: str, lines: Sequence[str], *, now: datetime, number: str
) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = settings.sender
    message["To"] = ", ".join(settings.recipients)
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{number}@{settings.sender.rpartition('@')[2]}>"
    # So that no absence notice answers (RFC 3834, 5).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join(lines) + "\n")
    return message
