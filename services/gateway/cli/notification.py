"""`holdfast notification`: mails about what happens to modules."""

from __future__ import annotations

from typing import Annotated

import typer

from services.gateway.cli.client import Json, call
from services.gateway.cli.options import JsonOption, show, stamp, table

SEND_S_MAX = 60.0
app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def enable(as_json: JsonOption = False) -> None:
    """Switch mails on.

    Exit codes: 0 on, 4 sender or recipients are missing, 6 the settings are wrong, 7 the node does not run.

    Example: holdfast notification enable
    """
    _show(call("PUT", "notification", {"enabled": True}), as_json)


@app.command()
def disable(as_json: JsonOption = False) -> None:
    """Switch mails off. Events that wait for a mail wait until mails are on again.

    Exit codes: 0 off, 6 the settings are wrong, 7 the node does not run.

    Example: holdfast notification disable
    """
    _show(call("PUT", "notification", {"enabled": False}), as_json)


@app.command()
def status(as_json: JsonOption = False) -> None:
    """Print what is set, what waits, what has been sent, and what went wrong.

    Exit codes: 0 printed, 7 the node does not run.

    Example: holdfast notification status
    """
    _show(call("GET", "notification"), as_json)


@app.command()
def configure(
    sender: Annotated[str | None, typer.Option("--from", metavar="ADDRESS", help="Who the mails are from.")] = None,
    recipients: Annotated[list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Who gets them.")] = None,
    host: Annotated[str | None, typer.Option("--host", metavar="NAME", help="The mail server.")] = None,
    port: Annotated[int | None, typer.Option("--port", metavar="N", help="Else 25, 587 or 465 by protocol.")] = None,
    protocol: Annotated[
        str | None, typer.Option("--protocol", metavar="plain|starttls|smtps", help="How it is spoken to.")
    ] = None,
    ca_file: Annotated[
        str | None, typer.Option("--ca-file", metavar="FILE", help="Who vouches for it, else the system's.")
    ] = None,
    delay_s: Annotated[float | None, typer.Option("--delay", metavar="S", help="From an event to its mail.")] = None,
    events: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="KIND",
            help="critical, state, failover, peer, replication, loop, address, script, resource; again for more.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Change what is said; the rest stays. The file is notification.json in the configuration directory.

    Exit codes: 0 changed, 6 a value is wrong, 7 the node does not run.

    Example: holdfast notification configure --from ha@example.org --to ops@example.org --host mail --protocol starttls
    """
    said = {
        "sender": sender,
        "recipients": recipients or None,
        "host": host,
        "port": port,
        "protocol": protocol,
        "ca_file": ca_file,
        "delay_s": delay_s,
        "events": events or None,
    }
    changed = {name: value for name, value in said.items() if value is not None}
    _show(call("PUT", "notification", changed), as_json)


@app.command()
def credentials(
    user: Annotated[str, typer.Argument(metavar="USER|none", help="Name at the mail server; none takes it back.")],
    as_json: JsonOption = False,
) -> None:
    """Set name and password at the mail server; the password is read from standard input, or asked for.

    Exit codes: 0 set, 7 the node does not run.

    Example: holdfast notification credentials ha < /root/password
    """
    if user == "none":
        body = {"user": "", "password": ""}
    else:
        body = {"user": user, "password": typer.prompt("Password", hide_input=True, err=True)}
    _show(call("PUT", "notification/credentials", body), as_json)


@app.command("test")
def send_test(as_json: JsonOption = False) -> None:
    """Send a mail at once, whether mails are on or off.

    Exit codes: 0 the server has taken it, 4 sender or recipients are missing, 6 the settings are wrong, 7 the server
    has not taken it, or the node does not run.

    Example: holdfast notification test
    """
    done = call("POST", "notification/test", timeout_s=SEND_S_MAX)
    show(done, as_json=as_json, text=f"sent to {', '.join(done['recipients'])}")


def _show(status: Json, as_json: bool) -> None:
    said = status["settings"]
    last = stamp(status["sent_wall_ns"]) if status["sent_wall_ns"] else "never"
    rows = [
        ("mails", "on" if said["enabled"] else "off"),
        ("from", said["sender"] or "-"),
        ("to", ", ".join(said["recipients"]) or "-"),
        ("server", f"{said['host']}:{said['port'] or '-'} {said['protocol']}{', signed in' * status['signs_in']}"),
        ("events", ", ".join(said["events"])),
        ("delay", f"{said['delay_s']:g} s"),
        ("sent", f"{status['sent']}, last {last}"),
        ("waiting", f"{status['waiting']} events"),
        ("problem", status["problem"] or "none"),
    ]
    show(status, as_json=as_json, text=table(rows))
