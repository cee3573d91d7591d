"""POSIX extended regular expressions."""

from __future__ import annotations

import pytest
from holdfast.config.regex import compile_posix


@pytest.mark.parametrize(
    ("pattern", "matches", "differs"),
    [
        (r"^pg_.*\.tmp$", "pg_1.tmp", "pg_1.tmpx"),
        ("^[[:digit:][:upper:]_]+$", "A_1", "a_1"),
        ("^[]a]$", "]", "b"),
        ("^[^]a]$", "b", "]"),
        (r"^a\+b$", "a+b", "aab"),
        ("(one|two){2}", "twoone", "one"),
        ("^a[.]b$", "a.b", "acb"),
        (r"^[a\d]$", "\\", "5"),
        ("end$", "end", "end\n"),
        ("a.b", "a\nb", "ab"),
        ("^[a&&b]$", "&", "c"),
    ],
)
def test_expression_means_what_posix_says(pattern: str, matches: str, differs: str) -> None:
    assert compile_posix(pattern).search(matches)
    assert not compile_posix(pattern).search(differs)


@pytest.mark.parametrize(
    "pattern",
    ["[a", "(a", r"\d", "(?i)a", "a**", "a+?", "*a", "a{2,1}", "[[:nope:]]", "[[.a.]]", "\\", "x" * 2000, "[a--b]"],
)
def test_what_is_no_posix_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):
        compile_posix(pattern)
