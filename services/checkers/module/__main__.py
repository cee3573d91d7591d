"""Entry point: `python -m services.checkers.module`."""

from __future__ import annotations

import sys

from holdfast.service.run import run_service

from services.checkers.module.service import serve


def main() -> int:
    """Run the service until it is stopped; return the exit code."""
    return run_service("checker-module", serve)


if __name__ == "__main__":
    sys.exit(main())
