"""PURE planner of addresses: standard library only, no clock, no I/O."""

from services.vip.core.planner import is_present, own_leftovers, parse, plan

__all__ = ["is_present", "own_leftovers", "parse", "plan"]
