"""`holdfast snapshot`."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from holdfast.errors import NotFoundError, OperatorError
from holdfast.settings import load_settings

from services.gateway.cli.client import Json, node_is_running, path_of, save
from services.gateway.cli.dump import DUMP_S_MAX
from services.gateway.cli.options import JsonOption, show
from services.gateway.cli.state import ModuleChoice

WORDS_BYTES_MAX = 1 << 20


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="Written anew.")],
    module: ModuleChoice = "",
    anonymise: Annotated[bool, typer.Option("--anonymise", help="Replace addresses and names.")] = False,
    source: Annotated[Path | None, typer.Option("--from", metavar="ZIP", help="Anonymise this older snapshot.")] = None,
    words: Annotated[
        Path | None, typer.Option("--words", metavar="FILE", help="More words to replace, a line each.")
    ] = None,
    without: Annotated[str, typer.Option("--without", metavar="REGEX", help="Leave files with such names out.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Write a snapshot of a module for support: a new dump, then the last three dumps and configurations in one zip.

    With --anonymise, addresses, host, user and mail names are replaced, each by the same pseudonym everywhere; what
    replaced what is written into FILE.zip.catalogue.json, which you keep. Look at the files before you send them.

    Exit codes: 0 written, 2 wrong options, 5 no such module or file, 8 it cannot be read or written.

    Example: holdfast snapshot -m shop --anonymise /tmp/shop.zip
    """
    if bool(module) == (source is not None):
        raise OperatorError(
            "a snapshot is of a module, or --from another snapshot", hint="holdfast snapshot -m AM FILE.zip"
        )
    if not anonymise and (source is not None or words is not None or without):
        raise OperatorError("--from, --words and --without go with --anonymise")
    if not anonymise:
        _write(module, file)
        show({"module": module, "file": str(file)}, as_json=as_json, text=f"{file}: written")
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-snapshot-") as directory:
        plain = source or Path(directory, "plain.zip")
        if source is None:
            _write(module, plain)
        made = _anonymised(plain, file, words, without)
    text = f"{file}: written, {made['replaced']} texts replaced as {made['catalogue']} tells (keep that to yourself)"
    show(made, as_json=as_json, text=text)


def _write(module: str, file: Path) -> None:
    if node_is_running():
        save("POST", path_of("modules", module, "snapshot"), file, timeout_s=DUMP_S_MAX)
        return
    from services.gateway.files.durable import disk
    from services.gateway.support.dump import Told, make_dump
    from services.gateway.support.snapshot import write_snapshot

    make_dump(load_settings(), module, Told(), datetime.now(UTC))
    with disk(file):
        write_snapshot(load_settings(), module, file)


def _anonymised(plain: Path, file: Path, words: Path | None, without: str) -> Json:
    from services.gateway.support.anonymous import write_anonymised
    from services.gateway.support.snapshot import read_snapshot

    catalogue = file.with_name(f"{file.name}.catalogue.json")
    return asdict(write_anonymised(read_snapshot(plain), file, catalogue, words=_words(words), without=without))


def _words(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        with file.open(errors="replace") as stream:
            return [line.strip() for line in stream.read(WORDS_BYTES_MAX).splitlines() if line.strip()]
    except OSError as error:
        raise NotFoundError(f"{file}: {error.strerror}") from error
