"""Changing the cluster key while both nodes go on beating."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.heartbeat.keys import CHECK_NS, HAND_OVER_NS, KEEP_OLD_NS, Keys
from services.heartbeat.packet import Beat, Body, PacketError, Sealer, encode

OLD, NEW = Sealer(b"old"), Sealer(b"new")
BEAT = Beat(
    flags=0,
    incarnation=1,
    sequence=1,
    challenge=0,
    echo=0,
    wall_ms=1,
    counter=0,
    hears=0,
    link=0,
    module="m",
    node="n",
    body=b"",
)


def sealed(sealer: Sealer) -> bytes:
    return encode(BEAT, Body(b""), sealer)


def used(keys: Keys) -> bytes:
    sealer = keys.sealer()
    assert sealer is not None
    return sealer.tag(b"x")


@pytest.fixture
def changed(tmp_path: Path) -> Keys:
    """Keys whose file went from old to new at time CHECK_NS."""
    file = tmp_path / "cluster.key"
    file.write_bytes(b"old\n")
    keys = Keys(str(file))
    keys.refresh(0)
    file.unlink()
    file.write_bytes(b"new key".replace(b" key", b""))
    keys.refresh(CHECK_NS)
    return keys


def test_both_keys_are_accepted_and_the_old_one_is_sent_until_the_peer_has_the_new(changed: Keys) -> None:
    """The node that changes first must stay audible to the other."""
    assert used(changed) == OLD.tag(b"x")
    changed.open(sealed(OLD))
    assert used(changed) == OLD.tag(b"x")
    changed.open(sealed(NEW))
    assert used(changed) == NEW.tag(b"x")


def test_the_old_key_is_sent_for_a_bounded_time_and_accepted_for_another(changed: Keys) -> None:
    """An administrator who changes a leaked key is rid of it after a minute."""
    changed.refresh(CHECK_NS + HAND_OVER_NS)
    assert used(changed) == NEW.tag(b"x")
    changed.open(sealed(OLD))
    changed.refresh(CHECK_NS + KEEP_OLD_NS)
    with pytest.raises(PacketError):
        changed.open(sealed(OLD))


def test_without_a_readable_key_nothing_is_sent_or_accepted(tmp_path: Path) -> None:
    """A missing key file must not turn authentication off."""
    keys = Keys(str(tmp_path / "missing"))
    keys.refresh(0)
    assert keys.sealer() is None
    assert "cannot be read" in keys.trouble
    with pytest.raises(PacketError):
        keys.open(sealed(Sealer(b"")))
