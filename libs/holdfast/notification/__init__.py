"""Mails about what happens to modules: the node's settings for them, what is worth one, its text, its sending."""
