"""Makes the values of `holdfast.config.model` from sections that have been checked."""

from __future__ import annotations

from holdfast.config.build_checks import (
    address_check,
    custom_check,
    interface_check,
    module_check,
    ping_check,
    splitbrain_check,
)
from holdfast.config.heartbeats import flow_ident, ident_of, servers_of
from holdfast.config.model import (
    Acknowledgement,
    AddressPlacement,
    BootPolicy,
    ClusterConfig,
    FailoverSettings,
    Heartbeat,
    HeartSettings,
    HostNameScope,
    InterfaceSettings,
    Lan,
    LanName,
    LanNode,
    Macro,
    ModuleConfig,
    ModuleMode,
    NamePattern,
    Reaction,
    ReplicatedDirectory,
    ReplicationSettings,
    ScriptClass,
    ScriptLogging,
    ServiceSettings,
    TcpCheck,
    UserSettings,
    UserVariable,
    VirtualAddress,
    VirtualHost,
    WatchedProcess,
)
from holdfast.config.problem import Report
from holdfast.config.reader import Section
from holdfast.config.rules import rule_texts
from holdfast.config.semantics import service_names
from holdfast.config.tags.errd import MODEL_POLL_MS
from holdfast.config.timing import pulse_and_timeout
from holdfast.failover.parse import read_texts
from holdfast.ids import NodeId


def build_cluster(root: Section, *, signature: str, source: str, warnings: tuple[str, ...]) -> ClusterConfig:
    """The cluster configuration; without a marked lan the first one carries commands."""
    lans = root.first("lans")
    assert lans is not None
    sections = list(lans.all("lan"))
    marked = [lan.flag("command") for lan in sections]
    command = marked.index(True) if any(marked) else 0
    return ClusterConfig(
        port=lans.integer("port"),
        pulse_ms=lans.milliseconds("pulse"),
        mlost_count=lans.integer("mlost_count"),
        slost_count=lans.integer("slost_count"),
        lans=tuple(_lan(lan, index == command) for index, lan in enumerate(sections)),
        signature=signature,
        source=source,
        warnings=warnings,
    )


def _lan(section: Section, command: bool) -> Lan:
    nodes = tuple(
        LanNode(
            name=NodeId(node.text("name")),
            address=node.text("addr"),
            local_address=node.optional_text("laddr"),
            at=node.at,
        )
        for node in section.all("node")
    )
    return Lan(name=LanName(section.text("name")), command=command, nodes=nodes, at=section.at)


def build_module(root: Section, *, signature: str, source: str, warnings: tuple[str, ...]) -> ModuleConfig:
    """The module configuration."""
    service, vip, rfs, user = (
        root.first("service"),
        root.first("service", "vip"),
        root.first("service", "rfs"),
        root.first("service", "user"),
    )
    assert service is not None
    return ModuleConfig(
        service=_service(service),
        heart=_heart(service),
        virtual_addresses=tuple(_virtual_addresses(service)),
        tcp_reset=vip.flag("tcpreset") if vip is not None else True,
        replication=_replication(rfs) if rfs is not None else None,
        user=_user(user) if user is not None else None,
        processes=tuple(_process(errd, proc) for errd in service.all("errd") for proc in errd.all("proc")),
        tcp_checks=tuple(_tcp_check(check) for check in service.all("check", "tcp")),
        ping_checks=tuple(ping_check(check) for check in service.all("check", "ping")),
        interface_checks=tuple(interface_check(check) for check in service.all("check", "intf")),
        address_checks=tuple(
            address_check(check, is_farm=service.text("mode") == ModuleMode.FARM)
            for check in service.all("check", "ip")
        ),
        custom_checks=tuple(custom_check(check) for check in service.all("check", "custom")),
        module_checks=tuple(module_check(check) for check in service.all("check", "module")),
        splitbrain=next((splitbrain_check(check) for check in service.all("check", "splitbrain")), None),
        failover=_failover(service),
        virtual_host=next((_virtual_host(each) for each in service.all("vhost", "virtualhostname")), None),
        macros=tuple(Macro(name=macro.text("name"), value=macro.text("value")) for macro in root.all("macro")),
        signature=signature,
        source=source,
        warnings=warnings,
    )


def _failover(service: Section) -> FailoverSettings:
    failover = service.first("failover")
    if failover is None:
        return FailoverSettings()
    written = read_texts(rule_texts(failover), Report(source=""))
    return FailoverSettings(
        extends=failover.flag("extends"),
        period_ms=failover.milliseconds("period"),
        handle_time_ms=failover.milliseconds("handle_time"),
        rules=tuple(str(read.rule) for read in written.rules),
        disabled=tuple(each.label for each in written.disabled),
        at=failover.at,
    )


def _virtual_host(section: Section) -> VirtualHost:
    return VirtualHost(
        name=section.text("name"),
        env_file=section.text("envfile"),
        when=HostNameScope(section.text("when")),
        at=section.at,
    )


def _service(section: Section) -> ServiceSettings:
    return ServiceSettings(
        mode=ModuleMode(section.text("mode")),
        boot=BootPolicy(section.text("boot")),
        boot_delay_s=section.seconds("boot_delay"),
        failover=section.flag("failover"),
        defaultprim=section.text("defaultprim"),
        maxloop=section.integer("maxloop"),
        loop_interval_s=section.seconds("loop_interval"),
        automatic_reboot=section.flag("automatic_reboot"),
        at=section.place("defaultprim"),
    )


