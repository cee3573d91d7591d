"""PURE planner of addresses: standard library only, no clock, no I/O."""

from services.vip.core.planner import own_leftovers, plan

__all__ = ["own_leftovers", "plan"]
