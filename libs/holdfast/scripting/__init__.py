"""What every script of a module finds, whoever runs it: its environment, and the commands below `$SAFE`."""
