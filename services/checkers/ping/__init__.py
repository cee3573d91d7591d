"""Checker `ping`: does an address answer echo requests."""
