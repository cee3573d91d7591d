"""`holdfast logview`."""

from __future__ import annotations

from holdfast.support.sentences import Language

from services.gateway.cli.log import (
    AllOption,
    CountOption,
    InformationOption,
    LanguageOption,
    detail_of,
    print_following,
)
from services.gateway.cli.options import JsonOption, ModuleOption


def run(
    module: ModuleOption,
    count: CountOption = 300,
    information: InformationOption = False,
    everything: AllOption = False,
    language: LanguageOption = Language.EN,
    as_json: JsonOption = False,
) -> None:
    """Print the last lines of a module's log and go on with new ones as they come, until interrupted.

    Exit codes: 0 the gateway has ended, 5 no such module, 7 the node does not run.

    Example: holdfast logview -m shop -A
    """
    detail = detail_of(information=information, everything=everything)
    print_following(module, count, detail, language, as_json=as_json)
