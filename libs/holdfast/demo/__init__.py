"""The demonstration: a PostgreSQL mirror in a lab, its primary killed, nothing lost. `python -m holdfast.demo`."""
