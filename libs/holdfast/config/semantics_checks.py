"""What the table cannot say of checkers."""

from __future__ import annotations

from holdfast.config.model import ModuleMode, Position
from holdfast.config.problem import Report, excerpt
from holdfast.config.reader import Section
from holdfast.config.tags.custom import ARGUMENT_CHARS_MAX, WORDS_MAX
from holdfast.config.tags.splitbrain import WITNESSES_MAX
from holdfast.config.values import is_address
from holdfast.witness.wire import address_of

KINDS = ("ping", "intf", "ip", "custom", "module")


def check_checkers(service: Section, report: Report) -> None:
    """Names occur once in their class, and actions fit to when the checker runs."""
    for kind in KINDS:
        seen: dict[str, Position] = {}
        for check in service.all("check", kind):
            _check_ident(kind, check, seen, report)
            _check_action(kind, check, report)
            _check_words(check, report)
    _check_witnesses(service, report)


def _check_witnesses(service: Section, report: Report) -> None:
    for check in service.all("check", "splitbrain"):
        if service.optional_text("mode") not in (None, ModuleMode.MIRROR):
            report.error(check.at, "only a mirror has a witness", accepted='mode="mirror"')
        _check_witness(check, report)


def _check_witness(check: Section, report: Report) -> None:
    lease, words = check.optional_text("lease"), (check.optional_text("arg") or "").split()
    if check.optional_text("ident") == "uptodate":
        report.error(check.place("ident"), "splitbrain.uptodate is the verdict", accepted="another ident")
    if lease is not None:
        if words or check.gives("exec"):
            report.error(check.place("lease"), "a lease witness is not pinged, too", accepted="lease, or exec and arg")
        if not _is_place(lease):
            report.error(check.place("lease"), f"{excerpt(lease)} is no address:port", accepted="10.0.0.9:4805")
        return
    if not 1 <= len(words) <= WITNESSES_MAX:
        accepted = f"1 to {WITNESSES_MAX} addresses in arg, or lease"
        report.error(
            check.place("arg"), "no witness is named" if not words else "too many witnesses", accepted=accepted
        )
    for word in words:
        if not is_address(word):
            report.error(check.place("arg"), f"{excerpt(word)} is no address or host name", accepted="10.0.0.254")


def _is_place(text: str) -> bool:
    try:
        host, port = address_of(text)
    except ValueError:
        return False
    return is_address(host) and port > 0


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
