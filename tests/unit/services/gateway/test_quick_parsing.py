"""Plain use of the commands that scripts call is parsed without the library; everything else is left to it."""

from __future__ import annotations

from typing import Any

import pytest

from services.gateway.cli import printe, quick, state, stop


@pytest.fixture(autouse=True)
def _no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAFEMODULE", raising=False)


@pytest.mark.parametrize(
    ("run", "words", "expected"),
    [
        (stop.run, "-m shop -i start_prim", {"module": "shop", "identity": "start_prim"}),
        (stop.run, "--module shop --json", {"module": "shop", "as_json": True}),
        (state.run, "-m shop -lq", {"module": "shop", "local": True, "quiet": True}),
        (state.run, "", {}),
        (printe.run, "-m shop one two", {"module": "shop", "text": ["one", "two"]}),
    ],
)
def test_plain_use_is_understood(run: Any, words: str, expected: dict[str, object]) -> None:
    assert quick.parse(run, words.split()) == expected


def test_module_comes_from_the_environment_of_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAFEMODULE", "shop")
    assert quick.parse(stop.run, []) == {"module": "shop"}
    assert quick.parse(stop.run, ["-m", "other"]) == {"module": "other"}


@pytest.mark.parametrize(
    "words", ["", "-m", "--help", "-m shop extra", "-m shop --unknown", "-m shop -xq", "--module=a"]
)
def test_unusual_use_is_left_to_the_library(words: str) -> None:
    with pytest.raises(quick.UnusualError):
        quick.parse(stop.run, words.split())


def test_text_that_is_missing_is_left_to_the_library() -> None:
    with pytest.raises(quick.UnusualError):
        quick.parse(printe.run, ["-m", "shop"])
