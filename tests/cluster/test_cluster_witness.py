"""Two nodes that no longer hear each other, while both reach a lease witness: only one acts."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from holdfast.lab.addressing import client_endpoint

from tests.cluster.mirror import DATA, NODES, VIRTUAL_ADDRESS, Mirror, mirror

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

WITNESS = str(client_endpoint().ipv4.ip)
CONFIGURATION = f"""
<safe>
 <service mode="mirror">
  <heart><heartbeat name="lan1" ident="lan1"/><heartbeat name="lan2" ident="flow"/></heart>
  <vip>
   <interface_list>
    <interface check="off">
     <real_interface><virtual_addr addr="{VIRTUAL_ADDRESS}" where="one_side_alias" check="off"/></real_interface>
    </interface>
   </interface_list>
  </vip>
  <rfs><replicated dir="{DATA}"/></rfs>
  <user/>
  <check><splitbrain ident="third" lease="{WITNESS}"/></check>
 </service>
</safe>
"""
SCRIPTS = {"start_prim": "#!/bin/sh\ntouch /run/works\n", "stop_prim": "#!/bin/sh\nrm -f /run/works\n"}
LOOK_S = 4.0
"""Longer than both nodes need to lose each other, to ask and to act."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """The mirror, and the witness where the client is."""
    folder = tmp_path_factory.mktemp("witness")
    with mirror("witness", folder, configuration=CONFIGURATION.strip(), programs=SCRIPTS) as found:
        key = folder / "cluster.key"
        words = [sys.executable, "-m", "services.witness", "--state", str(folder / "leases"), "--key", str(key)]
        client = found.lab.client
        process = subprocess.Popen([*client.entry(), *words], env=client.environment(), stdin=subprocess.DEVNULL)
        try:
            for name in NODES:
                found.wait_for("the witness is reached", lambda name=name: reached(found, name))  # type: ignore[misc]
            yield found
        finally:
            process.kill()
            process.wait()


def reached(cluster: Mirror, node: str) -> bool:
    return cluster.holdfast(node, "get", "-m", "app", "-r", "splitbrain.third", check=False).stdout.strip() == "up"


def part(cluster: Mirror) -> None:
    """Both nodes drop what comes from the other; the switches, the client and the witness are there for both."""
    for name, other in (NODES, NODES[::-1]):
        addresses = ", ".join(str(cluster.node(other).ipv4(lan)) for lan in ("lan1", "lan2"))
        rules = "add table ip parted; add chain ip parted i { type filter hook input priority -10; }; "
        rules += f"add rule ip parted i ip saddr {{ {addresses} }} drop"
        cluster.node(name).run(["nft", rules])


def join(cluster: Mirror) -> None:
    for name in NODES:
        cluster.node(name).run(["nft", "delete table ip parted"])


def working(cluster: Mirror) -> set[str]:
    return {name for name in NODES if (cluster.node(name).root / "run/works").exists()}


def test_parted_nodes_that_both_reach_the_witness_never_act_both_and_come_together_again(cluster: Mirror) -> None:
    part(cluster)
    seen: set[tuple[str, ...]] = set()
    end = time.monotonic() + LOOK_S
    while time.monotonic() < end:
        seen.add(tuple(sorted(name for name in NODES if cluster.role(name)[0] == "ALONE")))
    assert ("node1", "node2") not in seen
    cluster.wait_for("one acts", lambda: "ALONE" in {cluster.role(name)[0] for name in NODES})
    alone = next(name for name in NODES if cluster.role(name)[0] == "ALONE")
    other = next(name for name in NODES if name != alone)
    cluster.wait_role(alone, "ALONE")
    cluster.wait_for("the other waits", lambda: cluster.role(other) == ("WAIT", "NotReady"))
    assert "splitbrain_failure" in str(cluster.state(other)["reason"])
    assert working(cluster) == {alone}
    (cluster.node(alone).root / DATA.lstrip("/") / "written").touch()
    join(cluster)
    cluster.wait_pair(alone)
    assert cluster.verify()["equal"] is True
    assert working(cluster) == {alone}


def test_secondary_takes_over_by_the_lease_when_the_primary_loses_power(cluster: Mirror) -> None:
    primary = next(name for name in NODES if cluster.role(name)[0] == "PRIM")
    secondary = next(name for name in NODES if name != primary)
    cluster.node(primary).kill()
    cluster.wait_role(secondary, "ALONE")
    cluster.node(primary).start()
    cluster.wait_pair(secondary)
    assert working(cluster) == {secondary}
