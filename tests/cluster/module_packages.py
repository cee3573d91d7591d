"""Module packages of ops/modules side by side on two nodes of a lab: what each needs, what it is asked."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from holdfast.config.package import build_package
from holdfast.lab.lab import Lab

from tests.cluster.mirror import NODES, cluster_xml
from tests.tidy.rules import ROOT

STAGE = "/root/setup"
EXAMPLE_ADDRESS = "192.0.2.100"
WAIT_S = 120.0
POLL_S = 0.3
"""Each look is a command of its own, on a machine that has two nodes to carry."""

PAGE = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=5).read().decode())"

SYSTEMCTL = """\
#!/bin/sh
# A stand-in for systemctl where no systemd runs: units are programs in /etc/units; NAME.enabled beside one means that
# it starts at boot.
verb= unit=
for word; do case $word in --*) ;; *) if [ -z "$verb" ]; then verb=$word; else unit=$word; fi ;; esac; done
mkdir -p /run/units
pid=$(cat "/run/units/$unit" 2>/dev/null)
alive() { [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; }
case $verb in
    cat) [ -x "/etc/units/$unit" ] ;;
    is-enabled) [ -e "/etc/units/$unit.enabled" ] && echo enabled ;;
    disable) rm -f "/etc/units/$unit.enabled" ;;
    is-active) if alive; then echo active; else echo inactive; exit 3; fi ;;
    start) alive || { setsid "/etc/units/$unit" </dev/null >/dev/null 2>&1 & echo $! >"/run/units/$unit"; } ;;
    stop) ! alive || kill "$pid"; while alive; do sleep 0.05; done ;;
    kill) kill -KILL "$pid" ;;
esac
"""

TRANSITION = """\
#!/bin/bash
# As published packages do: sources what lies beside it, reads the expanded configuration, writes to the log.
. "$SAFEUSERBIN/module_scripts_utils"
services=$("$SAFE/safekit" -r xpathGet "$SAFEUSERCONF/safeconf.xml" "/safe/service/user/var[@name='SERVICES']/@value")
"$SAFE/safekit" printi "$1 to $2 with $services"
echo "$1 $2 $3 $services $(wanted_services | wc -l)" >>/var/lib/transitions
"""

UNIT = """\
#!/bin/sh
# Refuses to work where the service before it does not, and leaves a line that tells where it was started.
{needs}
echo "{name} $(uname -n)" >> /srv/shop/started
exec sleep 1000000
"""


@dataclass(frozen=True, kw_only=True)
class Application:
    """A package with values for its macros. scripts: more of them. files: put on both nodes beforehand. prepare:
    commands for both nodes, and `first` for the one that has the data. write, ask: commands of the client; answer: what
    `ask` prints.
    """

    package: str
    address: str
    ask: tuple[str, ...]
    answer: str
    macros: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    prepare: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


def _page(address: str, port: int) -> tuple[str, ...]:
    return ("python3", "-c", PAGE, f"http://{address}:{port}/")


def _sql(address: str, statement: str) -> tuple[str, ...]:
    return ("mariadb", "--no-defaults", "-h", address, "-u", "app", "-psecret", "-N", "-e", statement)


APPLICATIONS = (
    Application(
        package="mysql",
        address="10.77.1.101",
        # Small files: what is made here is copied to the other node.
        files={"/etc/mysql/conf.d/small.cnf": "[mariadb]\ninnodb_log_file_size=4M\ninnodb_buffer_pool_size=16M\n"},
        prepare=("rm -rf /var/lib/mysql/*", "install -d -o mysql -g mysql -m 0750 /var/lib/mysql"),
        first=("mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db >/dev/null",),
        write=_sql(
            "10.77.1.101",
            "create database shop; create table shop.t (x int primary key); insert into shop.t values (7)",
        ),
        ask=_sql("10.77.1.101", "select x from shop.t"),
        answer="7\n",
    ),
    Application(
        package="nginx",
        address="10.77.1.102",
        macros={"PORT": "8081", "CONTENT": "/srv/nginx", "NGINX_CONF": "/etc/nginx/mirrored.conf"},
        files={
            "/etc/nginx/mirrored.conf": "pid /run/nginx.pid;\nevents {}\n"
            "http { access_log off; server { listen 8081; root /srv/nginx; } }\n"
        },
        prepare=("mkdir -p /srv/nginx",),
        first=("echo from nginx >/srv/nginx/index.html",),
        ask=_page("10.77.1.102", 8081),
        answer="from nginx\n",
    ),
    Application(
        package="apache",
        address="10.77.1.103",
        macros={"PORT": "8082", "CONTENT": "/srv/apache"},
        files={
            "/etc/apache2/ports.conf": "Listen 8082\n",
            "/etc/apache2/sites-enabled/000-default.conf": "<VirtualHost *:8082>\nDocumentRoot /srv/apache\n"
            "<Directory /srv/apache>\nRequire all granted\n</Directory>\n</VirtualHost>\n",
        },
        prepare=("mkdir -p /srv/apache",),
        first=("echo from apache >/srv/apache/index.html",),
        ask=_page("10.77.1.103", 8082),
        answer="from apache\n",
    ),
    Application(
        package="mirror",
        address="10.77.1.104",
        scripts={"transition": TRANSITION},
        macros={"SERVICES": "shop-db.service, shop-web.service", "DIRECTORY": "/srv/shop"},
        files={
            "/usr/local/sbin/systemctl": SYSTEMCTL,
            "/etc/units/shop-db.service": UNIT.format(name="db", needs=":"),
            "/etc/units/shop-web.service": UNIT.format(
                name="web", needs="systemctl is-active shop-db.service || exit 1"
            ),
            "/etc/units/shop-web.service.enabled": "",
        },
        prepare=("mkdir -p /srv/shop",),
        ask=("true",),
        answer="",
    ),
    Application(package="vhost", address="", macros={"HOST_NAME": "shop"}, ask=("true",), answer=""),
)


class Packages:
    """Modules on two nodes, commanded as an operator does."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def holdfast(self, node: str, *words: str) -> str:
        return self.lab.node(node).run(["holdfast", *words], timeout_s=60).stdout

    def shell(self, node: str, command: str) -> str:
        return self.lab.node(node).run(["sh", "-c", command], timeout_s=60).stdout

    def client(self, *command: str) -> str:
        return self.lab.client.run(list(command), timeout_s=30).stdout

    def roles(self, node: str) -> dict[str, str]:
        """What each module is on a node: "ALONE Ready"; nothing when the node does not answer."""
        done = self.lab.node(node).run(["holdfast", "state", "--json"], check=False, timeout_s=30)
        try:
            body = json.loads(done.stdout)
        except ValueError:
            return {}
        states = body if isinstance(body, list) else body.get("modules", [])
        return {str(state["module"]): f"{state['role']} {state['status']}" for state in states}

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"not within {WAIT_S:g} s: {what}: {[self.roles(node) for node in NODES]}"
            time.sleep(POLL_S)

    def wait_all(self, node: str, role: str) -> None:
        """Wait until every module is in a role on a node, and ready."""
        wanted = {application.package: f"{role} Ready" for application in APPLICATIONS}
        self.wait(f"{node} {role}", lambda: self.roles(node) == wanted)

    def put(self, node: str, path: str, text: str) -> None:
        """Put an executable file on a node."""
        file = self.lab.node(node).root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def set_up(self, node: str, application: Application) -> None:
        """Prepare a node for an application and give it the module."""
        for path, text in application.files.items():
            self.put(node, path, text)
        for command in application.prepare + (application.first if node == NODES[0] else ()):
            self.shell(node, command)
        self.holdfast(node, "module", "install", f"{STAGE}/{application.package}.safe", "-m", application.package)
        self.holdfast(node, "config", "-m", application.package)


