"""What outlives the service: events that wait for a mail, the last state of each module, how the last mail went."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from holdfast.errors import StorageError
from holdfast.notification.event import Event, Kind

from services.mail.core import Digest

FILE_NAME = "mail.json"
FILE_BYTES_MAX = 4 << 20
"""Some times what 500 events of 1000 characters are."""
MODE = 0o600


@dataclass(frozen=True, kw_only=True)
class Memory:
    """digest: its due time is not kept, clocks begin anew. states: module to role and status. sent_wall_ns: of the last
    mail, 0 for none yet. problem: why the last attempt failed, empty when it did not."""

    digest: Digest = field(default_factory=Digest)
    states: Mapping[str, str] = field(default_factory=dict)
    sent: int = 0
    sent_wall_ns: int = 0
    problem: str = ""


def load(state_dir: Path) -> Memory:
    """Read what is remembered; nothing when there is nothing that can be read."""
    try:
        with (state_dir / FILE_NAME).open("rb") as stream:
            body = json.loads(stream.read(FILE_BYTES_MAX))
        waiting = tuple(Event(**{**each, "kind": Kind(each["kind"])}) for each in body["waiting"])
        return Memory(
            digest=Digest(waiting=waiting, dropped=int(body["dropped"])),
            states={str(module): str(state) for module, state in body["states"].items()},
            sent=int(body["sent"]),
            sent_wall_ns=int(body["sent_wall_ns"]),
            problem=str(body["problem"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Memory()


def save(state_dir: Path, memory: Memory) -> None:
    """Write beside, rename over; nothing waits for the disk. Raises StorageError."""
    path = state_dir / FILE_NAME
    beside = path.with_name(f".{FILE_NAME}.new")
    body = {
        "waiting": [asdict(event) for event in memory.digest.waiting],
        "dropped": memory.digest.dropped,
        "states": dict(memory.states),
        "sent": memory.sent,
        "sent_wall_ns": memory.sent_wall_ns,
        "problem": memory.problem,
    }
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
        with os.fdopen(handle, "w") as stream:
            json.dump(body, stream)
        beside.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
