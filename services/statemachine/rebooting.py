"""Reboots the node for a module, and remembers across the reboot what loop protection has counted.

What was counted is on disk before the reboot is ordered: otherwise a node whose application never starts would reboot
for ever.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

from holdfast.core.loop import LoopCounter
from holdfast.events.module import LoopCounted
from holdfast.settings import NodeSettings

COUNTED_MAX = 1_000
"""Read at most; maxloop is a handful."""
AGE_MS_MAX = 10 * 366 * 24 * 3600 * 1000
"""The longest loop_interval that a configuration may have."""
BY = "the time before the reboot"
COMMAND_S_MAX = 60.0
"""systemctl and reboot return at once; one that does not is given up, and the module goes on with its stopstart."""
SAID_BYTES_MAX = 500
SYSTEMD = Path("/run/systemd/system")
"""Is there when systemd runs the machine (sd_booted(3))."""
NS_PER_MS = 1_000_000


def keep_loop(path: Path, loop: LoopCounter, *, now_mono_ns: int, now_wall_ns: int) -> None:
    """Write down when actions were counted, durably; no file stands for none. Raises OSError."""
    if not loop.taken_at_mono_ns:
        path.unlink(missing_ok=True)
    else:
        taken = [now_wall_ns - (now_mono_ns - at_ns) for at_ns in loop.taken_at_mono_ns]
        fresh = path.with_name(f".{path.name}.new")
        with fresh.open("w") as file:
            json.dump({"taken_at_wall_ns": taken}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def kept_loop(path: Path, *, now_wall_ns: int) -> tuple[LoopCounted, ...]:
    """What was counted, as events for the new life, oldest first.

    One that seems to lie in the future counts as of now: a clock that went back must not make the protection weaker.
    """
    try:
        body = json.loads(path.read_text())
        taken = sorted(int(at) for at in body["taken_at_wall_ns"])[-COUNTED_MAX:]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    ages_ms = (max(0, now_wall_ns - at) // NS_PER_MS for at in taken)
    return tuple(LoopCounted(by=BY, ago_ms=age_ms) for age_ms in ages_ms if age_ms <= AGE_MS_MAX)


def reboot_command(settings: NodeSettings) -> tuple[str, ...]:
    """The configured command, or the one of this machine."""
    return settings.reboot_command or (("systemctl", "reboot") if SYSTEMD.is_dir() else ("reboot",))


async def reboot(command: Sequence[str]) -> str:
    """Run the command; return why it failed, empty when it did not."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return f"{command[0]} cannot be run: {error.strerror}"
    assert process.stderr is not None, "its errors are a pipe"
    try:
        async with asyncio.timeout(COMMAND_S_MAX):
            said = await process.stderr.read(SAID_BYTES_MAX)
            code = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"not within {COMMAND_S_MAX:g} s"
    return "" if code == 0 else f"exit code {code}: {said.decode(errors='replace').strip()}"
