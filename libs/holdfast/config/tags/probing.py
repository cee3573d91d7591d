"""Attributes that checkers share."""

from __future__ import annotations

from holdfast.config.schema import Attribute, Kind, Unit

IDENT = Attribute(name="ident", kind=Kind.IDENT, required=True, dynamic=True, meaning="Name of the resource.")

INTERVAL = Attribute(
    name="interval",
    kind=Kind.DURATION,
    unit=Unit.s,
    resolution=Unit.ms,
    model_default="10s",
    default="10s",
    minimum=1,
    maximum=86_400,
    dynamic=True,
    meaning="Time from one attempt to the next.",
)

TIMEOUT = Attribute(
    name="timeout",
    kind=Kind.DURATION,
    unit=Unit.s,
    resolution=Unit.ms,
    model_default="5s",
    default="5s",
    minimum=1,
    maximum=86_400,
    dynamic=True,
    meaning="How long one attempt may take.",
)

CLASSES = ("prim", "second", "both", "pre")
ACTIONS = ("restart", "stopstart", "stop", "wait", "noaction")
WHEN_MEANING = "Checked between the matching scripts; pre from after prestart until poststop, in any state."
