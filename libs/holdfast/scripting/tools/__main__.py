"""`python -m holdfast.scripting.tools NAME ARGUMENTS…`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from holdfast.errors import ExitCode, HoldfastError, NotFoundError
from holdfast.scripting.tools.names import TOOLS


def main(words: Sequence[str]) -> int:
    """Run one tool; return its exit code."""
    name = words[0] if words else ""
    try:
        if name not in TOOLS:
            raise NotFoundError(f"there is no tool {name!r}", hint=", ".join(sorted(TOOLS)))
        module = importlib.import_module(f"holdfast.scripting.tools.{name.lower()}")
        code: int = module.main(list(words[1:]))
    except HoldfastError as error:
        sys.stderr.write(f"{name or 'holdfast'}: {error}\n")
        return int(error.exit_code)
    except BrokenPipeError:
        return int(ExitCode.OK)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
