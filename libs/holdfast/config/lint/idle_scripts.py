"""Scripts that do not run, and modules that have none."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config.lint.doubt import Doubt, Subject

RUN_BY_ROLE = frozenset(
    {f"{verb}_{group}" for verb in ("start", "stop") for group in ("prim", "both", "second", "sec")}
    | {"prestart", "poststop", "transition"}
)
"""What a module runs by itself."""

PAIRS = ("prim", "both", "second", "sec")


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of scripts without `user`, and of a start script without its stop script."""
    present = sorted(subject.scripts & RUN_BY_ROLE)
    service = subject.config.service
    if subject.config.user is None:
        if present:
            yield Doubt(
                at=service.at,
                what=f"there is no <user>, so none of the module's scripts runs: {', '.join(present)}",
                risk="the module changes its role, but the application is neither started nor stopped",
                fix="<user/> in <service>, or remove the scripts",
            )
        return
    for group in PAIRS:
        if f"start_{group}" in subject.scripts and f"stop_{group}" not in subject.scripts:
            yield Doubt(
                at=service.at,
                what=f"there is a script start_{group}, but no stop_{group}",
                risk="after a swap or a stop the application still runs here beside the other node's, and holds files "
                "of directories that are no longer writable",
                fix=f"a script stop_{group}",
            )
