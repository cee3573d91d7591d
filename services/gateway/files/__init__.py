"""The node's configuration on disk: cluster, modules, and switching an applied configuration.

Used by the gateway while the node runs and by the command line while it does not. Everything is checked whole before
anything is written, and what is written is complete or not there.
"""
