"""Checker `intf`: is a network interface up, with carrier."""
