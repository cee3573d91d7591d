"""Checker `ip`: has this node, and nobody else, an address."""
