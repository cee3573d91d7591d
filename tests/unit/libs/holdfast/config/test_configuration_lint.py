"""Each check of the lint: what it doubts, and what it leaves alone."""

from __future__ import annotations

import pytest
from holdfast.config.lint.catalogue import CHECKS, lint
from holdfast.config.lint.doubt import Subject
from holdfast.config.model import ModuleConfig
from holdfast.config.parse import parse_cluster, parse_module

TWO_LANS = '<heart><heartbeat name="lan1"/><heartbeat name="lan2"/></heart>'
SCRIPTS = frozenset({"start_prim", "stop_prim"})
CLUSTER = parse_cluster(
    b"""<cluster><lans>
    <lan name="lan1"><node name="node1" addr="10.0.0.1"/><node name="node2" addr="10.0.0.2"/></lan>
    <lan name="lan2"><node name="node1" addr="10.0.1.1"/><node name="node2" addr="10.0.1.2"/></lan>
    </lans></cluster>""",
    "cluster.xml",
)


def module(inside: str = "", *, heart: str = TWO_LANS, service: str = "", user: str = "<user/>") -> ModuleConfig:
    text = f'<safe>\n<service mode="mirror" {service}>\n{heart}\n{inside}\n{user}\n</service></safe>'
    return parse_module(text.encode(), "userconfig.xml", {})


def names(subject: Subject) -> list[str]:
    """The names of the checks that doubt it."""
    return [problem.message.partition("]")[0].removeprefix("[") for problem in lint(subject)]


def vip(address: str = "10.0.0.9", attributes: str = "") -> str:
    return (
        f"<vip><interface_list><interface {attributes}><real_interface>"
        f'<virtual_addr addr="{address}" where="one_side_alias"/></real_interface></interface></interface_list></vip>'
    )


def rfs(path: str, inside: str = "", attributes: str = "") -> str:
    return f'<rfs {attributes}><replicated dir="{path}">{inside}</replicated></rfs>'


def tcp(attributes: str, to: str) -> str:
    return f'<check><tcp ident="web" {attributes}><to {to}/></tcp></check>'


def ping(attributes: str, to: str) -> str:
    return f'<check><ping ident="gate" {attributes}><to {to}/></ping></check>'


def ip(attributes: str) -> str:
    return f'<check><ip ident="own" {attributes}><to addr="10.0.0.9"/></ip></check>'


def witness(attributes: str) -> str:
    return f'<check><splitbrain ident="third" {attributes}/></check>'


def errd(attributes: str) -> str:
    return f'<errd><proc name="shopd" {attributes}/></errd>'


ONE_LAN = '<heart><heartbeat name="lan1"/></heart>'
SLOW_LAN = '<heart timeout="1s"><heartbeat name="lan1" pulse="1s" timeout="9s"/><heartbeat name="lan2"/></heart>'
OWN_PORT = TWO_LANS.replace("<heart>", '<heart port="9000">')
CUSTOM = '<check><custom ident="queue" exec="checks/queue.sh"/></check>'
DATA = "/srv/shop"
PID = {DATA: ("run/shop.pid", "shop.sock")}

ONE_WIRE = parse_cluster(
    b"""<cluster><lans>
    <lan name="lan1"><node name="node1" addr="10.0.0.1"/><node name="node2" addr="10.0.0.2"/></lan>
    <lan name="lan2"><node name="node1" addr="10.0.0.1"/><node name="node2" addr="10.0.0.2"/></lan>
    </lans></cluster>""",
    "cluster.xml",
)

DOUBTFUL = [
    ("heartbeat-networks", Subject(config=module(), scripts=SCRIPTS, cluster=ONE_WIRE)),
    ("heartbeat-networks", Subject(config=module(heart=ONE_LAN), scripts=SCRIPTS)),
    ("witness", Subject(config=module(witness('arg="10.0.0.254 router2"')), scripts=SCRIPTS, cluster=CLUSTER)),
    ("witness", Subject(config=module(witness('lease="10.0.1.2:4805"')), scripts=SCRIPTS, cluster=CLUSTER)),
    ("runtime-files", Subject(config=module(rfs(DATA)), scripts=SCRIPTS, runtime_files=PID)),
    (
        "unknown-units",
        Subject(config=module(errd('class="prim" service="yes"')), scripts=SCRIPTS, unknown_units=frozenset({"shopd"})),
    ),
    ("timeouts", Subject(config=module(heart=SLOW_LAN), scripts=SCRIPTS)),
    ("timeouts", Subject(config=module(tcp("", 'addr="::1" port="80" interval="2s" timeout="9s"')), scripts=SCRIPTS)),
    ("timeouts", Subject(config=module(vip("10.0.0.9", 'arpreroute="on" arpelapse="30s"')), scripts=SCRIPTS)),
    ("timeouts", Subject(config=module(ping("", 'addr="10.0.0.1" interval="1s" timeout="2s"')), scripts=SCRIPTS)),
    ("timeouts", Subject(config=module(rfs(DATA, "", 'sendtimeout="30s"')), scripts=SCRIPTS)),
    ("timeouts", Subject(config=module('<failover period="2s" handle_time="3s"/>'), scripts=SCRIPTS)),
    ("blocked-checkers", Subject(config=module(vip() + ping("", 'addr="10.0.0.9"')), scripts=SCRIPTS)),
    ("blocked-checkers", Subject(config=module(vip() + ip('when="both"')), scripts=SCRIPTS)),
    ("blocked-checkers", Subject(config=module(CUSTOM), scripts=SCRIPTS)),
    (
        "blocked-checkers",
        Subject(config=module(vip() + tcp('when="pre"', 'addr="10.0.0.9" port="80"')), scripts=SCRIPTS),
    ),
    ("blocked-checkers", Subject(config=module(tcp('when="pre"', 'addr="localhost" port="80"')), scripts=SCRIPTS)),
    ("blocked-checkers", Subject(config=module(errd('class="second"')), scripts=SCRIPTS)),
    ("other-modules", Subject(config=module(vip()), scripts=SCRIPTS, others={"mail": module(vip())})),
    (
        "other-modules",
        Subject(config=module(rfs(DATA)), scripts=SCRIPTS, others={"mail": module(rfs(f"{DATA}/mail"))}),
    ),
    (
        "other-modules",
        Subject(config=module(heart=OWN_PORT), scripts=SCRIPTS, others={"mail": module(heart=OWN_PORT)}),
    ),
    ("idle-scripts", Subject(config=module(user=""), scripts=SCRIPTS)),
    ("idle-scripts", Subject(config=module(), scripts=frozenset({"start_both"}))),
    ("loop-protection", Subject(config=module(errd(""), service='loop_interval="0"'), scripts=SCRIPTS)),
    ("loop-protection", Subject(config=module(errd(""), service='maxloop="0"'), scripts=SCRIPTS)),
    ("lost-data", Subject(config=module(rfs(DATA, "", 'syncdelta="5"')), scripts=SCRIPTS)),
    ("acknowledgement", Subject(config=module(rfs(DATA, "", 'async="second"')), scripts=SCRIPTS)),
]

