"""The codec: what goes in comes out, and nothing else does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from holdfast.errors import InvariantError, PeerError
from holdfast.events import codec
from holdfast.events.catalogue import BY_NAME, Entry
from holdfast.events.envelope import Envelope, HybridTime
from holdfast.events.membership import PeerLost, PeerSuspected
from holdfast.events.module import Action, CommandRequested, ReportFacts
from holdfast.ids import ModuleId, NodeId
from holdfast.testing.samples import sample, sample_envelope
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ENTRIES = tuple(BY_NAME.values())
names = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
counts = st.integers(0, 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
st.register_type_strategy(float, finite)


def body_of(payload: object) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(codec.encode(sample_envelope(payload)))
    return body


def decoded(body: object) -> Envelope[object]:
    return codec.decode(json.dumps(body).encode())


@names
def test_what_is_encoded_can_be_decoded(entry: Entry) -> None:
    """For any values that the types of a payload allow."""

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.from_type(entry.payload))
    def check(payload: object) -> None:
        envelope = sample_envelope(payload)
        assert codec.decode(codec.encode(envelope)) == envelope

    check()


@given(st.text(), st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"), counts, counts)
def test_every_envelope_keeps_who_where_when_and_why(text: str, name: str, first: int, second: int) -> None:
    envelope = Envelope(
        id=text,
        module=ModuleId(name),
        node=NodeId(name),
        source=text,
        at_wall_ns=first,
        at_mono_ns=second,
        hybrid=HybridTime(wall_ms=second, counter=first),
        cause=text,
        trace=text,
        payload=ReportFacts(),
    )
    assert codec.decode(codec.encode(envelope)) == envelope


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        codec.decode(data)


@given(json_values)
def test_any_other_json_is_refused(value: object) -> None:
    with pytest.raises(PeerError):
        decoded(value)


@settings(deadline=None)
@given(st.sampled_from(ENTRIES), st.dictionaries(st.text(), json_values, max_size=5), st.data())
def test_rubbish_as_payload_is_refused_or_valid_but_never_an_accident(
    entry: Entry, rubbish: dict[str, object], data: st.DataObject
) -> None:
    """Also with the right field names; what is accepted can be encoded again."""
    fields = list(entry.payload.__dataclass_fields__)
    if fields:
        rubbish[data.draw(st.sampled_from(fields))] = data.draw(json_values)
    body = {**body_of(ReportFacts()), "type": entry.name, "payload": rubbish}
    try:
        envelope = decoded(body)
    except PeerError:
        return
    assert codec.decode(codec.encode(envelope)) == envelope


@pytest.mark.parametrize("field", sorted(body_of(ReportFacts())))
@given(value=json_values)
def test_a_wrong_field_of_the_envelope_is_refused_or_valid(field: str, value: object) -> None:
    body = {**body_of(ReportFacts()), field: value}
    try:
        envelope = decoded(body)
    except PeerError:
        return
    assert codec.decode(codec.encode(envelope)) == envelope


@pytest.mark.parametrize("field", sorted(body_of(ReportFacts())))
def test_an_envelope_without_one_of_its_fields_is_refused(field: str) -> None:
    body = body_of(ReportFacts())
    del body[field]
    with pytest.raises(PeerError, match=field):
        decoded(body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", 5),
        ("wall_ns", "5"),
        ("wall_ns", 1.5),
        ("wall_ns", True),
        ("mono_ns", -1),
        ("mono_ns", 2**63),
        ("hlc", [1]),
        ("hlc", [1, 2, 3]),
        ("hlc", {"0": 1, "1": 2}),
        ("version", 0),
        ("version", "1"),
        ("version", 1.0),
        ("module", "a.b"),
        ("module", ""),
        ("node", "../etc"),
        ("node", "n" * 65),
        ("node", "n\n"),
        ("type", ["peer.lost"]),
        ("payload", []),
        ("payload", None),
    ],
)
def test_envelopes_are_taken_literally(field: str, value: object) -> None:
    """Nothing is converted: a number in quotes is not a number, a name outside the alphabet not a name."""
    with pytest.raises(PeerError, match=field):
        decoded({**body_of(ReportFacts()), field: value})


def test_an_unknown_wire_name_is_refused_by_name() -> None:
    with pytest.raises(PeerError, match=r"'moon\.risen' is no event"):
        decoded({**body_of(ReportFacts()), "type": "moon.risen"})


@names
def test_a_version_from_the_future_is_refused(entry: Entry) -> None:
    body = body_of(sample(entry.payload))
    with pytest.raises(PeerError, match="newer than this program"):
        decoded({**body, "version": entry.version + 1})


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"payload":{"a":' + "[" * 5_000 + "]" * 5_000 + "}}",
    ],
)
def test_deep_nesting_is_refused(text: str) -> None:
    with pytest.raises(PeerError):
        codec.decode(text.encode())


def test_deep_nesting_inside_a_payload_is_refused() -> None:
    text = json.dumps(body_of(ReportFacts())).replace(
        '"payload": {}', '"payload": {"a": ' + "[" * 900 + "]" * 900 + "}"
    )
    with pytest.raises(PeerError, match="recursion"):
        codec.decode(text.encode())


def test_what_is_too_long_is_refused_unread() -> None:
    with pytest.raises(PeerError, match=f"more than {codec.ENVELOPE_BYTES_MAX}"):
        codec.decode(b" " * (codec.ENVELOPE_BYTES_MAX + 1))


def test_what_would_be_too_long_cannot_be_encoded() -> None:
    with pytest.raises(InvariantError, match=r"command\.requested takes"):
        codec.encode(sample_envelope(CommandRequested(action=Action.START, who="x" * codec.ENVELOPE_BYTES_MAX)))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_none_cannot_be_encoded(number: float) -> None:
    with pytest.raises(InvariantError, match=r"peer\.suspected"):
        codec.encode(sample_envelope(PeerSuspected(silent_ms=number)))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    text = json.dumps(body_of(PeerSuspected(silent_ms=1.5))).replace("1.5", number)
    with pytest.raises(PeerError):
        codec.decode(text.encode())


def test_text_that_is_not_unicode_passes_in_neither_direction() -> None:
    """Half a surrogate pair (how Python holds a file name of other bytes) would fail later, in a database."""
    with pytest.raises(InvariantError, match="surrogates"):
        codec.encode(sample_envelope(CommandRequested(action=Action.START, who="\udcff")))
    text = json.dumps(body_of(CommandRequested(action=Action.START, who="X"))).replace('"X"', '"\\udcff"')
    with pytest.raises(PeerError):
        codec.decode(text.encode())


def test_the_reason_of_a_refusal_names_the_field_and_stays_short() -> None:
    body = body_of(PeerLost(reason="silence", last_heard_mono_ns=0, silent_ms=1.0, evidence=""))
    body["payload"]["silent_ms"] = "x" * 10_000
    with pytest.raises(PeerError, match="silent_ms") as refused:
        decoded(body)
    assert len(str(refused.value)) < 2 * codec.REASON_CHARS_MAX


def test_a_payload_outside_the_catalogue_cannot_be_encoded() -> None:
    with pytest.raises(KeyError):
        codec.encode(sample_envelope("text"))
