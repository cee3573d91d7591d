"""The witness between its keys and its disk."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from holdfast.errors import StorageError
from holdfast.witness.lease import Lease
from holdfast.witness.wire import Answer, Question, decode_answer, encode

from services.witness.arbiter import Arbiter, Keys
from services.witness.store import LEASES_MAX, NODES_MAX, Entry, Store

QUESTION = Question(
    cluster="default",
    module="shop",
    node="node1",
    number=10,
    nonce="abc",
    epoch=1,
    in_step=True,
    wants=True,
    acting=False,
    replicated=True,
)


def ask(arbiter: Arbiter, question: Question, key: bytes = b"") -> Answer:
    answer = arbiter.answer(encode(question, key))
    assert answer is not None
    return decode_answer(answer, key)


def fresh(directory: Path, *keys: Path) -> Arbiter:
    """As after a restart."""
    return Arbiter(Store(directory), Keys(keys))


def test_lease_outlives_the_witness(tmp_path: Path) -> None:
    assert ask(fresh(tmp_path), QUESTION).granted
    answer = ask(fresh(tmp_path), replace(QUESTION, node="node2", number=1))
    assert (answer.granted, answer.holder) == (False, "node1")
    assert ask(fresh(tmp_path), QUESTION).granted


def test_answer_leaves_only_after_the_lease_and_its_name_are_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append("fsync"), sync(descriptor))[1])
    monkeypatch.setattr(Path, "replace", lambda path, target: (done.append("rename"), rename(path, target))[1])
    ask(fresh(tmp_path), QUESTION)
    assert done == ["fsync", "rename", "fsync"]


def test_nothing_is_answered_when_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arbiter = fresh(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert arbiter.answer(encode(QUESTION, b"")) is None
    assert ask(arbiter, replace(QUESTION, node="node2")).granted


def test_damaged_lease_is_nobodys_to_give(tmp_path: Path) -> None:
    arbiter = fresh(tmp_path)
    ask(arbiter, QUESTION)
    (tmp_path / "default.shop.json").write_text("{}")
    assert arbiter.answer(encode(replace(QUESTION, number=11), b"")) is None


def test_late_question_is_answered_with_the_number_to_go_on_from_and_changes_nothing(tmp_path: Path) -> None:
    arbiter = fresh(tmp_path)
    ask(arbiter, QUESTION)
    late = ask(arbiter, replace(QUESTION, number=9, wants=False))
    assert (late.stale, late.number, late.granted, late.holder) == (True, 10, False, "node1")
    assert not ask(arbiter, replace(QUESTION, node="node2", number=1)).granted


def test_modules_and_clusters_have_leases_of_their_own(tmp_path: Path) -> None:
    arbiter = fresh(tmp_path)
    ask(arbiter, QUESTION)
    assert ask(arbiter, replace(QUESTION, node="node2", module="mail")).granted
    assert ask(arbiter, replace(QUESTION, node="node2", cluster="other")).granted
    assert not ask(arbiter, replace(QUESTION, node="node2")).granted


def test_only_keys_that_it_was_given_are_answered_and_a_changed_key_is_read_again(tmp_path: Path) -> None:
    one, two = tmp_path / "one.key", tmp_path / "two.key"
    one.write_bytes(b"first\n")
    two.write_bytes(b"second")
    arbiter = fresh(tmp_path / "leases", one, two)
    assert ask(arbiter, QUESTION, b"first").granted
    assert ask(arbiter, QUESTION, b"second").granted
    assert arbiter.answer(encode(QUESTION, b"")) is None
    assert arbiter.answer(encode(QUESTION, b"third")) is None
    two.write_bytes(b"third key")
    assert ask(arbiter, QUESTION, b"third key").granted
    two.unlink()
    assert ask(arbiter, QUESTION, b"third key").granted
    assert arbiter.refused == 2


def test_missing_or_empty_key_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("absent", "empty"):
        with pytest.raises(StorageError, match=name):
            Keys((tmp_path / name,))


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    arbiter = Arbiter(store, Keys(()))
    for number in range(NODES_MAX + 5):
        ask(arbiter, replace(QUESTION, node=f"node{number}", number=number + 1))
    assert len(store.read("default", "shop").numbers) == NODES_MAX
    for number in range(LEASES_MAX):
        (tmp_path / f"c.m{number}.json").touch()
    with pytest.raises(StorageError, match="are kept already"):
        store.write("default", "more", Entry())
    store.write("default", "shop", Entry(lease=Lease(holder="node1", epoch=3)))


def test_rubbish_is_counted_and_never_answered(tmp_path: Path) -> None:
    arbiter = fresh(tmp_path)
    for number in range(100):
        assert arbiter.answer(os.urandom(number)) is None
    assert arbiter.refused == 100
    assert list(tmp_path.iterdir()) == []
