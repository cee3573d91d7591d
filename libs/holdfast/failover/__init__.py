"""The language of failover rules: text to `holdfast.core.rule.Rule` and back, in both written forms.

`parse` reads a text and tells every mistake with its place; `plain` and `lua` are the two forms; `ruleset` puts a
module's rules together with those made for its checkers and the default ones, which are in `default.rules` and
`table.rules` beside this file. What rules do is decided in `holdfast.core.rules`.
"""
