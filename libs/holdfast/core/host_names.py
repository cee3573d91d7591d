"""Which scripts have the module's virtual host name from their start."""

from __future__ import annotations

from holdfast.core.settings import VirtualHost
from holdfast.core.state import Change, Step
from holdfast.events.state import Role

PRIMARY = frozenset({Role.ALONE, Role.PRIM})
SECONDARY = frozenset({Role.SECOND})


def name_of(host: VirtualHost | None) -> str:
    """The virtual name; empty without one."""
    return "" if host is None else host.name


def script_has_name(host: VirtualHost | None, step: Step) -> bool:
    """Those of the role that `when` names, and of groups that run in several roles those of a change into or out of
    it."""
    if host is None or not step.group:
        return False
    if host.when in ("both", step.group):
        return True
    if step.group not in ("both", "sec"):
        return False
    change = step.change or Change()
    return _is_named(host, change.next if step.script.startswith("start_") else change.current)


def handler_has_name(host: VirtualHost | None, role: Role) -> bool:
    """A handler belongs to the present role."""
    return host is not None and (host.when == "both" or _is_named(host, role))


def _is_named(host: VirtualHost, role: Role) -> bool:
    return role in (PRIMARY if host.when == "prim" else SECONDARY)
