"""Makes the checkers of `holdfast.config.model` from sections that have been checked."""

from __future__ import annotations

from holdfast.config.model import AddressCheck, CustomCheck, InterfaceCheck, PingCheck, Reaction, ScriptClass
from holdfast.config.reader import Section


def ping_check(section: Section) -> PingCheck:
    to = section.first("to")
    assert to is not None, "the table makes <to> necessary"
    when = ScriptClass(section.text("when"))
    default = Reaction.WAIT if when is ScriptClass.PRE else Reaction.RESTART
    return PingCheck(
        ident=section.text("ident"),
        when=when,
        reaction=Reaction(section.optional_text("action") or default),
        address=to.text("addr"),
        interval_ms=to.milliseconds("interval"),
        timeout_ms=to.milliseconds("timeout"),
        at=section.at,
    )


def interface_check(section: Section) -> InterfaceCheck:
    to = section.first("to")
    assert to is not None, "the table makes <to> necessary"
    return InterfaceCheck(ident=section.text("ident"), address=to.text("local_addr"), at=section.at)


def address_check(section: Section, *, is_farm: bool) -> AddressCheck:
    to = section.first("to")
    assert to is not None, "the table makes <to> necessary"
    default = ScriptClass.BOTH if is_farm else ScriptClass.PRIM
    return AddressCheck(
        ident=section.text("ident"),
        when=ScriptClass(section.optional_text("when") or default),
        address=to.text("addr"),
        interval_ms=to.milliseconds("interval"),
        at=section.at,
    )


def custom_check(section: Section) -> CustomCheck:
    return CustomCheck(
        ident=section.text("ident"),
        when=ScriptClass(section.text("when")),
        reaction=Reaction(section.text("action")),
        program=section.text("exec"),
        arguments=tuple(section.text("arg").split()),
        at=section.at,
    )
