"""The REST interface: one router, one noun."""
