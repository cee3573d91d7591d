"""Puts the state machine together and takes it through its life: begin or resume, serve, stop the modules."""

from __future__ import annotations

import asyncio
import os

from holdfast.service.context import Context
from holdfast.service.priority import prefer_for_takeover
from holdfast.service.run import ready

from services.statemachine.asks import answer_all
from services.statemachine.service import StateMachine


async def serve(context: Context) -> None:
    """Run until told to stop; then stop the modules, unless the supervisor is gone and everything ends anyway."""
    supervisor = os.getppid()
    prefer_for_takeover()
    machine = StateMachine(context)
    house = asyncio.get_running_loop().create_task(machine.keep_house())
    try:
        await context.on_events(machine.hear)
        await machine.open_all()
        await answer_all(machine)
        context.bus.on_reconnected(machine.ask_for_facts)
        await ready(context)
        await machine.ask_for_facts()
        await context.stopping.wait()
        machine.raise_failure()
        if os.getppid() == supervisor:
            await machine.stop_modules()
    finally:
        house.cancel()
        machine.close()
