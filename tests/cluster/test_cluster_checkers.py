"""Checkers in whole nodes: what they find leads to the action that the configuration names, and its end is seen too.

Each test prints how long it took from the fault to the resource and to the state, by the clock that the nodes share.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.cluster.mirror import MODULE, NODES, VIRTUAL_ADDRESS, Mirror, mirror

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

TARGET = "10.77.1.200"
BRIDGED = "10.200.0.100"
CONFIGURATION = f"""
<safe>
 <service mode="mirror" maxloop="100">
  <heart><heartbeat name="lan1" ident="lan1"/><heartbeat name="lan2" ident="flow"/></heart>
  <vip>
   <interface_list>
    <interface>
     <real_interface><virtual_addr addr="{VIRTUAL_ADDRESS}" where="one_side_alias"/></real_interface>
    </interface>
    <interface check="off">
     <real_interface><virtual_addr addr="{BRIDGED}" where="one_side_alias"/></real_interface>
    </interface>
   </interface_list>
  </vip>
  <rfs><replicated dir="/var/lib/app"/></rfs>
  <user><var name="ILL" value="/run/ill"/></user>
  <check>
   <ping ident="target" when="prim" action="restart"><to addr="{TARGET}" interval="1s" timeout="1s"/></ping>
   <custom ident="health" when="prim" exec="check_health" arg="0.1" action="restart"/>
  </check>
 </service>
</safe>
"""
PRESTART = """#!/bin/sh
[ -e /sys/class/net/inner ] && exit 0
ip link add inner type bridge
ip addr add 10.200.0.1/24 dev inner
ip link set inner up
"""
START = """#!/bin/sh
rm -f "$ILL"
date >>/run/starts
"""
CHECK = """#!/bin/sh
# $1 module, $2 resource, $3 pause
said=
while :; do
    if [ -e "$ILL" ]; then found=down; else found=up; fi
    [ "$found" = "$said" ] || $SAFE/safekit set -m "$1" -r "$2" -v "$found" -i check_health && said=$found
    sleep "$3"
done
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """One cluster for this file."""
    scripts = {"prestart": PRESTART, "start_prim": START, "stop_prim": "#!/bin/sh\n", "check_health": CHECK}
    folder = tmp_path_factory.mktemp("checkers")
    with mirror("checkers", folder, configuration=CONFIGURATION.strip(), programs=scripts) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared: Mirror) -> Mirror:
    """The cluster with node1 PRIM and node2 SECOND, everything healed, and the ping target there."""
    shared.lab.client.run(["sh", "-c", f"ip addr add {TARGET}/24 dev lan1 2>/dev/null; true"])
    for name in NODES:
        shared.lab.plug(name)
        shared.node(name).run(["sh", "-c", "[ ! -e /sys/class/net/inner ] || ip link set inner up"])
    shared.wait_for(
        "both nodes ready",
        lambda: {shared.role(name) for name in NODES} == {("PRIM", "Ready"), ("SECOND", "Ready")},
        timeout_s=120,
    )
    if shared.role("node2")[0] == "PRIM":
        shared.holdfast("node2", "swap", "-m", MODULE)
        shared.wait_pair("node1")
    return shared


def value(cluster: Mirror, node: str, resource: str) -> str:
    return cluster.holdfast(node, "get", "-m", MODULE, "-r", resource, check=False).stdout.strip()


def wait_value(cluster: Mirror, node: str, resource: str, wanted: str) -> None:
    cluster.wait_for(f"{resource} {wanted} on {node}", lambda: value(cluster, node, resource) == wanted)


def tell(cluster: Mirror, node: str, resource: str, since_wall_ns: int) -> None:
    """Print when, after the fault, the resource went down and the state of the module first changed."""
    states = told(cluster, node, "states")
    values = [*told(cluster, node, f"resources/{resource}/history"), *told(cluster, node, "resources")]
    mine = sorted(at for at, what in values if (what["resource"], what["value"]) == (resource, "down"))
    down = next((at for at in mine if at > since_wall_ns), None)
    first, state = min(((at, what) for at, what in states if at > since_wall_ns), key=lambda each: each[0])
    assert down is not None, f"{resource} acted, and its history has no down since then"
    took_ms, moved_ms = (down - since_wall_ns) / 1e6, (first - since_wall_ns) / 1e6
    print(f"{resource} down after {took_ms:.1f} ms, {state['role']} {state['status']} after {moved_ms:.1f} ms")


def told(cluster: Mirror, node: str, path: str) -> list[tuple[int, dict[str, str]]]:
    """What the gateway tells about the module's past, with its times."""
    curl = ["curl", "-sf", "--unix-socket", "/run/holdfast/gateway.sock", f"http://node/api/v1/modules/{MODULE}/{path}"]
    return [(int(each["wall_ns"]), each) for each in json.loads(cluster.node(node).run(curl).stdout)]


