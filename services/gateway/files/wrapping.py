"""Runs the application of a stopped module by hand: its virtual addresses and start scripts, and the reverse.

For when the module cannot be started: replication and checkers stay off, and nobody keeps track of the data.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from holdfast.config import model
from holdfast.config.model import HostNameScope, ModuleConfig
from holdfast.config.parse import parse_module
from holdfast.errors import ConfigError, EnvironmentFaultError, NotFoundError
from holdfast.links import frames
from holdfast.links.model import Address, Interface, find, is_present, parse
from holdfast.netlink.links import read_interfaces
from holdfast.netlink.packet import packet_socket
from holdfast.settings import NodeSettings
from pyroute2 import AsyncIPRoute  # type: ignore[import-untyped]
from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

from services.gateway.files.module_scripts import Ran, run_module_script
from services.gateway.files.modules import module_place

START_SCRIPTS = ("start_both", "start_prim")
STOP_SCRIPTS = ("stop_prim", "stop_both")
STATES = {"start": ("STOP", "ALONE", "start"), "stop": ("ALONE", "STOP", "stop")}
"""What the scripts are told: present state, next state, action."""


@dataclass(frozen=True, kw_only=True)
class Wrapped:
    """What was done. addresses: that this node has now (after a start), or had (before a stop)."""

    module: str
    addresses: tuple[str, ...]
    scripts: tuple[Ran, ...]


def wrapped_start(settings: NodeSettings, module: str) -> Wrapped:
    """Set the addresses, announce them, then run the start scripts."""
    config, active = _configuration(settings, module)
    addresses = asyncio.run(_hold(config, True))
    ran = tuple(_ran(settings, module, config, active, START_SCRIPTS, "start"))
    return Wrapped(module=module, addresses=addresses, scripts=ran)


def wrapped_stop(settings: NodeSettings, module: str) -> Wrapped:
    """Run the stop scripts, each also with force, then take the addresses away."""
    config, active = _configuration(settings, module)
    ran = tuple(_ran(settings, module, config, active, STOP_SCRIPTS, "stop"))
    forced = tuple(_ran(settings, module, config, active, STOP_SCRIPTS, "stop", "force"))
    return Wrapped(module=module, addresses=asyncio.run(_hold(config, False)), scripts=(*ran, *forced))


def _configuration(settings: NodeSettings, module: str) -> tuple[ModuleConfig, Path]:
    active = module_place(settings, module) / "active"
    path = active / "safeconf.xml"
    if not path.exists():
        raise NotFoundError(f"module '{module}' is not configured", hint=f"holdfast config -m {module}")
    return parse_module(path.read_bytes(), str(path), {}), active


def _ran(
    settings: NodeSettings,
    module: str,
    config: ModuleConfig,
    active: Path,
    names: tuple[str, ...],
    verb: str,
    *before: str,
) -> Iterator[Ran]:
    if config.user is None:
        return
    variables = {variable.name: variable.value for variable in config.user.variables}
    arguments = (*before, *STATES[verb])
    host = config.virtual_host
    host_name = host.name if host is not None and host.when is not HostNameScope.SECOND else ""
    for name in names:
        ran = run_module_script(
            settings, module, name, applied=active, variables=variables, arguments=arguments, host_name=host_name
        )
        if ran is not None:
            yield ran


async def _hold(config: ModuleConfig, wanted: bool) -> tuple[str, ...]:
    """Add or remove every virtual address; one that is as wanted already is let be."""
    changed: list[str] = []
    async with AsyncIPRoute() as route:
        for virtual in config.virtual_addresses:
            address = parse(_numeric(virtual.address))
            if address is None:
                raise ConfigError(f"{virtual.address!r} is not an address")
            interfaces = await read_interfaces(route)
            if is_present(address, interfaces) is wanted:
                changed += [str(address)] if wanted else []
                continue
            await _change(route, virtual, address, interfaces, wanted=wanted)
            changed.append(str(address))
    return tuple(changed)


async def _change(
    route: AsyncIPRoute,
    virtual: model.VirtualAddress,
    address: Address,
    interfaces: tuple[Interface, ...],
    *,
    wanted: bool,
) -> None:
    if wanted:
        interface, prefix = _place(virtual, address, interfaces)
    else:
        interface = next(each for each in interfaces if find(each, address) is not None)
        held = find(interface, address)
        assert held is not None, "the address is on this interface"
        prefix = held.on_link.network.prefixlen
    verb = "add" if wanted else "del"
    try:
        await route.addr(verb, index=interface.index, address=str(address), prefixlen=prefix)
    except NetlinkError as error:
        raise EnvironmentFaultError(f"{address} on {interface.name}: {error.args[-1]}", hint="become root") from error
    if wanted:
        _announce(interface, address)


def _place(virtual: model.VirtualAddress, address: Address, interfaces: tuple[Interface, ...]) -> tuple[Interface, int]:
    """The interface that the configuration names, else the one whose network the address is in."""
    for interface in interfaces:
        for held in interface.addresses:
            if address in held.on_link.network and virtual.interface.name in (None, "", interface.name):
                return interface, virtual.prefix_length or held.on_link.network.prefixlen
        if interface.name == virtual.interface.name:
            return interface, virtual.prefix_length or address.max_prefixlen
    raise ConfigError(f"no interface of this node is in the network of {address}")


def _announce(interface: Interface, address: Address) -> None:
    if not interface.hardware:
        return
    try:
        with packet_socket(interface, address) as channel:
            for frame in frames.announcements(address, interface.hardware):
                channel.send(frame)
    except OSError as error:
        raise EnvironmentFaultError(f"{address} cannot be announced: {error.strerror}") from error


def _numeric(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        pass
    try:
        return str(socket.getaddrinfo(text, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise ConfigError(f"{text!r} has no address: {error.strerror}") from error
