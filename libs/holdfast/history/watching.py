"""What a configuration wants watched: its own checkers, and those that interfaces and virtual addresses ask for."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.config import model
from holdfast.config.model import ModuleConfig, ModuleMode, Reaction, ScriptClass
from holdfast.core.settings import PrivateClass, Watches
from holdfast.events.module import (
    AddressWatch,
    CustomWatch,
    InterfaceWatch,
    ModuleWatch,
    PingWatch,
    ProcessWatch,
    TcpWatch,
    WatchResources,
)


def watches_of(config: ModuleConfig) -> Watches:
    """What to watch in each class. Where an address stands, a host name may stand."""

    def of(script_class: ScriptClass) -> WatchResources:
        return WatchResources(
            processes=tuple(
                _process(watch)
                for watch in config.processes
                if watch.script_class is script_class and not watch.private_class
            ),
            tcp=tuple(_tcp(check) for check in config.tcp_checks if check.when is script_class),
            ping=tuple(_ping(check) for check in config.ping_checks if check.when is script_class),
            interfaces=_interfaces(config) if script_class is ScriptClass.PRE else (),
            addresses=_addresses(config, script_class),
            custom=tuple(_custom(check, config) for check in config.custom_checks if check.when is script_class),
            modules=tuple(_module(check) for check in config.module_checks) if script_class is ScriptClass.PRE else (),
        )

    return Watches(
        pre=of(ScriptClass.PRE),
        prim=of(ScriptClass.PRIM),
        second=of(ScriptClass.SECOND),
        sec=of(ScriptClass.SEC),
        both=of(ScriptClass.BOTH),
        private=tuple(
            PrivateClass(
                name=name, processes=tuple(_process(each) for each in config.processes if each.private_class == name)
            )
            for name in dict.fromkeys(watch.private_class for watch in config.processes if watch.private_class)
        ),
    )


def watched_addresses(config: ModuleConfig) -> Iterator[str]:
    """The texts of checkers that have to be addresses of this node, and may be host names."""
    yield from (check.address for check in config.interface_checks)
    yield from (check.address for check in config.address_checks)


def _interfaces(config: ModuleConfig) -> tuple[InterfaceWatch, ...]:
    """Those written as checkers, then one for each interface by name, or for each address whose interface has none."""
    found = {check.ident: InterfaceWatch(ident=check.ident, address=check.address) for check in config.interface_checks}
    for virtual in config.virtual_addresses:
        name = virtual.interface.name or ""
        if virtual.interface.check:
            ident = name or virtual.address
            found.setdefault(ident, InterfaceWatch(ident=ident, interface=name, address=virtual.address))
    return tuple(found.values())


def _addresses(config: ModuleConfig, script_class: ScriptClass) -> tuple[AddressWatch, ...]:
    """Those written as checkers, then one for each virtual address: where it is held, it has to be there."""
    held_in = ScriptClass.BOTH if config.service.mode is ModuleMode.FARM else ScriptClass.PRIM
    found = {check.ident: _address(check) for check in config.address_checks if check.when is script_class}
    for virtual in config.virtual_addresses if script_class is held_in else ():
        if virtual.check:
            found.setdefault(virtual.address, AddressWatch(ident=virtual.address, address=virtual.address))
    return tuple(found.values())


def _process(watch: model.WatchedProcess) -> ProcessWatch:
    """A handler that fails leads to stopstart, so that is the action of its resource."""
    reaction = Reaction.STOPSTART if watch.reaction is Reaction.HANDLER else watch.reaction
    return ProcessWatch(
        name=watch.name,
        name_regex=watch.name_regex or "",
        argument_regex=watch.argument_regex or "",
        at_least=watch.at_least,
        at_most=watch.at_most,
        action=reaction.value,
        start_after_s=-(-watch.start_after_ms // 1000),
        poll_interval_ms=watch.poll_ms,
        unit=watch.unit,
    )


def _tcp(check: model.TcpCheck) -> TcpWatch:
    return TcpWatch(
        ident=check.ident,
        address=check.address,
        port=check.port,
        interval_ms=check.interval_ms,
        timeout_ms=check.timeout_ms,
        action=check.reaction.value,
    )


def _ping(check: model.PingCheck) -> PingWatch:
    return PingWatch(
        ident=check.ident,
        address=check.address,
        interval_ms=check.interval_ms,
        timeout_ms=check.timeout_ms,
        action=check.reaction.value,
    )


def _address(check: model.AddressCheck) -> AddressWatch:
    return AddressWatch(ident=check.ident, address=check.address, interval_ms=check.interval_ms)


def _custom(check: model.CustomCheck, config: ModuleConfig) -> CustomWatch:
    return CustomWatch(
        ident=check.ident,
        program=check.program,
        arguments=check.arguments,
        environment=tuple((item.name, item.value) for item in config.user.variables) if config.user else (),
        action=check.reaction.value,
    )


def _module(check: model.ModuleCheck) -> ModuleWatch:
    return ModuleWatch(
        key=check.key,
        name=check.name,
        address=check.address,
        port=check.port,
        interval_ms=check.interval_ms,
        timeout_ms=check.timeout_ms,
        secure=check.secure,
    )
