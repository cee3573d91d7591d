"""The public test kit: real servers and services for tests, and the simulator."""
