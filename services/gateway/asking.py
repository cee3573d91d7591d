"""Asks the state machine over the bus."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from holdfast.bus import subjects
from holdfast.errors import RefusedError, UnavailableError
from holdfast.service.context import Context

ASK_S_MAX = 5.0
"""A state machine that was just killed is back within about a second."""
VERIFY_S_MAX = 24 * 3600.0
STATE_MACHINE = "statemachine"

Answer = dict[str, Any]
"""A JSON object; what is in it is checked where it is used."""


class StateMachine:
    """The verbs that `services.statemachine` answers. All raise UnavailableError, and RefusedError with its reason."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def ask(self, verb: str, body: Mapping[str, object], *, timeout_s: float = ASK_S_MAX) -> Answer:
        """Return the answer; a refusal (`accepted` false, or `error`) becomes RefusedError."""
        subject = subjects.ask(self._context.settings.cluster, STATE_MACHINE, verb)
        data = await self._context.bus.ask(subject, json.dumps(body).encode(), timeout_s=timeout_s)
        try:
            answer = json.loads(data)
        except ValueError as error:
            raise UnavailableError(f"the state machine's answer to {verb} cannot be read") from error
        if not isinstance(answer, dict):
            raise UnavailableError(f"the state machine's answer to {verb} is not an object")
        if answer.get("accepted", True) is False or answer.get("error"):
            raise RefusedError(str(answer.get("reason") or answer.get("error") or "no reason was given"))
        return answer
