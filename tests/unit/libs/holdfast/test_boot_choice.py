"""Which modules start with their node."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast.boot import in_words, keep_choice, read_choice, starts_with_node
from holdfast.config.model import BootPolicy
from holdfast.errors import StorageError

ON, OFF, AUTO, IGNORE = BootPolicy.ON, BootPolicy.OFF, BootPolicy.AUTO, BootPolicy.IGNORE


@pytest.mark.parametrize(
    ("policy", "chosen", "ran_before", "starts", "words"),
    [
        (ON, False, False, True, "on"),
        (OFF, True, True, False, "off"),
        (AUTO, True, False, False, "auto"),
        (AUTO, False, True, True, "auto"),
        (IGNORE, True, False, True, "on"),
        (IGNORE, False, True, False, "off"),
        (IGNORE, None, True, True, "auto"),
        (IGNORE, None, False, False, "auto"),
    ],
)
def test_configuration_decides_then_the_command_then_the_past(
    policy: BootPolicy, chosen: bool | None, ran_before: bool, starts: bool, words: str
) -> None:
    assert starts_with_node(policy, chosen, ran_before=ran_before) is starts
    assert in_words(policy, chosen) == words


def test_choice_is_kept_and_rubbish_is_none(tmp_path: Path) -> None:
    assert read_choice(tmp_path) is None
    for value in (True, False):
        keep_choice(tmp_path, value)
        assert read_choice(tmp_path) is value
    (tmp_path / "boot").write_text("perhaps")
    assert read_choice(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["boot"]
    with pytest.raises(StorageError, match="boot"):
        keep_choice(tmp_path / "nowhere", True)
