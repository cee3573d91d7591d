"""Commands that only need files work before the node's first start, and leave nothing half done."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Shell

CLUSTER = '<cluster><lans><lan name="l"><node name="node1" addr="10.0.0.1"/></lan></lans></cluster>'


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_install_config_and_deconfig_before_the_first_start(shell: Shell) -> None:
    shell.configured()
    module = shell.place.state_dir / "modules" / "shop"
    assert (module / "active" / "safeconf.xml").read_text().startswith("<?xml")
    assert os.access(module / "active" / "bin" / "start_prim", os.X_OK)
    assert (shell.place.config_dir / "cluster.key").stat().st_mode & 0o777 == 0o600
    listed = json.loads(shell.run("module", "list", "--json"))
    assert [(each["module"], each["id"], each["mode"]) for each in listed] == [("shop", 1, "mirror")]
    assert not (module / "active.new").exists()
    shell.run("deconfig", "-m", "shop")
    shell.run("module", "uninstall", "-m", "shop")
    assert list((shell.place.state_dir / "modules").iterdir()) == []


def test_key_is_shared_through_a_file(shell: Shell) -> None:
    file, key = shell.place.root / "cluster.xml", shell.place.root / "key"
    file.write_text(CLUSTER)
    key.write_text("AB" * 32 + "\n")
    shell.run("cluster", "config", str(file), "--key", str(key))
    assert (shell.place.config_dir / "cluster.key").read_text() == "ab" * 32 + "\n"
    assert json.loads(shell.run("cluster", "confinfo", "--json"))["key"] is True


def test_locked_cluster_is_not_changed(shell: Shell) -> None:
    shell.configured()
    file = shell.place.root / "cluster.xml"
    key = (shell.place.config_dir / "cluster.key").read_text()
    assert json.loads(shell.run("cluster", "config", "lock", "--json"))["locked"] is True
    for words in (("config", str(file)), ("genkey",), ("deconfig",)):
        assert "the cluster's configuration is locked" in shell.run("cluster", *words, code=4)
    shell.run("cluster", "unlock")
    shell.run("cluster", "config", str(file))
    shell.run("cluster", "genkey")
    assert (shell.place.config_dir / "cluster.key").read_text() not in ("", key)
    assert (shell.place.config_dir / "cluster.key").stat().st_mode & 0o777 == 0o600


def test_cluster_is_taken_away_once_no_module_needs_it(shell: Shell) -> None:
    shell.configured()
    assert "modules are configured: shop" in shell.run("cluster", "deconfig", code=4)
    shell.run("deconfig", "-m", "shop")
    shell.run("cluster", "deconfig")
    left = {path.name for path in shell.place.config_dir.iterdir()}
    assert left.isdisjoint({"cluster.xml", "cluster.key", "cluster_names.json"})
    assert "no cluster configuration" in shell.run("cluster", "deconfig", code=5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<cluster><lans>", "not well-formed"),
        ("<cluster><lans><lan name='l'/></lans></cluster>", "cluster.xml:1:"),
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><cluster/>", "DOCTYPE"),
    ],
)
def test_wrong_cluster_file_changes_nothing(shell: Shell, text: str, said: str) -> None:
    file = shell.place.root / "cluster.xml"
    file.write_text(CLUSTER)
    shell.run("cluster", "config", str(file))
    before = tree(shell.place.config_dir)
    file.write_text(text)
    assert said in shell.run("cluster", "config", str(file), code=6)
    assert tree(shell.place.config_dir) == before


def test_wrong_key_changes_nothing(shell: Shell) -> None:
    file, key = shell.place.root / "cluster.xml", shell.place.root / "key"
    file.write_text(CLUSTER)
    key.write_text("not a key")
    assert "key" in shell.run("cluster", "config", str(file), "--key", str(key), code=2)
    assert tree(shell.place.config_dir) == {}


def test_wrong_configuration_names_the_place_and_leaves_the_old_one_in_force(shell: Shell) -> None:
    shell.configured()
    module = shell.place.state_dir / "modules" / "shop"
    before = tree(module / "active")
    (module / "conf" / "userconfig.xml").write_text('<safe><service mode="mirrow"><heart/></service></safe>')
    said = shell.run("config", "-m", "shop", code=6)
    assert "userconfig.xml:1:" in said
    assert "mirror" in said
    assert tree(module / "active") == before
    assert not (module / "active.new").exists()


@pytest.mark.parametrize("name", ["../out", "journal.db", "active/bin/x", "/etc/passwd"])
def test_hostile_package_installs_nothing(shell: Shell, name: str) -> None:
    file = shell.place.root / "evil.safe"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("conf/userconfig.xml", '<safe><service mode="mirror"/></safe>')
        archive.writestr(name, "x")
    shell.run("module", "install", str(file), code=6)
    assert tree(shell.place.state_dir) == {}


def test_link_among_the_scripts_is_refused(shell: Shell) -> None:
    shell.configured()
    (shell.place.state_dir / "modules" / "shop" / "bin" / "secret").symlink_to("/etc/shadow")
    assert "neither a file" in shell.run("config", "-m", "shop", code=6)


def test_package_that_was_written_can_be_installed(shell: Shell) -> None:
    shell.configured()
    file = shell.place.root / "again.safe"
    shell.run("module", "package", "-m", "shop", str(file))
    shell.run("module", "install", str(file))
    shell.run("module", "install", str(file), code=4)
    shell.run("module", "install", str(file), "-r")
    listed = json.loads(shell.run("module", "list", "--json"))
    assert {each["module"]: each["id"] for each in listed} == {"again": 2, "shop": 1}


def test_commands_to_a_node_that_does_not_run_say_so(shell: Shell) -> None:
    assert "does not run" in shell.run("state", code=7)
    assert "does not run" in shell.run("start", "-m", "shop", code=7)


def test_module_names_from_outside_are_checked(shell: Shell) -> None:
    assert "not valid" in shell.run("module", "uninstall", "-m", "../../etc", code=2)
