"""What happened and why: the recorded journal folded again, put in order, and shown; and the traces beside it."""