HARMLESS = [
    Subject(config=module(rfs(DATA, "", 'syncdelta="60s"')), scripts=SCRIPTS),
    Subject(config=module(witness('lease="10.0.0.254:4805"')), scripts=SCRIPTS, cluster=CLUSTER),
    Subject(config=module(), scripts=SCRIPTS, cluster=CLUSTER),
    Subject(config=module(user="")),
    Subject(config=module(vip() + rfs(DATA) + errd("")), scripts=SCRIPTS, others={"mail": module(vip("10.0.0.8"))}),
    Subject(
        config=module(rfs(DATA, '<notreplicated path="run"/><notreplicated regexpath="[.]sock$"/>')),
        scripts=SCRIPTS,
        runtime_files=PID,
    ),
    Subject(config=module(rfs(DATA, '<notreplicated regexpath="!^data"/>')), scripts=SCRIPTS, runtime_files=PID),
    Subject(config=module(tcp("", 'addr="localhost" port="80"')), scripts=SCRIPTS),
    Subject(config=module(tcp('when="pre"', 'addr="10.0.0.254" port="53"')), scripts=SCRIPTS),
    Subject(config=module(errd('class="second" atmax="0"')), scripts=SCRIPTS),
    Subject(config=module(vip() + ip('when="prim"')), scripts=SCRIPTS),
    Subject(config=module(vip() + ping('when="prim"', 'addr="10.0.0.9"')), scripts=SCRIPTS),
    Subject(config=module(CUSTOM), scripts=SCRIPTS | {"checks/queue.sh"}),
    Subject(config=module(CUSTOM.replace("checks", "/opt/checks")), scripts=SCRIPTS),
    Subject(config=module(rfs(DATA, "", 'sendtimeout="4s"')), scripts=SCRIPTS),
    Subject(config=module('<failover period="5000" handle_time="15000"/>'), scripts=SCRIPTS),
    Subject(config=module('<failover handle_time="3s"/>'), scripts=SCRIPTS),
    Subject(config=module(errd('class="both" service="yes"')), scripts=SCRIPTS),
    Subject(config=module(errd('class="prim" service="yes"')), scripts=SCRIPTS, unknown_units=frozenset({"mail"})),
    Subject(config=module(errd('class="both" action="mend.sh"')), scripts=SCRIPTS),
    Subject(config=module(vip("10.0.0.9", 'arpreroute="on"')), scripts=SCRIPTS),
]


@pytest.mark.parametrize(("name", "subject"), DOUBTFUL, ids=[f"{name}-{i}" for i, (name, _) in enumerate(DOUBTFUL)])
def test_doubtful_configuration_is_warned_of(name: str, subject: Subject) -> None:
    assert names(subject) == [name]
    (problem,) = lint(subject)
    assert problem.at.line > 0
    assert "; better: " in problem.message


@pytest.mark.parametrize("subject", HARMLESS, ids=range(len(HARMLESS)))
def test_harmless_configuration_is_left_alone(subject: Subject) -> None:
    assert names(subject) == []


def test_every_check_has_a_doubtful_configuration() -> None:
    assert {name for name, _ in DOUBTFUL} == set(CHECKS)


def test_spare_network_of_the_cluster_is_proposed() -> None:
    (problem,) = lint(Subject(config=module(heart=ONE_LAN), scripts=SCRIPTS, cluster=CLUSTER))
    assert '<heartbeat name="lan2"/>' in problem.message


def test_fix_for_runtime_files_can_be_pasted() -> None:
    (problem,) = lint(Subject(config=module(rfs(DATA)), scripts=SCRIPTS, runtime_files=PID))
    assert problem.message.endswith('<notreplicated path="run/shop.pid"/> <notreplicated path="shop.sock"/>')
    inside = problem.message.partition("better: ")[2]
    assert lint(Subject(config=module(rfs(DATA, inside)), scripts=SCRIPTS, runtime_files=PID)) == ()


def test_witness_that_is_a_node_and_only_pinged_is_doubted_twice() -> None:
    found = lint(Subject(config=module(witness('arg="10.0.0.2"')), scripts=SCRIPTS, cluster=CLUSTER))
    assert [problem.message.split(":")[0] for problem in found] == [
        "[witness] witness 10.0.0.2 is an address of node 'node2'",
        "[witness] witness 'third' is only pinged",
    ]
