"""What the table cannot say: conditions between several values of one file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from holdfast.config.heartbeats import check_servers, ident_of
from holdfast.config.model import FLOW_IDENT, Position
from holdfast.config.problem import Report, excerpt
from holdfast.config.reader import Section
from holdfast.config.rules import check_failover
from holdfast.config.semantics_checks import check_checkers
from holdfast.config.tags.errd import COMMAND_NAME_BYTES_MAX
from holdfast.config.tags.heart import PULSES_PER_TIMEOUT_MIN
from holdfast.config.timing import pulse_and_timeout

RESERVED_TREES = ("/proc", "/sys", "/dev", "/run", "/etc/holdfast", "/var/lib/holdfast")
"""Trees that are no files, belong to one machine, or hold the product's own records: never replicated."""

SCRIPT_NAME = re.compile(
    r"(start|stop)_(both|prim|second|sec)|prestart|poststop|transition|update|(post|de)?config|confcheck|state|level"
)
SERVICE_NAME = re.compile(r"[A-Za-z0-9_.:@+-]{1,255}\Z")
"""systemd.unit(5): 255 characters at most; without the backslash, which only escaped paths need."""


def check_cluster(root: Section, report: Report) -> None:
    """Names and addresses occur once, and one lan reaches every node."""
    lans = list(root.all("lans", "lan"))
    _check_unique(((lan.optional_text("name"), lan.place("name")) for lan in lans), "lan", report)
    for lan in lans:
        nodes = list(lan.all("node"))
        _check_unique(((node.optional_text("name"), node.place("name")) for node in nodes), "node", report)
    _check_addresses(lans, report)
    _check_command_lan(lans, report)


def _check_addresses(lans: Sequence[Section], report: Report) -> None:
    """An address belongs to one node; the same node may use it on several lans, but should not."""
    owners: dict[str, str] = {}
    for node in (node for lan in lans for node in lan.all("node")):
        name, address = node.optional_text("name"), node.optional_text("addr")
        if name is None or address is None:
            continue
        owner = owners.setdefault(address, name)
        if owner != name:
            report.error(
                node.place("addr"),
                f"address {address} of node '{name}' is already that of node '{owner}'",
                accepted="one address for each node",
            )


def _check_command_lan(lans: Sequence[Section], report: Report) -> None:
    marked = [lan for lan in lans if lan.has("command") and lan.flag("command")]
    for lan in marked[1:]:
        report.error(lan.place("command"), "a second lan carries commands", accepted='command="on" once')
    command = next(iter(marked or lans), None)
    if command is None:
        return
    everyone = {name: None for lan in lans for node in lan.all("node") if (name := node.optional_text("name"))}
    present = {node.optional_text("name") for node in command.all("node")}
    called = f", '{own}'," if (own := command.optional_text("name")) is not None else ""
    for name in everyone:
        if name not in present:
            report.error(
                command.at,
                f"the lan for commands{called} lacks node '{name}'",
                accepted="a lan with every node of the cluster, marked command or written first",
            )


def check_module(root: Section, report: Report) -> None:
    """Every condition between values of a userconfig.xml."""
    _check_unique(((macro.optional_text("name"), macro.place("name")) for macro in root.all("macro")), "macro", report)
    service = root.first("service")
    if service is None:
        return
    _check_macros_first(root, report)
    _check_heart(service, report)
    _check_virtual_addresses(service, report)
    _check_replication(service, report)
    _check_user(service, report)
    _check_virtual_host(service, report)
    _check_reboot(service, report)
    _check_processes(service, report)
    _check_tcp(service, report)
    check_checkers(service, report)
    check_failover(service, report)


def _check_macros_first(root: Section, report: Report) -> None:
    names = [child.tag.name for child in root.children]
    for child in root.children[names.index("service") :]:
        if child.tag.name == "macro":
            report.error(child.at, "<macro> stands after <service>", accepted="macros first")


def _check_heart(service: Section, report: Report) -> None:
    heart = service.first("heart")
    if heart is None:
        return
    beats = list(heart.all("heartbeat"))
    _check_unique(((beat.optional_text("name"), beat.place("name")) for beat in beats), "heartbeat on lan", report)
    check_servers(service, report)
    idents = ((ident_of(beat), beat.place("ident")) for beat in beats)
    _check_unique(idents, "heartbeat ident", report)
    _check_timing([heart], report)
    for beat in beats:
        if beat.has("pulse") or beat.has("timeout"):
            _check_timing([heart, beat], report)
        if beat.optional_text("ident") == FLOW_IDENT and service.first("rfs") is None:
            report.warn(beat.place("ident"), "ident 'flow' selects the replication network, but nothing is replicated")


def _check_timing(chain: Sequence[Section], report: Report) -> None:
    pulse_ms, timeout_ms = pulse_and_timeout(chain)
    if timeout_ms < PULSES_PER_TIMEOUT_MIN * pulse_ms:
        report.error(
            chain[-1].place("timeout" if chain[-1].gives("timeout") else "pulse"),
            f"timeout {timeout_ms}ms is less than {PULSES_PER_TIMEOUT_MIN} pulses of {pulse_ms}ms",
            accepted=f"timeout of at least {PULSES_PER_TIMEOUT_MIN * pulse_ms}ms, or a shorter pulse",
        )


def _check_virtual_addresses(service: Section, report: Report) -> None:
    addresses = list(
        service.all("vip", "interface_list", "interface", "real_interface", "virtual_addr"),
    )
    _check_unique(((item.optional_text("addr"), item.place("addr")) for item in addresses), "virtual address", report)
    for item in addresses:
        address = item.optional_text("addr")
        if address is not None and ":" in address and item.gives("netmask"):
            report.error(item.place("netmask"), "netmask on an IPv6 address", accepted="netmask with IPv4 only")
    for vip in service.all("vip"):
        if vip.first("interface_list", "interface") is not None and not addresses:
            report.error(vip.at, "<vip> has no <virtual_addr>", accepted="at least one address in <real_interface>")


