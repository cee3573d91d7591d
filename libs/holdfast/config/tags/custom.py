"""The `custom` tag: a checker that the module brings along."""

from __future__ import annotations

from holdfast.config.schema import TAGS_MAX, Attribute, Kind, Tag
from holdfast.config.tags.probing import ACTIONS, CLASSES, IDENT, WHEN_MEANING

WORDS_MAX = 64
"""Arguments of one custom checker."""
ARGUMENT_CHARS_MAX = 4096
"""All of them together."""

CUSTOM = Tag(
    name="custom",
    meaning="Checker that is an endless loop of the module's own, assigning resource custom.<ident> by `safekit set`.",
    maximum=TAGS_MAX,
    attributes=(
        IDENT,
        Attribute(
            name="when",
            kind=Kind.CHOICE,
            choices=CLASSES,
            default="prim",
            dynamic=True,
            meaning=WHEN_MEANING,
        ),
        Attribute(
            name="exec",
            kind=Kind.PATH,
            required=True,
            dynamic=True,
            meaning="The executable, absolute or relative to the module's bin.",
        ),
        Attribute(
            name="arg",
            kind=Kind.TEXT,
            default="",
            dynamic=True,
            meaning="Its arguments, separated by spaces; the module's name and the resource's come before them.",
        ),
        Attribute(
            name="action",
            kind=Kind.CHOICE,
            choices=ACTIONS,
            model_default="noaction",
            default="noaction",
            dynamic=True,
            meaning="What going down leads to (rule c_<ident>).",
        ),
    ),
)
