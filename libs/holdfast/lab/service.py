"""Finds the processes of Holdfast's services in a node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.lab import process
from holdfast.lab.errors import LabNotFoundError

_NAME_CHARS_MAX: Final = 15
"""TASK_COMM_LEN - 1 of linux/sched.h."""


def find(service: str, pids: Iterable[int]) -> set[int]:
    """The processes of a service among these; raises LabNotFoundError."""
    found = {pid for pid in pids if is_service(service, process.name(pid), process.arguments(pid))}
    if not found:
        raise LabNotFoundError(f"no process of service {service!r} runs in this node")
    return found


def is_service(service: str, name: str, arguments: Sequence[str]) -> bool:
    """Whether a process is this service, by its name or by what it was called with.

    The supervisor names a service hf-<service>, and one that serves a single module hf-<service>@<module>. `rfs`
    means that of every module, `rfs@web` that of one. Other programs, as nats-server, go by their own name.
    """
    called = arguments[0] if arguments else ""
    for title in (called, name):
        if title == service or title == f"hf-{service}" or title.startswith(f"hf-{service}@"):
            return True
    # The kernel may have cut the name.
    return len(name) == _NAME_CHARS_MAX and name == f"hf-{service}"[:_NAME_CHARS_MAX] and not called.startswith("hf-")