def starts(cluster: Mirror, node: str) -> int:
    return len(cluster.node(node).run(["cat", "/run/starts"]).stdout.splitlines())


def test_lost_carrier_makes_the_primary_wait_and_its_return_wakes_it_up(cluster: Mirror) -> None:
    """The other node takes over meanwhile, and the one that waited becomes secondary."""
    resource = f"intf.{VIRTUAL_ADDRESS}"
    wait_value(cluster, "node1", resource, "up")
    fault_wall_ns = time.time_ns()
    cluster.lab.unplug("node1", lan="lan1")
    cluster.wait_role("node2", "ALONE")
    cluster.wait_for("node1 waits", lambda: cluster.role("node1") == ("WAIT", "NotReady"))
    assert resource in str(cluster.state("node1")["reason"]) or value(cluster, "node1", resource) == "down"
    tell(cluster, "node1", resource, fault_wall_ns)
    cluster.lab.plug("node1", lan="lan1")
    cluster.wait_pair("node2")


def test_address_that_somebody_removes_is_put_back_and_nothing_restarts(cluster: Mirror) -> None:
    before = starts(cluster, "node1")
    node = cluster.node("node1")
    node.run(["ip", "addr", "del", f"{VIRTUAL_ADDRESS}/24", "dev", "lan1"])
    present = ["ip", "-o", "addr", "show", "dev", "lan1", "to", VIRTUAL_ADDRESS]
    cluster.wait_for("the address is back", lambda: bool(node.run(present).stdout))
    assert value(cluster, "node1", f"ip.{VIRTUAL_ADDRESS}") == "up"
    assert (cluster.role("node1"), starts(cluster, "node1")) == (("PRIM", "Ready"), before)


def test_address_that_stays_away_leads_to_stopstart(cluster: Mirror) -> None:
    """Nobody can hold an address on an interface that is down: the other node takes over, this one starts again."""
    resource = f"ip.{BRIDGED}"
    wait_value(cluster, "node1", resource, "up")
    fault_wall_ns = time.time_ns()
    cluster.node("node1").run(["ip", "link", "set", "inner", "down"])
    cluster.wait_pair("node2")
    tell(cluster, "node1", resource, fault_wall_ns)


def test_ping_target_that_is_gone_leads_to_the_configured_action(cluster: Mirror) -> None:
    wait_value(cluster, "node1", "ping.target", "up")
    before = starts(cluster, "node1")
    fault_wall_ns = time.time_ns()
    cluster.lab.client.run(["ip", "addr", "del", f"{TARGET}/24", "dev", "lan1"])
    cluster.wait_for("restarted", lambda: starts(cluster, "node1") > before)
    cluster.lab.client.run(["ip", "addr", "add", f"{TARGET}/24", "dev", "lan1"])
    cluster.wait_pair("node1")
    wait_value(cluster, "node1", "ping.target", "up")
    tell(cluster, "node1", "ping.target", fault_wall_ns)


def test_custom_checker_that_says_down_leads_to_its_action(cluster: Mirror) -> None:
    wait_value(cluster, "node1", "custom.health", "up")
    before = starts(cluster, "node1")
    fault_wall_ns = time.time_ns()
    cluster.node("node1").run(["touch", "/run/ill"])
    cluster.wait_for("restarted", lambda: starts(cluster, "node1") > before)
    cluster.wait_pair("node1")
    wait_value(cluster, "node1", "custom.health", "up")
    tell(cluster, "node1", "custom.health", fault_wall_ns)


def test_killed_checkers_go_on_and_switched_off_checkers_do_nothing(cluster: Mirror) -> None:
    node, killed_wall_ns = cluster.node("node1"), time.time_ns()
    for service in ("checker-intf", "checker-ip", "checker-ping", "checker-custom"):
        assert node.kill_service(service), service
    history = "resources/custom.health/history"
    cluster.wait_for(
        "the program began anew",
        lambda: {"init", "up"} <= {e["value"] for at, e in told(cluster, "node1", history) if at > killed_wall_ns},
    )
    before = starts(cluster, "node1")
    cluster.holdfast("node1", "checker", "off", "-m", MODULE)
    running = ["pgrep", "-f", "bin/check_health"]
    cluster.wait_for("no checker runs", lambda: not node.run(running, check=False).stdout)
    node.run(["touch", "/run/ill"])
    cluster.holdfast("node1", "checker", "on", "-m", MODULE)
    cluster.wait_for("restarted", lambda: starts(cluster, "node1") > before)
    cluster.wait_pair("node1")
