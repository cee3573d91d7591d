"""The command `holdfast`: finds the one command that is asked for and loads nothing else.

Scripts call commands often, so a command costs as little as possible: no web framework, no database, no validation
library is imported on the way to the gateway's socket.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from holdfast.errors import ExitCode, HoldfastError, RefusedError

from services.gateway.cli import quick, tool

PACKAGE = "services.gateway.cli"

COMMANDS: dict[str, str] = {
    "node": "This node: run it, see its services",
    "cluster": "The cluster's nodes and networks",
    "module": "Install, remove, list and package modules",
    "config": "Apply a module's edited configuration",
    "confcheck": "Check a module's edited configuration, changing nothing",
    "confinfo": "Signature and date of a module's configurations",
    "deconfig": "Take a module's configuration out of force",
    "start": "Start a module",
    "stop": "Stop a module",
    "restart": "Stop and start the application where it is",
    "stopstart": "Stop a module and start it again",
    "update": "Have a running module read its configuration again",
    "swap": "Exchange primary and secondary",
    "prim": "Start as primary, whatever the record says",
    "second": "Start as secondary",
    "forcestop": "Stop a module when stop has no effect",
    "primforce": "Start as primary even with a copy that is half of each",
    "secondforce": "Start as secondary (the model's spelling with a date)",
    "shutdown": "Stop all modules of this node",
    "boot": "Which modules start with the node",
    "state": "What modules are now",
    "waitstate": "Wait until a module has reached a state",
    "waitstart": "Wait until a module is Ready",
    "waitstop": "Wait until a module is stopped",
    "get": "Read a resource",
    "set": "Assign a resource",
    "rules": "The failover rules and what would make them act",
    "failover": "Switch automatic failover on or off",
    "checker": "Switch all checkers on or off",
    "errd": "Process monitoring: switch it or a class, list what is monitored",
    "incloop": "Count an action against maxloop",
    "checkloop": "Say how loop protection stands",
    "resetloop": "Forget what counts against maxloop",
    "kill": "Send a signal to processes by name and arguments",
    "wrapper": "Run the application of a stopped module by hand",
    "log": "A module's log",
    "logview": "Follow a module's log",
    "logsave": "Save a module's log into a file",
    "cmdlog": "Who asked this node for what",
    "timeline": "What happened on both nodes, in one list",
    "trace": "One transition as a waterfall",
    "replay": "Run a recorded journal through the decider again",
    "rfsverify": "Compare both copies of the replicated directories",
    "rfsdiff": "How much a resynchronisation would copy",
    "rfssync": "How the next resynchronisation is done",
    "printe": "Write a line into the module's log",
    "printw": "Write a warning into the module's log",
    "printi": "Write a verbose line into the module's log",
    "level": "Host, system, version; a module's own level",
    "healthcheck": "Examine this node",
    "dump": "Write down everything about a module on this node",
    "snapshot": "The last dumps and configurations in one zip",
    "firewallcfg": "Firewall rules for this node's ports",
    "clean": "Take away a module's logs or history",
    "notification": "Mails about what happens to modules",
    "completion": "Completion of commands in a shell",
    "sim": "Simulate clusters and check what must always hold",
    "witness": "A third machine that decides which node may act alone",
    "lab": "Whole clusters on this machine",
}
"""Every command with its line of help; the file of the same name has it as `run`, or as `app` when it has several."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code (`holdfast.errors.ExitCode`)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["-r"] and (as_command := tool.command_for(given[1:])) is not None:
        given = as_command
    name = next((word for word in given if not word.startswith("-")), "")
    program = os.path.basename(sys.argv[0])
    try:
        if given[:1] == ["-r"]:
            return tool.run(given[1:])
        if given and given[0] in quick.COMMANDS and _run_quickly(given[0], given[1:]):
            return int(ExitCode.OK)
        build([name] if name in COMMANDS else [])(
            given, prog_name=program if program in ("holdfast", "safekit") else "holdfast"
        )
    except typer.Exit as end:
        return end.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except HoldfastError as error:
        return report(error)
    except BrokenPipeError:
        # Who read our output has left; keep the interpreter from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return int(ExitCode.OK)


def _run_quickly(name: str, words: Sequence[str]) -> bool:
    """Run a command whose use is plain; return False when it is for `build` to understand."""
    run = importlib.import_module(f"{PACKAGE}.{name}").run
    try:
        values = quick.parse(run, words)
    except quick.UnusualError:
        return False
    run(**values)
    return True


def build(names: Sequence[str]) -> Callable[..., object]:
    """Build the command line; of commands but these it knows no more than their line of help."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help="Holdfast keeps an application running when a server dies.")(_program)
    for name in COMMANDS:
        if name not in names:
            app.command(name, short_help=COMMANDS[name])(_nothing)
            continue
        module = importlib.import_module(f"{PACKAGE}.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=COMMANDS[name])
        else:
            settings = getattr(module.run, "context_settings", None)
            app.command(name, short_help=COMMANDS[name], context_settings=settings)(module.run)
    return typer.main.get_command(app)


def _print_paths(wanted: bool) -> None:
    """Print the model's SAFE, SAFEVAR and SAFEBIN, and our own directories."""
    if not wanted:
        return
    from holdfast.settings import load_settings

    from services.gateway.support.level import paths

    for name, path in paths(load_settings()).items():
        typer.echo(f"{name}={path}")
    raise typer.Exit


def report(error: HoldfastError) -> int:
    """Say an error on standard error; return its exit code."""
    kind = "refused" if isinstance(error, RefusedError) else "holdfast"
    typer.echo(f"{kind}: {error}", err=True)
    return int(error.exit_code)


def _program(
    paths: Annotated[
        bool, typer.Option("-p", is_eager=True, callback=_print_paths, help="Print where things are on this node.")
    ] = False,
    tool: Annotated[
        str, typer.Option("-r", metavar="TOOL", help="Run a small program of scripts: processtree, boundcmd, …")
    ] = "",
) -> None:
    """What can be said before a command; -r is seen before all else (`main`)."""


def _nothing() -> None:
    """Stands for a command that was not asked for."""
