"""Addresses, directories and ports that a module would share with another one that is edited but not yet in force.

What is in force already is not a doubt but an error (`holdfast.config.agreement.check_disjoint`).
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject
from holdfast.config.model import ModuleConfig
from holdfast.config.semantics import overlap


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of what another module's edited configuration claims too."""
    for name, other in subject.others.items():
        yield from _addresses(subject, name, other)
        yield from _directories(subject, name, other)
        yield from _ports(subject, name, other)


def _addresses(subject: Subject, name: str, other: ModuleConfig) -> Iterator[Doubt]:
    taken = {virtual.address for virtual in other.virtual_addresses}
    for virtual in subject.config.virtual_addresses:
        if virtual.address in taken:
            yield Doubt(
                at=virtual.at,
                what=f"virtual address {virtual.address} also stands in the edited configuration of module '{name}'",
                risk="the one that is applied second will be refused, and if it runs on another node both will hold "
                "the address",
                fix="one address for each module",
            )


def _directories(subject: Subject, name: str, other: ModuleConfig) -> Iterator[Doubt]:
    own = subject.config.replication
    theirs = other.replication
    for directory in own.directories if own is not None else ():
        for taken in theirs.directories if theirs is not None else ():
            if overlap(directory.path, taken.path):
                yield Doubt(
                    at=directory.at,
                    what=f"replicated directory {directory.path} overlaps {taken.path} in the edited configuration of "
                    f"module '{name}'",
                    risk="the one that is applied second will be refused; two primaries on different nodes would write "
                    "the same files",
                    fix="directories that do not contain each other",
                )


def _ports(subject: Subject, name: str, other: ModuleConfig) -> Iterator[Doubt]:
    heart = subject.config.heart
    if heart.port is not None and heart.port == other.heart.port:
        yield Doubt(
            at=heart.at,
            what=f"heart port {heart.port} also stands in the edited configuration of module '{name}'",
            risk="the one that is applied second will be refused; its beats would be taken for the other module's",
            fix="no port at all: each module then has its own, from its id",
        )
