"""What a script finds in its environment: the model's variables, the user's own, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from holdfast.ids import ModuleId
from holdfast.settings import NodeSettings

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INHERITED = ("LANG", "LC_ALL", "TZ", "HOLDFAST_CONFIG_DIR", "HOLDFAST_STATE_DIR", "HOLDFAST_RUN_DIR")
"""Taken over from the service, so that commands called by a script find the same node."""


def safe_dir(settings: NodeSettings) -> Path:
    """The directory that scripts know as SAFE. Below the state directory because /run is often mounted noexec."""
    return settings.state_dir / "safe"


def script_dir(settings: NodeSettings, module: ModuleId) -> Path:
    """Where the applied scripts of a module are."""
    return settings.module_dir(module) / "active" / "bin"


def script_environment(
    settings: NodeSettings,
    module: ModuleId,
    *,
    variables: Mapping[str, str],
    inherited: Mapping[str, str],
    trace: str = "",
    applied: Path | None = None,
) -> dict[str, str]:
    """Return the whole environment of a script of `module`.

    `applied` is where its configuration and scripts are, when that is not the configuration in force.
    `variables` are those of the `user` tag; they cannot replace the ones by which commands find node and module.
    `trace` is the traceparent of what led to this run (W3C Trace Context, handed on as TRACEPARENT).
    """
    safe = safe_dir(settings)
    active = applied or settings.module_dir(module) / "active"
    environment = {"PATH": PATH, "HOME": "/root", "SHELL": "/bin/sh", **variables}
    environment.update({name: inherited[name] for name in INHERITED if name in inherited})
    # Its host name need not be the node's: commands that it calls must not take the one for the other.
    environment["HOLDFAST_NODE"] = settings.node
    environment.update(
        {
            "SAFE": str(safe),
            "SAFEBIN": str(safe / "private" / "bin"),
            "SAFEVAR": str(settings.state_dir),
            "SAFEMODULE": module,
            "SAFEUSERBIN": str(active / "bin"),
            "SAFEUSERCONF": str(active),
            "SAFEUSERVAR": str(settings.module_dir(module)),
        }
    )
    if trace:
        environment["TRACEPARENT"] = trace
    return environment