def _heart(service: Section) -> HeartSettings:
    heart = service.first("heart")
    assert heart is not None, "the table makes <heart> necessary"
    pulse_ms, timeout_ms = pulse_and_timeout([heart])
    return HeartSettings(
        port=heart.optional_integer("port"),
        pulse_ms=pulse_ms,
        timeout_ms=timeout_ms,
        heartbeats=tuple(_heartbeat(heart, beat) for beat in heart.all("heartbeat")),
        flow_ident=flow_ident(service),
        at=heart.place("port"),
    )


def _heartbeat(heart: Section, beat: Section) -> Heartbeat:
    pulse_ms, timeout_ms = pulse_and_timeout([heart, beat])
    return Heartbeat(
        lan=LanName(beat.optional_text("name") or ""),
        ident=ident_of(beat) or "",
        pulse_ms=pulse_ms,
        timeout_ms=timeout_ms,
        servers=servers_of(beat),
        at=beat.place("name"),
    )


def _virtual_addresses(service: Section) -> list[VirtualAddress]:
    addresses: list[VirtualAddress] = []
    for interface in service.all("vip", "interface_list", "interface"):
        settings = InterfaceSettings(
            name=interface.optional_text("name"),
            check=interface.flag("check"),
            arp_reroute=interface.flag("arpreroute"),
            arp_interval_s=interface.seconds("arpinterval"),
            arp_elapse_s=interface.seconds("arpelapse"),
        )
        for item in interface.all("real_interface", "virtual_addr"):
            address = VirtualAddress(
                address=item.text("addr"),
                placement=AddressPlacement(item.text("where")),
                check=item.flag("check"),
                prefix_length=item.optional_integer("netmask"),
                interface=settings,
                at=item.place("addr"),
            )
            addresses.append(address)
    return addresses


SYNC_DELTA_S_NONE = 60
"""A minute or less asks for nothing, as with the model."""


def _sync_delta_s(section: Section) -> int:
    span_s = section.seconds("syncdelta")
    return span_s if span_s > SYNC_DELTA_S_NONE else 0


def _replication(section: Section) -> ReplicationSettings:
    return ReplicationSettings(
        acknowledgement=Acknowledgement(section.text("async")),
        acl=section.flag("acl"),
        resync_workers=section.integer("nbrei"),
        resync_packet_bytes=section.integer("reipacketsize"),
        resync_bandwidth_kib_s=section.optional_integer("reiallowedbw"),
        send_timeout_s=section.optional_seconds("sendtimeout"),
        lock_timeout_s=section.seconds("locktimeout"),
        resync_timeout_s=section.seconds("reitimeout"),
        connections=section.integer("nbremconn"),
        scripts=section.flag("scripts"),
        sync_delta_s=_sync_delta_s(section),
        directories=tuple(_directory(directory) for directory in section.all("replicated")),
        at=section.at,
    )


def _directory(section: Section) -> ReplicatedDirectory:
    left_out = list(section.all("notreplicated"))
    patterns = [regex for item in left_out if (regex := item.optional_text("regexpath")) is not None]
    return ReplicatedDirectory(
        path=section.text("dir"),
        excluded_paths=tuple(path for item in left_out if (path := item.optional_text("path")) is not None),
        excluded_names=tuple(
            NamePattern(pattern=regex.removeprefix("!"), inverted=regex.startswith("!")) for regex in patterns
        ),
        required_paths=tuple(item.text("path") for item in section.all("tocheck")),
        at=section.place("dir"),
    )


def _user(section: Section) -> UserSettings:
    return UserSettings(
        nice_stop_timeout_s=section.seconds("nicestoptimeout"),
        force_stop_timeout_s=section.seconds("forcestoptimeout"),
        logging=ScriptLogging(section.text("logging")),
        log_size_kib=section.integer("userlogsize"),
        variables=tuple(UserVariable(name=var.text("name"), value=var.text("value")) for var in section.all("var")),
    )


def _process(errd: Section, proc: Section) -> WatchedProcess:
    poll_ms = errd.milliseconds("polltimer")
    grace_poll_ms = poll_ms if errd.gives("polltimer") else MODEL_POLL_MS
    action, of_class = proc.text("action"), proc.text("class")
    is_word = action in {reaction.value for reaction in Reaction}
    ignores_least = not proc.gives("atleast") and proc.integer("atmax") == 0
    return WatchedProcess(
        name=proc.text("name"),
        unit=proc.flag("service"),
        name_regex=proc.optional_text("nameregex"),
        argument_regex=proc.optional_text("argregex"),
        script_class=ScriptClass(of_class) if of_class in set(ScriptClass) else ScriptClass.PRE,
        private_class="" if of_class in set(ScriptClass) else of_class,
        reaction=Reaction(action) if is_word else Reaction.HANDLER,
        handler=None if is_word else action,
        at_least=-1 if ignores_least else proc.integer("atleast"),
        at_most=proc.integer("atmax"),
        start_after_ms=max(0, proc.integer("start_after") - 1) * grace_poll_ms,
        poll_ms=poll_ms,
        restart_services=service_names(proc.optional_text("restart_services") or ""),
        at=proc.at,
    )


def _tcp_check(section: Section) -> TcpCheck:
    to = section.first("to")
    assert to is not None, "the table makes <to> necessary"
    when = ScriptClass(section.text("when"))
    default = Reaction.WAIT if when is ScriptClass.PRE else Reaction.RESTART
    return TcpCheck(
        ident=section.text("ident"),
        when=when,
        reaction=Reaction(section.optional_text("action") or default),
        address=to.text("addr"),
        port=to.integer("port"),
        interval_ms=to.milliseconds("interval"),
        timeout_ms=to.milliseconds("timeout"),
        at=section.at,
    )
