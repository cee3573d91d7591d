"""`holdfast cluster`: the cluster's configuration on this node."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from holdfast.errors import NotFoundError
from holdfast.settings import load_settings

from services.gateway.cli.client import Json, call, node_is_running
from services.gateway.cli.options import SCRIPTS_S_MAX, JsonOption, show, table

FILE_BYTES_MAX = 1 << 20
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def config(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A cluster.xml; or one of the words lock and unlock.")],
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="The key that all nodes share.")] = None,
    node: Annotated[str, typer.Option("--node", metavar="NAME", help="Which of the nodes this one is.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Check a cluster.xml and put it in force on this node. Without --key a new key is made if there is none yet.

    Example: holdfast cluster config cluster.xml --key cluster.key
    """
    if str(file) in ("lock", "unlock"):
        _lock(str(file) == "lock", as_json=as_json)
        return
    text, key_text = _read(file), _read(key) if key else None
    if node_is_running():
        body = {"xml": text.decode(errors="replace"), "key": key_text.decode() if key_text else "", "node": node}
        info = call("POST", "cluster", body, timeout_s=SCRIPTS_S_MAX)
    else:
        from services.gateway.files.cluster import apply_cluster

        info = asdict(apply_cluster(load_settings(), text, key=key_text, node=node))
    for warning in info["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    show(info, as_json=as_json, text=_text(info))


@app.command()
def confinfo(as_json: JsonOption = False) -> None:
    """Print signature and date of the cluster configuration in force; it must be the same on all nodes.

    Example: holdfast cluster confinfo
    """
    if node_is_running():
        info = call("GET", "cluster")
    else:
        from services.gateway.files.cluster import cluster_info

        info = asdict(cluster_info(load_settings()))
    show(info, as_json=as_json, text=_text(info))


@app.command()
def lock(as_json: JsonOption = False) -> None:
    """Let nobody change the cluster's configuration and key on this node (also: holdfast cluster config lock).

    Example: holdfast cluster lock
    """
    _lock(True, as_json=as_json)


@app.command()
def unlock(as_json: JsonOption = False) -> None:
    """Let the cluster's configuration be changed again (also: holdfast cluster config unlock).

    Example: holdfast cluster unlock
    """
    _lock(False, as_json=as_json)


@app.command()
def genkey(as_json: JsonOption = False) -> None:
    """Make a new key for the cluster on this node; no module of it may run.

    Nodes with different keys do not hear each other: give the other nodes the same file, with cluster config --key,
    before a module is started anywhere.

    Example: holdfast cluster genkey
    """
    if node_is_running():
        info = call("POST", "cluster/key")
    else:
        from services.gateway.files.cluster import renew_key

        info = asdict(renew_key(load_settings()))
    for warning in info["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
    show(info, as_json=as_json, text=f"{load_settings().key_file}: a new key; the other nodes need it, too")


@app.command()
def deconfig(as_json: JsonOption = False) -> None:
    """Take this node out of its cluster: configuration and key are removed; no module may be configured.

    Example: holdfast cluster deconfig
    """
    if node_is_running():
        call("DELETE", "cluster")
    else:
        from services.gateway.files.cluster import remove_cluster

        remove_cluster(load_settings())
    show({"removed": True}, as_json=as_json, text="this node is in no cluster any more")


@app.command()
def state(as_json: JsonOption = False) -> None:
    """Print every module of this node with its id, mode, and the signature of its configuration.

    Example: holdfast cluster state
    """
    modules = call("GET", "modules")
    node = load_settings().node
    head = ("NODE", "MODULE", "MODE", "ID", "INSTALLED", "SIGNATURE")
    rows = [
        (node, m["module"], m["mode"] or "-", str(m["id"]), m["installed_at"], m["signature"][:12] or "not configured")
        for m in modules
    ]
    show(modules, as_json=as_json, text=table([head, *rows]))


def _lock(locked: bool, *, as_json: bool) -> None:
    if node_is_running():
        info = call("PUT", "cluster/lock", {"locked": locked})
    else:
        from services.gateway.files.cluster import lock_cluster

        info = asdict(lock_cluster(load_settings(), locked))
    show(info, as_json=as_json, text=_text(info))


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise NotFoundError(f"{file}: {error.strerror}") from error


def _text(info: Json) -> str:
    rows = [
        ("node", info["node"]),
        ("signature", info["signature"]),
        ("applied", info["applied_at"]),
        ("key", "present" if info["key"] else "missing"),
        ("locked", "yes" if info["locked"] else "no"),
        ("nodes", ", ".join(info["nodes"])),
        ("lans", ", ".join(info["lans"])),
    ]
    return table(rows)
