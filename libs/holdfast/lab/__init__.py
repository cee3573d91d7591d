"""Whole clusters on one machine, without a container engine.

A lab is a set of nodes, a client and the switches between them, made of Linux namespaces. Use
`holdfast.lab.lab.Lab` from a program, or `holdfast lab` from a shell. `README.md` beside this file says how
it is built.
"""
