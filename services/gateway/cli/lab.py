"""`holdfast lab`: whole clusters on this machine."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from holdfast.errors import HoldfastError
from holdfast.lab.addressing import DEFAULT_LAB
from holdfast.lab.cuts import Direction
from holdfast.lab.errors import LabUsageError
from holdfast.lab.lab import DISK_BYTES, Lab, destroy, end_on_signals, labs
from holdfast.lab.node import condition_of
from holdfast.lab.place import Place
from rich.console import Console
from rich.table import Table

app = typer.Typer(no_args_is_help=True, help="Whole clusters on this machine, without a container engine.")

NODE_COMMAND: Final = ("holdfast", "node", "run")
"""What every node of a lab runs, unless it is to be bare."""
_GIB: Final = 1024**3

NameOption = Annotated[str, typer.Option("--name", metavar="LAB", help="Which lab.")]
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="A node, as node1.")]
LanOption = Annotated[str | None, typer.Option("--lan", metavar="LAN", help="One lan, as lan1; else all.")]
CommandArgument = Annotated[list[str], typer.Argument(metavar="-- COMMAND…", help="A command with its arguments.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]


@contextmanager
def _reported() -> Iterator[None]:
    """Say an error of ours in one line and end with its exit code."""
    try:
        yield
    except HoldfastError as error:
        typer.echo(f"holdfast lab: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


@app.command()
def up(
    nodes: Annotated[int, typer.Option(help="How many nodes.")] = 2,
    lans: Annotated[int, typer.Option(help="How many lans.")] = 2,
    name: NameOption = DEFAULT_LAB,
    disk: Annotated[int, typer.Option(metavar="GIB", help="Size of each node's disk.")] = DISK_BYTES // _GIB,
    bare: Annotated[bool, typer.Option("--bare", help="Nodes that do not run Holdfast.")] = False,
) -> None:
    """Make a lab and start its nodes."""
    command = () if bare else NODE_COMMAND
    end_on_signals()
    with _reported():
        lab = Lab.create(name, nodes=nodes, lans=lans, command=command, disk_bytes=disk * _GIB)
    typer.echo(f"lab {name} is up: {', '.join(f'{node.name} {node.ipv4()}' for node in lab.nodes)}")


@app.command()
def down(
    name: NameOption = DEFAULT_LAB,
    all_: Annotated[bool, typer.Option("--all", help="Every lab of this machine.")] = False,
) -> None:
    """End a lab, whole or half made, and everything in it."""
    with _reported():
        for each in [lab.name for lab in labs()] if all_ else [name]:
            destroy(each)


@app.command()
def ls(as_json: JsonOption = False) -> None:
    """List the labs, their nodes, and what is broken in them."""
    rows = [row for lab in labs() for row in _describe(lab)]
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table("lab", "node", "condition", "pid", "address", "cut", "unplugged", box=None)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console().print(table)


@app.command("exec")
def execute(node: NodeArgument, command: CommandArgument, name: NameOption = DEFAULT_LAB) -> None:
    """Run a command in a node."""
    with _reported():
        _become(Lab.open(name).node(node), command)


@app.command()
def client(command: CommandArgument, name: NameOption = DEFAULT_LAB) -> None:
    """Run a command in the client, in its network and otherwise on this machine."""
    with _reported():
        _become(Lab.open(name).client, command)


@app.command()
def kill(
    node: NodeArgument,
    name: NameOption = DEFAULT_LAB,
    link_up: Annotated[
        bool, typer.Option("--link-up", help="Only the processes; the node's kernel goes on answering.")
    ] = False,
) -> None:
    """End a node at once, as a power cut does. Its disk stays."""
    with _reported():
        Lab.open(name).node(node).kill(link_up=link_up)


@app.command()
def start(node: NodeArgument, name: NameOption = DEFAULT_LAB) -> None:
    """Start a node that was killed."""
    with _reported():
        Lab.open(name).node(node).start()


@app.command()
def pause(node: NodeArgument, name: NameOption = DEFAULT_LAB) -> None:
    """Stop every process of a node (SIGSTOP)."""
    with _reported():
        Lab.open(name).node(node).pause()


@app.command()
def resume(node: NodeArgument, name: NameOption = DEFAULT_LAB) -> None:
    """Let a paused node go on (SIGCONT)."""
    with _reported():
        Lab.open(name).node(node).resume()


@app.command("kill-service")
def kill_service(node: NodeArgument, service: str, name: NameOption = DEFAULT_LAB) -> None:
    """Kill one service of a node (SIGKILL), as vip or nats-server."""
    with _reported():
        pids = Lab.open(name).node(node).kill_service(service)
    typer.echo(f"killed {', '.join(str(pid) for pid in pids)}")


@app.command()
def cut(
    node: NodeArgument,
    lan: LanOption = None,
    direction: Annotated[Direction, typer.Option(help="Which packets, seen from the node.")] = Direction.BOTH,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Lose the packets of a node; its interfaces stay up."""
    with _reported():
        Lab.open(name).cut(node, lan=lan, direction=direction)


@app.command()
def heal(node: Annotated[str | None, typer.Argument(metavar="[NODE]")] = None, name: NameOption = DEFAULT_LAB) -> None:
    """Take away the cuts of a node, or all cuts."""
    with _reported():
        Lab.open(name).heal(node)


@app.command()
def unplug(node: NodeArgument, lan: LanOption = None, name: NameOption = DEFAULT_LAB) -> None:
    """Set a node's switch ports down; it sees its carrier go."""
    with _reported():
        Lab.open(name).unplug(node, lan=lan)


@app.command()
def plug(node: NodeArgument, lan: LanOption = None, name: NameOption = DEFAULT_LAB) -> None:
    """Set a node's switch ports up."""
    with _reported():
        Lab.open(name).plug(node, lan=lan)


@app.command("fill-disk")
def fill_disk(
    node: NodeArgument,
    release: Annotated[bool, typer.Option("--release", help="Give the space back.")] = False,
    name: NameOption = DEFAULT_LAB,
) -> None:
    """Take all free space of a node's disk, or give it back."""
    with _reported():
        one = Lab.open(name).node(node)
        if release:
            one.free_disk()
        else:
            typer.echo(f"took {one.fill_disk()} bytes")


def _become(place: Place, command: list[str]) -> None:
    """Replace this process by the command, so that terminal, signals and exit code are its own."""
    words = [*place.entry(), *command]
    try:
        os.execvpe(words[0], words, place.environment())
    except OSError as error:
        raise LabUsageError(f"{shlex.join(command)}: {error.strerror}") from error


def _describe(lab: Lab) -> list[dict[str, object]]:
    try:
        state = lab.state
    except HoldfastError:
        return [
            {
                "lab": lab.name,
                "node": "",
                "condition": "half made",
                "pid": "",
                "address": "",
                "cut": "",
                "unplugged": "",
            }
        ]
    return [
        {
            "lab": lab.name,
            "node": node.name,
            "condition": condition_of(node).value,
            "pid": node.init.pid if node.init else "",
            "address": str(lab.node(node.name).ipv4()),
            "cut": " ".join(f"{cut.lan}:{cut.direction}" for cut in sorted(state.cuts) if cut.node == node.name),
            "unplugged": " ".join(sorted(node.unplugged)),
        }
        for node in state.nodes
    ]


if __name__ == "__main__":
    sys.exit(app())
