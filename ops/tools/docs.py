"""Writes every generated page of `docs/` again; `tests/tidy` fails when one is stale."""

from __future__ import annotations

import importlib

GENERATORS = (
    "holdfast.core.document",
    "holdfast.events.document",
    "holdfast.events.schema",
    "holdfast.config.document",
)


def main() -> None:
    """Run each generator's own `main`, which writes into this checkout."""
    for name in GENERATORS:
        importlib.import_module(name).main()


if __name__ == "__main__":
    main()
