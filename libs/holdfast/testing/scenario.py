"""Text scenarios: a script of what happens to two nodes, and the transcript of what they do.

Everything is exact and nothing is random: scripts, addresses and replication answer as soon as they are asked, unless
the scenario holds them back. A line is a deed (`node1 prim`, `node1 dies`, `cut all`, `wait 1s`); `# …` says why. What
follows until the next deed is the transcript.
"""

from __future__ import annotations

from random import Random

from holdfast.core import State, explain
from holdfast.events.module import Action, CommandRequested, ResourceReported, SettingChanged
from holdfast.events.state import Role
from holdfast.testing.machine import Machine
from holdfast.testing.scheduler import NS_PER_MS, NS_PER_S
from holdfast.testing.world import LANS, NODES, World

ANSWER = "    "
"""Transcript lines are indented by this."""


SITUATIONS: dict[str, tuple[str, ...]] = {
    "both nodes stopped": ("node1 boots", "node2 boots", "wait 1500ms"),
    "node1 alone": ("node1 boots", "node2 boots", "wait 1500ms", "node1 prim", "wait 1s"),
    "a mirror in step": ("given node1 alone", "node2 start", "wait 2s"),
}
"""What a scenario may begin from, as the deeds that lead there."""


class CalmRandom(Random):
    """No chance: every delay is the shortest, nothing is lost."""

    def random(self) -> float:
        return 0.5

    def getrandbits(self, k: int) -> int:
        return 0


class Stage:
    """A world in which a scenario is played, and the transcript so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.world = World(0, random=CalmRandom(0))
        self.world.tell_change = self._changed
        self._began_ns = 0
        self._held: dict[tuple[int, str], bool] = {}
        for machine in self.world.machines:
            machine.on_script = self._script
            machine.on_addresses = self._addresses

    def play(self, line: str) -> list[str]:
        """Do what one line says; return its transcript."""
        self.lines = []
        self._began_ns = self.world.scheduler.now_ns
        words = line.partition("#")[0].split()
        match words:
            case ["wait", span]:
                self.world.run_for(_span_ns(span))
            case ["cut", *which]:
                self._cut(which, passes=False)
            case ["heal"]:
                self._cut([], passes=True)
            case ["show"]:
                self._show()
            case ["given", *situation]:
                for before in SITUATIONS[" ".join(situation)]:
                    self.play(before)
                self.lines = []
                self._began_ns = self.world.scheduler.now_ns
                self._show()
            case [node, *deed] if node in NODES:
                self._deed(self.world.machines[NODES.index(node)], deed)
            case _:
                raise ValueError(f"no such deed: {line!r}")
        return self.lines or ["(nothing)"]

    def _deed(self, machine: Machine, words: list[str]) -> None:
        world = self.world
        match words:
            case ["boots"]:
                machine.power_on(start=False)
            case ["dies"]:
                machine.crash()
            case ["stands", "still", span]:
                machine.stall(_span_ns(span))
            case ["loses", service]:
                machine.kill_service(service)
            case ["holds", script]:
                machine.held_scripts.add(script)
            case ["finishes", script]:
                machine.held_scripts.discard(script)
                machine.finish_held(script)
            case ["resource", name, value, *action]:
                report = ResourceReported(resource=name, value=value, by="checker", action=" ".join(action))
                machine.shell.feed(report)
            case ["setting", setting, value]:
                machine.shell.feed(SettingChanged(setting=setting, value=value == "on", who="operator"))
            case ["defaultprim", value]:
                machine.change_settings(defaultprim=value)
            case ["syncdelta", span]:
                machine.change_settings(sync_delta_ms=_span_ns(span) // NS_PER_MS)
            case ["identity", identity, action]:
                machine.shell.feed(CommandRequested(action=Action(action), identity=identity, who=identity))
            case ["copies", "slowly"]:
                machine.replica.copy_turn_ns = NS_PER_S
            case [action, *argument]:
                self._command(machine, Action(action), " ".join(argument))
            case _:
                raise ValueError(f"no such deed: {' '.join(words)!r}")
        world.run_for(0)

    def _command(self, machine: Machine, action: Action, argument: str) -> None:
        refused = len(machine.shell.refusals)
        self.world.command(machine.index, action, argument)
        self.world.run_for(NS_PER_MS // 2)
        for reason in machine.shell.refusals[refused:]:
            self._say(machine.index, f"refuses {action}: {reason}")

    def _cut(self, which: list[str], *, passes: bool) -> None:
        lans = [lan for lan in LANS if not which or lan in which or "all" in which]
        directions = [index for index in (0, 1) if "from" not in which or NODES[index] in which]
        for lan in lans:
            for sender in directions:
                self.world.cut(lan, sender, passes=passes)

    def _show(self) -> None:
        for machine in self.world.machines:
            if not machine.is_on:
                self._say(machine.index, "is off")
                continue
            state = machine.shell.state
            record = state.authority
            session = "in step" if record.in_step_session else "not in step"
            held = "addresses held" if machine.addresses_held else "no addresses"
            runs = "application runs" if machine.application_runs else "no application"
            self._say(
                machine.index,
                f"is {state.role} {state.status}: {explain.sentence(state)} "
                f"[epoch {record.epoch}, {record.copy}, {session}; {held}, {runs}]",
            )

    def _changed(self, index: int, before: State, after: State) -> None:
        if (after.role, after.status) != (before.role, before.status) or after.row != before.row:
            self._say(index, f"{after.role} {after.status}  ({after.row}: {after.reason})")
        if after.role is Role.WAIT and after.is_idle and not before.is_idle:
            self._say(index, f"waits: {explain.sentence(after)}")

    def _script(self, index: int, script: str, arguments: tuple[str, ...]) -> None:
        self._say(index, f"runs {script} {' '.join(arguments)}")

    def _addresses(self, index: int, held: bool) -> None:
        self._say(index, "takes the address" if held else "lets the address go")

    def _say(self, index: int, text: str) -> None:
        after_ms = (self.world.scheduler.now_ns - self._began_ns) // NS_PER_MS
        self.lines.append(f"{after_ms:6d} ms  {NODES[index]} {text}")


def run(text: str) -> str:
    """Play a scenario; return it with a fresh transcript. Comments and blank lines stay as they are."""
    stage = Stage()
    out: list[str] = []
    for line in text.splitlines():
        if line.startswith(ANSWER):
            continue
        out.append(line)
        if line.strip() and not line.startswith("#"):
            out.extend(ANSWER + said for said in stage.play(line.strip()))
    return "\n".join(out) + "\n"


def _span_ns(text: str) -> int:
    if text.endswith("ms"):
        return int(text[:-2]) * NS_PER_MS
    if text.endswith("s"):
        return int(text[:-1]) * NS_PER_S
    raise ValueError(f"a span of time ends in ms or s: {text!r}")
