"""Started by the tests: a supervisor whose registry holds test services only."""

from __future__ import annotations

import sys

from holdfast.settings import load_settings

from services.supervisor import preload
from services.supervisor.registry import Registry
from services.supervisor.service import Supervisor

KINDS = ("statemachine", "plain", "keeper", "hanger", "failing", "heartbeat")
MISSING = "missing"
STALLING = "stalling"


def main() -> int:
    """Run the services named on the command line under a real supervisor."""
    modules = dict.fromkeys(KINDS, "holdfast.testing.supervised")
    modules |= {MISSING: "services.there_is_no_such", STALLING: "tests.integration.supervisor.stalling_service"}
    registry = Registry(always=tuple(sys.argv[1:]), modules=modules)
    preload.freeze()
    return Supervisor(load_settings(), registry).run()


if __name__ == "__main__":
    sys.exit(main())
