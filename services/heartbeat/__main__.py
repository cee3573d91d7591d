"""`python -m services.heartbeat`: the turn first, then beats, then the bus."""

from __future__ import annotations

import functools
import os
import sys

from holdfast.service.notify import Notifier
from holdfast.service.run import run_service
from holdfast.service.title import set_title
from holdfast.settings import NodeSettings, load_settings

from services.heartbeat.engine import Engine
from services.heartbeat.memory import Memory
from services.heartbeat.realtime import PRIORITY_BEATS, PRIORITY_BUS, become_punctual, set_priority
from services.heartbeat.rehearsal import rehearse
from services.heartbeat.service import serve
from services.heartbeat.sign import Sign
from services.heartbeat.turn import Turn
from services.heartbeat.vigil import Vigil

TITLE = "hf-heartbeat"


def main() -> int:
    """Run the service; return the process's exit code. A process that finds another one beating is its spare.

    The engine starts before the harness, which first waits for the bus: a heartbeat that was killed must beat again
    within a fraction of the timeout, also while the bus is down.
    """
    settings = load_settings()
    memory = Memory(settings.run_dir)
    turn = Turn(memory)
    become_punctual()
    engine = Engine(settings, memory)
    if not turn.take_if_free():
        _wait(settings, memory, turn)
    set_priority(PRIORITY_BEATS)
    engine.start()
    set_priority(PRIORITY_BUS)
    # Whatever it was called as a spare; operators and the supervisor's list know the service by this name.
    set_title(TITLE)
    return run_service("heartbeat", functools.partial(serve, engine=engine, turn=turn))


def _wait(settings: NodeSettings, memory: Memory, turn: Turn) -> None:
    rehearse(settings, memory)
    # A copy, because the harness takes these variables for itself when this process's turn has come.
    notifier = Notifier(dict(os.environ))
    notifier.waiting()
    notifier.close()
    set_priority(PRIORITY_BEATS)
    vigil = Vigil(Sign(memory))
    vigil.start()
    turn.wait()
    vigil.end()


if __name__ == "__main__":
    sys.exit(main())
