"""A replicated directory, mounted: what the rfs service starts, stops and asks."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from holdfast.errors import EnvironmentFaultError, StorageError

from services.rfs.disk import Disk
from services.rfs.filesystem import FileSystem, Options
from services.rfs.fuse import codec, mount
from services.rfs.fuse.device import Device, Request, open_device
from services.rfs.fuse.mount import BusyProcess
from services.rfs.handlers import files
from services.rfs.intents import Intents
from services.rfs.node_map import NodeMap
from services.rfs.nodes import DIRECTORY_KIND, REGULAR_KIND, Descriptor, NodeTable
from services.rfs.ports import Replication
from services.rfs.workers import OperationCount, Workers

log = logging.getLogger(__name__)

_RUNTIME_FILES = ("nodes", "intents", "session.json")

UNMOUNT_TRIES = 10
UNMOUNT_PAUSE_S = 0.05
"""A busy directory is tried this often, this far apart: half a second for the application's last descriptors."""

THREADS_END_S = 5.0
"""Threads end as soon as the device says so; one that does not is held up by a stuck disk or peer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSettings:
    """One replicated directory of a module."""

    index: int
    directory: str
    """Absolute path of the directory; the mount goes over it."""
    runtime_directory: Path
    """Where the node map and the session are kept across workers; in memory (/run) is right."""
    is_excluded: Callable[[bytes], bool]
    write_back: bool = False
    """For measuring only (decision record 7): a secondary's files would be stale after its promotion."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MountReport:
    """How a mount ended."""

    was_busy: bool
    busy: tuple[BusyProcess, ...]


