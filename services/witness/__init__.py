"""Gives the lease of a module to one node at a time: the third voice where two nodes no longer hear each other."""
