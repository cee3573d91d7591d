"""Checkers: what sets resources up and down. One folder and one process for each kind."""
