"""Checker `module`: does another module serve, here or in another cluster."""
