"""`python -m services.vip`."""

from __future__ import annotations

import sys

from holdfast.service.run import run_service

from services.vip.service import serve


def main() -> int:
    """Run the service; return the process's exit code."""
    return run_service("vip", serve)


if __name__ == "__main__":
    sys.exit(main())
