"""The one error tree.

    HoldfastError
    ├── OperatorError            what was asked for cannot be done as asked
    │   ├── ConfigError          a configuration or package is wrong (carries every problem found)
    │   ├── RefusedError         the cluster refuses the command; the reason says why and what would help
    │   └── NotFoundError        no such module, node, resource …
    ├── PeerError                the other node broke the protocol
    ├── EnvironmentFaultError    this machine lacks something or failed: disk, kernel, network, permission
    │   ├── StorageError         a journal, record or disk cannot be read or written
    │   └── UnavailableError     a service or node of ours does not answer (in time)
    └── InvariantError           our own rule is broken: stop rather than go on

Each class owns its exit code (`ExitCode`) and may carry a hint that says what would be right.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command. `state -lq` alone answers with the model's codes 0..4 instead."""

    OK = 0
    FAILED = 1
    USAGE = 2
    TIMEOUT = 3
    REFUSED = 4
    NOT_FOUND = 5
    CONFIG_INVALID = 6
    UNAVAILABLE = 7
    ENVIRONMENT = 8
    PEER = 9
    DIFFERENCES = 10
    INVARIANT = 70


class HoldfastError(Exception):
    """Base of everything that Holdfast raises on purpose."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class OperatorError(HoldfastError):
    """What was asked for cannot be done as asked."""

    exit_code = ExitCode.USAGE


class RefusedError(OperatorError):
    """The cluster refuses the command; the message is the reason in words."""

    exit_code = ExitCode.REFUSED


class NotFoundError(OperatorError):
    """There is no such module, node, resource or file."""

    exit_code = ExitCode.NOT_FOUND


class ConfigError(OperatorError):
    """A configuration or package is wrong; `problems` holds all of them, one line of text each at least."""

    exit_code = ExitCode.CONFIG_INVALID

    def __init__(self, message: str, *, problems: tuple[object, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(str(problem) for problem in self.problems)])


class PeerError(HoldfastError):
    """The other node sent something that its protocol does not allow."""

    exit_code = ExitCode.PEER


class EnvironmentFaultError(HoldfastError):
    """This machine lacks something or failed."""

    exit_code = ExitCode.ENVIRONMENT


class StorageError(EnvironmentFaultError):
    """A journal, record or disk cannot be read or written."""


class UnavailableError(EnvironmentFaultError):
    """A service or node of ours does not answer in time."""

    exit_code = ExitCode.UNAVAILABLE


class InvariantError(HoldfastError):
    """A rule of our own is broken; the process stops rather than go on."""

    exit_code = ExitCode.INVARIANT
