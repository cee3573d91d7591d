"""The language itself: one file for each part, each a declarative table of tags and attributes.

A part of the model's language that this version does not act upon is a row with status `later`
(`later.py`, or an attribute beside its neighbours), so that it is refused by name. To support it, replace
the row by its real table and give the reader's result a place in `holdfast.config.model`.
"""
