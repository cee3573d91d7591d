"""A little service for the tests of the harness: `python harness_service.py MODE`; what it lets go of is a file."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from holdfast.errors import InvariantError, RefusedError
from holdfast.events.envelope import Envelope
from holdfast.events.module import ForgetScripts, RunScript
from holdfast.service.context import Context
from holdfast.service.run import ready, run_service

NAME = "little"


async def serve(context: Context, mode: str) -> None:
    """Modes: obey (stop in order), stubborn (never stops), refuse, break, invariant (fail after set-up)."""

    async def run(order: Envelope[RunScript]) -> None:
        raise ZeroDivisionError(order.payload.run)

    async def refuse(order: Envelope[ForgetScripts]) -> None:
        raise RefusedError(order.payload.reason)

    await context.on_order(RunScript, run)
    await context.on_order(ForgetScripts, refuse)
    await ready(context)
    if mode == "break":
        raise ZeroDivisionError("on purpose")
    if mode == "refuse":
        raise RefusedError("not on this machine")
    if mode == "invariant":
        raise InvariantError("one and one is three")
    await context.stopping.wait()
    if mode == "stubborn":
        await asyncio.Event().wait()
    (context.settings.run_dir / "let-go").write_text(str(os.getpid()))


def main(mode: str) -> int:
    async def chosen(context: Context) -> None:
        await serve(context, mode)

    return run_service(NAME, chosen)


def parent(mode: str) -> None:
    """Start the service as a child, and wait to be killed, as a supervisor does."""
    child = subprocess.Popen([sys.executable, str(Path(__file__).resolve()), mode])
    Path(os.environ["HOLDFAST_RUN_DIR"], "child").write_text(str(child.pid))
    signal.pause()


if __name__ == "__main__":
    if sys.argv[1] == "parent":
        parent(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1]))
