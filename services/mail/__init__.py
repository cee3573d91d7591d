"""Sends mails about what happens to modules."""
