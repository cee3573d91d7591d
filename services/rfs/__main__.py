"""Entry point: `python -m services.rfs rfs@MODULE`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from holdfast.errors import ExitCode
from holdfast.service.run import run_service

from services.rfs.service import serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the service for the module named in the instance name; return the exit code."""
    names = list(sys.argv[1:] if arguments is None else arguments)
    if len(names) != 1 or not names[0].startswith("rfs@"):
        sys.stderr.write("usage: python -m services.rfs rfs@MODULE\n")
        return int(ExitCode.USAGE)
    return run_service(names[0], serve)


if __name__ == "__main__":
    sys.exit(main())
