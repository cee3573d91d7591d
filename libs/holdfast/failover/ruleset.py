"""All rules of a module: what its operator wrote, one for each checker, the default ones, and the table's own.

Of several rules with one label the operator's stands, so that a single default rule can be replaced.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from functools import cache
from importlib.resources import files

from holdfast.config.model import Position
from holdfast.config.problem import Report, nearest_name
from holdfast.core.condition import Operand, Side, operands
from holdfast.core.resources import ANNOUNCED
from holdfast.core.rule import IMPLICIT_WAKEUP, Origin, Rule, RuleSettings
from holdfast.core.rules import OBSERVED_CLASSES
from holdfast.failover.parse import Written
from holdfast.failover.plain import read_plain
from holdfast.failover.source import RuleSource

DISABLED = "disabled by the configuration"

CHECKER_CLASSES = frozenset({"proc", "tcp", "ping", "intf", "ip", "custom", "module", "splitbrain"})
KNOWN_CLASSES = OBSERVED_CLASSES | CHECKER_CLASSES


@cache
def default_rules() -> tuple[Rule, ...]:
    """The rules of `default.rules`."""
    return _shipped("default.rules", Origin.DEFAULT)


@cache
def table_rules() -> tuple[Rule, ...]:
    """The rules of `table.rules`."""
    return _shipped("table.rules", Origin.TABLE)


def prepare() -> None:
    """Make the parser and read the shipped rules now, so that processes forked later share them."""
    default_rules()
    table_rules()


def _shipped(name: str, origin: Origin) -> tuple[Rule, ...]:
    report = Report(source=name)
    text = files("holdfast.failover").joinpath(name).read_text(encoding="utf-8")
    read = read_plain(RuleSource(text, Position(line=1, column=1), report), origin)
    report.raise_if_wrong()
    return tuple(each.rule for each in read)


def rule_set(
    written: Iterable[Rule] = (), checkers: Iterable[Rule] = (), *, disabled: Collection[str] = (), extends: bool = True
) -> tuple[Rule, ...]:
    """All rules in order; those of checkers and the default ones that are replaced, disabled or left out
    (extends=False) say so and are not in force. The table's always stand."""
    off = frozenset(disabled)
    own = [replace(rule, inactive=DISABLED if rule.label in off else "") for rule in written]
    labels = {rule.label for rule in own}
    given = [*checkers, *default_rules()]
    return (*own, *(replace(rule, inactive=_inactive(rule, off, labels, extends)) for rule in given), *table_rules())


def _inactive(rule: Rule, off: Set[str], replaced: Set[str], extends: bool) -> str:
    if not extends:
        return 'left out by extends="no"'
    if rule.label in off:
        return DISABLED
    return "replaced by the configuration" if rule.label in replaced else ""


def rule_settings(rules: tuple[Rule, ...], *, period_ms: int = 0, handle_time_ms: int = 0) -> RuleSettings:
    """What the decider needs. What the other node's rules read of this one follows from the rules themselves."""
    remote = (each for rule in rules if rule.is_in_force for each in operands(rule.condition))
    told = dict.fromkeys(each for each in remote if each.side is Side.REMOTE and each.name not in ANNOUNCED)
    return RuleSettings(rules=rules, period_ms=period_ms, handle_time_ms=handle_time_ms, told=tuple(told))


def check_rules(
    written: Written,
    checkers: Sequence[Rule],
    known: Mapping[str, Sequence[str]],
    *,
    extends: bool,
    at: Position,
    report: Report,
) -> None:
    """Report what is wrong or doubtful about rules as a whole. known: idents by class, of the classes whose resources
    the configuration names. at: the place of the tag."""
    fixed = {IMPLICIT_WAKEUP, *(rule.label for rule in table_rules())}
    replaceable = [rule.label for rule in [*checkers, *default_rules()]]
    for read in written.rules:
        if read.rule.label in fixed:
            report.error(read.at, f"the rule '{read.rule.label}' cannot be replaced", accepted="another label")
    for disabled in written.disabled:
        labels = [*replaceable, *(read.rule.label for read in written.rules)]
        if disabled.label in fixed:
            report.error(disabled.at, f"the rule '{disabled.label}' cannot be disabled", accepted=", ".join(labels))
        elif disabled.label not in labels:
            nearest = nearest_name(disabled.label, labels)
            message = f"there is no rule '{disabled.label[:80]}'"
            report.error(disabled.at, message, nearest=nearest, accepted=", ".join(labels))
    for read in written.rules:
        for operand in operands(read.rule.condition):
            _check_operand(operand, known, read.at, report)
    if not extends and replaceable:
        names = ", ".join(replaceable)
        report.warn(at, f'extends="no" leaves out every default rule, also the actions of checkers: {names}')


def _check_operand(operand: Operand, known: Mapping[str, Sequence[str]], at: Position, report: Report) -> None:
    """Warn of a resource that nothing sets: the rule would never act, or always."""
    if operand.resource_class not in KNOWN_CLASSES:
        nearest = nearest_name(operand.resource_class, KNOWN_CLASSES)
        hint = f"; did you mean '{nearest}'?" if nearest else ""
        report.warn(at, f"no checker sets resources of class '{operand.resource_class}'{hint}")
        return
    idents = known.get(operand.resource_class)
    if idents is None or operand.side is Side.REMOTE or operand.is_wild or operand.ident in idents:
        return
    nearest = nearest_name(operand.ident, idents)
    hint = f"; did you mean '{operand.resource_class}.{nearest}'?" if nearest else ""
    report.warn(at, f"nothing in this configuration sets {operand.name}{hint}")
