"""`python -m holdfast.demo [--keep]`: shows the main job of Holdfast on a real database, and proves it.

Ends with a table and one line; the exit code is 0 only when nothing was lost and the replicas are equal.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

import holdfast
from holdfast.demo import database
from holdfast.demo.cluster import MODULE, Cluster
from holdfast.demo.report import tables
from holdfast.demo.screen import Screen
from holdfast.demo.story import Story, Told
from holdfast.errors import EnvironmentFaultError, ExitCode, HoldfastError
from holdfast.lab.addressing import lab_name, virtual_address
from holdfast.lab.lab import Lab, destroy, end_on_signals
from holdfast.lab.state import directory_of

LAB: Final = "demo"
NODE_COMMAND: Final = ("holdfast", "node", "run")
PIPED_COLUMNS: Final = 140
"""Where nobody's terminal sets a limit, the widest table fits on its lines."""
_INTERRUPTED: Final = 130
"""As a shell reports a program ended by SIGINT (128 + 2)."""

LOOK_AROUND: Final = """
The lab is still running. To look around:
  holdfast lab ls
  holdfast lab exec --name {lab} node1 -- holdfast state -m {module} -v
  holdfast lab exec --name {lab} node1 -- holdfast log -m {module}
  holdfast lab exec --name {lab} node1 -- holdfast timeline -m {module}
  holdfast lab exec --name {lab} node1 -- curl -s --unix-socket /run/holdfast/gateway.sock http://node/api/v1/modules
  holdfast lab client --name {lab} -- psql -h {address} -U postgres
  holdfast lab kill --name {lab} node1
To end it:
  holdfast lab down --name {lab}
"""


def main() -> int:
    """Run the demonstration and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m holdfast.demo", description=__doc__)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    parser.add_argument("--keep", action="store_true", default=keep, help="leave the lab running afterwards")
    options = parser.parse_args()
    is_terminal = sys.stdout.isatty()
    console = Console(highlight=False, width=None if is_terminal else PIPED_COLUMNS)
    end_on_signals()
    try:
        told = run(console, keep=options.keep)
    except HoldfastError as error:
        print_plain(f"demo: failed: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        print_plain("demo: interrupted; nothing is left behind")
        return _INTERRUPTED
    console.print(tables(told.report))
    if options.keep:
        print_plain(LOOK_AROUND.format(lab=LAB, module=MODULE, address=virtual_address().ip))
    print_plain(told.last_line)
    return ExitCode.OK if told.report.is_ok else ExitCode.FAILED


def run(console: Console, *, keep: bool) -> Told:
    """Make the lab, tell the story in it, and end it, unless it is to be kept."""
    database.check_installed()
    package = _package()
    screen = Screen(console)
    with (
        screen.running(),
        tempfile.TemporaryDirectory(prefix="holdfast-demo-") as scratch,
        _lab(screen, keep=keep) as lab,
    ):
        cluster = Cluster(lab, virtual_address().ip)
        return Story(cluster, screen, package=package, scratch=Path(scratch)).tell()


@contextmanager
def _lab(screen: Screen, *, keep: bool) -> Iterator[Lab]:
    """The lab of the demonstration; one that was kept earlier is ended first. Interrupted, it is never kept."""
    if directory_of(lab_name(LAB)).exists():
        with screen.step("the lab of an earlier demonstration is ended"):
            destroy(LAB)
    with screen.step("a lab is made: two nodes, two networks, a client"):
        lab = Lab.create(LAB, command=NODE_COMMAND)
    with ExitStack() as ending:
        ending.callback(lab.down)
        try:
            yield lab
        except HoldfastError:
            if keep:
                ending.pop_all()
            raise
        if keep:
            ending.pop_all()


def _package() -> Path:
    """The module package, which is beside the library in a checkout."""
    for parent in Path(holdfast.__file__).resolve().parents:
        if (package := parent / "ops" / "modules" / MODULE).is_dir():
            return package
    raise EnvironmentFaultError("the PostgreSQL module package was not found", hint="run the demo from a checkout")


def print_plain(text: str) -> None:
    """To standard output as it is, so that programs can read it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
