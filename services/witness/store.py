"""The leases on disk: one small file each, read for every question and durable before it is answered."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from holdfast.errors import StorageError
from holdfast.witness.lease import Lease

LEASES_MAX = 1000
"""Modules of all clusters together; more would be somebody who makes names up."""
NODES_MAX = 8
"""Nodes of one module whose numbers are remembered; a mirror has two."""
FILE_BYTES_MAX = 4096


@dataclass(frozen=True, kw_only=True)
class Entry:
    """lease: who has it. numbers: the highest number taken of each node."""

    lease: Lease = field(default_factory=Lease)
    numbers: dict[str, int] = field(default_factory=dict)


class Store:
    """The directory of the leases; `<cluster>.<module>.json`, for names hold no dots."""

    def __init__(self, directory: Path) -> None:
        """Raises StorageError when the directory cannot be used."""
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{directory}: {error.strerror}", hint="a directory that can be written") from error

    def read(self, cluster: str, module: str) -> Entry:
        """The entry of a module, an empty one when it was never seen; raises StorageError for a file that is none.

        What cannot be read is never taken for nobody's lease: the file is for a person to look at.
        """
        path = self._path(cluster, module)
        try:
            with path.open("rb") as file:
                body = json.loads(file.read(FILE_BYTES_MAX))
            lease = Lease(
                holder=str(body["lease"]["holder"]),
                epoch=int(body["lease"]["epoch"]),
                acting=bool(body["lease"]["acting"]),
            )
            return Entry(lease=lease, numbers={str(node): int(number) for node, number in body["numbers"].items()})
        except FileNotFoundError:
            return Entry()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StorageError(f"{path}: the lease cannot be read: {error}", hint="restore it, or forget it") from error

    def write(self, cluster: str, module: str, entry: Entry) -> None:
        """Durable when this returns: the file and its name (fsync(2) of both). Raises StorageError."""
        path = self._path(cluster, module)
        if not path.exists() and sum(1 for _ in self._directory.glob("*.json")) >= LEASES_MAX:
            raise StorageError(f"{self._directory}: {LEASES_MAX} leases are kept already", hint="forget what has gone")
        fresh = path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(json.dumps(asdict(entry)).encode())
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
            self._sync_directory()
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error

    def _sync_directory(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _path(self, cluster: str, module: str) -> Path:
        return self._directory / f"{cluster}.{module}.json"
