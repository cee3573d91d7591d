"""A node that is upgraded goes on from the state that the program before it saved.

`corpus/` holds saved states, one a line, as programs of each version wrote them; lines are added and never changed.
`HOLDFAST_REWRITE=1` adds lines with what states have that no line of the present version has yet.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.core.state import State
from holdfast.events.module import WitnessKind
from holdfast.history.snapshots import VERSION, dump_snapshot, load_snapshot
from holdfast.testing.simulate import simulate
from holdfast.testing.world import World

CORPUS = Path(__file__).parent / "corpus"
PRESENT = CORPUS / f"state.v{VERSION}.jsonl"
SEEDS = range(1, 9)
STEPS = 12


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def places(value: object, at: str = "") -> Iterator[str]:
    """Where a state says something, and what kind of value; all members of a list, or of names not ours, are one."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, f"{at}/{name}" if str(name).isidentifier() else f"{at}/*")
    elif isinstance(value, list):
        for each in value:
            yield from places(each, f"{at}[]")
    else:
        yield f"{at}: {type(value).__name__}"


def dropped(before: object, after: object, at: str = "") -> list[str]:
    """What the first value says and the second does not; a member that is empty, zero or absent says nothing."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            each for name, value in before.items() if value for each in dropped(value, after.get(name), f"{at}/{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [each for one, other in zip(before, after, strict=True) for each in dropped(one, other, f"{at}[]")]
    return [] if before == after else [f"{at}: {before!r} has become {after!r}"]


def simulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """States of simulated clusters, saved; one for each row of the transition table and kind of witness."""
    states: dict[tuple[str, str], State] = {}
    check = World.changed

    def changed(world: World, index: int, before: State, after: State) -> None:
        states[(after.row, str(world.variant.witness))] = after
        check(world, index, before, after)

    monkeypatch.setattr(World, "changed", changed)
    for seed in SEEDS:
        for witness in (None, *WitnessKind):
            simulate(seed, steps=STEPS, witness=witness)
    return (dump_snapshot(state) for state in states.values())


@pytest.mark.parametrize("line", [line for path in sorted(CORPUS.glob("*.jsonl")) for line in lines_of(path)])
def test_saved_state_of_every_version_is_read_and_nothing_of_it_is_dropped(line: str) -> None:
    before = json.loads(line)
    after = json.loads(dump_snapshot(load_snapshot(line)))
    if before["version"] == VERSION:
        assert not dropped(before, after), "a new version of saved states is needed, with a step to it"


@pytest.mark.slow
def test_corpus_has_everything_that_states_have(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {place for line in lines_of(PRESENT) for place in places(json.loads(line))}
    fresh: list[str] = []
    for text in simulated(monkeypatch):
        found = set(places(json.loads(text)))
        if found - known:
            fresh.append(text)
            known |= found
    if os.environ.get("HOLDFAST_REWRITE") and fresh:
        PRESENT.write_text("".join(f"{line}\n" for line in [*lines_of(PRESENT), *fresh]))
        fresh = []
    assert not fresh, "HOLDFAST_REWRITE=1 adds what a state has that no saved one in the corpus had"
