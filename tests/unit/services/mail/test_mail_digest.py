"""When a mail is due, and what it holds."""

from __future__ import annotations

from pathlib import Path

from holdfast.notification.event import Event, Kind

from services.mail import memory
from services.mail.core import AGAIN_S_MAX, WAITING_MAX, Digest, added, failed, is_due, sent


def event(number: int) -> Event:
    return Event(kind=Kind.STATE, module="shop", wall_ns=number, text=f"event {number}")


def filled(count: int, *, now_s: float = 0.0) -> Digest:
    digest = Digest()
    for number in range(count):
        digest = added(digest, event(number), now_s=now_s + number, delay_s=60.0)
    return digest


def test_first_event_says_when_the_mail_is_due() -> None:
    digest = filled(3)
    assert not is_due(digest, 59.9)
    assert is_due(digest, 60.0)
    assert not is_due(Digest(), 1e9)


def test_oldest_events_go_when_there_are_too_many() -> None:
    digest = filled(WAITING_MAX + 5)
    assert len(digest.waiting) == WAITING_MAX
    assert digest.waiting[0] == event(5)
    assert digest.dropped == 5


def test_what_comes_while_a_mail_is_sent_waits_for_the_next_one() -> None:
    taken = filled(2)
    meanwhile = added(taken, event(9), now_s=61.0, delay_s=60.0)
    left = sent(meanwhile, taken, now_s=62.0, delay_s=60.0)
    assert left == Digest(waiting=(event(9),), due_at_s=122.0)
    assert sent(taken, taken, now_s=62.0, delay_s=60.0) == Digest()


def test_mail_that_is_not_taken_is_tried_again_ever_later() -> None:
    digest, waits = filled(1), []
    for _ in range(9):
        digest = failed(digest, now_s=100.0)
        assert digest.due_at_s is not None
        waits.append(digest.due_at_s - 100.0)
    assert waits[:4] == [30.0, 60.0, 120.0, 240.0]
    assert waits[-1] == AGAIN_S_MAX
    assert digest.waiting == (event(0),)


def test_events_that_wait_survive_the_service(tmp_path: Path) -> None:
    kept = memory.Memory(digest=filled(2), states={"shop": "PRIM Ready"}, sent=3, sent_wall_ns=5, problem="away")
    memory.save(tmp_path, kept)
    found = memory.load(tmp_path)
    assert found.digest.waiting == kept.digest.waiting
    assert (found.states, found.sent, found.sent_wall_ns, found.problem) == ({"shop": "PRIM Ready"}, 3, 5, "away")
    (tmp_path / memory.FILE_NAME).write_text("{")
    assert memory.load(tmp_path) == memory.Memory()
