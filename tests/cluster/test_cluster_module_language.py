"""What a module's configuration says is done on real nodes: handlers, limits of scripts, checkers before the role."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.cluster.mirror import MODULE, Mirror, mirror

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

WORKER = "sleep 98765"
NICE_STOP_S = 2
CONFIGURATION = f"""<safe>
 <service mode="mirror">
  <heart><heartbeat name="lan1"/><heartbeat name="lan2" ident="flow"/></heart>
  <user nicestoptimeout="{NICE_STOP_S}s" forcestoptimeout="20s"><var name="WORKER" value="{WORKER}"/></user>
  <errd><proc name="worker" nameregex="^sleep$" argregex="98765" action="handlers/mend.sh"/></errd>
  <check><tcp ident="gate" when="pre"><to addr="127.0.0.1" port="%(port)d" interval="1s" timeout="1s"/></tcp></check>
 </service>
</safe>
"""
GATEWAY_PORT = 9010
CLOSED_PORT = 7777
START_WORKER = "setsid $WORKER >/dev/null 2>&1 </dev/null &\necho $! > /run/worker.pid\n"
PROGRAMS = {
    "start_prim": f"#!/bin/sh\n{START_WORKER}",
    "mend.sh": "#!/bin/sh\nexit 0\n",
    "stop_prim": '#!/bin/sh\n[ "$1" = force ] || sleep 600\nkill -9 "$(cat /run/worker.pid)" 2>/dev/null\nexit 0\n',
    "postconfig": '#!/bin/sh\necho "checked $WORKER"\n',
}
MEND = f'#!/bin/sh\n{START_WORKER}echo "$SAFEMODULE $#" >> "$SAFEUSERVAR/mended"\n'


def write(cluster: Mirror, node: str, name: str, text: str) -> None:
    """Put a file into the module's edited files on a node."""
    path = cluster.node(node).root / f"var/lib/holdfast/modules/{MODULE}" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_handler_limits_and_checker_before_the_role(tmp_path: Path) -> None:
    configuration = CONFIGURATION.replace("handlers/", "") % {"port": GATEWAY_PORT}
    with mirror("language", tmp_path, configuration=configuration, programs=PROGRAMS) as cluster:
        for node in ("node1", "node2"):
            cluster.holdfast(node, "stop", "-m", MODULE)
            cluster.wait_for("stopped", lambda node=node: cluster.role(node)[0] == "STOP", timeout_s=120)
            write(cluster, node, "conf/userconfig.xml", CONFIGURATION % {"port": GATEWAY_PORT})
            write(cluster, node, "bin/handlers/mend.sh", MEND)
            assert f"postconfig: checked {WORKER}" in cluster.holdfast(node, "config", "-m", MODULE).stderr
        cluster.holdfast("node1", "prim", "-m", MODULE)
        cluster.wait_role("node1", "ALONE")
        handler_mends_without_a_change_of_role(cluster)
        stop_script_that_hangs_has_its_own_limit(cluster)
        checker_before_the_role_keeps_the_module_waiting(cluster)


def handler_mends_without_a_change_of_role(cluster: Mirror) -> None:
    mended = cluster.node("node1").root / f"var/lib/holdfast/modules/{MODULE}/mended"
    cluster.wait_for("worker is watched", lambda: resource(cluster, "proc.worker") == "up")
    cluster.node("node1").run(["sh", "-c", "kill -9 $(cat /run/worker.pid)"])
    cluster.wait_for("the handler has run", mended.exists)
    cluster.wait_for("worker is up again", lambda: resource(cluster, "proc.worker") == "up")
    assert mended.read_text() == f"{MODULE} 0\n"
    assert cluster.role("node1") == ("ALONE", "Ready")


def stop_script_that_hangs_has_its_own_limit(cluster: Mirror) -> None:
    began = time.monotonic()
    cluster.holdfast("node1", "stop", "-m", MODULE)
    cluster.wait_for("stopped", lambda: cluster.role("node1")[0] == "STOP", timeout_s=120)
    assert time.monotonic() - began > NICE_STOP_S
    left = cluster.node("node1").run(["pgrep", "-f", WORKER], check=False)
    assert left.stdout == "", "the forced round has ended the worker"


def checker_before_the_role_keeps_the_module_waiting(cluster: Mirror) -> None:
    write(cluster, "node1", "conf/userconfig.xml", CONFIGURATION % {"port": CLOSED_PORT})
    cluster.holdfast("node1", "config", "-m", MODULE)
    cluster.holdfast("node1", "prim", "-m", MODULE)
    cluster.wait_for("blocked", lambda: cluster.role("node1") == ("WAIT", "NotReady"))
    assert "tcp.gate" in str(cluster.state("node1")["waiting_for"])
    listen = f"import socket, time; s = socket.create_server(('127.0.0.1', {CLOSED_PORT})); time.sleep(300)"
    cluster.node("node1").run(["sh", "-c", f'setsid python3 -c "{listen}" >/dev/null 2>&1 </dev/null &'])
    cluster.wait_role("node1", "ALONE")


def resource(cluster: Mirror, name: str) -> str:
    resources = cluster.state("node1").get("resources")
    found = resources.get(name) if isinstance(resources, dict) else None
    return str(found["value"]) if isinstance(found, dict) else ""
