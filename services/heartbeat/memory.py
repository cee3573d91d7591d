"""What this service must know again at once after it was killed, in `<run>/heartbeat/`: orders and numbers.

The files live as long as the node is up (`/run` is empty after a boot). They are written so that SIGKILL at any moment
leaves the old or the new content, never half of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from holdfast.errors import OperatorError, StorageError
from holdfast.events.module import AnnounceState
from holdfast.ids import ModuleId, checked_name
from pydantic import TypeAdapter, ValidationError

ORDER_BYTES_MAX = 1 << 18
ORDER = TypeAdapter(AnnounceState)


class Memory:
    """The files of one node's heartbeat."""

    def __init__(self, run_dir: Path) -> None:
        self._place = run_dir / "heartbeat"
        try:
            self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StorageError(f"{self._place}: cannot be made: {error}") from error

    def open_turn(self) -> int:
        """Return a descriptor of the file whose lock is the turn to beat (`services.heartbeat.turn`)."""
        try:
            return os.open(self._place / "turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self._place / 'turn'}: cannot be opened: {error}") from error

    def open_sign(self) -> int:
        """Return a descriptor of the page with the beating process's sign of life (`services.heartbeat.sign`)."""
        try:
            return os.open(self._place / "sign", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self._place / 'sign'}: cannot be opened: {error}") from error

    def next_incarnation(self) -> int:
        """Return a number higher than at every earlier start since boot, also when the wall clock was set back."""
        path = self._place / "incarnation"
        try:
            last = int(path.read_text())
        except (OSError, ValueError):
            last = 0
        number = max(time.time_ns(), last + 1)
        self._replace(path, str(number).encode())
        return number

    def orders(self) -> dict[ModuleId, AnnounceState]:
        """Orders of the last life; unreadable files are left out, the state machine repeats its orders anyway."""
        found: dict[ModuleId, AnnounceState] = {}
        for path in sorted(self._place.glob("*.order")):
            try:
                with path.open("rb") as file:
                    found[ModuleId(checked_name("module", path.stem))] = ORDER.validate_json(file.read(ORDER_BYTES_MAX))
            except (OSError, ValidationError, OperatorError):
                continue
        return found

    def keep_order(self, module: ModuleId, order: AnnounceState) -> None:
        self._replace(self._place / f"{module}.order", ORDER.dump_json(order))

    def forget_order(self, module: ModuleId) -> None:
        for kind in ("order", "tally"):
            (self._place / f"{module}.{kind}").unlink(missing_ok=True)

    def open_seen(self, module: ModuleId) -> int:
        """Return a descriptor for the account of what was heard of the peer, to be read and written in place."""
        return os.open(self._place / f"{module}.seen", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def keep_tally(self, module: ModuleId, account: Mapping[str, object]) -> None:
        """Keep what a detector has lived through, for people; it is no harm when that fails."""
        with contextlib.suppress(StorageError):
            self._replace(self._place / f"{module}.tally", json.dumps(account).encode())

    def _replace(self, path: Path, data: bytes) -> None:
        draft = path.with_suffix(".draft")
        try:
            draft.write_bytes(data)
            draft.replace(path)
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error}") from error
