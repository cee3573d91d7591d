"""The way in: REST and events over HTTP, and the command line."""
