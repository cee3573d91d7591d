"""`holdfast log`, and what `logview` and `logsave` have in common with it."""

from __future__ import annotations

from typing import Annotated

import typer
from holdfast.support.sentences import Language

from services.gateway.cli.client import Json, call, lines, path_of
from services.gateway.cli.options import JsonOption, ModuleOption, show

LINES_MAX = 10_000
"""As many as the gateway gives at once."""
CountOption = Annotated[int, typer.Option("-s", metavar="N", min=1, max=LINES_MAX, help="So many lines.")]
InformationOption = Annotated[bool, typer.Option("-I", help="Information (level I) too.")]
LanguageOption = Annotated[
    Language, typer.Option("-l", help="Language of the sentences; reasons and what scripts write stay as they are.")
]
AllOption = Annotated[bool, typer.Option("-A", help="All lines: information and details (levels I and D) too.")]


def run(
    module: ModuleOption,
    count: CountOption = 300,
    follow: Annotated[bool, typer.Option("-f", help="Go on with lines as they come.")] = False,
    information: InformationOption = False,
    everything: AllOption = False,
    language: LanguageOption = Language.EN,
    as_json: JsonOption = False,
) -> None:
    """Print the last lines of a module's log: date (UTC, microseconds) | component | level | text.

    Levels: C critical, E event, W warning; I information and D detail are left out unless asked for.

    Exit codes: 0 printed, 5 no such module, 7 the node does not run.

    Example: holdfast log -m shop -s 20 -I -l fr
    """
    detail = detail_of(information=information, everything=everything)
    if follow:
        print_following(module, count, detail, language, as_json=as_json)
    else:
        for line in past(module, count, detail, language):
            _print(line, as_json)


def detail_of(*, information: bool, everything: bool) -> str:
    """The API's word for the options -I and -A."""
    if everything:
        return "all"
    return "information" if information else "events"


def past(module: str, count: int, detail: str, language: Language) -> list[Json]:
    """The last lines, oldest first."""
    query = {"lines": count, "detail": detail, "language": language.value}
    found: list[Json] = call("GET", path_of("modules", module, "log"), query=query)
    return found


def print_following(module: str, count: int, detail: str, language: Language, *, as_json: bool) -> None:
    """Print the last lines and those that come, until the reader or the gateway leaves."""
    query = {"lines": count, "detail": detail, "language": language.value}
    for line in lines(path_of("modules", module, "log", "follow"), query):
        _print(line, as_json)


def _print(line: Json, as_json: bool) -> None:
    show(line, as_json=as_json, text=line["line"])
