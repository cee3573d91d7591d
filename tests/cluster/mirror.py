"""A two-node mirror in a lab, for tests and benchmarks: made, configured, watched."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from holdfast.lab.lab import Lab
from holdfast.lab.node import Node

MODULE = "app"
DATA = "/var/lib/app"
VIRTUAL_ADDRESS = "10.77.1.100"
PORT = 8080
NODES = ("node1", "node2")
NODE_RUN = ("holdfast", "node", "run")

SERVER = """\
import http.server, os, socket, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.uname().nodename.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address = True
    request_queue_size = 256
Server(("", %(port)d), Handler).serve_forever()
"""

START = """\
#!/bin/sh
# The smallest application that a client can ask: it answers with the node's name.
exec 0</dev/null
setsid %(python)s "$SAFEUSERBIN/webserver.py" >/dev/null 2>&1 &
echo $! >/run/webserver.pid
"""

STOP = """\
#!/bin/sh
[ -f /run/webserver.pid ] && kill -9 "$(cat /run/webserver.pid)" 2>/dev/null
rm -f /run/webserver.pid
exit 0
"""


def userconfig(*, heart: str = "", watched: bool = True, service: str = "") -> str:
    """Return the module's userconfig.xml; `heart` and `service` are extra attributes of these tags."""
    proc = '<proc name="webserver" nameregex="^python" argregex="webserver.py" action="restart" class="prim"/>'
    errd = f"<errd>{proc}</errd>"
    return f"""<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE safe>
<safe>
 <service mode="mirror" {service}>
  <heart {heart}>
   <heartbeat name="lan1" ident="lan1"/>
   <heartbeat name="lan2" ident="flow"/>
  </heart>
  <vip>
   <interface_list>
    <interface check="off">
     <real_interface><virtual_addr addr="{VIRTUAL_ADDRESS}" where="one_side_alias" check="off"/></real_interface>
    </interface>
   </interface_list>
  </vip>
  <rfs><replicated dir="{DATA}"/></rfs>
  <user/>
  {errd if watched else ""}
 </service>
</safe>
"""


class Mirror:
    """The cluster under test. Commands go through the command line, as an operator's would."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def node(self, name: str) -> Node:
        return self.lab.node(name)

    def holdfast(
        self, node: str, *words: str, check: bool = True, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line on a node."""
        return self.node(node).run(["holdfast", *words], check=check, timeout_s=timeout_s)

    def state(self, node: str) -> dict[str, object]:
        """Return the module's state as the node tells it; empty when it does not answer."""
        done = self.holdfast(node, "state", "-m", MODULE, "--json", check=False, timeout_s=20)
        try:
            body = json.loads(done.stdout)
        except ValueError:
            return {}
        return dict(body) if isinstance(body, dict) else {}

    def role(self, node: str) -> tuple[str, str]:
        """Return (role, status), or ("", "") when the node does not answer."""
        state = self.state(node)
        return str(state.get("role", "")), str(state.get("status", ""))

    def wait_for(self, what: str, condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
        """Wait until the condition holds; on failure say what each node is, and why."""
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                seen = {name: self.state(name) for name in NODES}
                raise AssertionError(f"not within {timeout_s:g} s: {what}\n{json.dumps(seen, indent=1)}")
            time.sleep(0.1)

    def wait_role(self, node: str, role: str, *, timeout_s: float = 60) -> None:
        """Wait until a node is in a role and ready."""
        self.wait_for(f"{node} {role} Ready", lambda: self.role(node) == (role, "Ready"), timeout_s=timeout_s)

    def wait_pair(self, primary: str, *, timeout_s: float = 90) -> None:
        """Wait until one node is PRIM and the other SECOND, both ready."""
        secondary = next(name for name in NODES if name != primary)
        self.wait_role(primary, "PRIM", timeout_s=timeout_s)
        self.wait_role(secondary, "SECOND", timeout_s=timeout_s)

    def wait_answers(self, node: str, *, timeout_s: float = 60) -> None:
        """Wait until the node's gateway answers."""
        self.wait_for(
            f"{node} answers",
            lambda: self.holdfast(node, "state", check=False, timeout_s=20).returncode == 0,
            timeout_s=timeout_s,
        )

    def verify(self) -> dict[str, object]:
        """Compare the replicas, asked of the primary, and return the result."""
        primary = next(name for name in NODES if self.role(name)[0] == "PRIM")
        done = self.holdfast(primary, "rfsverify", "-m", MODULE, "--json", check=False, timeout_s=120)
        return dict(json.loads(done.stdout))

    def files(self, node: str, folder: str) -> dict[str, bytes]:
        """Return the contents of every file of a folder on a node, as applications see them."""
        root = self.node(node).root / folder.lstrip("/")
        return {path.name: path.read_bytes() for path in root.iterdir() if path.is_file()}


def write_module(folder: Path, configuration: str, programs: Mapping[str, str] | None = None) -> None:
    """Lay the module out as a package's folder. programs: what is in its `bin`, instead of the usual application."""
    (folder / "conf").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "conf/userconfig.xml").write_text(configuration)
    words = {"port": PORT, "python": "/usr/bin/env python3"}
    usual = {"webserver.py": SERVER % words, "start_prim": START % words, "stop_prim": STOP}
    for name, text in (programs or usual).items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)


def cluster_xml(lab: Lab) -> str:
    """Return the cluster configuration of a lab's two nodes on two lans."""
    lans = "".join(
        f'<lan name="{lan}">' + "".join(f'<node name="{n}" addr="{lab.node(n).ipv4(lan)}"/>' for n in NODES) + "</lan>"
        for lan in ("lan1", "lan2")
    )
    return f"<cluster><lans>{lans}</lans></cluster>"


@contextmanager
def mirror(
    name: str,
    folder: Path,
    *,
    configuration: str | None = None,
    programs: Mapping[str, str] | None = None,
    command: tuple[str, ...] = NODE_RUN,
) -> Iterator[Mirror]:
    """Make a lab, the module configured on both nodes, node1 PRIM and node2 SECOND; end it afterwards."""
    write_module(folder / "module", configuration or userconfig(), programs)
    (folder / "cluster.key").write_text("5eed" * 16)
    with Lab.create(name, nodes=2, lans=2, command=command) as lab:
        cluster = Mirror(lab)
        (folder / "cluster.xml").write_text(cluster_xml(lab))
        for node in NODES:
            cluster.wait_answers(node)
            place = Path("/root/setup")
            cluster.node(node).copy_in(folder, str(place))
            cluster.holdfast(node, "cluster", "config", str(place / "cluster.xml"), "--key", str(place / "cluster.key"))
            cluster.node(node).run(["mkdir", "-p", DATA])
            cluster.holdfast(node, "module", "install", str(place / "module"), "-m", MODULE)
            cluster.holdfast(node, "config", "-m", MODULE)
        cluster.holdfast("node1", "prim", "-m", MODULE)
        cluster.wait_role("node1", "ALONE")
        cluster.holdfast("node2", "second", "-m", MODULE)
        cluster.wait_pair("node1")
        yield cluster
