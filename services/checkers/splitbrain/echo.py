"""A witness that is pinged: any of several addresses that answers shows that this node is not the one cut off."""

from __future__ import annotations

import asyncio
import contextlib

from holdfast.events.module import WitnessWatch

from services.checkers.ping.echoes import Echoes
from services.checkers.ping.names import Names
from services.checkers.splitbrain.answer import Heard

ANSWER_S_MAX = 2.0
"""Three requests to each address in this time. It adds to an outage only where nobody answers, and then the module
waits anyway; a loaded router may take a second for an echo."""


class EchoWitness:
    """What all modules share: sockets, and what host names meant."""

    def __init__(self) -> None:
        self._echoes = Echoes()
        self._names = Names()

    async def ask(self, watch: WitnessWatch) -> Heard:
        """Ask all addresses at once; the first answer decides."""
        asked = [asyncio.create_task(self._answers(target)) for target in watch.targets]
        try:
            for task in asyncio.as_completed(asked):
                if await task:
                    return Heard(reachable=True, granted=True)
        finally:
            for each in asked:
                each.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return Heard(reachable=False, why=f"the witness is not reached: no answer from {', '.join(watch.targets)}")

    async def _answers(self, address: str) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S_MAX):
                target = await self._names.find(address, is_doubted=True)
                return target is not None and await self._echoes.is_answered(target, ANSWER_S_MAX)
        return False

    def close(self) -> None:
        self._echoes.close()
