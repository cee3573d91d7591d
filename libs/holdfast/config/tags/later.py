"""Parts of userconfig.xml that this version refuses by name."""

from __future__ import annotations

from holdfast.config.schema import later_tag

FARM = later_tag("farm", "Membership of a farm module.")

VIRTUAL_INTERFACE = later_tag("virtual_interface", "An address on a virtual MAC (farm).")
LOADBALANCING_LIST = later_tag("loadbalancing_list", "Load balancing groups and rules (farm).")
