"""Writes the two programs with which the application of a stopped module is run by hand (`wrapping` does it)."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

_TEXT = """#!/bin/sh
# Written by Holdfast with each configuration of module {module}. {what}
# The module has to be stopped. Nobody keeps track of the data meanwhile: start it with prim on the node that has them.
{environment}exec {python} -m services.gateway.cli wrapper {verb} -m {module}
"""


def write_wrappers(module: str, directory: Path, environment: Mapping[str, str]) -> None:
    """Write `AM_start_wrapper` and `AM_stop_wrapper`. environment: what tells our command which node it is about."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items()))
    for verb, what in (("start", "Sets its addresses and runs its start scripts."), ("stop", "The reverse.")):
        text = _TEXT.format(
            module=module, what=what, verb=verb, environment=exports, python=shlex.quote(sys.executable)
        )
        file = directory / f"{module}_{verb}_wrapper"
        file.write_text(text)
        file.chmod(0o755)
