"""Started by the tests: a supervisor that forks the product's own services, those named on the command line."""

from __future__ import annotations

import sys

from holdfast.settings import load_settings

from services.supervisor import preload
from services.supervisor.registry import SERVICES, Registry
from services.supervisor.service import Supervisor


def main() -> int:
    """Load what a node's supervisor loads, then run the services."""
    preload.load_common()
    return Supervisor(load_settings(), Registry(always=tuple(sys.argv[1:]), modules=SERVICES.modules)).run()


if __name__ == "__main__":
    sys.exit(main())
