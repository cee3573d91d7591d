"""`holdfast firewallcfg`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from holdfast.errors import OperatorError
from holdfast.settings import load_settings

from services.gateway.cli.options import JsonOption, show


class Verb(StrEnum):
    """The model's words."""

    ADD = "add"
    DEL = "del"


def run(
    verb: Annotated[Verb | None, typer.Argument(help="add is --apply, del is --remove.")] = None,
    rules: Annotated[bool, typer.Option("--rules", help="Print rules that open the ports elsewhere.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Put the table in force (nft).")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take the table away.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print a firewall table: only the cluster's nodes reach the ports between them (lifeline, beats, replication).

    It is called inet holdfast, holds the ports of all modules that this node has now, and lasts until the machine is
    booted; to keep it, put what is printed into the machine's nftables.conf. It opens nothing that another firewall
    closes: --rules prints what belongs into that one, the gateway's port included.

    Exit codes: 0 done, 2 more than one thing asked for, 5 no cluster is configured, 8 nft has failed.

    Example: holdfast firewallcfg --apply
    """
    from services.gateway.files import firewall

    apply, remove = apply or verb is Verb.ADD, remove or verb is Verb.DEL
    if rules + apply + remove > 1:
        raise OperatorError("one thing at a time", hint="--rules, --apply or --remove")
    if remove:
        firewall.remove_table()
        show({"removed": True}, as_json=as_json, text="the table inet holdfast is not there any more")
        return
    settings = load_settings()
    uses = firewall.node_uses(settings)
    if rules:
        text = firewall.opening_rules(uses)
        show({"rules": text.splitlines()}, as_json=as_json, text=text.rstrip())
        return
    text = firewall.table_text(uses, firewall.node_addresses(settings))
    if not apply:
        show({"table": text}, as_json=as_json, text=text.rstrip())
        return
    dropping = firewall.apply_table(text)
    for chain in dropping:
        typer.echo(f"warning: chain {chain} drops by default; add what --rules prints to it", err=True)
    show({"table": text, "dropping": dropping}, as_json=as_json, text="the table inet holdfast is in force")
