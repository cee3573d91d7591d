"""`vhost NAME COMMAND ARGUMENTS…`: runs a command that finds NAME as the host name, in a UTS namespace of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NoReturn

from holdfast.errors import EnvironmentFaultError, NotFoundError, OperatorError
from holdfast.scripting.host_name import NAMESPACE_VARIABLE, enter

NAME_BYTES_MAX = 64
"""__NEW_UTS_LEN, linux/utsname.h."""


def main(words: Sequence[str]) -> NoReturn:
    """Become the command."""
    if len(words) < 2 or not 0 < len(words[0].encode()) <= NAME_BYTES_MAX:
        raise OperatorError("a host name and a command are needed", hint="vhost shop /usr/sbin/shopd --foreground")
    try:
        namespace = enter(words[0], now=True)
    except OSError as error:
        raise EnvironmentFaultError(error.strerror or str(error), hint="become root") from error
    try:
        os.execvpe(words[1], list(words[1:]), {**os.environ, NAMESPACE_VARIABLE: namespace})
    except OSError as error:
        raise NotFoundError(f"{words[1]} cannot be run: {error.strerror}") from error
