"""Makes the checkers of `holdfast.config.model` from sections that have been checked."""

from __future__ import annotations

from holdfast.config.model import (
    AddressCheck,
    CustomCheck,
    InterfaceCheck,
    ModuleCheck,
    PingCheck,
    Reaction,
    ScriptClass,
    SplitbrainCheck,
)
from holdfast.config.reader import Section
from holdfast.config.tags.module_check import HTTP_PORT, HTTPS_PORT

INTERVAL_MS, TIMEOUT_MS = 10_000, 5_000
"""Of a module checker without `to`; the defaults of all checkers."""


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


def module_check(section: Section) -> ModuleCheck:
    to, name = section.first("to"), section.text("name")
    if to is None:
        key = section.optional_text("ident") or name
        return ModuleCheck(
            key=key,
            name=name,
            address="",
            port=0,
            interval_ms=INTERVAL_MS,
            timeout_ms=TIMEOUT_MS,
            secure=False,
            at=section.at,
        )
    secure = to.flag("secure")
    return ModuleCheck(
        key=section.optional_text("ident") or f"{name}_{to.text('addr')}",
        name=name,
        address=to.text("addr"),
        port=to.optional_integer("port") or (HTTPS_PORT if secure else HTTP_PORT),
        interval_ms=to.milliseconds("interval"),
        timeout_ms=to.milliseconds("timeout"),
        secure=secure,
        at=section.at,
    )


def splitbrain_check(section: Section) -> SplitbrainCheck:
    return SplitbrainCheck(
        ident=section.text("ident"),
        pinged=tuple((section.optional_text("arg") or "").split()),
        lease=section.optional_text("lease"),
        at=section.at,
    )
