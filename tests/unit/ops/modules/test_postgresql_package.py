"""The PostgreSQL module package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from holdfast.config.package import build_package, list_package
from holdfast.config.parse import parse_module

PACKAGE = Path(__file__).resolve().parents[4] / "ops/modules/postgresql"


def test_configuration_is_valid_and_without_a_warning() -> None:
    module = parse_module((PACKAGE / "conf/userconfig.xml").read_bytes(), "userconfig.xml", {})
    assert module.warnings == ()
    assert [directory.path for directory in module.replication.directories] == ["/var/lib/postgresql/15/main"]


def test_nothing_is_left_out_of_replication() -> None:
    module = parse_module((PACKAGE / "conf/userconfig.xml").read_bytes(), "userconfig.xml", {})
    assert all(not (each.excluded_paths or each.excluded_names) for each in module.replication.directories)


def test_package_can_be_built_and_its_scripts_can_be_run(tmp_path: Path) -> None:
    build_package(PACKAGE, tmp_path / "postgresql.safe")
    executable = {str(entry.path) for entry in list_package(tmp_path / "postgresql.safe") if entry.executable}
    assert executable >= {"bin/prestart", "bin/start_prim", "bin/stop_prim"}


@pytest.mark.slow
def test_scripts_pass_shellcheck() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    scripts = sorted(str(path) for path in (PACKAGE / "bin").iterdir())
    done = subprocess.run([shellcheck, "-x", "-P", "SCRIPTDIR", *scripts], capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
