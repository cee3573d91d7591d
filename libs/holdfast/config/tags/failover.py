"""The `failover` tag: rules written by hand, as text."""

from __future__ import annotations

from holdfast.config.schema import Attribute, Kind, Tag, Unit

FAILOVER = Tag(
    name="failover",
    meaning="Failover rules in CDATA, in the plain or the Lua form (see rules.md).",
    holds_text=True,
    attributes=(
        Attribute(
            name="extends",
            kind=Kind.YES_NO,
            model_default="yes",
            default="yes",
            meaning="no leaves out every default rule, also those made from the actions of checkers.",
        ),
        Attribute(
            name="period",
            kind=Kind.DURATION,
            unit=Unit.ms,
            model_default="5000ms",
            default="0ms",
            default_note="0: at every event",
            maximum=3_600_000,
            meaning="How often the rules are looked at.",
        ),
        Attribute(
            name="handle_time",
            kind=Kind.DURATION,
            unit=Unit.ms,
            model_default="15000ms",
            default="0ms",
            maximum=3_600_000,
            meaning="How long an action must have been the one wanted before it is taken.",
        ),
    ),
)
