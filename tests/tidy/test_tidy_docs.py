"""Documents that must agree with the tree."""

from __future__ import annotations

import re

from holdfast.events.document import render as render_events

from tests.tidy.rules import ROOT, tracked_files


def test_every_decision_is_in_the_index() -> None:
    """The index of decisions names each record, with its title."""
    folder = ROOT / "docs/decisions"
    index = (folder / "README.md").read_text()
    records = sorted(p for p in folder.glob("[0-9]*.md") if not p.name.startswith("0000"))
    assert records
    missing = [p.name for p in records if f"({p.name})" not in index]
    assert missing == []


def test_every_decision_has_the_same_parts() -> None:
    """Each record has status, context, decision, consequences, alternatives and what enforces it."""
    wanted = ["Status:", "**Context.**", "**Decision.**", "**Consequences.**", "**Alternatives.**", "**Enforced by.**"]
    wrong = [
        f"{path.name}: {part}"
        for path in sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
        for part in wanted
        if part not in path.read_text()
    ]
    assert wrong == []


def test_relative_links_in_documents_lead_somewhere() -> None:
    """A link to a file of this tree names a file that exists."""
    wrong = []
    for path in tracked_files():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
            if not (path.parent / target).exists():
                wrong.append(f"{path.relative_to(ROOT)} -> {target}")
    assert wrong == []


def test_the_page_of_events_is_fresh() -> None:
    """docs/events.md is what the catalogue says now; `make docs` writes it again."""
    assert (ROOT / "docs/events.md").read_text() == render_events()
