"""The Lua form: its documented statements are read, and nothing else is."""

from __future__ import annotations

import pytest

from tests.unit.libs.holdfast.failover.rules_reading import problems, read, rules


def test_rules_are_added_and_read_as_in_the_plain_form() -> None:
    lua = """--Lua Rules
    Rules = Rules + {
        web = if_then("tcp.web", "down", Action.restart), -- the web server
        far = if_then('remote.intf.?', 'down', Action.stop),
        _group = "checker",
    }"""
    plain = "web: if (tcp.web == down) then restart(); far: if (remote.intf.? == down) then stop();"
    assert rules(lua) == rules(plain)


def test_default_rules_are_disabled_by_label() -> None:
    written, report = read('--Lua Rules\nRules.disable("ip_failure"); Rules.disable("t_web")')
    assert [each.label for each in written.disabled] == ["ip_failure", "t_web"]
    assert report.problems == []


def test_labels_that_are_no_names_stand_in_brackets() -> None:
    (rule,) = rules('--Lua Rules\nRules = Rules + { ["t_web-1"] = if_then("tcp.web-1", "down", Action.stop) }')
    assert rule.label == "t_web-1"


def test_a_text_in_quotes_may_hold_what_looks_like_a_comment() -> None:
    (rule,) = rules('--Lua Rules\n--[[ more\nlines ]] Rules = Rules + { a = if_then("tcp.a--b", "down", Action.stop) }')
    assert str(rule) == "a: if (tcp.a--b == down) then stop();"


def test_both_forms_stand_in_texts_of_their_own() -> None:
    written, report = read(
        "a: if (tcp.a == down) then wait();",
        '\n--Lua Rules\nRules = Rules + { b = if_then("tcp.b", "down", Action.wait) }',
    )
    assert [each.rule.label for each in written.rules] == ["a", "b"]
    assert report.problems == []


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ('Ruls.disable("x")', "2:1:", "did you mean 'Rules'?"),
        ('Rules.disabel("x")', "2:7:", "did you mean 'disable'?"),
        ('os.execute("reboot")', "2:1:", "found 'os'; accepted: Rules"),
        ("Rules = Rules + { a = function() end }", "2:23:", "found 'function'; accepted: if_then"),
        ('Rules = Rules + { a=if_then("tcp.a" "down", Action.stop) }', "2:37:", "accepted: ','"),
        ('Rules = Rules + { a=if_then("tcp.a","dwon",Action.stop) }', "2:38:", "did you mean 'down'?"),
        ('Rules = Rules + { a=if_then("tcp.a","down",Action.stpo) }', "2:51:", "did you mean 'stop'?"),
        ('Rules = Rules + { a=if_then("tcp","down",Action.stop) }', "2:30:", "'tcp' is no resource"),
        ('Rules = Rules + { _grup="checker" }', "2:19:", "did you mean '_group'?"),
        ("while true do end", "2:1:", "accepted: Rules"),
        ('Rules = Rules + { a=if_then("tcp.a","down",Action.stop)', "2:56:", "accepted: '}', ','"),
    ],
)
def test_anything_else_is_refused_with_its_place(text: str, place: str, says: str) -> None:
    (problem,) = problems(f"--Lua Rules\n{text}")
    assert problem.startswith(place), problem
    assert says in problem