def build(application: Application, folder: Path) -> None:
    """Make the package of an application, as an operator edits it, into a `.safe` file in `folder`."""
    with TemporaryDirectory() as scratch:
        place = Path(scratch, application.package)
        shutil.copytree(ROOT / "ops/modules" / application.package, place)
        configuration = place / "conf/userconfig.xml"
        configuration.write_text(with_macros(configuration.read_text(), application))
        for name, text in application.scripts.items():
            (place / "bin" / name).write_text(text)
            (place / "bin" / name).chmod(0o755)
        build_package(place, folder / f"{application.package}.safe")


def with_macros(text: str, application: Application) -> str:
    """The configuration as an operator edits it: the values of macros."""
    values = {"VIRTUAL_IP": application.address, **application.macros}
    lines = []
    for line in text.splitlines():
        name = line.partition('<macro name="')[2].partition('"')[0]
        lines.append(f'  <macro name="{name}" value="{values[name]}"/>' if name in values else line)
    return "\n".join(lines)


@contextmanager
def packages(name: str, folder: Path) -> Iterator[Packages]:
    """Make a lab with every application: node1 PRIM, node2 SECOND; end it afterwards."""
    (folder / "cluster.key").write_text("5eed" * 16)
    with Lab.create(name, nodes=2, lans=2, command=("holdfast", "node", "run")) as lab:
        cluster = Packages(lab)
        (folder / "cluster.xml").write_text(cluster_xml(lab))
        for application in APPLICATIONS:
            build(application, folder)
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: configure(cluster, node, folder), NODES))
        for verb, node, role in (("prim", "node1", "ALONE"), ("second", "node2", "SECOND")):
            for application in APPLICATIONS:
                cluster.holdfast(node, verb, "-m", application.package)
            cluster.wait_all(node, role)
        cluster.wait_all("node1", "PRIM")
        yield cluster


def configure(cluster: Packages, node: str, folder: Path) -> None:
    """Give a node the cluster and every module."""
    cluster.wait(f"{node} answers", lambda: answers(cluster.lab, node))
    cluster.lab.node(node).copy_in(folder, STAGE)
    cluster.holdfast(node, "cluster", "config", f"{STAGE}/cluster.xml", "--key", f"{STAGE}/cluster.key")
    for application in APPLICATIONS:
        cluster.set_up(node, application)


def answers(lab: Lab, node: str) -> bool:
    """Does the node's gateway answer?"""
    return lab.node(node).run(["holdfast", "state"], check=False, timeout_s=30).returncode == 0
