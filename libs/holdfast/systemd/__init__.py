"""Asks the running systemd for the states of its units, over D-Bus."""