class MountedTree:
    """One replicated directory, served through FUSE. Implements the `Tree` port.

    First worker: `start(None)` opens a device, mounts, and `device_fd` is then given to a process that keeps it.
    A later worker: `start(device_fd)` goes on where the killed one stopped. `root_fd` must be opened before mounting:
    a later worker is given that descriptor as well, because by path it would reach the mount.
    """

    def __init__(self, settings: TreeSettings, replication: Replication, disk: Disk | None = None) -> None:
        self.settings = settings
        self.index = settings.index
        self.root_fd = -1
        self.device_fd = -1
        self._replication = replication
        self._disk = disk or Disk()
        self._fs: FileSystem | None = None
        self._device: Device | None = None
        self._workers: Workers | None = None

    # -- life -------------------------------------------------------------------------------------------------

    def prepare(self, root_fd: int | None = None) -> int:
        """Open the real directory (after taking dead mounts off it) and return its descriptor.

        Until `start`, replication may work on the tree through it with nothing mounted.
        """
        if root_fd is not None:
            self.root_fd = root_fd
            return root_fd
        directory = self.settings.directory
        self.detach_dead()
        if mount.is_mounted(directory):
            raise EnvironmentFaultError(f"{directory} is still mounted by another worker")
        try:
            self.root_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentFaultError(
                f"cannot open {directory}: {error.strerror}", hint="the replicated directory must exist"
            ) from error
        return self.root_fd

    def detach_dead(self) -> None:
        """Take mounts that nobody serves any more off the directory; until then it must not be looked at by path."""
        directory = self.settings.directory
        detached = mount.detach_dead(directory)
        if detached:
            log.warning("dead mounts taken off the directory", extra={"directory": directory, "count": detached})

    def start(self, device_fd: int | None = None, *, writable: bool) -> None:
        """Mount and serve, or go on serving a device that a former worker served.

        `writable` as `set_writable`. Raises EnvironmentFaultError when FUSE is not to be had.
        """
        if self.root_fd < 0:
            self.prepare()
        _raise_descriptor_limit()
        runtime = self.settings.runtime_directory
        runtime.mkdir(parents=True, exist_ok=True)
        is_first = device_fd is None
        if is_first:
            for name in _RUNTIME_FILES:
                (runtime / name).unlink(missing_ok=True)
        fs = self._file_system(NodeMap(runtime / "nodes"), Intents(runtime / "intents"))
        fs.is_writable = writable
        self._fs = fs
        if is_first:
            fs.remove_all_hidden()
        self.device_fd = open_device() if device_fd is None else device_fd
        self._device = Device(self.device_fd)
        self._workers = Workers(fs, self._device, f"tree{self.index}")
        if is_first:
            self._mount(fs)
        else:
            fs.session = self._load_session()
            self._device.resend_pending()
        self._workers.start()

    def _file_system(self, node_map: NodeMap, intents: Intents) -> FileSystem:
        root = Descriptor(os.dup(self.root_fd))
        nodes = NodeTable(node_map, os.fstat(root.fd), self.settings.is_excluded)
        options = Options(tree=self.index, write_back=self.settings.write_back)
        return FileSystem(
            options=options, root=root, nodes=nodes, intents=intents, disk=self._disk, replication=self._replication
        )

    def _mount(self, fs: FileSystem) -> None:
        assert self._workers is not None
        mount.mount_device(self.device_fd, self.settings.directory)
        if not self._workers.serve_one(Request()) or fs.session is None:
            raise EnvironmentFaultError(f"the kernel ended the mount of {self.settings.directory} at once")
        path = self.settings.runtime_directory / "session.json"
        path.write_text(json.dumps(asdict(fs.session)), encoding="utf-8")

    def _load_session(self) -> codec.Session:
        path = self.settings.runtime_directory / "session.json"
        try:
            return codec.Session(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"{path}: no session of a former worker", hint="unmount and start again") from error

    @property
    def is_resumable(self) -> bool:
        """Whether another worker can go on after this one is killed; else the module must restart."""
        session = self._fs.session if self._fs is not None else None
        return session is not None and session.is_resumable

    @property
    def has_ended(self) -> bool:
        """True when somebody unmounted the directory under us."""
        return self._workers is not None and self._workers.ended.is_set()

    def stop(self) -> MountReport:
        """Unmount and end the threads. A busy directory is taken away from its users, who are named."""
        busy: tuple[BusyProcess, ...] = ()
        if self._fs is None or self._workers is None:
            return MountReport(was_busy=False, busy=())
        if mount.is_mounted(self.settings.directory):
            busy = self._unmount()
        if not self._workers.join(THREADS_END_S):
            log.warning("threads of the file system still run", extra={"directory": self.settings.directory})
            return MountReport(was_busy=bool(busy), busy=busy)
        self._fs.remove_all_hidden()
        self._fs.nodes.close()
        self._fs.intents.close()
        os.close(self.device_fd)
        os.close(self.root_fd)
        self.device_fd = self.root_fd = -1
        self._fs = self._device = self._workers = None
        for name in _RUNTIME_FILES:
            (self.settings.runtime_directory / name).unlink(missing_ok=True)
        return MountReport(was_busy=bool(busy), busy=busy)

    def _unmount(self) -> tuple[BusyProcess, ...]:
        directory = self.settings.directory
        for _ in range(UNMOUNT_TRIES):
            try:
                mount.unmount(directory)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                time.sleep(UNMOUNT_PAUSE_S)
            else:
                return ()
        busy = mount.busy_processes(directory)
        log.warning(
            "directory is busy and taken away from its users",
            extra={"directory": directory, "busy": [f"{each.command}({each.pid})" for each in busy]},
        )
        mount.unmount_busy(directory)
        return busy or (BusyProcess(pid=0, command="?", uses=directory),)

    # -- the Tree port ----------------------------------------------------------------------------------------

    def is_excluded(self, path: bytes) -> bool:
        """True for paths that are not replicated: by configuration, or because they are ours."""
        return self._fs.nodes.is_excluded(path) if self._fs is not None else self.settings.is_excluded(path)

    def invalidate(self, path: bytes) -> None:
        """A path changed below the mount (the applier on a secondary): forget what we and the kernel think of it.

        The kernel asks for every name again while nothing may be cached, so it need not be told of names. It must not
        be: telling waits for the directory's lock, which the sender of a request holds that we may be answering.
        """
        if self._fs is None or self._device is None:
            return
        nodes = self._fs.nodes
        node = nodes.walk(path)
        if node is None:
            return
        if node.parent is not None:
            parent, name = node.parent, node.name
            if self._has_changed(parent.directory.descriptor.fd if parent.directory else -1, name, node.key):
                nodes.drop_name(parent, name)
        self._device.invalidate_inode(node.id)

    def settle(self, path: bytes) -> None:
        """Record the modification time of a file that was written and not yet synchronised or closed."""
        if self._fs is None:
            return
        node = self._fs.nodes.walk(path)
        if node is None or node.kind != REGULAR_KIND:
            return
        with contextlib.suppress(OSError):  # it was removed meanwhile: then there is no time to tell
            files.settle(self._fs, node)

    def finish_changes(self) -> None:
        """Return when every change that an application had begun has been recorded."""
        if self._fs is not None:
            self._fs.finish_changes()

    def _has_changed(self, parent_fd: int, name: bytes, key: int) -> bool:
        """True unless the name still shows the same inode."""
        if parent_fd < 0 or self._fs is None:
            return True
        try:
            return self._fs.nodes.key_of(self._disk.stat("invalidate.look", name, parent_fd)) != key
        except OSError:
            return True

    # -- role -------------------------------------------------------------------------------------------------

    def set_writable(self, writable: bool) -> None:
        """Become the only writer (primary), or read-only with nothing cached (secondary).

        When it returns, no operation admitted under the old mode is under way except waits at barriers. Becoming
        read-only drops what the kernel was allowed to cache for ever; becoming writable needs nothing, because
        nothing was cached.
        """
        if self._fs is None:
            return
        was = self._fs.is_writable
        self._fs.set_writable(writable)
        if was and not writable:
            self._drop_caches()

    def _drop_caches(self) -> None:
        if self._fs is None or self._device is None:
            return
        nodes = self._fs.nodes
        for node in nodes.everything():
            self._device.invalidate_inode(node.id, 0, 0)
            for parent, name in nodes.names_of(node):
                if not node.is_hidden:
                    self._device.invalidate_entry(parent.id, name)
            if node.kind == DIRECTORY_KIND and node is not nodes.root:
                node.directory = None

    # -- counters ---------------------------------------------------------------------------------------------

    def operations(self) -> tuple[OperationCount, ...]:
        """Requests by kind since this worker started."""
        return self._workers.operations() if self._workers is not None else ()

    @property
    def nodes_known(self) -> int:
        """Inodes that the kernel holds."""
        return len(self._fs.nodes) if self._fs is not None else 0


def _raise_descriptor_limit() -> None:
    """Open files and directories of applications are descriptors of ours."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
