"""Module ids and the ports that follow from them, as the model derives them."""

from __future__ import annotations

from typing import NewType

ModuleNumber = NewType("ModuleNumber", int)
"""The numeric id of a module, the same on all nodes (`holdfast.ids.ModuleId` is its name)."""

MODULE_ID_MIN = 1
MODULE_ID_MAX = 255
"""Largest id with which no port range reaches into the next one (asserted below)."""

HEART_PORT_BASE = 8888
"""UDP; the heartbeats of module 1."""
REPLICATION_PORT_BASE = 5600
"""TCP; the replication of module 1. A module owns four ports, of which the first is used."""
REPLICATION_PORT_STEP = 4
FARM_PORT_BASE = 4803
"""UDP; the farm membership of module 1."""
FARM_PORT_STEP = 3

assert FARM_PORT_BASE + FARM_PORT_STEP * (MODULE_ID_MAX - 1) < REPLICATION_PORT_BASE
assert REPLICATION_PORT_BASE + REPLICATION_PORT_STEP * (MODULE_ID_MAX - 1) < HEART_PORT_BASE


def module_number(number: int) -> ModuleNumber:
    """Checks a number given as module id; ValueError says the range."""
    if not MODULE_ID_MIN <= number <= MODULE_ID_MAX:
        raise ValueError(f"module id {number} is not between {MODULE_ID_MIN} and {MODULE_ID_MAX}")
    return ModuleNumber(number)


def heart_port(number: ModuleNumber) -> int:
    """UDP port of the heartbeats of a module whose configuration names none."""
    return HEART_PORT_BASE + (number - 1)


def replication_port(number: ModuleNumber) -> int:
    """TCP port of the replication of a module."""
    return REPLICATION_PORT_BASE + REPLICATION_PORT_STEP * (number - 1)


def farm_port(number: ModuleNumber) -> int:
    """UDP port of the membership of a farm module."""
    return FARM_PORT_BASE + FARM_PORT_STEP * (number - 1)
