"""The first process of a node: `python -m holdfast.lab.init SPEC`, SPEC being JSON.

It builds the node's root, names the node, then keeps the node's command running (as a service manager would)
and takes away the processes whose parents ended. When it is killed, the kernel kills everything in the node
at once (pid_namespaces(7)). It takes no orders: no signal from inside the node can end it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from holdfast.lab import rootfs
from holdfast.lab.namespace import READY_FD

LOG: Final = Path("/var/log/holdfast-node.log")
"""Output of the node's command."""
LOG_BYTES_MAX: Final = 32 * 1024 * 1024
"""A longer log is begun anew when the command is started."""
RESTART_DELAY_S: Final = 0.1
"""Between the end of the command and its next start; the default of a systemd service (RestartSec)."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class InitSpec:
    """What a node is told when it is started."""

    name: str
    directory: str
    hosts: str
    shared: tuple[str, ...]
    command: tuple[str, ...]
    python_bin: str

    def encode(self) -> str:
        """As one word for the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> InitSpec:
        """What `encode` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "shared": tuple(fields["shared"]), "command": tuple(fields["command"])})


def environment(python_bin: str) -> dict[str, str]:
    """The environment of everything that runs in a node: of the machine's only the way to our commands."""
    return {
        "PATH": f"{python_bin}:{_PATH}",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "TERM": os.environ.get("TERM", "dumb"),
    }


def main() -> None:
    """Become the node."""
    spec = InitSpec.decode(sys.argv[1])
    # The proc file system is still the machine's here, and gives this process's number on the machine.
    own_pid = os.readlink("/proc/self")
    socket.sethostname(spec.name)
    rootfs.enter(rootfs.RootSpec(directory=Path(spec.directory), hosts=spec.hosts, shared=spec.shared))
    os.umask(0o022)
    os.environ["PATH"] = environment(spec.python_bin)["PATH"]
    os.set_inheritable(READY_FD, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    child = _start(spec) if spec.command else 0
    os.write(READY_FD, f"{own_pid}\n".encode())
    os.close(READY_FD)
    _serve(spec, child)


def _serve(spec: InitSpec, child: int) -> None:
    """Take away ended processes; start the command again when it was one of them."""
    restart_due = False
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, RESTART_DELAY_S if restart_due else 3600.0)
        if restart_due:
            child = _start_again(spec)
            restart_due = child == 0
        while ended := _next_ended():
            restart_due = restart_due or ended == child


def _next_ended() -> int:
    """The number of an ended child, or 0."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0]
    except ChildProcessError:
        return 0


def _start_again(spec: InitSpec) -> int:
    """Start the command; 0 when it cannot be started now (its files may be about to be replaced)."""
    try:
        return _start(spec)
    except OSError as error:
        sys.stderr.write(f"{spec.command[0]}: {error.strerror}\n")
        return 0


def _start(spec: InitSpec) -> int:
    """Start the node's command, in a session of its own, its output in the log."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    if LOG.exists() and LOG.stat().st_size > LOG_BYTES_MAX:
        flags |= os.O_TRUNC
    return os.posix_spawnp(
        spec.command[0],
        list(spec.command),
        environment(spec.python_bin),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(LOG), flags, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        # Ignored signals stay ignored in a new program; this interpreter ignores these.
        setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ],
    )


if __name__ == "__main__":
    main()
