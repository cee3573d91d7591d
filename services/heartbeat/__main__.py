"""`python -m services.heartbeat`: beats first, then the bus."""

from __future__ import annotations

import functools
import sys

from holdfast.service.run import run_service
from holdfast.settings import load_settings

from services.heartbeat.engine import Engine
from services.heartbeat.memory import Memory
from services.heartbeat.realtime import become_punctual
from services.heartbeat.service import serve


def main() -> int:
    """Run the service; return the process's exit code.

    The engine starts before the harness, which first waits for the bus: a heartbeat that was killed must beat again
    within a fraction of the timeout, also while the bus is down.
    """
    settings = load_settings()
    become_punctual()
    engine = Engine(settings, Memory(settings.run_dir))
    engine.start()
    return run_service("heartbeat", functools.partial(serve, engine=engine))


if __name__ == "__main__":
    sys.exit(main())
