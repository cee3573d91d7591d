"""`python -m services.supervisor`, and `holdfast node run`: the process that is the node."""

from __future__ import annotations

import ctypes
import fcntl
import os
import sys
from collections.abc import Sequence

from holdfast.errors import EnvironmentFaultError, HoldfastError
from holdfast.service.logs import configure_logs
from holdfast.service.title import set_title
from holdfast.settings import load_settings

from services.supervisor import preload
from services.supervisor.service import Supervisor

PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h: processes whose parents end become our children, so that none escapes unseen."""


def main(_arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGTERM; return the exit code."""
    try:
        return _run()
    except HoldfastError as error:
        sys.stderr.write(f"holdfast node: {error}\n")
        return int(error.exit_code)


def _run() -> int:
    settings = load_settings()
    for directory in (settings.state_dir, settings.run_dir):
        directory.mkdir(parents=True, exist_ok=True)
    settings.run_dir.chmod(0o755)
    lock = os.open(settings.run_dir / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise EnvironmentFaultError(f"a node already runs with {settings.run_dir}") from error
    configure_logs(settings, "supervisor")
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    set_title("hf-supervisor")
    preload.load_common()
    return Supervisor(settings).run()


if __name__ == "__main__":
    sys.exit(main())
