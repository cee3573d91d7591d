"""Every module package in ops/modules: its configuration, its layout, its scripts, its page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from holdfast.config.lint.catalogue import lint
from holdfast.config.lint.doubt import Subject
from holdfast.config.model import ModuleConfig
from holdfast.config.package import build_package, check_handlers, list_package
from holdfast.config.parse import parse_module

PACKAGES = sorted(path.parent.parent for path in Path(__file__).parents[4].glob("ops/modules/*/conf/userconfig.xml"))
NOT_RUN = {"compose", "k3s", "kvm"}
"""Packages of applications that the machines of the tests cannot run."""

every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


def configuration(package: Path) -> ModuleConfig:
    return parse_module((package / "conf/userconfig.xml").read_bytes(), "userconfig.xml", {})


def scripts(package: Path) -> list[Path]:
    return sorted(path for path in (package / "bin").rglob("*") if path.is_file())


def test_the_promised_packages_are_there() -> None:
    names = {package.name for package in PACKAGES}
    assert names >= {"mirror", "postgresql", "mysql", "nginx", "apache", "customchecker", "softerrd", "vhost", *NOT_RUN}


@every_package
def test_configuration_is_valid_without_a_warning_or_a_doubt(package: Path) -> None:
    config = configuration(package)
    assert config.warnings == ()
    names = frozenset(str(path.relative_to(package / "bin")) for path in scripts(package))
    assert [problem.message for problem in lint(Subject(config=config, scripts=names))] == []


@every_package
def test_package_can_be_built_and_everything_that_is_run_is_executable(package: Path, tmp_path: Path) -> None:
    built = tmp_path / "built.safe"
    build_package(package, built)
    entries = list(list_package(built))
    check_handlers(configuration(package), entries)
    executable = {str(entry.path) for entry in entries if entry.executable}
    programs = {check.program for check in configuration(package).custom_checks}
    handlers = {process.handler for process in configuration(package).processes if process.handler}
    own = {path.name for path in scripts(package) if not path.read_text().startswith("#!/bin/bash\n# What the scripts")}
    assert executable >= {f"bin/{name}" for name in programs | handlers | own}
    assert executable >= {"bin/start_prim", "bin/stop_prim"}


@every_package
def test_variables_that_scripts_read_are_given_by_the_configuration(package: Path) -> None:
    config = configuration(package)
    assert config.user is not None
    given = {variable.name for variable in config.user.variables}
    read = {name for path in scripts(package) for name in re.findall(r"\$\{?([A-Z][A-Z0-9_]+)\b", path.read_text())}
    assert given <= read, "a variable that no script reads"


@every_package
def test_page_says_how_to_set_it_up_and_whether_it_was_run(package: Path) -> None:
    page = (package / "README.md").read_text()
    assert "holdfast module install" in page
    assert ("Not run for real" in page) is (package.name in NOT_RUN)
    for macro in configuration(package).macros:
        assert macro.name in page, f"macro {macro.name} is not explained"


@pytest.mark.slow
@every_package
def test_scripts_pass_shellcheck(package: Path) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    command = [str(shellcheck), "-x", "-P", "SCRIPTDIR", *map(str, scripts(package))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0
