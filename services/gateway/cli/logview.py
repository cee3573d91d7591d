"""`holdfast logview`."""

from __future__ import annotations

from services.gateway.cli.log import AllOption, CountOption, InformationOption, detail_of, print_following
from services.gateway.cli.options import JsonOption, ModuleOption


def run(
    module: ModuleOption,
    count: CountOption = 300,
    information: InformationOption = False,
    everything: AllOption = False,
    as_json: JsonOption = False,
) -> None:
    """Print the last lines of a module's log and go on with new ones as they come, until interrupted.

    Exit codes: 0 the gateway has ended, 5 no such module, 7 the node does not run.

    Example: holdfast logview -m shop -A
    """
    print_following(module, count, detail_of(information=information, everything=everything), as_json=as_json)
