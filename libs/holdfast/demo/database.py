"""The database of the demonstration: made on a node, asked by the client."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from holdfast.errors import EnvironmentFaultError
from holdfast.lab.node import Client, Node

VERSION: Final = "15"
"""Debian 12's, and the default of the module package."""
PROGRAMS: Final = f"/usr/lib/postgresql/{VERSION}/bin"
DATA: Final = f"/var/lib/postgresql/{VERSION}/main"
PORT: Final = 5432
QUERY_TIMEOUT_S: Final = 120.0
_AS_POSTGRES: Final = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")
# The lab's networks are connected to nothing, so that there is nobody to keep out.
_ACCESS: Final = "host all all 10.77.0.0/16 trust"
_SETTINGS: Final = "listen_addresses = '*'"


def check_installed() -> None:
    """Raises EnvironmentFaultError when PostgreSQL is not on this machine."""
    if not Path(PROGRAMS, "postgres").is_file():
        raise EnvironmentFaultError(
            f"PostgreSQL {VERSION} is not installed", hint="apt-get install postgresql, or make demo, which does"
        )


def prepare(node: Node) -> None:
    """Make the empty data directory that the package of PostgreSQL leaves behind once its cluster is dropped."""
    owner = ["-o", "postgres", "-g", "postgres"]
    node.run(["install", "-d", *owner, str(Path(DATA).parent)])
    node.run(["install", "-d", "-m", "0700", *owner, DATA])


def create(node: Node) -> None:
    """Make an empty database cluster on a node; durable, so that it is a copy like any other."""
    initdb = [f"{PROGRAMS}/initdb", "-D", DATA, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
    node.run([*_AS_POSTGRES, *initdb])
    for line, file in ((_ACCESS, "pg_hba.conf"), (_SETTINGS, "postgresql.conf")):
        node.run([*_AS_POSTGRES, "sh", "-c", f'echo "$0" >> {DATA}/{file}', line])


def conninfo(address: IPv4Address) -> str:
    """How the client names the server."""
    return f"hostaddr={address} port={PORT} user=postgres dbname=postgres"


def ask(client: Client, address: IPv4Address, statement: str) -> str:
    """Run a statement from the client, and return what it prints, unaligned. Raises LabError."""
    psql = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", conninfo(address), "-c", statement]
    return client.run(psql, timeout_s=QUERY_TIMEOUT_S).stdout


def rows(client: Client, address: IPv4Address) -> tuple[int, ...]:
    """The numbers of all rows that are there."""
    return tuple(int(line) for line in ask(client, address, "select row from demo order by row").split())
