"""A stand-in for the state machine: answers the same requests on the bus, from a table that a test sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from holdfast.bus import subjects
from holdfast.service.context import Context

Json = dict[str, Any]
VERBS = (
    "command",
    "state",
    "apply",
    "remove",
    "set",
    "get",
    "setting",
    "loop",
    "processes",
    "resync",
    "shutdown",
    "verify",
    "estimate",
)


def state_of(module: str, role: str, status: str, **more: object) -> Json:
    """A module as the state machine tells it."""
    return {"module": module, "role": role, "status": status, "epoch": 7, "reason": "", **more}


class FakeStateMachine:
    """requests: what was asked, in order. answers: what each verb answers; changed by the test at any time."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Json]] = []
        self.modules: dict[str, Json] = {}
        self.answers: dict[str, Callable[[Json], Json]] = {
            "state": self._states,
            "get": lambda request: {"accepted": False, "reason": f"no resource {request['resource']}", "code": 5},
        }

    async def answer_on(self, context: Context) -> None:
        for verb in VERBS:
            await context.bus.answer(subjects.ask(context.settings.cluster, "statemachine", verb), self._answer)

    def refuse(self, verb: str, reason: str) -> None:
        """Have a verb refused from now on."""
        self.answers[verb] = lambda _request: {"accepted": False, "reason": reason, "code": 4}

    def accept(self, verb: str, answer: Mapping[str, object]) -> None:
        """Have a verb answered so from now on."""
        self.answers[verb] = lambda _request: dict(answer)

    async def _answer(self, subject: str, data: bytes) -> bytes:
        verb = subject.rpartition(".")[2]
        request = json.loads(data)
        self.requests.append((verb, request))
        answer = self.answers[verb](request) if verb in self.answers else {"accepted": True, "reason": ""}
        return json.dumps(answer).encode()

    def _states(self, request: Json) -> Json:
        wanted = request.get("module", "")
        if wanted and wanted not in self.modules:
            return {"accepted": False, "reason": f"module {wanted} is not configured", "code": 5, "problems": []}
        shown = [state for name, state in sorted(self.modules.items()) if wanted in ("", name)]
        return {"node": "node1", "modules": shown}
