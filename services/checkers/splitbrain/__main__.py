"""Entry point: `python -m services.checkers.splitbrain`."""

from __future__ import annotations

import sys

from holdfast.service.run import run_service

from services.checkers.splitbrain.service import serve


def main() -> int:
    """Run the service until it is stopped; return the exit code."""
    return run_service("checker-splitbrain", serve)


if __name__ == "__main__":
    sys.exit(main())
