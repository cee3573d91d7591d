"""`holdfast sim`."""

from __future__ import annotations

import typer

from services.gateway.cli.options import JsonOption


def run(context: typer.Context, as_json: JsonOption = False) -> None:
    """Simulate clusters with faults in virtual time and check what must always hold; options go to the simulator.

    Example: holdfast sim --seed 42
    """
    import importlib

    arguments = [*context.args, *(["--json"] if as_json else [])]
    code: int = importlib.import_module("holdfast.testing.simulate").main(arguments) or 0
    raise typer.Exit(code)


run.context_settings = {"allow_extra_args": True, "ignore_unknown_options": True}  # type: ignore[attr-defined]
