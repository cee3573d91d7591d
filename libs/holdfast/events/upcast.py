"""Old payloads made new: how each version of a payload that a journal may still hold becomes the one after it.

The rule for changing a payload: raise its version in the catalogue, add here the step from the version before, and run
`make docs`, which adds the new schema. Schemas and examples of the versions before stay in the tree, and tests prove
that every version ever written can still be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from holdfast.errors import PeerError

Body = dict[str, object]
"""A payload as it was read, before validation: a step may not trust it further than that it is a JSON object."""
Step = Callable[[Body], Body]
"""Makes a payload of one version into one of the next. May raise KeyError, TypeError or ValueError for rubbish."""


def _watch_resources_2(body: Body) -> Body:
    """Version 2 names more kinds of watches; an order of version 1 has none of these."""
    return {**body, "ping": [], "interfaces": [], "addresses": [], "custom": []}


def _watch_resources_3(body: Body) -> Body:
    """Version 3 adds other modules and the witness."""
    return {**body, "modules": [], "witnesses": []}


def _resource_reported_2(body: Body) -> Body:
    """Version 2 says whether the log tells it; it told every one of version 1."""
    return {**body, "told": True}


def _loop_counted_2(body: Body) -> Body:
    """Version 2 may tell of the past; one of version 1 was counted when it was told."""
    return {**body, "ago_ms": 0}


def _run_script_2(body: Body) -> Body:
    """Version 2 names the virtual host name; no module had one."""
    return {**body, "host_name": "", "has_host_name": False}


def _with_announcement_2(body: Body) -> Body:
    """Version 2 carries a sync mark; an announcement of version 1 has none."""
    said = body["announcement"]
    if not isinstance(said, dict):
        raise TypeError("the announcement is not an object")
    return {**body, "announcement": {**said, "sync_mark_ms": 0}}


STEPS: dict[tuple[str, int], Step] = {
    ("announce.state", 1): _with_announcement_2,
    ("loop.counted", 1): _loop_counted_2,
    ("peer.reported", 1): _with_announcement_2,
    ("resource.reported", 1): _resource_reported_2,
    ("run.script", 1): _run_script_2,
    ("watch.resources", 1): _watch_resources_2,
    ("watch.resources", 2): _watch_resources_3,
}
"""(wire name, old version) → the step from that version to the next. Every version below the present one has one."""


def upcast(name: str, version: int, body: Body, *, wanted: int, steps: Mapping[tuple[str, int], Step] = STEPS) -> Body:
    """Return the payload `body` of `version` as one of version `wanted`; raise PeerError when a step is not known."""
    for old in range(version, wanted):
        step = steps.get((name, old))
        if step is None:
            raise PeerError(f"{name} version {old} can no longer be read", hint=f"this program writes version {wanted}")
        body = step(body)
    return body
