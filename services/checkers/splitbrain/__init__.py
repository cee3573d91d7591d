"""Checker `splitbrain`: what the witness says."""
