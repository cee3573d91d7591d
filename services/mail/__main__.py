"""Entry point: `python -m services.mail`."""

from __future__ import annotations

import sys

from holdfast.service.run import run_service

from services.mail.service import serve


def main() -> int:
    """Run the service until it is stopped; return the exit code."""
    return run_service("mail", serve)


if __name__ == "__main__":
    sys.exit(main())
