"""The lease witness: its rules, and what is said on the wire. Shared by the service and those who ask it."""
