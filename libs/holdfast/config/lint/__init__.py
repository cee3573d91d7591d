"""Doubts about a configuration that is valid: what could happen with it, and what would be better.

One file for each kind of doubt, each with a pure function `doubts(subject)`; `catalogue` lists them.
"""
