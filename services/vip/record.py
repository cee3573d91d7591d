"""Which addresses are ours, by module, in `<run>/vip.json`.

Written before an address is added, so that a service killed at any moment finds what its former life left."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.errors import StorageError
from holdfast.ids import ModuleId
from pydantic import TypeAdapter, ValidationError

from services.vip.core.model import Owned, Route

RECORD_BYTES_MAX = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One module's addresses, and routes as they were before this service gave them another source."""

    owned: tuple[Owned, ...] = ()
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _File:
    modules: dict[ModuleId, Entry] = field(default_factory=dict)


_FORMAT = TypeAdapter(_File)
_NOTHING = Entry()


class Record:
    """The file and its content."""

    def __init__(self, run_dir: Path) -> None:
        """An unreadable file counts as empty: the kernel also knows which addresses are ours."""
        self._path = run_dir / "vip.json"
        try:
            with self._path.open("rb") as file:
                self._modules = dict(_FORMAT.validate_json(file.read(RECORD_BYTES_MAX)).modules)
        except (OSError, ValidationError):
            self._modules = {}

    def modules(self) -> tuple[ModuleId, ...]:
        return tuple(self._modules)

    def of(self, module: ModuleId) -> Entry:
        return self._modules.get(module, _NOTHING)

    def keep(self, module: ModuleId, entry: Entry) -> None:
        """Write when something changed. Raises StorageError."""
        if entry == self.of(module):
            return
        if entry == _NOTHING:
            self._modules.pop(module, None)
        else:
            self._modules[module] = entry
        draft = self._path.with_suffix(".draft")
        try:
            draft.write_bytes(_FORMAT.dump_json(_File(modules=self._modules)))
            os.replace(draft, self._path)
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be written: {error}") from error
