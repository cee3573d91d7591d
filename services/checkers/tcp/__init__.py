"""Checker `tcp`: can a connection be made."""
