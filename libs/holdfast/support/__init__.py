"""What supports people who run a node: the words of the log, reports, dumps, mails."""
