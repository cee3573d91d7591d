"""The `errd` tag: monitoring of processes."""

from __future__ import annotations

from holdfast.config.schema import Attribute, Kind, Tag, Unit

PROCESSES_MAX = 256
"""Monitored processes of one module."""

COMMAND_NAME_BYTES_MAX = 15
"""TASK_COMM_LEN of linux/sched.h without the final NUL: the kernel cuts command names here."""

MODEL_POLL_MS = 30_000
"""The model's `polltimer`. `start_after` counts in it unless the file gives another, so that a grace period
written for the model keeps its length."""

PROC = Tag(
    name="proc",
    meaning="A monitored process, giving resource proc.<name>.",
    minimum=1,
    maximum=PROCESSES_MAX,
    attributes=(
        Attribute(
            name="name",
            kind=Kind.IDENT,
            required=True,
            dynamic=True,
            meaning="Command name (at most 15 characters) or systemd unit.",
        ),
        Attribute(
            name="service",
            kind=Kind.YES_NO,
            model_default="no",
            default="no",
            dynamic=True,
            meaning="The name is a systemd unit.",
        ),
        Attribute(name="nameregex", kind=Kind.REGEX, dynamic=True, meaning="Expression on the command name."),
        Attribute(
            name="argregex",
            kind=Kind.REGEX,
            dynamic=True,
            meaning="Expression on the argument list, which begins with the executable.",
        ),
        Attribute(
            name="class",
            kind=Kind.PROCESS_CLASS,
            choices=("prim", "both", "pre", "second", "sec"),
            default="prim",
            dynamic=True,
            meaning=(
                "Monitored between the matching scripts; pre from after prestart until poststop, in any state. A name "
                "of your own: between `errd enable NAME` and `errd disable NAME`, while the module runs."
            ),
        ),
        Attribute(
            name="action",
            kind=Kind.REACTION,
            choices=("restart", "stopstart", "stop", "noaction"),
            model_default="stopstart",
            default="stopstart",
            dynamic=True,
            meaning=(
                "What a missing process leads to. A handler is run without arguments, while the role goes on; when it "
                "fails the module does stopstart, when it succeeds and the process stays away it is run again after "
                "polltimer. It does not count against maxloop."
            ),
        ),
        Attribute(
            name="start_after",
            kind=Kind.INTEGER,
            model_default="0",
            default="0",
            minimum=0,
            maximum=10_000,
            dynamic=True,
            meaning="Delay of (n - 1) poll periods before the first look (of 30s unless polltimer is given).",
        ),
        Attribute(
            name="atleast",
            kind=Kind.INTEGER,
            model_default="1",
            default="1",
            default_note="1; -1 beside atmax 0",
            minimum=-1,
            maximum=1_000_000,
            dynamic=True,
            meaning="Minimum number of processes; -1 ignores it.",
        ),
        Attribute(
            name="atmax",
            kind=Kind.INTEGER,
            model_default="-1",
            default="-1",
            minimum=-1,
            maximum=1_000_000,
            dynamic=True,
            meaning="Maximum number of processes; -1 ignores it, 0 acts whenever one runs.",
        ),
        Attribute(
            name="restart_services",
            kind=Kind.TEXT,
            dynamic=True,
            meaning=(
                'Services to restart instead of all, separated by commas: the scripts get `-Services "A, B"` as last '
                'arguments. Only with service="yes" and action="restart".'
            ),
        ),
    ),
)

ERRD = Tag(
    name="errd",
    meaning="Monitoring of processes; needs `user`.",
    attributes=(
        Attribute(
            name="polltimer",
            kind=Kind.DURATION,
            unit=Unit.s,
            resolution=Unit.ms,
            model_default="30s",
            default="5s",
            minimum=1,
            maximum=86_400,
            dynamic=True,
            meaning="Period of the fallback poll; the end of a process is seen at once.",
        ),
    ),
    children=(PROC,),
)
