"""Two versions of the product greet each other: what can be ignored is, all else is refused in words."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import asdict

import pytest
from holdfast.errors import PeerError

from services.rfs import link
from services.rfs.link import Hello, Welcome

KEY = b"a key of a test"
HELLO = Hello(module="m", node="n", purpose="stream", fence_epoch=3)


def exchange(said: dict[str, object], answer: dict[str, object] | None = None) -> tuple[object, object]:
    """What the primary made of a hello, and the secondary of the answer; an error stands for itself."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(5)
    results: list[object] = []

    def greet() -> None:
        try:
            results.append(link.greet(theirs, KEY, lambda hello: Welcome(accepted=True, epoch=hello.fence_epoch))[0])
        except PeerError as error:
            results.append(error)
            theirs.close()

    with ours, theirs, pytest.MonkeyPatch.context() as patch:
        patch.setattr(link, "asdict", lambda value: said if isinstance(value, Hello) else answer or asdict(value))
        thread = threading.Thread(target=greet)
        thread.start()
        try:
            welcome: object = link._introduce(ours, KEY, HELLO)
        except (PeerError, OSError) as error:
            welcome = error
        thread.join()
    return results[0], welcome


def test_fields_of_a_later_version_are_ignored() -> None:
    hello, welcome = exchange(
        {**asdict(HELLO), "colour": "green"},
        {**asdict(Welcome(accepted=True, epoch=3)), "shape": ["round"]},
    )
    assert hello == HELLO
    assert welcome == Welcome(accepted=True, epoch=3)


def test_a_known_field_of_a_wrong_type_is_refused() -> None:
    hello, _ = exchange({**asdict(HELLO), "fence_epoch": "three"}, asdict(Welcome(accepted=False)))
    assert "fence_epoch='three'" in str(hello)


def test_another_version_of_the_protocol_is_refused_in_words_on_both_sides() -> None:
    hello, welcome = exchange({**asdict(HELLO), "protocol": link.PROTOCOL + 1, "fence_epoch": {"new": "type"}})
    assert "install the same version on both nodes" in str(hello)
    assert isinstance(welcome, Welcome)
    assert not welcome.accepted
    assert welcome.reason == str(hello)


def test_a_primary_of_another_protocol_is_refused() -> None:
    answer = {**asdict(Welcome(accepted=True)), "protocol": link.PROTOCOL + 1}
    _, welcome = exchange(asdict(HELLO), answer)
    assert isinstance(welcome, PeerError)
    assert json.dumps(link.PROTOCOL + 1) in str(welcome)
