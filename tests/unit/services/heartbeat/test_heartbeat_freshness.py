"""Replay protection: what counts as new."""

from __future__ import annotations

from services.heartbeat.freshness import Freshness


def accept(account: Freshness, incarnation: int, sequence: int, *, link: int = 0, echo: int = 0) -> bool:
    return account.accept(incarnation=incarnation, link=link, sequence=sequence, echo=echo, nonce=99)


def test_a_repeated_or_overtaken_beat_is_not_new() -> None:
    """Within an incarnation numbers only grow, on each link by itself."""
    account = Freshness()
    assert accept(account, 5, 10)
    assert not accept(account, 5, 10)
    assert not accept(account, 5, 9)
    assert accept(account, 5, 9, link=1)
    assert accept(account, 5, 11)


def test_a_restarted_peer_is_new_and_its_past_is_not() -> None:
    """A higher incarnation replaces the lower one for good."""
    account = Freshness()
    assert accept(account, 5, 1000)
    assert accept(account, 6, 1)
    assert not accept(account, 5, 1001)


def test_a_peer_rebooted_with_its_clock_set_back_is_believed_after_a_challenge() -> None:
    """Only a living peer can repeat a random number that was made a moment ago."""
    account = Freshness()
    assert accept(account, 5000, 1)
    assert not accept(account, 40, 1)
    assert account.challenge == 99
    assert not accept(account, 40, 2, echo=98)
    assert accept(account, 40, 3, echo=99)
    assert account.challenge == 0
    assert accept(account, 40, 4)


def test_the_account_survives_a_restart_of_this_service() -> None:
    """What was heard before the restart is not new after it."""
    account = Freshness()
    assert accept(account, 5, 10)
    resumed = Freshness(account.to_bytes())
    assert not accept(resumed, 5, 10)
    assert accept(resumed, 5, 11)


def test_a_damaged_account_counts_as_none() -> None:
    """Half a file must not keep the service from starting."""
    assert accept(Freshness(b"\x00\x01"), 5, 1)


def test_a_link_that_does_not_exist_is_never_new() -> None:
    """The number of a link is an index here."""
    assert not accept(Freshness(), 5, 1, link=200)
