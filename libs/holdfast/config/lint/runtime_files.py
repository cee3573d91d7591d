"""Sockets and pid files in a replicated directory: they mean something only on the node that made them."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject
from holdfast.config.model import ReplicatedDirectory
from holdfast.config.regex import compile_posix

FILES_NAMED_MAX = 5


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of each replicated directory that holds such files without leaving them out."""
    replication = subject.config.replication
    for directory in replication.directories if replication is not None else ():
        found = [name for name in subject.runtime_files.get(directory.path, ()) if not is_left_out(directory, name)]
        if not found:
            continue
        names = ", ".join(found[:FILES_NAMED_MAX]) + (" …" if len(found) > FILES_NAMED_MAX else "")
        yield Doubt(
            at=directory.at,
            what=f"replicated directory {directory.path} holds files of running processes: {names}",
            risk="after a failover they name processes of the other node, and the application may refuse to start or "
            "signal a process that is not its own",
            fix=" ".join(f'<notreplicated path="{name}"/>' for name in found[:FILES_NAMED_MAX]),
        )


def is_left_out(directory: ReplicatedDirectory, path: str) -> bool:
    """Is this path (relative to the directory) left out of the replication already?"""
    if any(f"{path}/".startswith(f"{excluded}/") for excluded in directory.excluded_paths):
        return True
    for name in path.split("/"):
        for pattern in directory.excluded_names:
            matches = compile_posix(pattern.pattern).search(name) is not None
            if matches is not pattern.inverted:
                return True
    return False
