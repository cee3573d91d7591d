"""Runs the scripts of modules: each in a process of its own, with limits, its output kept."""