def _check_replication(service: Section, report: Report) -> None:
    directories = list(service.all("rfs", "replicated"))
    seen: list[str] = []
    for directory in directories:
        _check_left_out(directory, report)
        path = directory.optional_text("dir")
        if path is None:
            continue
        _check_reserved(path, directory.place("dir"), report)
        for other in seen:
            if overlap(path, other):
                report.error(
                    directory.place("dir"),
                    f"replicated directories overlap: {path} and {other}",
                    accepted="directories that do not contain each other",
                )
        seen.append(path)


def _check_left_out(directory: Section, report: Report) -> None:
    for left_out in directory.all("notreplicated"):
        if left_out.gives("path") == left_out.gives("regexpath"):
            report.error(left_out.at, "<notreplicated> needs one of path and regexpath", accepted="one of them")


def _check_reserved(path: str, at: Position, report: Report) -> None:
    if path == "/":
        report.error(at, "the root directory cannot be replicated", accepted="a directory of the application")
        return
    for reserved in RESERVED_TREES:
        if overlap(path, reserved):
            report.error(at, f"{path} cannot be replicated because of {reserved}", accepted="other directories")
            return


def overlap(path: str, other: str) -> bool:
    """Is one of two absolute, normalised paths the other one or inside it."""
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def _check_user(service: Section, report: Report) -> None:
    user, errd = service.first("user"), service.first("errd")
    if user is None:
        if errd is not None:
            report.error(errd.at, "<errd> needs <user>", accepted="<user/> in <service>")
        return
    names = ((var.optional_text("name"), var.place("name")) for var in user.all("var"))
    _check_unique(names, "variable", report)


def _check_reboot(service: Section, report: Report) -> None:
    """Without loop protection a node whose application does not start would reboot for ever."""
    reboots = service.has("automatic_reboot") and service.flag("automatic_reboot")
    if reboots and service.has("loop_interval") and service.seconds("loop_interval") == 0:
        report.error(
            service.place("automatic_reboot"),
            "automatic_reboot without loop protection reboots without end",
            accepted="a loop_interval above 0",
        )


def _check_virtual_host(service: Section, report: Report) -> None:
    """Its file is for scripts, and must not be one: it would take the script's place."""
    for host in service.all("vhost", "virtualhostname"):
        if service.first("user") is None:
            report.error(host.at, "<virtualhostname> needs <user>", accepted="<user/> in <service>")
        file = host.optional_text("envfile") or ""
        if SCRIPT_NAME.fullmatch(file):
            report.error(host.place("envfile"), f"envfile is the script {file}", accepted="another name, as vhostenv")


def _check_processes(service: Section, report: Report) -> None:
    processes = list(service.all("errd", "proc"))
    _check_unique(((proc.optional_text("name"), proc.place("name")) for proc in processes), "proc", report)
    for proc in processes:
        name, is_unit = proc.optional_text("name"), proc.has("service") and proc.flag("service")
        if name is not None and not is_unit and len(name) > COMMAND_NAME_BYTES_MAX:
            report.error(
                proc.place("name"),
                f"command name '{name}' is longer than the kernel keeps",
                accepted=f'at most {COMMAND_NAME_BYTES_MAX} characters, or a systemd unit with service="yes"',
            )
        for regex in ("nameregex", "argregex"):
            if is_unit and proc.gives(regex):
                report.error(proc.place(regex), f"{regex} on a systemd unit", accepted='service="no"')
            elif (pattern := proc.optional_text(regex)) and pattern.startswith("!"):
                report.error(proc.place(regex), f"{regex} cannot be inverted", accepted="an expression without '!'")
        _check_restart_services(proc, is_unit, report)
        _check_counts(proc, report)


def service_names(text: str) -> tuple[str, ...]:
    """The names in a list separated by commas."""
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _check_restart_services(proc: Section, is_unit: bool, report: Report) -> None:
    text = proc.optional_text("restart_services")
    if text is None:
        return
    at = proc.place("restart_services")
    if not is_unit or proc.optional_text("action") != "restart":
        report.error(at, "restart_services without a service to restart", accepted='service="yes" and action="restart"')
    for name in service_names(text) or ("",):
        if not SERVICE_NAME.match(name):
            report.error(at, f"{excerpt(name)} is not the name of a service", accepted="names separated by commas")


def _check_counts(proc: Section, report: Report) -> None:
    if not (proc.gives("atleast") and proc.has("atleast") and proc.has("atmax")):
        return
    at_least, at_most = proc.integer("atleast"), proc.integer("atmax")
    if 0 <= at_most < at_least:
        report.error(
            proc.place("atmax"),
            f"atmax {at_most} is below atleast {at_least}",
            accepted="atmax of at least atleast, or -1 for either",
        )


def _check_tcp(service: Section, report: Report) -> None:
    checks = list(service.all("check", "tcp"))
    _check_unique(((check.optional_text("ident"), check.place("ident")) for check in checks), "tcp ident", report)
    for check in checks:
        action = check.optional_text("action")
        if check.optional_text("when") == "pre" and action not in (None, "wait", "noaction"):
            report.error(check.place("action"), f"action '{action}' with when=\"pre\"", accepted="wait, noaction")


def _check_unique(items: Iterable[tuple[str | None, Position]], what: str, report: Report) -> None:
    seen: dict[str, Position] = {}
    for name, at in items:
        if name is None:
            continue
        first = seen.setdefault(name, at)
        if first is not at:
            report.error(at, f"{what} '{name}' a second time, first in line {first.line}", accepted="each name once")
