"""Asks the state machine over the bus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from holdfast.bus import subjects
from holdfast.errors import (
    ConfigError,
    EnvironmentFaultError,
    ExitCode,
    HoldfastError,
    NotFoundError,
    OperatorError,
    RefusedError,
    UnavailableError,
)
from holdfast.service.context import Context

ASK_S_MAX = 5.0
"""A state machine that was just killed is back within about a second."""
APPLY_S_MAX = 60.0
"""For a configuration: its host names are looked up, and a journal is made, on a disk that may be busy. A state machine
that is not there answers `no responders` at once all the same."""
VERIFY_S_MAX = 24 * 3600.0
STATE_MACHINE = "statemachine"

Answer = dict[str, Any]
"""A JSON object; what is in it is checked where it is used."""

_KINDS: dict[int, type[HoldfastError]] = {
    ExitCode.NOT_FOUND: NotFoundError,
    ExitCode.USAGE: OperatorError,
    ExitCode.UNAVAILABLE: UnavailableError,
    ExitCode.ENVIRONMENT: EnvironmentFaultError,
}


class StateMachine:
    """The verbs that the state machine answers. All raise UnavailableError, and refusals as the fitting error."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def ask(self, verb: str, body: Mapping[str, object], *, timeout_s: float = ASK_S_MAX) -> Answer:
        """Return the answer; one that says `accepted: false` is raised as the error whose exit code it carries."""
        subject = subjects.ask(self._context.settings.cluster, STATE_MACHINE, verb)
        data = await self._context.bus.ask(subject, json.dumps(body).encode(), timeout_s=timeout_s)
        try:
            answer = json.loads(data)
        except ValueError as error:
            raise UnavailableError(f"the state machine's answer to {verb} cannot be read") from error
        if not isinstance(answer, dict):
            raise UnavailableError(f"the state machine's answer to {verb} is not an object")
        if answer.get("accepted", True) is False:
            raise _error_in(answer)
        return answer


def _error_in(answer: Answer) -> HoldfastError:
    reason = str(answer.get("reason") or "no reason was given")
    code = answer.get("code")
    if code == ExitCode.CONFIG_INVALID:
        problems = tuple(str(problem) for problem in answer.get("problems") or ())
        return ConfigError(reason.splitlines()[0], problems=problems)
    return _KINDS.get(code if isinstance(code, int) else ExitCode.REFUSED, RefusedError)(reason)
