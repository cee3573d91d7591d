"""`holdfast witness`: a third machine that decides which node may act alone."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer
from holdfast.errors import NotFoundError, OperatorError, StorageError
from holdfast.ids import checked_name

from services.gateway.cli.options import JsonOption, show, table

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
StateOption = Annotated[Path, typer.Option("--state", metavar="DIR", help="Directory of the leases.")]
LEASE_FILE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.json")
LEASE_BYTES_MAX = 4096


@app.command("run")
def run_witness(
    state: StateOption,
    listen: Annotated[str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where to answer (UDP).")] = (
        "0.0.0.0:4805"
    ),
    key: Annotated[list[Path] | None, typer.Option("--key", help="A cluster's key file; may be repeated.")] = None,
) -> None:
    """Give leases to the nodes of clusters, until SIGTERM. Runs on a third machine, which needs nothing else.

    Example: holdfast witness run --listen 10.0.0.9:4805 --state /var/lib/holdfast-witness --key cluster.key
    """
    keys = [word for each in key or () for word in ("--key", str(each))]
    words = ["-m", "services.witness", "--listen", listen, "--state", str(state), *keys]
    os.execv(sys.executable, [sys.executable, *words])


@app.command("show")
def show_leases(state: StateOption, as_json: JsonOption = False) -> None:
    """List the leases in a witness's directory.

    Example: holdfast witness show --state /var/lib/holdfast-witness
    """
    leases = [_lease(path, *match.groups()) for path in _files(state) if (match := LEASE_FILE.fullmatch(path.name))]
    head = ("CLUSTER", "MODULE", "HOLDER", "EPOCH", "ACTS")
    rows = [
        (*(str(lease[name]) for name in ("cluster", "module")), str(lease["holder"] or "-"), str(lease["epoch"]), acts)
        for lease in leases
        for acts in ("yes" if lease["acting"] else "no",)
    ]
    show(leases, as_json=as_json, text=table([head, *rows]))


@app.command("forget")
def forget_lease(
    cluster: Annotated[str, typer.Argument(help="Name of the cluster.")],
    module: Annotated[str, typer.Argument(help="Name of the module.")],
    state: StateOption,
) -> None:
    """Forget the lease of a module: after it was installed afresh on both nodes, never while one of them acts alone.

    Example: holdfast witness forget --state /var/lib/holdfast-witness default shop
    """
    path = state / f"{checked_name('cluster', cluster)}.{checked_name('module', module)}.json"
    try:
        path.unlink()
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: there is no such lease", hint=f"holdfast witness show --state {state}") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def _files(state: Path) -> list[Path]:
    if not state.is_dir():
        raise OperatorError(f"{state} is no directory", hint="the directory that `holdfast witness run` was given")
    return sorted(state.glob("*.json"))


def _lease(path: Path, cluster: str, module: str) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            lease = json.loads(file.read(LEASE_BYTES_MAX))["lease"]
        return {
            "cluster": cluster,
            "module": module,
            "holder": str(lease["holder"]),
            "epoch": int(lease["epoch"]),
            "acting": bool(lease["acting"]),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path}: the lease cannot be read: {error}") from error
