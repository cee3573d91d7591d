"""Entry point: `python -m services.gateway.cli`."""

from __future__ import annotations

import sys

from services.gateway.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
