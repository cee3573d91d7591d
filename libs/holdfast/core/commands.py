"""Commands: what is accepted in which role, what it sets going, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from holdfast.core import authority
from holdfast.core.authority import Verdict
from holdfast.core.peer import PRIMARY_ROLES
from holdfast.core.state import ENDING, Forced, Refusal, State, StepKind, Wish
from holdfast.events.module import Action, CommandRequested
from holdfast.events.state import Role, Status

ROLES = frozenset(Role)
RUNNING = ROLES - {Role.STOP}
ACTIVE = RUNNING - {Role.WAIT}

AUTOMATIC = frozenset({Action.RESTART, Action.STOPSTART, Action.WAIT})
"""Actions that count against maxloop when a detector asks for them."""

ACCEPTED = Verdict(yes=True, reason="")


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRow:
    """One command in some roles. may: accepted, or why not. change: what acceptance does. text: for readers."""

    action: Action
    roles: frozenset[Role]
    may: Callable[[State, CommandRequested], Verdict]
    change: Callable[[State, CommandRequested], State]
    text: str


def _always(state: State, command: CommandRequested) -> Verdict:
    return ACCEPTED


def _nothing(state: State, command: CommandRequested) -> State:
    return state


def _no(reason: str) -> Callable[[State, CommandRequested], Verdict]:
    return lambda state, command: Verdict(yes=False, reason=reason)


def _wish(wish: Wish) -> Callable[[State, CommandRequested], State]:
    return lambda state, command: replace(state, wish=wish)


def _start(forced: Forced) -> Callable[[State, CommandRequested], State]:
    def change(state: State, command: CommandRequested) -> State:
        chosen = Forced.PRIM_ANYWAY if forced is Forced.PRIM and command.argument == "force" else forced
        wish = Wish.START if state.role is Role.STOP else state.wish
        full = command.argument == "fullsync" or state.switches.full_resync
        return replace(state.unblocked(), wish=wish, forced=chosen, full=full)

    return change


def _start_again(state: State, command: CommandRequested) -> State:
    """A start while the module ends: it starts again once it has stopped."""
    return replace(state, wish=Wish.STOPSTART) if state.wish is Wish.STOP else state


def _stop_in_wait(wish: Wish) -> Callable[[State, CommandRequested], State]:
    """Steps that lead to a start are dropped (a running script is finished first); those of an end stay."""

    def change(state: State, command: CommandRequested) -> State:
        steps = state.steps if state.wish in ENDING else ()
        return replace(state, wish=wish, steps=steps, forced=Forced.NOT, claiming=False)

    return change


def _forcestop(state: State, command: CommandRequested) -> State:
    """End the running script; a second forcestop also skips the scripts that are still to run."""
    again = state.role is Role.WAIT and state.wish is Wish.STOP
    kept = tuple(step for step in state.steps if step.kind is not StepKind.SCRIPT) if again else ()
    return replace(
        state, wish=Wish.STOP, forced=Forced.NOT, claiming=False, steps=kept, forget_scripts=state.running is not None
    )


def _forcestop_active(state: State, command: CommandRequested) -> State:
    return replace(_forcestop(state, command), wish=Wish.STOP, forget_scripts=True, leaving=False)


def _ready(state: State, what: str) -> Verdict:
    if state.status is Status.READY and state.wish is Wish.NONE:
        return ACCEPTED
    return Verdict(yes=False, reason=f"{what} needs a Ready state; now {state.role} {state.status}: {state.reason}")


def _may_restart(state: State, command: CommandRequested) -> Verdict:
    return _ready(state, "restart")


def _may_swap(state: State, command: CommandRequested) -> Verdict:
    ready = _ready(state, "swap")
    said = state.peer.said
    if not ready:
        return ready
    wanted = PRIMARY_ROLES if state.role is Role.SECOND else frozenset({Role.SECOND})
    if not state.peer.is_heard or said is None or said.role not in wanted or said.status is not Status.READY:
        return Verdict(yes=False, reason=f"swap needs both nodes Ready, and {state.settings.peer} is not")
    return ACCEPTED


def _swap(state: State, command: CommandRequested) -> State:
    if state.role is Role.SECOND:
        return replace(state, swap_requested_at_mono_ns=max(state.now_mono_ns, 1))
    return replace(state, wish=Wish.SWAP)


def _may_prim(state: State, command: CommandRequested) -> Verdict:
    if state.wish in ENDING:
        return Verdict(yes=False, reason="the module is stopping")
    force = command.argument == "force"
    return authority.may_begin_forced(state.authority, state.peer, peer_node=state.settings.peer, force=force)


def _may_second(state: State, command: CommandRequested) -> Verdict:
    if state.wish in ENDING:
        return Verdict(yes=False, reason="the module is stopping")
    if not state.peer.is_primary:
        return Verdict(yes=False, reason=f"{state.settings.peer} is not primary: use start, or prim on one node")
    return ACCEPTED


def _wakeup(state: State, command: CommandRequested) -> State:
    wish = Wish.NONE if state.wish is Wish.WAIT else state.wish
    return replace(state.unblocked(), wish=wish)


def _wait_in_wait(state: State, command: CommandRequested) -> State:
    return replace(state, blocked_by=state.blocked_by or "told to wait; wakeup ends it")


def _row(
    action: Action,
    roles: frozenset[Role] | set[Role],
    text: str,
    change: Callable[[State, CommandRequested], State] = _nothing,
    may: Callable[[State, CommandRequested], Verdict] = _always,
) -> CommandRow:
    return CommandRow(action=action, roles=frozenset(roles), may=may, change=change, text=text)


COMMANDS: tuple[CommandRow, ...] = (
    _row(Action.START, {Role.STOP}, "starts", _start(Forced.NOT)),
    _row(Action.START, RUNNING, "is already started; while it stops: starts again after", _start_again),
    _row(Action.STOP, {Role.STOP}, "is already stopped", _wish(Wish.NONE)),
    _row(Action.STOP, {Role.WAIT}, "stops", _stop_in_wait(Wish.STOP)),
    _row(Action.STOP, ACTIVE, "stops; a running script is finished first", _wish(Wish.STOP)),
    _row(Action.STOPSTART, {Role.STOP}, "refused", may=_no("the module is stopped: use start")),
    _row(Action.STOPSTART, {Role.WAIT}, "stops, then starts", _stop_in_wait(Wish.STOPSTART)),
    _row(Action.STOPSTART, ACTIVE, "stops, then starts; on a primary this is a failover", _wish(Wish.STOPSTART)),
    _row(Action.RESTART, {Role.STOP, Role.WAIT}, "refused", may=_no("restart needs a running application")),
    _row(Action.RESTART, ACTIVE, "runs stop and start scripts in place", _wish(Wish.RESTART), _may_restart),
    _row(Action.SWAP, {Role.STOP, Role.WAIT, Role.ALONE}, "refused", may=_no("swap needs PRIM and SECOND Ready")),
    _row(Action.SWAP, {Role.PRIM, Role.SECOND}, "exchanges the roles", _swap, _may_swap),
    _row(Action.PRIM, {Role.STOP, Role.WAIT}, "starts as primary", _start(Forced.PRIM), _may_prim),
    _row(Action.PRIM, PRIMARY_ROLES, "is already primary"),
    _row(Action.PRIM, {Role.SECOND}, "refused", may=_no("this node is secondary: use swap, or stop it first")),
    _row(Action.SECOND, {Role.STOP, Role.WAIT}, "starts as secondary", _start(Forced.SECOND), _may_second),
    _row(Action.SECOND, PRIMARY_ROLES, "refused", may=_no("this node is primary: use swap, or stop it first")),
    _row(Action.SECOND, {Role.SECOND}, "is already secondary"),
    _row(Action.FORCESTOP, {Role.STOP}, "is already stopped"),
    _row(Action.FORCESTOP, {Role.WAIT}, "ends the running script and stops; again: runs no more scripts", _forcestop),
    _row(Action.FORCESTOP, ACTIVE, "ends the running script and stops", _forcestop_active),
    _row(Action.WAIT, {Role.STOP}, "refused", may=_no("the module is stopped")),
    _row(Action.WAIT, {Role.WAIT}, "waits until wakeup", _wait_in_wait),
    _row(Action.WAIT, ACTIVE, "leaves the role and waits until wakeup", _wish(Wish.WAIT)),
    _row(Action.WAKEUP, {Role.STOP}, "refused", may=_no("the module is stopped: use start")),
    _row(Action.WAKEUP, RUNNING, "ends waiting", _wakeup),
    _row(Action.NOACTION, ROLES, "does nothing"),
)


def command_row(action: Action, role: Role) -> CommandRow:
    """The one row for this command in this role."""
    return next(row for row in COMMANDS if row.action is action and role in row.roles)


def requested(state: State, command: CommandRequested, command_id: str) -> State:
    """Fold a command: accept it, refuse it with a reason, or let maxloop turn it into a stop."""
    if command.action is Action.SECOND and state.role is Role.SECOND and command.argument == "fullsync":
        return refused(state, command, command_id, "stop this secondary first, then second fullsync")
    if state.wish in ENDING and command.action in (Action.RESTART, Action.SWAP, Action.WAIT):
        return refused(state, command, command_id, "the module is stopping")
    row = command_row(command.action, state.role)
    verdict = row.may(state, command)
    if not verdict:
        return refused(state, command, command_id, verdict.reason)
    if command.identity and command.action in AUTOMATIC:
        limits = loop_limits(state)
        if not state.loop.allows(state.now_mono_ns, **limits):
            stop = replace(command, action=Action.STOP)
            stopped = command_row(Action.STOP, state.role).change(state, stop)
            return replace(stopped, stopped_by_maxloop=True, loop=type(state.loop)())
        state = replace(state, loop=state.loop.counted(state.now_mono_ns, **limits))
        if command.action is Action.STOPSTART and state.settings.automatic_reboot:
            state = replace(state, reboots=state.reboots + 1)
    elif not command.identity:
        state = replace(state, loop=type(state.loop)(), stopped_by_maxloop=False)
    return row.change(replace(state, asked_by=""), command)


def loop_limits(state: State) -> dict[str, int]:
    """The limits of loop protection, as `LoopCounter` takes them."""
    return {"maxloop": state.settings.maxloop, "loop_interval_s": state.settings.loop_interval_s}


def refused(state: State, command: CommandRequested, command_id: str, reason: str) -> State:
    return replace(state, refusal=Refusal(command=command_id, action=command.action, reason=reason))
