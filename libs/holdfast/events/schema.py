"""Writes the JSON Schema of every event and order to `events/schema/<wire name>.v<version>.json`, and the envelope's.

A schema, once written, stands: a payload whose fields change gets a new version (`holdfast.events.upcast` says how),
and the schema of the version before stays beside the new one. Only while a version has never left its author's
checkout may its schema be written again: `python -m holdfast.events.schema --unreleased`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from holdfast.errors import RefusedError
from holdfast.events import codec
from holdfast.events.catalogue import BY_NAME

FOLDER = Path(__file__).parent / "schema"
ENVELOPE_FILE = "envelope.json"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
UNRELEASED = "--unreleased"


def render() -> dict[str, str]:
    """Return file name → text for the present version of everything in the catalogue."""
    texts = {ENVELOPE_FILE: _text("envelope", codec.envelope_schema())}
    for entry in BY_NAME.values():
        texts[f"{entry.name}.v{entry.version}.json"] = _text(entry.name, codec.payload_schema(entry))
    return texts


def changed(folder: Path = FOLDER) -> list[str]:
    """Return the names of files that exist and say something else than the code does now."""
    return [
        name
        for name, text in render().items()
        if (folder / name).exists() and (folder / name).read_text(encoding="utf-8") != text
    ]


def main(*, unreleased: bool = False, folder: Path = FOLDER) -> None:
    """Write what is missing; raise RefusedError when a version that exists already would change."""
    wrong = [] if unreleased else changed(folder)
    if wrong:
        raise RefusedError(
            f"the fields of {', '.join(wrong)} have changed",
            hint=f"raise the version in the catalogue and add an upcast; {UNRELEASED} if that version was never used",
        )
    folder.mkdir(exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, encoding="utf-8")


def _text(title: str, schema: dict[str, Any]) -> str:
    body = {"$schema": DIALECT, **_without_words(schema), "title": title}
    return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _without_words(schema: dict[str, Any]) -> dict[str, Any]:
    """Without titles and descriptions: they come from docstrings, and a better sentence is no new version."""
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("title", "description"):
            continue
        if key in ("properties", "$defs"):
            kept[key] = {name: _without_words(inner) for name, inner in value.items()}
        else:
            kept[key] = _inner(value)
    return kept


def _inner(value: Any) -> Any:
    match value:
        case dict():
            return _without_words(value)
        case list():
            return [_inner(item) for item in value]
        case _:
            return value


if __name__ == "__main__":
    main(unreleased=UNRELEASED in sys.argv[1:])
