"""`holdfast logsave`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from holdfast.errors import EnvironmentFaultError
from holdfast.support.sentences import Language

from services.gateway.cli.log import (
    LINES_MAX,
    AllOption,
    CountOption,
    InformationOption,
    LanguageOption,
    detail_of,
    past,
)
from services.gateway.cli.options import JsonOption, ModuleOption, show


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written anew.")],
    module: ModuleOption,
    count: CountOption = LINES_MAX,
    information: InformationOption = False,
    everything: AllOption = False,
    language: LanguageOption = Language.EN,
    as_json: JsonOption = False,
) -> None:
    """Save a module's log into a file, one line each as `holdfast log` prints them.

    Exit codes: 0 saved, 5 no such module, 7 the node does not run, 8 the file cannot be written.

    Example: holdfast logsave -m shop -A /tmp/shop.log
    """
    found = past(module, count, detail_of(information=information, everything=everything), language)
    try:
        file.write_text("".join(f"{line['line']}\n" for line in found), encoding="utf-8")
    except OSError as error:
        raise EnvironmentFaultError(f"{file}: {error.strerror}", hint="a path that can be written") from error
    saved = {"module": module, "file": str(file), "lines": len(found)}
    show(saved, as_json=as_json, text=f"{file}: {len(found)} lines")
