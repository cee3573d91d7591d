"""What an operator, or who helps one, wants of a node: reports, dumps, cleaning, the log elsewhere."""
