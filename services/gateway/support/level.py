"""What this machine is: host, system, version, licence."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from holdfast.config.parse import parse_module
from holdfast.errors import NotFoundError
from holdfast.scripting.environment import safe_dir
from holdfast.settings import NodeSettings

from services.gateway.files.module_scripts import Ran, run_module_script
from services.gateway.files.modules import module_place

SCRIPT = "level"
SCRIPT_S_MAX = 30.0
"""It prints a version."""
LICENCE = "Apache-2.0, no key is needed"


@dataclass(frozen=True, kw_only=True)
class Level:
    """host: name of the machine. os: distribution and kernel. version: of Holdfast. licence: in words."""

    host: str
    os: str
    version: str
    licence: str


def level() -> Level:
    """Return what this machine is."""
    try:
        name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        name = "Linux"
    here = os.uname()
    return Level(
        host=here.nodename,
        os=f"{name}, {here.sysname} {here.release} {here.machine}",
        version=version("holdfast"),
        licence=LICENCE,
    )


def module_level(settings: NodeSettings, module: str) -> Ran:
    """Run the module's script `level`; raise NotFoundError when it has none."""
    place = module_place(settings, module)
    applied = place / "active" if (place / "active").is_dir() else place
    file = next(path for path in (applied / "safeconf.xml", place / "conf" / "userconfig.xml") if path.exists())
    config = parse_module(file.read_bytes(), str(file), os.environ)
    variables = {variable.name: variable.value for variable in (config.user.variables if config.user else ())}
    ran = run_module_script(settings, module, SCRIPT, applied=applied, variables=variables, limit_s=SCRIPT_S_MAX)
    if ran is None:
        raise NotFoundError(f"module '{module}' has no script {SCRIPT}", hint=f"it would be {applied / 'bin' / SCRIPT}")
    return ran


def paths(settings: NodeSettings) -> dict[str, Path]:
    """The model's three roots, and ours."""
    return {
        "SAFE": safe_dir(settings),
        "SAFEVAR": settings.state_dir,
        "SAFEBIN": safe_dir(settings) / "private" / "bin",
        "HOLDFAST_CONFIG_DIR": settings.config_dir,
        "HOLDFAST_STATE_DIR": settings.state_dir,
        "HOLDFAST_RUN_DIR": settings.run_dir,
    }
