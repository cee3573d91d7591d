"""Renders `docs/state-machine.md` from the tables: `python -m holdfast.core.document`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from holdfast.core.authority import AuthorityRecord
from holdfast.core.commands import COMMANDS
from holdfast.core.coverage import UNMOVED
from holdfast.core.decide import EXECUTORS
from holdfast.core.row import Phase, Row, When
from holdfast.core.transitions import ROWS
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.state import Role

HEAD = """# State machine

Generated from `libs/holdfast/core/transitions.py` by `make docs`; do not edit.

A module on a node is in one of five roles: STOP, WAIT, ALONE (primary without a secondary), PRIM (primary with one),
SECOND.
Whenever something happened, the rows below are tried in order until none fires.
*Idle* rows wait until the steps under way are done; *at once* rows fire in the middle of them, and their own steps
replace those that are pending or come after them.
A script that runs is always finished first, save by forcestop.
Steps in brackets wait for an observed fact; a start script is skipped when its group runs, a stop script when it does
not.
"""

WHEN = {When.IDLE: "idle", When.CUT: "at once, replaces steps", When.AFTER: "at once"}


def render() -> str:
    """The whole page."""
    parts = [HEAD, *(_phase(phase) for phase in Phase), _commands(), _unmoved(), _orders(), _record()]
    return "\n".join(parts)


def _phase(phase: Phase) -> str:
    rows = [row for row in ROWS if row.phase is phase]
    lines = [f"## {str(phase).capitalize()}", "", *_diagram(rows), ""]
    lines += _table(
        ("Row", "From", "When", "Trigger", "To", "Steps", "Reason"),
        (
            (
                row.name,
                _roles(row.roles),
                WHEN[row.when],
                "; ".join(str(trigger) for trigger in (row.trigger, *sorted(row.also))),
                str(row.to) if row.to is not None else "same",
                ", ".join(str(step) for step in row.steps) or "none",
                row.reason,
            )
            for row in rows
        ),
    )
    return "\n".join(lines) + "\n"


def _diagram(rows: list[Row]) -> list[str]:
    edges = []
    for row in rows:
        for role in (role for role in Role if role in row.roles):
            to = row.to if row.to is not None else role
            edges.append(f"    {role} --> {to}: {row.name}")
    return ["```mermaid", "stateDiagram-v2", *edges, "```"]


def _commands() -> str:
    rows = ((str(row.action), _roles(row.roles), row.text) for row in COMMANDS)
    return "\n".join(["## Commands", "", *_table(("Command", "In", "Effect"), rows)]) + "\n"


def _unmoved() -> str:
    rows = ((str(entry.trigger), _roles(entry.roles), entry.reason) for entry in UNMOVED)
    title = "## What changes nothing, and why"
    return "\n".join([title, "", *_table(("Trigger", "In", "Why"), rows)]) + "\n"


def _orders() -> str:
    rows = ((f"`{BY_PAYLOAD[order].name}`", service) for order, service in EXECUTORS.items())
    return "\n".join(["## Orders", "", *_table(("Order", "Obeyed by"), rows)]) + "\n"


def _record() -> str:
    fields = ", ".join(f"`{name}`" for name in AuthorityRecord.__dataclass_fields__)
    return f"## The authority record\n\nDurable before anything that follows from it is visible: {fields}.\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    titles = list(head)
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return lines + [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]


def _roles(roles: frozenset[Role]) -> str:
    return ", ".join(str(role) for role in Role if role in roles)


def main() -> None:
    """Write the page into the checkout that this file belongs to."""
    (Path(__file__).resolve().parents[3] / "docs/state-machine.md").write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
