"""Pure: from what a gateway says of a module to whether it serves, and whether it is still the same one that did."""

from __future__ import annotations

import json
from dataclasses import dataclass

from services.checkers.module.gateway import Answer

SERVING = frozenset({"ALONE", "PRIM", "UP"})
OK, UNAUTHORIZED, FORBIDDEN = 200, 401, 403


@dataclass(frozen=True, kw_only=True)
class Seen:
    """serves: its application is up there. application: names one run of it on one node, "" when nothing tells."""

    serves: bool
    application: str = ""


def is_kept_back(answer: Answer) -> bool:
    """Does that gateway tell states to nobody whom it does not know? It still tells load balancers who serves."""
    return answer.status in (UNAUTHORIZED, FORBIDDEN)


def of_state(answer: Answer) -> Seen:
    """From `/api/v1/modules/<module>/state`."""
    if answer.status != OK:
        return Seen(serves=False)
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return Seen(serves=False)
    if not isinstance(body, dict):
        return Seen(serves=False)
    serves = body.get("role") in SERVING and body.get("status") == "Ready"
    application = body.get("application")
    return Seen(serves=serves, application=application if serves and isinstance(application, str) else "")


def of_probe(answer: Answer) -> Seen:
    """From `/var/modules/<module>/ready.txt`."""
    return Seen(serves=answer.status == OK and answer.body.strip() == b"OK")


def is_another(before: Seen | None, now: Seen) -> bool:
    """Has the application been started again, or elsewhere, between two looks that both found it serving?"""
    if before is None or not (before.serves and now.serves):
        return False
    return bool(before.application) and bool(now.application) and before.application != now.application
