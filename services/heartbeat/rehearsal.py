"""What a spare does before its turn: all that follows from it, without a socket, so that code and memory are at hand.

A forked process shares its memory with the supervisor until it touches it; the first touch of each page costs a fault.
"""

from __future__ import annotations

import select
import time
from contextlib import suppress

from holdfast.clock import HybridClock, SystemClock
from holdfast.errors import HoldfastError
from holdfast.settings import NodeSettings

from services.heartbeat.beats import ModuleBeats
from services.heartbeat.links import numeric
from services.heartbeat.memory import Memory
from services.heartbeat.strain import Strain

REHEARSALS = 3
"""The interpreter specialises code that ran before; a few times is enough to have met every path."""


def rehearse(settings: NodeSettings, memory: Memory) -> None:
    """Read the present orders and make their beats; nothing leaves this process and no file changes."""
    hybrid = HybridClock(SystemClock())
    for _ in range(REHEARSALS):
        strain = Strain()
        strain.waited_ns()
        strain.close()
        for module, order in memory.orders().items():
            with select.epoll() as epoll:
                beats = ModuleBeats(
                    module=module,
                    node=settings.node,
                    incarnation=0,
                    epoll=epoll,
                    hybrid=hybrid,
                    seen_fd=memory.open_seen(module),
                    publish=lambda _module, _fact: None,
                )
                with suppress(HoldfastError):
                    beats.obey(order, time.monotonic_ns())
                    beats.say_goodbye("")
                beats.close()
            for link in order.links:
                numeric((link.local_address, 0))
