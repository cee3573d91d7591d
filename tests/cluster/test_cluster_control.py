"""How modules are controlled on real nodes: from scripts, over the end of a node, and by hand when nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.mirror import DATA, MODULE, VIRTUAL_ADDRESS, Mirror, mirror

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

CONFIGURATION = f"""<safe>
 <service mode="mirror">
  <heart><heartbeat name="lan1"/><heartbeat name="lan2" ident="flow"/></heart>
  <vip><interface_list><interface check="off">
   <real_interface><virtual_addr addr="{VIRTUAL_ADDRESS}" where="one_side_alias" check="off"/></real_interface>
  </interface></interface_list></vip>
  <rfs><replicated dir="{DATA}"/></rfs>
  <user><var name="COLOUR" value="blue"/></user>
  <errd><proc name="worker" nameregex="^sleep$" argregex="98765" action="noaction" class="night"/></errd>
 </service>
</safe>
"""
START = """#!/bin/sh
safekit="$SAFE/safekit"
{
  $safekit -r xpathGet "//var[@name='COLOUR']/@value"
  $safekit set -r custom.web -v up -i start_prim
  $safekit get -r custom.web
  "$SAFEBIN/boundcmd" 20 sh -c 'exit 6'; echo "bound $?"
  $safekit errd enable night
  $safekit incloop -i start_prim >/dev/null; echo "loop $?"
  $safekit printi "from a script"
} > "$SAFEUSERVAR/said" 2>&1
"""
PROGRAMS = {"start_prim": START, "stop_prim": '#!/bin/sh\n"$SAFE/safekit" errd disable night\nexit 0\n'}


def test_scripts_switches_boot_and_the_wrappers(tmp_path: Path) -> None:
    with mirror("control", tmp_path, configuration=CONFIGURATION, programs=PROGRAMS) as cluster:
        commands_answer_inside_scripts(cluster)
        refusals_and_loop_limit(cluster)
        switches_and_boot_hold_over_the_end_of_a_node(cluster)
        application_runs_by_hand_while_the_module_is_stopped(cluster)


def place(cluster: Mirror, node: str) -> Path:
    return cluster.node(node).root / f"var/lib/holdfast/modules/{MODULE}"


def commands_answer_inside_scripts(cluster: Mirror) -> None:
    said = (place(cluster, "node1") / "said").read_text().splitlines()
    assert said == ["blue", "up", "bound 6", f"{MODULE}: errd.night is on", "loop 0"]
    processes = json.loads(cluster.holdfast("node1", "errd", "list", "-m", MODULE, "--json").stdout)["processes"]
    assert [(each["process_class"], each["class_on"], each["watched"]) for each in processes] == [("night", True, True)]


def refusals_and_loop_limit(cluster: Mirror) -> None:
    assert "update is possible in ALONE" in cluster.holdfast("node1", "update", "-m", MODULE, check=False).stderr
    codes = [cluster.holdfast("node2", "incloop", "-m", MODULE, check=False).returncode for _ in range(4)]
    assert codes == [0, 0, 0, 1]
    assert cluster.holdfast("node2", "checkloop", "-m", MODULE, check=False).returncode == 1
    cluster.holdfast("node2", "resetloop", "-m", MODULE)
    assert cluster.holdfast("node2", "checkloop", "-m", MODULE, check=False).returncode == 0


def switches_and_boot_hold_over_the_end_of_a_node(cluster: Mirror) -> None:
    cluster.holdfast("node2", "failover", "off", "-m", MODULE)
    cluster.holdfast("node2", "boot", "off", "-m", MODULE)
    cluster.node("node2").kill()
    cluster.node("node2").start()
    cluster.wait_answers("node2")
    cluster.wait_for("known again", lambda: cluster.role("node2")[0] == "STOP")
    assert cluster.state("node2")["failover"] is False
    cluster.holdfast("node2", "boot", "on", "-m", MODULE)
    assert cluster.holdfast("node2", "shutdown").stdout == f"stopped: {MODULE}\n"
    cluster.node("node2").kill()
    cluster.node("node2").start()
    cluster.wait_answers("node2")
    cluster.wait_role("node2", "SECOND")
    assert cluster.state("node2")["failover"] is False, "it holds over start and stop"


def application_runs_by_hand_while_the_module_is_stopped(cluster: Mirror) -> None:
    wrapper = f"/var/lib/holdfast/modules/{MODULE}/active/{MODULE}_start_wrapper"
    refused = cluster.node("node1").run([wrapper], check=False)
    assert "stop it first" in refused.stderr
    cluster.holdfast("node2", "stop", "-m", MODULE)
    cluster.holdfast("node2", "waitstop", "-m", MODULE)
    cluster.holdfast("node1", "stop", "-m", MODULE)
    cluster.holdfast("node1", "waitstop", "-m", MODULE)
    (place(cluster, "node1") / "said").unlink()
    started = cluster.node("node1").run([wrapper])
    assert f"this node has {VIRTUAL_ADDRESS}" in started.stdout
    assert (place(cluster, "node1") / "said").read_text().startswith("blue\n")
    here = ["ip", "-o", "address", "show", "to", VIRTUAL_ADDRESS]
    assert VIRTUAL_ADDRESS in cluster.node("node1").run(here).stdout
    cluster.node("node1").run([wrapper.replace("_start_", "_stop_")])
    assert cluster.node("node1").run(here).stdout == ""
