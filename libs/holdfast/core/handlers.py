"""Handlers: the module's own executables for resources that are down, run beside whatever the module does.

A handler that exits with 0 has dealt with it: the resource is left to its checker, and when it stays down the handler
is run again after a while. One that exits with anything else leaves the resource to its action (stopstart).
"""

from __future__ import annotations

from dataclasses import replace

from holdfast.core import rules
from holdfast.core.condition import DOWN
from holdfast.core.settings import Handler
from holdfast.core.state import HandlerRun, State
from holdfast.core.steps import NS_PER_MS


def under_way(state: State) -> HandlerRun | None:
    """The handler that runs now."""
    return next((run for run in state.handlers if not run.is_over), None)


def ended(state: State, run: str, exit_code: int) -> State:
    """Fold the end of the handler that runs; any other run changes nothing."""
    now = max(state.now_mono_ns, 1)
    runs = tuple(
        replace(item, ended_at_mono_ns=now, exit_code=exit_code) if item.run == run and not item.is_over else item
        for item in state.handlers
    )
    return state if runs == state.handlers else replace(state, handlers=runs)


def advanced(state: State) -> State | None:
    """Forget the runs of resources that are no longer down, or start the next handler; None when neither is due."""
    kept = tuple(run for run in state.handlers if not run.is_over or _is_down(state, run.resource))
    if kept != state.handlers:
        return replace(state, handlers=kept)
    if under_way(state) is not None:
        return None
    for handler in state.settings.handlers:
        if rules.may_be_handled(state, handler.resource) and state.now_mono_ns >= _not_before(state, handler):
            return _started(state, handler)
    return None


def due_mono_ns(state: State) -> int | None:
    """When time alone makes a handler run again, if it does."""
    if under_way(state) is not None:
        return None
    waiting = (handler for handler in state.settings.handlers if rules.may_be_handled(state, handler.resource))
    instants = (_not_before(state, handler) for handler in waiting)
    return min((at for at in instants if at > state.now_mono_ns), default=None)


def _not_before(state: State, handler: Handler) -> int:
    """The earliest instant for the handler's next run, on this node's monotonic clock."""
    last = next((run for run in state.handlers if run.resource == handler.resource), None)
    return 0 if last is None else last.ended_at_mono_ns + handler.again_after_ms * NS_PER_MS


def _started(state: State, handler: Handler) -> State:
    run = HandlerRun(
        run=f"{state.settings.node}-{state.authority.incarnation}-{state.run_counter + 1}",
        resource=handler.resource,
        script=handler.script,
    )
    others = tuple(item for item in state.handlers if item.resource != handler.resource)
    return replace(state, run_counter=state.run_counter + 1, handlers=(*others, run))


def _is_down(state: State, resource: str) -> bool:
    known = state.resources.get(resource)
    return known is not None and known.value == DOWN
