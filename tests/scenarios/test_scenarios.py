"""Each text file here is a script and its whole transcript; the transcript must come out the same.

`HOLDFAST_REWRITE=1 pytest tests/scenarios` writes fresh transcripts: read the difference, keep what you understand.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from holdfast.testing.scenario import run

FOLDER = Path(__file__).parent
SCENARIOS = sorted(FOLDER.glob("*.txt"))
REWRITE = os.environ.get("HOLDFAST_REWRITE") == "1"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_transcript_comes_out_the_same(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    played = run(text)
    if REWRITE:
        path.write_text(played, encoding="utf-8")
    assert played == text or REWRITE


def test_there_are_scenarios_for_the_whole_table_of_what_happens_when() -> None:
    assert len(SCENARIOS) >= 20


def test_every_scenario_says_what_it_shows() -> None:
    assert [path.name for path in SCENARIOS if not path.read_text(encoding="utf-8").startswith("# ")] == []
