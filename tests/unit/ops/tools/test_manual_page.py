"""The manual page is made from the commands, and man reads it without complaint."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from holdfast.errors import ExitCode

from services.gateway.cli.main import COMMANDS
from services.gateway.cli.tree import leaves, tree

FOR_DEVELOPERS = {"lab", "sim"}


def generator() -> ModuleType:
    path = Path(__file__).resolve().parents[4] / "ops" / "tools" / "manpage.py"
    spec = importlib.util.spec_from_file_location("manpage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_for_operators_has_its_help_and_an_example() -> None:
    shown = [leaf for leaf in leaves(tree()) if leaf.words[0] not in FOR_DEVELOPERS]
    assert [" ".join(leaf.words) for leaf in shown if not leaf.text] == []
    assert [" ".join(leaf.words) for leaf in shown if "holdfast " not in leaf.example] == []


def test_every_command_and_exit_code_is_on_the_page() -> None:
    page = generator().render(tree())
    sections = re.findall(r"^\.SS holdfast (\S+)", page, re.M)
    assert {name.replace("\\-", "-") for name in sections} == set(COMMANDS)
    assert [int(code) for code in re.findall(r"^\.B (\d+)$", page, re.M)] == [int(code) for code in ExitCode]


def test_groff_reads_the_page_without_a_warning(tmp_path: Path) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    file = tmp_path / "holdfast.1"
    generator().main([str(file)])
    done = subprocess.run(["groff", "-man", "-ww", "-z", str(file)], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
