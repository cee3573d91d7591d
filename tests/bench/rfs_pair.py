"""Two nodes of one module on this machine without a cluster around them: each a process with a mounted directory.

For benches and tests: the orders that a state machine would give are given by hand over a pipe, one JSON a line.
`python -m tests.bench.rfs_pair NODE DIRECTORY STATE_DIRECTORY` reads lines `{"mode": ..., ...}` and prints its report
whenever it changes.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FIRST_KEPT_FD = 3
"""As holdfast.service.notify: where kept descriptors come back."""
SETTLE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


class Node:
    """One node's process, driven from outside."""

    def __init__(self, name: str, base: Path, *, port: int) -> None:
        self.name = name
        self.directory = base / f"{name}-data"
        self.state = base / f"{name}-state"
        self.port = port
        self.directory.mkdir(parents=True, exist_ok=True)
        self.report: dict[str, Any] = {}
        self.verified: dict[str, Any] = {}
        self._changed = threading.Condition()
        self.process: subprocess.Popen[str] | None = None
        self._last: tuple[str, dict[str, object]] | None = None
        self._kept: dict[str, int] = {}
        self._notify_path = base / f"{name}-notify"
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(str(self._notify_path))
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def start(self) -> None:
        kept = list(self._kept.items())

        def place() -> None:
            parked = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for _, fd in kept]
            for number, fd in enumerate(parked):
                os.dup2(fd, FIRST_KEPT_FD + number)
                os.close(fd)

        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'libs'}"}
        environment["NOTIFY_SOCKET"] = str(self._notify_path)
        if kept:
            environment |= {"LISTEN_FDS": str(len(kept)), "LISTEN_FDNAMES": ":".join(name for name, _ in kept)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.rfs_pair", self.name, str(self.directory), str(self.state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
            close_fds=not kept,
            preexec_fn=place if kept else None,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def kill(self) -> None:
        """SIGKILL the worker and start another, which gets the kept descriptors and the last order."""
        assert self.process is not None
        self.report = {}
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # What was being written went with the worker.
        self._end_reading()
        self.start()
        if self._last is not None:
            mode, fields = self._last
            self.order(mode, **fields)

    def order(self, mode: str, **fields: object) -> None:
        if mode != "verify":
            self._last = (mode, fields)
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"mode": mode, "port": self.port, **fields}) + "\n")
        self.process.stdin.flush()

    def until(self, condition: Callable[[dict[str, Any]], object], what: str, seconds: float = SETTLE_S) -> None:
        """Wait for a report that satisfies `condition`."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self.report), seconds):
                raise TimeoutError(f"{self.name}: {what} did not happen; last report: {self.report}")

    def verify(self, seconds: float = SETTLE_S) -> dict[str, Any]:
        self.verified = {}
        self.order("verify")
        with self._changed:
            if not self._changed.wait_for(lambda: self.verified, seconds):
                raise TimeoutError(f"{self.name}: no comparison")
        return self.verified

    def stop(self) -> None:
        if self.process is None:
            return
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass  # It was killed before.
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._end_reading()
        self.process = None

    def _end_reading(self) -> None:
        """The process has ended; take what it said last, then close its pipe."""
        assert self.process is not None
        assert self.process.stdout is not None
        self._reader.join(5)
        self.process.stdout.close()

    def close(self) -> None:
        """Let go of what was kept for the next worker."""
        self.stop()
        self._notify.shutdown(socket.SHUT_RDWR)
        self._keeper.join(5)
        self._notify.close()
        while self._kept:
            os.close(self._kept.popitem()[1])

    def _keep(self) -> None:
        """What the supervisor does: hold descriptors under their names."""
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(self._notify, 4096, 4)
            except OSError:
                return
            if not message:
                return
            values = dict(line.split("=", 1) for line in message.decode().splitlines() if "=" in line)
            name = values.get("FDNAME", "")
            if "FDSTOREREMOVE" in values or fds:
                old = self._kept.pop(name, None)
                if old is not None:
                    os.close(old)
            if fds:
                self._kept[name] = fds[0]

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                values = json.loads(line)
                with self._changed:
                    if "equal" in values:
                        self.verified = values
                    else:
                        self.report = values
                    self._changed.notify_all()
        except ValueError:
            return  # A line that was cut off by the death of the process.


def bring_in_step(primary: Node, secondary: Node) -> str:
    """What the state machine does: wait for the proposal, order the session, wait for the marker."""
    primary.until(lambda report: report.get("proposed_session"), "proposal")
    session = str(primary.report["proposed_session"])
    primary.order("primary", stance="in_step", session=session)
    primary.until(lambda report: report.get("in_step_session") == session, "primary in step")
    secondary.until(lambda report: report.get("in_step_session") == session, "secondary in step")
    return session


def free_port() -> int:
    """Return a TCP port of loopback that nobody listens on, so that two runs on one machine do not meet."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def pair(base: Path) -> Iterator[tuple[Node, Node]]:
    """A primary and a secondary in step, unmounted and gone afterwards."""
    port = free_port()
    one, two = Node("one", base, port=port), Node("two", base, port=port)
    try:
        one.start()
        two.start()
        one.order("primary")
        one.until(lambda report: report.get("writable"), "primary")
        two.order("secondary")
        bring_in_step(one, two)
        yield one, two
    finally:
        two.close()
        one.close()


def main() -> int:
    """One node."""
    from holdfast.clock import SystemClock
    from holdfast.events.replication import (
        ReplicatedDirectory,
        ReplicateDirectories,
        ReplicationMode,
        ReplicationSettings,
        Stance,
    )
    from holdfast.ids import Epoch, Generation, Session
    from holdfast.service.notify import Notifier

    from services.rfs.control import Control, Places
    from services.rfs.service import prefer_latency

    prefer_latency()
    name, directory, state = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    lock = threading.Lock()
    said: list[str] = [""]
    control: Control

    def say() -> None:
        with lock:
            text = json.dumps(dataclasses.asdict(control.report()))
            if text != said[0]:
                said[0] = text
                print(text, flush=True)

    run_dir = (
        Path("/dev/shm") / f"holdfast-bench-{hashlib.blake2b(str(state).encode(), digest_size=6).hexdigest()}-{name}"
    )
    control = Control(
        module="bench",
        node=name,
        places=Places(run_dir, state),
        store=Notifier(),
        clock=SystemClock(),
        changed=lambda: threading.Thread(target=say, daemon=True).start(),
    )
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["mode"] == "verify":
            found = control.verify()
            answer = {"equal": not found.differences_total, "files": found.files, "bytes": found.bytes_compared}
            answer["differences"] = [f"{one.path!r}: {one.what}" for one in found.differences]
            print(json.dumps(answer), flush=True)
            continue
        control.obey(
            ReplicateDirectories(
                mode=ReplicationMode(asked["mode"]),
                stance=Stance(asked.get("stance", "alone")),
                epoch=Epoch(asked.get("epoch", 1)),
                fence_epoch=Epoch(asked.get("fence_epoch", 0)),
                generation=Generation("bench"),
                base=Generation(""),
                session=Session(asked.get("session", "")),
                local_address="127.0.0.1",
                peer_address="127.0.0.1",
                port=asked["port"],
                settings=ReplicationSettings(
                    directories=(ReplicatedDirectory(path=directory),),
                    acknowledge_on_disk=asked.get("on_disk", True),
                ),
            )
        )
        say()
    control.close()
    for path in sorted(run_dir.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run_dir.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main())
