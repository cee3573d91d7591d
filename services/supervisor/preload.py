"""What every service imports, loaded once in the supervisor so that forks share it and start in milliseconds."""

from __future__ import annotations

import gc
import importlib
import logging

from holdfast.events import codec
from holdfast.failover import ruleset

COMMON = (
    "asyncio",
    "fastapi",
    "holdfast.bus.nats",
    "holdfast.service.run",
    "holdfast.telemetry",
    "nats.aio.client",
    "pydantic",
    "pyroute2",
    "sqlalchemy",
    "sqlalchemy.dialects.sqlite",
    "uvicorn",
)
log = logging.getLogger("holdfast.supervisor")


def load_common() -> None:
    """Import the common libraries, build the validators of all events and the parser of rules.

    Then keep the garbage collector off them.
    """
    for name in COMMON:
        importlib.import_module(name)
    codec.prepare()
    ruleset.prepare()
    freeze()


def freeze() -> None:
    """Move everything alive out of the collector's reach, so that collections in forks do not copy shared pages."""
    gc.collect()
    gc.freeze()
