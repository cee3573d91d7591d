"""The `user` tag: scripts of the module and their environment."""

from __future__ import annotations

from holdfast.config.schema import Attribute, Kind, Tag, Unit

VARIABLES_MAX = 256
"""Variables handed to scripts; the environment of a process is bounded by the kernel anyway."""

VAR = Tag(
    name="var",
    meaning="An environment variable exported to scripts.",
    maximum=VARIABLES_MAX,
    attributes=(
        Attribute(name="name", kind=Kind.VARIABLE, required=True, dynamic=True, meaning="Name of the variable."),
        Attribute(name="value", kind=Kind.TEXT, required=True, dynamic=True, meaning="Its value."),
    ),
)

USER = Tag(
    name="user",
    meaning=(
        "Run the module's scripts; without this tag no script runs at all. "
        "Scripts other than stop scripts may take 600s, those of a configuration 300s."
    ),
    attributes=(
        Attribute(
            name="nicestoptimeout",
            kind=Kind.DURATION,
            unit=Unit.s,
            model_default="300s",
            default="300s",
            minimum=1,
            dynamic=True,
            meaning="Limit for a graceful stop script.",
        ),
        Attribute(
            name="forcestoptimeout",
            kind=Kind.DURATION,
            unit=Unit.s,
            model_default="300s",
            default="300s",
            minimum=1,
            dynamic=True,
            meaning="Limit for a forced stop script.",
        ),
        Attribute(
            name="logging",
            kind=Kind.CHOICE,
            choices=("userlog", "none"),
            model_default="userlog",
            default="userlog",
            dynamic=True,
            meaning="Capture the output of scripts, or not.",
        ),
        Attribute(
            name="userlogsize",
            kind=Kind.INTEGER,
            model_default="2048",
            default="2048",
            minimum=1,
            maximum=4 * 1024 * 1024,
            dynamic=True,
            meaning="Limit in KB of the output kept of one run.",
        ),
    ),
    children=(VAR,),
)
