"""Configuration: cluster.xml, userconfig.xml and `.safe` packages, read into typed, frozen values.

`model` holds the values, `parse` makes them from text, `schema` says what the language is,
`package` reads and writes packages, `ports` derives ports from module ids. Importing this package
imports nothing else, so that a small process (the heartbeat) pays only for what it uses.
"""
