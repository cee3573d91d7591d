"""What the table cannot say of checkers."""

from __future__ import annotations

from holdfast.config.model import Position
from holdfast.config.problem import Report
from holdfast.config.reader import Section
from holdfast.config.tags.custom import ARGUMENT_CHARS_MAX, WORDS_MAX

KINDS = ("ping", "intf", "ip", "custom")


def check_checkers(service: Section, report: Report) -> None:
    """Names occur once in their class, and actions fit to when the checker runs."""
    for kind in KINDS:
        seen: dict[str, Position] = {}
        for check in service.all("check", kind):
            _check_ident(kind, check, seen, report)
            _check_action(kind, check, report)
            _check_words(check, report)


def _check_ident(kind: str, check: Section, seen: dict[str, Position], report: Report) -> None:
    ident = check.optional_text("ident")
    if ident is None:
        return
    at = check.place("ident")
    first = seen.setdefault(ident, at)
    if first is not at:
        report.error(at, f"{kind} ident '{ident}' a second time, first in line {first.line}", accepted="each name once")


def _check_action(kind: str, check: Section, report: Report) -> None:
    when, action = check.optional_text("when"), check.optional_text("action")
    if when is None or action is None:
        return
    if kind == "ping" and when == "pre" and action not in ("wait", "noaction"):
        report.error(check.place("action"), f"action '{action}' with when=\"pre\"", accepted="wait, noaction")
    if when != "pre" and action == "wait":
        report.warn(
            check.place("action"),
            f'action "wait" with when="{when}": in WAIT nobody looks any more, so nothing wakes the module up; '
            'write when="pre"',
        )


def _check_words(check: Section, report: Report) -> None:
    text = check.optional_text("arg") or ""
    if len(text) > ARGUMENT_CHARS_MAX or len(text.split()) > WORDS_MAX:
        report.error(
            check.place("arg"),
            "the arguments are too long",
            accepted=f"at most {WORDS_MAX} words, {ARGUMENT_CHARS_MAX} characters",
        )
