"""Checker `custom`: programs of modules that assign their resources themselves."""
