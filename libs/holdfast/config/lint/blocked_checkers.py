"""Checkers that can never go up: the module waits for ever, or restarts until loop protection stops it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from holdfast.config.lint.doubt import Doubt, Subject
from holdfast.config.model import PingCheck, Reaction, ScriptClass, TcpCheck, WatchedProcess

STARTERS: Mapping[ScriptClass, tuple[str, ...]] = MappingProxyType(
    {
        ScriptClass.PRE: ("prestart",),
        ScriptClass.PRIM: ("start_prim", "start_both"),
        ScriptClass.SECOND: ("start_second", "start_both", "start_sec"),
        ScriptClass.SEC: ("start_sec", "start_both"),
        ScriptClass.BOTH: ("start_both",),
    }
)
"""The scripts that have run when a class begins to be watched."""


def doubts(subject: Subject) -> Iterator[Doubt]:
    """Warn of checkers of which nothing can ever make the resource up."""
    yield from _addresses_not_yet_there(subject)
    yield from _ports_not_yet_open(subject)
    yield from _addresses_of_the_primary(subject)
    yield from _programs_that_are_missing(subject)
    yield from _processes_nobody_starts(subject)


def _addresses_not_yet_there(subject: Subject) -> Iterator[Doubt]:
    asking: list[tuple[str, TcpCheck | PingCheck]] = [
        *(("tcp", check) for check in subject.config.tcp_checks),
        *(("ping", check) for check in subject.config.ping_checks),
    ]
    for kind, check in asking:
        if check.when is ScriptClass.PRE and check.address in subject.own_addresses():
            yield Doubt(
                at=check.at,
                what=f"{kind} checker '{check.ident}' looks at {check.address} before the module runs, but that is the "
                "module's own virtual address",
                risk="when no node is primary nobody has the address: the checker never goes up, and both nodes wait "
                "for ever",
                fix='when="prim", or an address outside the module',
            )


def _addresses_of_the_primary(subject: Subject) -> Iterator[Doubt]:
    """A mirror's virtual address is on the primary only, so neither a secondary nor both have it."""
    for check in subject.config.address_checks:
        if check.when in (ScriptClass.SECOND, ScriptClass.BOTH) and check.address in subject.own_addresses():
            yield Doubt(
                at=check.at,
                what=f"ip checker '{check.ident}' with when=\"{check.when}\" looks for {check.address}, the "
                "module's own virtual address, on the secondary",
                risk="only the primary has it: on the secondary the checker never goes up, and the module does "
                "stopstart until maxloop stops it",
                fix='when="prim"',
            )


def _programs_that_are_missing(subject: Subject) -> Iterator[Doubt]:
    for check in subject.config.custom_checks:
        if not check.program.startswith("/") and check.program not in subject.scripts:
            yield Doubt(
                at=check.at,
                what=f"the program of custom checker '{check.ident}', {check.program}, is not in the module's bin",
                risk=f"nothing ever assigns custom.{check.ident}: it stays init, and a rule that waits for it waits "
                "for ever",
                fix="the program in bin (and executable), or its absolute path",
            )


def _ports_not_yet_open(subject: Subject) -> Iterator[Doubt]:
    for check in subject.loopback_checks():
        if check.when is ScriptClass.PRE and check.reaction is Reaction.WAIT:
            yield Doubt(
                at=check.at,
                what=f"tcp checker '{check.ident}' waits for port {check.port} of this node before the application is "
                "started",
                risk="if the module's own scripts open that port, the checker never goes up and the module waits for "
                "ever",
                fix='when="prim" for the application; when="pre" only for what runs without the module',
            )


def _processes_nobody_starts(subject: Subject) -> Iterator[Doubt]:
    for process in subject.config.processes:
        starters = STARTERS[process.script_class]
        if _must_not_run(process) or process.unit or subject.has_script(*starters):
            continue
        if process.reaction in (Reaction.NOACTION, Reaction.HANDLER):
            continue
        yield Doubt(
            at=process.at,
            what=f"process '{process.name}' is expected with class {process.script_class}, but the module has no "
            f"{' or '.join(starters)} that could start it",
            risk="unless something else runs it, it is always missing, and the module repeats its action until maxloop "
            "stops it",
            fix=f"a script {starters[0]}, or a class whose script starts the process",
        )


def _must_not_run(process: WatchedProcess) -> bool:
    return process.at_most == 0 or process.at_least <= 0
