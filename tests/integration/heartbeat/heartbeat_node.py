"""Started by the tests: a supervisor that runs nothing but the heartbeat."""

from __future__ import annotations

import sys

from holdfast.settings import load_settings

from services.supervisor import preload
from services.supervisor.registry import Registry
from services.supervisor.service import Supervisor


def main() -> int:
    """Run the node; the test stands where its state machine would."""
    preload.load_common()
    registry = Registry(always=("heartbeat",), modules={"heartbeat": "services.heartbeat.__main__"})
    return Supervisor(load_settings(), registry).run()


if __name__ == "__main__":
    sys.exit(main())
