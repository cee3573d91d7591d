"""Runs the scripts of a module that belong to its configuration, not to its role: they end before the command does.

`config`, `postconfig`, `confcheck`, `deconfig` and `update`. What they print is kept for whoever gave the command.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import ConfigError
from holdfast.ids import ModuleId
from holdfast.scripting.environment import safe_dir, script_environment
from holdfast.scripting.safe_tree import write_safe_tree
from holdfast.settings import NodeSettings

SCRIPT_S_MAX = 300.0
"""As long as the model gives a stop script; an operator waits for it."""
OUTPUT_BYTES_MAX = 64 << 10
"""Kept of one run; the rest is read and thrown away."""
GRACE_S = 2.0
"""Between SIGTERM and SIGKILL, as for the scripts of a role."""
LAST_LINES = 20
"""Of the output, in the error that a failed script leads to."""
EXIT_NOT_STARTED = 127
"""What a shell answers for a program that cannot be started."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One run that has ended. exit_code: minus the signal when one ended it."""

    script: str
    exit_code: int
    output: str
    timed_out: bool = False

    def how(self) -> str:
        """How it ended, in words."""
        if self.timed_out:
            return f"script {self.script} took longer than {SCRIPT_S_MAX:.0f}s and was ended"
        if self.exit_code < 0:
            return f"script {self.script} was ended by signal {-self.exit_code}"
        return f"script {self.script} failed with exit code {self.exit_code}"

    def failure(self, hint: str) -> ConfigError:
        """The error that a failure is for the command, with what the script said last."""
        said = tuple(f"{self.script}: {line}" for line in self.output.splitlines()[-LAST_LINES:])
        return ConfigError(self.how(), problems=said, hint=hint)


def run_module_script(
    settings: NodeSettings,
    module: str,
    script: str,
    *,
    applied: Path,
    variables: Mapping[str, str],
    arguments: tuple[str, ...] = (),
    host_name: str = "",
    limit_s: float = SCRIPT_S_MAX,
) -> Ran | None:
    """Run a script of the configuration at `applied` to its end; None when the module has none of that name.

    Its whole process group is ended when it takes longer than `limit_s`. With `host_name` it finds that as the host
    name.
    """
    path = applied / "bin" / script
    if not path.is_file():
        return None
    write_safe_tree(safe_dir(settings))
    environment = script_environment(
        settings, ModuleId(module), variables=variables, inherited=os.environ, applied=applied
    )
    virtual = (f"{environment['SAFEBIN']}/vhost", host_name) if host_name else ()
    try:
        process = subprocess.Popen(
            [*virtual, str(path), *arguments],
            env=environment,
            cwd=path.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return Ran(script=script, exit_code=EXIT_NOT_STARTED, output=f"cannot be started: {error.strerror}")
    with process:
        output, timed_out = _watched(process, time.monotonic() + limit_s)
    text = output.decode(errors="replace")
    return Ran(script=script, exit_code=process.returncode, output=text, timed_out=timed_out)


def _watched(process: subprocess.Popen[bytes], end_at: float) -> tuple[bytes, bool]:
    """Read what it prints until it ends, or end it; a daemon that it left behind does not hold us."""
    assert process.stdout is not None, "its output is a pipe"
    kept, timed_out = bytearray(), False
    os.set_blocking(process.stdout.fileno(), False)
    descriptor = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(descriptor, selectors.EVENT_READ)
            while process.poll() is None:
                left_s = end_at - time.monotonic()
                if left_s <= 0:
                    timed_out = True
                    _end(process)
                    break
                for key, _ in selector.select(left_s):
                    if key.fileobj is process.stdout and not _take(process.stdout.fileno(), kept):
                        selector.unregister(process.stdout)
            while _take(process.stdout.fileno(), kept, once=True):
                pass
    finally:
        os.close(descriptor)
    return bytes(kept), timed_out


def _take(descriptor: int, kept: bytearray, *, once: bool = False) -> bool:
    """Read what is there; False at the end of the output, and with `once` also when nothing is there now."""
    try:
        data = os.read(descriptor, OUTPUT_BYTES_MAX)
    except BlockingIOError:
        return not once
    kept += data[: OUTPUT_BYTES_MAX - len(kept)]
    return bool(data)


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(GRACE_S)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    process.wait()
