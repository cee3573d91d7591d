"""What a witness may be."""

from __future__ import annotations

import pytest
from holdfast.config.model import SplitbrainCheck
from holdfast.config.parse import parse_module
from holdfast.errors import ConfigError

TEXT = '<safe><service mode="mirror"><heart><heartbeat name="a"/></heart><check>{}</check></service></safe>'


def witness(attributes: str) -> SplitbrainCheck | None:
    text = TEXT.format(f"<splitbrain {attributes}/>")
    return parse_module(text.encode(), "userconfig.xml", {}).splitbrain


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('ident="w" arg="10.0.0.254"', SplitbrainCheck(ident="w", pinged=("10.0.0.254",))),
        ('ident="w" exec="ping" arg=" a.b  fd00::1 "', SplitbrainCheck(ident="w", pinged=("a.b", "fd00::1"))),
        ('ident="w" lease="witness.example"', SplitbrainCheck(ident="w", lease="witness.example")),
        ('ident="w" lease="10.0.0.9:4805"', SplitbrainCheck(ident="w", lease="10.0.0.9:4805")),
        ('ident="w" lease="[fd00::9]:1"', SplitbrainCheck(ident="w", lease="[fd00::9]:1")),
    ],
)
def test_witness_is_pinged_or_gives_a_lease(attributes: str, expected: SplitbrainCheck) -> None:
    assert witness(attributes) == expected


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ('arg="10.0.0.254"', "lacks the attribute 'ident'"),
        ('ident="uptodate" arg="10.0.0.254"', "splitbrain.uptodate is the verdict"),
        ('ident="w"', "no witness is named"),
        (f'ident="w" arg="{" ".join(["10.0.0.1"] * 9)}"', "too many witnesses"),
        ('ident="w" arg="10.0.0.300!"', "is no address or host name"),
        ('ident="w" exec="pong" arg="10.0.0.254"', "'pong' is not a valid value"),
        ('ident="w" lease="10.0.0.9" arg="10.0.0.254"', "a lease witness is not pinged, too"),
        ('ident="w" lease="10.0.0.9:http"', "is no address:port"),
        ('ident="w" lease="10.0.0.9:0"', "is no address:port"),
        ('ident="w" lease="[fd00::9"', "is no address:port"),
        ('ident="w" lease="not a host"', "is no address:port"),
    ],
)
def test_witness_that_cannot_be_is_refused_with_what_would_be_right(attributes: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        witness(attributes)
    (problem,) = caught.value.problems
    assert said in str(problem)
    assert "accepted" in str(problem)
