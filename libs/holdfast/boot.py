"""Does a module start with its node: what the configuration says, what the `boot` command chose, whether it ran."""

from __future__ import annotations

import os
from pathlib import Path
from typing import assert_never

from holdfast.config.model import BootPolicy
from holdfast.errors import StorageError

FILE_NAME = "boot"
"""In the module's directory: `on` or `off`, the choice of the `boot` command."""
BYTES_MAX = 16


def starts_with_node(policy: BootPolicy, chosen: bool | None, *, ran_before: bool) -> bool:
    """Is the module to be started? chosen: by command, None when nobody has chosen; counts where the policy leaves it
    open. Without a choice a module that ran when its node went down starts again, so that a node that died comes back
    as secondary by itself."""
    match policy:
        case BootPolicy.ON:
            return True
        case BootPolicy.OFF:
            return False
        case BootPolicy.AUTO:
            return ran_before
        case BootPolicy.IGNORE:
            return ran_before if chosen is None else chosen
        case _:
            assert_never(policy)


def in_words(policy: BootPolicy, chosen: bool | None) -> str:
    """What will happen at the node's next start: on, off, or auto (if it was running)."""
    if policy is BootPolicy.IGNORE:
        return "auto" if chosen is None else ("on" if chosen else "off")
    return policy.value


def read_choice(place: Path) -> bool | None:
    """Return the choice kept in a module's directory; None when there is none that can be read."""
    try:
        with (place / FILE_NAME).open("rb") as file:
            text = file.read(BYTES_MAX).strip()
    except OSError:
        return None
    return {b"on": True, b"off": False}.get(text)


def keep_choice(place: Path, value: bool) -> None:
    """Keep a choice, on disk before this returns; raise StorageError when that cannot be done."""
    fresh = place / f".{FILE_NAME}.new"
    try:
        with fresh.open("wb") as file:
            file.write(b"on\n" if value else b"off\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(place / FILE_NAME)
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise StorageError(f"{place / FILE_NAME}: {error.strerror}") from error
