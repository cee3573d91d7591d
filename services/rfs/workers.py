"""The threads that serve a FUSE device, and what they count."""

from __future__ import annotations

import errno
import logging
import struct
import threading
import time
from dataclasses import dataclass

from holdfast.errors import HoldfastError

from services.rfs import libc
from services.rfs.dispatch import handler_table
from services.rfs.filesystem import NO_ANSWER, FileSystem
from services.rfs.fuse import abi
from services.rfs.fuse.abi import Opcode
from services.rfs.fuse.device import Device, Request

log = logging.getLogger(__name__)

THREADS_MIN = 2
"""Always there: one may wait for the peer while the other serves reads."""

THREADS_MAX = 24
"""Threads are added while all are busy, most of them waiting at barriers; as many barriers can be under way at once.
More would only queue for the interpreter lock."""

FAULTS = (
    HoldfastError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a request may fail with beside an errno, if all goes wrong. It must be answered all the same."""

READ_AGAIN_S = 0.1
"""Before a device that could not be read is read again."""

LATENCY_BUCKETS = 40
"""Powers of two of nanoseconds: bucket n counts latencies below 2**n ns; the last one is 18 minutes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationCount:
    """What was counted for one kind of request since the worker started."""

    name: str
    count: int
    errors: int
    bytes: int
    latency_ns_total: int
    latency_buckets: tuple[int, ...]


class Counters:
    """One thread's counters, as plain lists so that counting costs next to nothing."""

    def __init__(self) -> None:
        self.counts = [0] * abi.OPCODE_LIMIT
        self.errors = [0] * abi.OPCODE_LIMIT
        self.bytes = [0] * abi.OPCODE_LIMIT
        self.total_ns = [0] * abi.OPCODE_LIMIT
        self.buckets = [[0] * LATENCY_BUCKETS for _ in range(abi.OPCODE_LIMIT)]


class Workers:
    """Threads on one device, from `start` until the connection ends."""

    def __init__(self, fs: FileSystem, device: Device, name: str) -> None:
        self._fs = fs
        self._device = device
        self._name = name
        self._table = handler_table()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._counters: list[Counters] = []
        self._idle = 0
        self.ended = threading.Event()
        """Set when the device has told a thread that the mount is gone."""

    def start(self) -> None:
        """Start the first threads."""
        for _ in range(THREADS_MIN):
            self._add()

    def join(self, timeout_s: float) -> bool:
        """Wait for the threads to end; False when some still run after the timeout (for each)."""
        for thread in list(self._threads):
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in self._threads)

    def serve_one(self, request: Request) -> bool:
        """Answer one request in the calling thread (INIT, before the threads start); False when there is none."""
        if not self._device.receive(request):
            return False
        self._serve(request, Counters())
        return True

    def operations(self) -> tuple[OperationCount, ...]:
        """The counters of all threads, by kind of request."""
        found: list[OperationCount] = []
        for opcode in Opcode:
            count = sum(each.counts[opcode] for each in self._counters)
            if not count:
                continue
            buckets = zip(*(each.buckets[opcode] for each in self._counters), strict=True)
            found.append(
                OperationCount(
                    name=opcode.name.lower(),
                    count=count,
                    errors=sum(each.errors[opcode] for each in self._counters),
                    bytes=sum(each.bytes[opcode] for each in self._counters),
                    latency_ns_total=sum(each.total_ns[opcode] for each in self._counters),
                    latency_buckets=tuple(map(sum, buckets)),
                )
            )
        return tuple(found)

    def _add(self) -> None:
        with self._lock:
            if len(self._threads) >= THREADS_MAX:
                return
            counters = Counters()
            number = len(self._threads)
            thread = threading.Thread(
                target=self._run, args=(counters,), name=f"{self._name}-fuse-{number}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                # No more threads are to be had: what has been read must be answered by those that there are.
                log.warning("no thread can be added for file system requests: %s", error)
                return
            self._counters.append(counters)
            self._threads.append(thread)
            self._idle += 1

    def _run(self, counters: Counters) -> None:
        # A umask is per process unless a thread takes its own; creations run under their caller's.
        libc.own_umask()
        request = Request()
        while self._receive(request):
            with self._lock:
                self._idle -= 1
                is_crowded = self._idle <= 0
            if is_crowded:
                self._add()
            self._serve(request, counters)
            with self._lock:
                self._idle += 1
        self.ended.set()

    def _receive(self, request: Request) -> bool:
        """Wait for the next request. Whatever else the device may say, somebody must go on reading it."""
        while True:
            try:
                return self._device.receive(request)
            except OSError:
                log.exception("the file system's device cannot be read")
                time.sleep(READ_AGAIN_S)

    def _serve(self, request: Request, counters: Counters) -> None:
        """Handle one request and answer it, whatever happens: the kernel waits for an answer without any limit."""
        began_ns = time.perf_counter_ns()
        opcode = request.opcode if request.opcode < abi.OPCODE_LIMIT else 0
        try:
            length = self._table[opcode](self._fs, request)
            if length != NO_ANSWER:
                self._device.answer(request, length)
                counters.bytes[opcode] += length if opcode != Opcode.WRITE else request.length
        except OSError as error:
            counters.errors[opcode] += 1
            self._refuse(request, error.errno or errno.EIO)
        except FAULTS:
            # A defect of ours, or no room for what must be remembered: the application gets an I/O error.
            log.exception("file system request failed", extra={"opcode": request.opcode})
            counters.errors[opcode] += 1
            self._refuse(request, errno.EIO)
        elapsed_ns = time.perf_counter_ns() - began_ns
        later, request.later = request.later, None
        if later is not None:
            later()
        counters.counts[opcode] += 1
        counters.total_ns[opcode] += elapsed_ns
        counters.buckets[opcode][min(elapsed_ns.bit_length(), LATENCY_BUCKETS - 1)] += 1

    def _refuse(self, request: Request, number: int) -> None:
        try:
            self._device.refuse(request, number)
        except OSError:
            # The kernel knows no such request any more, or (FORGET) waits for no answer.
            log.exception("file system request could not be refused", extra={"opcode": request.opcode})
