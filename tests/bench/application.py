"""The trivial HTTP application of the outage figures, and how long it takes by itself.

It is written so that its own start is small against what is measured: an interpreter without site packages, and the
C module of sockets instead of a server framework. The same files run under Holdfast and under its peers.

`python -m tests.bench.application RUNS` starts and stops it with its scripts and prints one line for each run: the
milliseconds from calling `start_prim` to the first answer, and those of the whole of `stop_prim`.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.probe import REQUEST
from tests.cluster.mirror import PORT, START, STOP

SERVER = """\
import _socket, posix
name = posix.uname().nodename.encode()
answer = b"HTTP/1.0 200 OK\\r\\nContent-Length: %%d\\r\\n\\r\\n%%s" %% (len(name), name)
listening = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
listening.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
# A client that connects and says nothing is given up after 50 ms (struct timeval).
listening.setsockopt(_socket.SOL_SOCKET, _socket.SO_RCVTIMEO, (0).to_bytes(8, "little") + (50000).to_bytes(8, "little"))
listening.bind(("", %(port)d))
listening.listen(256)
while True:
    try:
        descriptor, _ = listening._accept()
    except BlockingIOError:
        continue
    connection = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM, 0, descriptor)
    try:
        connection.recv(4096)
        connection.send(answer)
    except OSError:
        pass
    connection.close()
"""
PYTHON = "/usr/bin/python3 -I -S"
WORDS: Mapping[str, object] = {"port": PORT, "python": PYTHON}
FILES: Mapping[str, str] = {"webserver.py": SERVER % WORDS, "start_prim": START % WORDS, "stop_prim": STOP}
"""What lies in the module's `bin`."""
ANSWER_S_MAX = 20.0
PAUSE_S = 0.001
"""Between two attempts to be answered."""


def write_files(folder: Path) -> None:
    """Lay the application out, over what is there."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def wait_for_answer() -> None:
    """Return when the application on this machine answers."""
    end = time.monotonic() + ANSWER_S_MAX
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", PORT), timeout=1) as connection:
                connection.sendall(REQUEST)
                if connection.recv(64):
                    return
        except OSError:
            time.sleep(PAUSE_S)
    raise AssertionError("the application does not answer")


def start_and_stop_ms(folder: Path) -> tuple[float, float]:
    """Return how long its start takes, from calling the script to the first answer, and its stop."""
    environment = {"PATH": os.environ["PATH"], "SAFEUSERBIN": str(folder)}
    began = time.monotonic()
    subprocess.run([str(folder / "start_prim")], env=environment, check=True)
    wait_for_answer()
    answered = time.monotonic()
    subprocess.run([str(folder / "stop_prim")], env=environment, check=True)
    return (answered - began) * 1000, (time.monotonic() - answered) * 1000


def main() -> None:
    """Print the figures of as many runs as the command line says."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder))
        for _ in range(int(sys.argv[1])):
            start_ms, stop_ms = start_and_stop_ms(Path(folder))
            print(f"{start_ms:.1f} {stop_ms:.1f}", flush=True)
            time.sleep(0.05)


if __name__ == "__main__":
    main()
