"""The `failover` tag: where its texts of rules are, and whether they fit the rest of the configuration."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.heartbeats import ident_of
from holdfast.config.problem import Report
from holdfast.config.reader import Section
from holdfast.core.rule import LABEL_PREFIXES, Rule, own_rule
from holdfast.events.module import Action
from holdfast.failover.parse import RuleText, read_texts
from holdfast.failover.ruleset import check_rules

SET_BY_SCRIPTS = frozenset({"custom"})
"""Classes of which a module's scripts set resources that the configuration does not name."""


def rule_texts(failover: Section) -> Iterator[RuleText]:
    """Each CDATA section, and what stands outside of one."""
    for piece in failover.element.texts:
        if piece.text.strip():
            yield RuleText(text=piece.text, at=piece.at)


def check_failover(service: Section, report: Report) -> None:
    """Everything about the rules of a module."""
    failover = service.first("failover")
    if failover is None:
        return
    written = read_texts(rule_texts(failover), report)
    idents = _idents(service)
    checkers = [rule for name, named in idents.items() for rule in _checker_rules(name, named)]
    known = {name: named for name, named in idents.items() if name not in SET_BY_SCRIPTS}
    extends = failover.has("extends") and failover.flag("extends")
    check_rules(written, checkers, known, extends=extends, at=failover.place("extends"), report=report)


def _checker_rules(resource_class: str, idents: list[str]) -> Iterator[Rule]:
    """What they do does not matter here, only their labels."""
    if resource_class in LABEL_PREFIXES:
        yield from (own_rule(f"{resource_class}.{ident}", Action.NOACTION) for ident in idents)


def _idents(service: Section) -> dict[str, list[str]]:
    """Idents of the resources that the configuration names, by class."""
    found: dict[str, list[str]] = {"tcp": [], "proc": [], "heartbeat": []}
    for check in service.all("check"):
        for checker in check.children:
            ident = checker.optional_text("ident")
            if ident is not None:
                found.setdefault(checker.tag.name, []).append(ident)
    for process in service.all("errd", "proc"):
        found["proc"] += filter(None, [process.optional_text("name")])
    for beat in service.all("heart", "heartbeat"):
        found["heartbeat"] += filter(None, [ident_of(beat)])
    _add_made(service, found)
    return found


def _add_made(service: Section, found: dict[str, list[str]]) -> None:
    """Resources that follow from something else than the ident of a checker."""
    for check in service.all("check", "module"):
        name = check.optional_text("name") or ""
        to = check.first("to")
        address = to.optional_text("addr") if to is not None else None
        found.setdefault("module", []).append(f"{name}_{address}" if address else name)
    if "splitbrain" in found:
        found["splitbrain"].append("uptodate")
    for interface in service.all("vip", "interface_list", "interface"):
        addresses = [item.optional_text("addr") for item in interface.all("real_interface", "virtual_addr")]
        name_of_it = interface.optional_text("name")
        found.setdefault("intf", []).extend(filter(None, [name_of_it] if name_of_it else addresses))
        found.setdefault("ip", []).extend(filter(None, addresses))
