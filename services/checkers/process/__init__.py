"""Checker `process`: do the processes of the application run."""
