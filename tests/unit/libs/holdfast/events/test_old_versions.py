"""What older programs wrote can still be read, and nobody changes a payload without saying so."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from holdfast.errors import PeerError, RefusedError
from holdfast.events import catalogue, codec, schema, upcast
from holdfast.events.catalogue import BY_NAME, Entry
from holdfast.testing.samples import sample, sample_envelope

CORPUS = Path(__file__).parent / "corpus"
EVERY_VERSION = [(entry, version) for entry in BY_NAME.values() for version in range(1, entry.version + 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """Artificial: version 1 had one text `place`, version 2 `x` and `y` as texts, version 3 has numbers."""

    x: int
    y: int


MOVED = Entry(name="test.moved", payload=Moved, version=3)


def split_place(body: upcast.Body) -> upcast.Body:
    x, y = str(body["place"]).split(",")
    return {"x": x, "y": y}


def as_numbers(body: upcast.Body) -> upcast.Body:
    return {name: int(str(value)) for name, value in body.items()}


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry in its third version, with a step from each version before."""
    monkeypatch.setitem(catalogue.BY_NAME, MOVED.name, MOVED)
    monkeypatch.setitem(catalogue.BY_PAYLOAD, Moved, MOVED)
    monkeypatch.setitem(upcast.STEPS, (MOVED.name, 1), split_place)
    monkeypatch.setitem(upcast.STEPS, (MOVED.name, 2), as_numbers)


def written(version: int, payload: object) -> bytes:
    body = json.loads(codec.encode(sample_envelope(Moved(x=0, y=0))))
    return json.dumps({**body, "version": version, "payload": payload}).encode()


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize(
    ("version", "payload"), [(1, {"place": "4,2"}), (2, {"x": "4", "y": "2"}), (3, {"x": 4, "y": 2})]
)
def test_every_old_version_becomes_the_present_one(version: int, payload: object) -> None:
    assert codec.decode(written(version, payload)).payload == Moved(x=4, y=2)


@pytest.mark.usefixtures("moved")
@pytest.mark.parametrize("payload", [{}, {"place": 7}, {"place": "4"}, {"place": "a,b"}, {"place": None}])
def test_rubbish_of_an_old_version_is_refused(payload: object) -> None:
    """A step trusts what it reads no further than that it is an object; whatever it raises is a refusal."""
    with pytest.raises(PeerError):
        codec.decode(written(1, payload))


@pytest.mark.usefixtures("moved")
def test_an_old_version_without_a_step_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(upcast.STEPS, (MOVED.name, 2))
    with pytest.raises(PeerError, match="version 2 can no longer be read"):
        codec.decode(written(1, {"place": "4,2"}))


def test_every_version_below_the_present_one_has_a_step() -> None:
    wanted = {(entry.name, version) for entry, version in EVERY_VERSION if version < entry.version}
    assert set(upcast.STEPS) == wanted


@pytest.mark.parametrize(("entry", "version"), EVERY_VERSION, ids=lambda value: getattr(value, "name", str(value)))
def test_examples_of_every_version_can_be_read(entry: Entry, version: int) -> None:
    """`python -m holdfast.testing.samples tests/unit/libs/holdfast/events/corpus` adds the example of a new version."""
    data = (CORPUS / f"{entry.name}.v{version}.json").read_bytes()
    envelope = codec.decode(data)
    assert type(envelope.payload) is entry.payload
    assert codec.decode(codec.encode(envelope)) == envelope


@pytest.mark.parametrize("entry", BY_NAME.values(), ids=lambda entry: entry.name)
def test_examples_of_present_versions_lose_nothing(entry: Entry) -> None:
    """Every field of the example is a field still: one that was removed or renamed needs a new version."""
    recorded = json.loads((CORPUS / f"{entry.name}.v{entry.version}.json").read_bytes())["payload"]
    now = json.loads(codec.encode(sample_envelope(sample(entry.payload))))["payload"]
    assert missing(recorded, now) == []


def missing(old: object, new: object, where: str = "") -> list[str]:
    """Paths of `old` that `new` does not have."""
    match old, new:
        case dict(), dict():
            return [
                path
                for name, value in old.items()
                for path in (missing(value, new[name], f"{where}.{name}") if name in new else [f"{where}.{name}"])
            ]
        case [first, *_], [second, *_]:
            return missing(first, second, f"{where}[]")
        case _:
            return []


def test_examples_belong_to_something_in_the_catalogue() -> None:
    known = {f"{entry.name}.v{version}.json" for entry, version in EVERY_VERSION}
    assert {path.name for path in CORPUS.iterdir()} == known


def test_schemas_are_fresh() -> None:
    """A payload that changed needs a new version, an upcast and `make docs`."""
    assert schema.changed() == []
    assert sorted(set(schema.render()) - {path.name for path in schema.FOLDER.iterdir()}) == []


def test_schemas_of_all_versions_stay() -> None:
    known = {f"{entry.name}.v{version}.json" for entry, version in EVERY_VERSION} | {schema.ENVELOPE_FILE}
    assert {path.name for path in schema.FOLDER.iterdir()} == known


def test_a_schema_says_nothing_that_a_better_docstring_would_change() -> None:
    assert "description" not in schema.render()["peer.lost.v1.json"]


def test_a_changed_payload_cannot_take_the_place_of_its_version(tmp_path: Path) -> None:
    schema.main(folder=tmp_path)
    schema.main(folder=tmp_path)
    file = tmp_path / "peer.lost.v1.json"
    file.write_text(file.read_text().replace("evidence", "proof"))
    with pytest.raises(RefusedError, match=r"peer\.lost\.v1\.json"):
        schema.main(folder=tmp_path)
    schema.main(folder=tmp_path, unreleased=True)
    assert schema.changed(tmp_path) == []
