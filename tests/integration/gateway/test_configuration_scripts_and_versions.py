"""Scripts of a configuration, checks that change nothing, and configurations that can be had back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from holdfast.settings import load_settings
from holdfast.testing.fake_statemachine import state_of

from services.gateway.files.module_scripts import OUTPUT_BYTES_MAX, Ran, run_module_script

if TYPE_CHECKING:
    from conftest import RunningGateway, Shell

WITH_VARIABLE = """<safe><service mode="mirror" {more}>
<heart><heartbeat name="lan1"/></heart>
<user><var name="SERVICES" value="shopd"/></user>
</service></safe>
"""


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def module_of(shell: Shell) -> Path:
    return shell.place.state_dir / "modules" / "shop"


def script(shell: Shell, name: str, text: str) -> None:
    path = module_of(shell) / "bin" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def edit(shell: Shell, more: str = "") -> None:
    (module_of(shell) / "conf" / "userconfig.xml").write_text(WITH_VARIABLE.format(more=more))


def test_configuration_scripts_run_in_order_with_what_they_need(shell: Shell) -> None:
    shell.configured()
    edit(shell, 'maxloop="5"')
    script(shell, "config", 'echo "$SAFEMODULE $SERVICES"; test -e "$SAFEUSERCONF/safeconf.xml" || echo early')
    script(shell, "postconfig", 'grep -o "maxloop=.5." "$SAFEUSERCONF/safeconf.xml"; test -x "$SAFE/safekit" && pwd')
    said = shell.run("config", "-m", "shop")
    assert "config: shop shopd\nconfig: early\n" in said
    assert 'postconfig: maxloop="5"\n' in said
    assert "is in force" in said
    assert not (module_of(shell) / "active.new").exists()


@pytest.mark.parametrize("name", ["config", "postconfig"])
def test_failing_script_leaves_the_old_configuration_in_force(shell: Shell, name: str) -> None:
    shell.configured()
    before = tree(module_of(shell) / "active")
    edit(shell, 'maxloop="5"')
    script(shell, name, "echo the unit is missing; exit 3")
    said = shell.run("config", "-m", "shop", code=6)
    assert f"script {name} failed with exit code 3 (the configuration in force is as it was)" in said
    assert f"{name}: the unit is missing" in said
    assert tree(module_of(shell) / "active") == before
    assert not (module_of(shell) / "active.new").exists()


def test_first_configuration_that_fails_late_is_undone_by_deconfig(shell: Shell) -> None:
    shell.configured()
    shell.run("deconfig", "-m", "shop")
    script(shell, "config", 'echo config >> "$SAFEUSERVAR/calls"')
    script(shell, "postconfig", 'echo postconfig >> "$SAFEUSERVAR/calls"; false')
    script(shell, "deconfig", 'echo deconfig >> "$SAFEUSERVAR/calls"')
    shell.run("config", "-m", "shop", code=6)
    assert (module_of(shell) / "calls").read_text().split() == ["config", "postconfig", "deconfig"]
    assert not (module_of(shell) / "active").exists()


def test_deconfig_that_fails_leaves_the_module_configured(shell: Shell) -> None:
    shell.configured()
    script(shell, "deconfig", "echo still needed; exit 1")
    shell.run("config", "-m", "shop")
    assert "deconfig: still needed" in shell.run("deconfig", "-m", "shop", code=6)
    assert (module_of(shell) / "active").exists()
    script(shell, "deconfig", "echo gone")
    shell.run("config", "-m", "shop")
    assert "deconfig: gone" in shell.run("deconfig", "-m", "shop")
    assert not (module_of(shell) / "active").exists()


def test_scripts_of_a_module_without_user_are_not_run(shell: Shell) -> None:
    shell.configured()
    text = '<safe><service mode="mirror"><heart><heartbeat name="lan1"/></heart></service></safe>'
    (module_of(shell) / "conf" / "userconfig.xml").write_text(text)
    script(shell, "config", "exit 1")
    said = shell.run("config", "-m", "shop")
    assert "[idle-scripts] there is no <user>" in said


def run_alone(root: Path, text: str, *, limit_s: float = 30.0) -> Ran:
    """Run one script as a configuration's, without a module around it."""
    applied = root / "applied"
    (applied / "bin").mkdir(parents=True)
    path = applied / "bin" / "config"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    environment = {
        "HOLDFAST_NODE": "node1",
        "HOLDFAST_STATE_DIR": str(root / "state"),
        "HOLDFAST_CONFIG_DIR": str(root),
        "HOLDFAST_RUN_DIR": str(root),
    }
    settings = load_settings(environment)
    ran = run_module_script(settings, "shop", "config", applied=applied, variables={}, limit_s=limit_s)
    assert ran is not None
    return ran


def test_script_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    ran = run_alone(tmp_path, "echo begun\nsleep 600 &\nwait", limit_s=0.5)
    assert (ran.timed_out, ran.output) == (True, "begun\n")
    assert ran.exit_code != 0


def test_script_that_writes_without_end_is_read_but_not_kept(tmp_path: Path) -> None:
    ran = run_alone(tmp_path, "head -c 50000000 /dev/zero | tr '\\0' x; exit 5")
    assert (ran.exit_code, len(ran.output)) == (5, OUTPUT_BYTES_MAX)


def test_child_that_a_script_leaves_behind_does_not_hold_the_command(tmp_path: Path) -> None:
    ran = run_alone(tmp_path, "sleep 5 &\necho done")
    assert (ran.timed_out, ran.exit_code, ran.output) == (False, 0, "done\n")


def test_confcheck_says_everything_and_changes_nothing(shell: Shell) -> None:
    shell.configured()
    (module_of(shell) / "conf" / "userconfig.xml").write_text(
        """<safe><service mode="mirror" maxlop="5">
<heart permanent_arp="off"><heartbeat name="lan1" pulse="5s" timeout="6s"/></heart>
<user nicestoptimeout="soon"/>
<rfs nbremconn="4"><replicated dir="/srv/shop"/></rfs>
</service></safe>"""
    )
    before = tree(module_of(shell))
    said = shell.run("confcheck", "-m", "shop", code=6)
    assert "(3 errors, 2 warnings)" in said
    assert "error: " in said
    assert "did you mean 'maxloop'?" in said
    assert "userconfig.xml:3:7: nicestoptimeout: " in said
    assert "warning: " in said
    assert tree(module_of(shell)) == before
    body = json.loads(shell.run("confcheck", "-m", "shop", "--json", code=6))
    assert (body["valid"], len(body["problems"]), len(body["warnings"])) == (False, 3, 2)


def test_confcheck_finds_what_does_not_fit_the_cluster_and_the_scripts_at_once(shell: Shell) -> None:
    shell.configured()
    (module_of(shell) / "conf" / "userconfig.xml").write_text(
        """<safe><service mode="mirror">
<heart><heartbeat name="lan7"/></heart>
<user/><errd><proc name="shopd" action="mend.sh"/></errd>
</service></safe>"""
    )
    said = shell.run("confcheck", "-m", "shop", code=6)
    assert "there is no lan 'lan7'; did you mean 'lan1'?" in said
    assert "the handler 'mend.sh' is not in the module's bin" in said
    assert "(2 errors, 1 warning)" in said


def test_confcheck_runs_the_script_of_that_name_on_a_copy(shell: Shell) -> None:
    shell.configured()
    edit(shell)
    script(shell, "confcheck", 'cat "$SAFEUSERCONF/safeconf.xml" > /dev/null && echo "$SERVICES looks right"')
    before = tree(module_of(shell))
    said = shell.run("confcheck", "-m", "shop")
    assert "confcheck: shopd looks right" in said
    assert "[heartbeat-networks]" in said
    assert tree(module_of(shell)) == before
    script(shell, "confcheck", "exit 9")
    assert "script confcheck failed with exit code 9" in shell.run("confcheck", "-m", "shop", code=6)


def test_socket_in_a_replicated_directory_is_found(shell: Shell) -> None:
    shell.configured()
    data = shell.place.root / "data"
    (data / "run").mkdir(parents=True)
    (data / "run" / "shop.pid").write_text("1")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(data / "s"))
        (module_of(shell) / "conf" / "userconfig.xml").write_text(
            f"""<safe><service mode="mirror"><heart><heartbeat name="lan1"/></heart><user/>
<rfs><replicated dir="{data}"/></rfs></service></safe>"""
        )
        said = shell.run("confcheck", "-m", "shop")
    assert "[runtime-files]" in said
    assert '<notreplicated path="run/shop.pid"/> <notreplicated path="s"/>' in said


def test_last_three_configurations_are_kept_and_one_can_be_had_back(shell: Shell) -> None:
    shell.configured()
    for number in (5, 6, 7, 8):
        edit(shell, f'maxloop="{number}"')
        script(shell, "start_prim", f"echo {number}")
        shell.run("config", "-m", "shop")
    shell.run("config", "-m", "shop")
    (module_of(shell) / "written by a script").write_text("stays")
    info = json.loads(shell.run("confinfo", "-m", "shop", "--json"))
    assert [kept["number"] for kept in info["kept"]] == [1, 2, 3]
    assert info["same"] is True
    assert info["active"]["signature"] == info["current"]["signature"]
    edit(shell, 'maxloop="99"')
    assert json.loads(shell.run("confinfo", "-m", "shop", "--json"))["same"] is False
    shell.run("config", "-m", "shop", "--restore", "3")
    for place in ("active/userconfig.xml", "conf/userconfig.xml"):
        assert 'maxloop="6"' in (module_of(shell) / place).read_text()
    assert "echo 6" in (module_of(shell) / "active" / "bin" / "start_prim").read_text()
    assert (module_of(shell) / "written by a script").read_text() == "stays"
    assert "no kept configuration 4" in shell.run("config", "-m", "shop", "--restore", "4", code=5)


def test_restore_that_fails_leaves_the_edited_files_as_they_were(shell: Shell) -> None:
    shell.configured()
    script(shell, "postconfig", 'test ! -e "$SAFEUSERVAR/stop"')
    shell.run("config", "-m", "shop")
    edit(shell, 'maxloop="9"')
    before = tree(module_of(shell))
    (module_of(shell) / "stop").write_text("")
    shell.run("config", "-m", "shop", "--restore", "1", code=6)
    (module_of(shell) / "stop").unlink()
    assert tree(module_of(shell)) == before


def test_module_is_configured_by_one_command_at_a_time(shell: Shell) -> None:
    shell.configured()
    script(shell, "config", '"$SAFE/safekit" config -m shop')
    said = shell.run("config", "-m", "shop", code=6)
    assert "config: refused: module 'shop' is being configured" in said


def test_running_gateway_checks_and_describes_configurations(gateway: RunningGateway) -> None:
    shell = gateway.shell
    gateway.machine.modules["shop"] = state_of("shop", "STOP", "NotReady")
    script(shell, "config", "echo from the gateway")
    assert "config: from the gateway" in shell.run("config", "-m", "shop")
    assert "(0 errors, 2 warnings)" in shell.run("confcheck", "-m", "shop")
    assert "in force" in shell.run("confinfo", "-m", "shop")
    state = json.loads(shell.run("state", "-m", "shop", "--json"))
    assert state["configuration"]["same"] is True
    assert "the edited configuration is in force" in shell.run("state", "-m", "shop", "-v")


def test_update_script_runs_when_a_module_that_runs_is_configured(gateway: RunningGateway) -> None:
    shell = gateway.shell
    gateway.machine.modules["shop"] = state_of("shop", "ALONE", "Ready")
    script(shell, "update", 'echo "told: $*"')
    assert "update: told: ALONE ALONE" in shell.run("config", "-m", "shop")
    assert "update: told: ALONE ALONE" in shell.run("update", "-m", "shop")
    script(shell, "update", "exit 4")
    said = shell.run("config", "-m", "shop", code=1)
    assert "script update failed with exit code 4; the configuration is in force all the same" in said


def test_module_on_its_way_is_not_configured_and_runs_no_script(gateway: RunningGateway) -> None:
    shell = gateway.shell
    gateway.machine.modules["shop"] = state_of("shop", "WAIT", "Transient")
    script(shell, "config", 'touch "$SAFEUSERVAR/ran"')
    assert "the module is WAIT Transient" in shell.run("config", "-m", "shop", code=4)
    gateway.machine.modules["shop"] = state_of("shop", "ALONE", "Ready")
    assert "stop it first" in shell.run("deconfig", "-m", "shop", code=4)
    assert "update is possible in ALONE" in _refused_update(gateway)
    assert not (module_of(shell) / "ran").exists()


def _refused_update(gateway: RunningGateway) -> str:
    gateway.machine.modules["shop"] = state_of("shop", "SECOND", "Ready")
    return gateway.shell.run("update", "-m", "shop", code=4)


NAMED = """<safe><service mode="mirror"><heart><heartbeat name="lan1"/></heart><user/>
<vhost><virtualhostname name="shop.example.org" envfile="{envfile}"/></vhost></service></safe>"""


def test_configuration_makes_the_files_of_a_virtual_host_name(shell: Shell) -> None:
    shell.configured()
    (module_of(shell) / "conf" / "userconfig.xml").write_text(NAMED.format(envfile="vhostenv"))
    (module_of(shell) / "bin" / "vhostenv").write_text("an older one")
    shell.run("config", "-m", "shop")
    active = module_of(shell) / "active" / "bin"
    sourced = subprocess.run(
        ["sh", "-eu", "-c", '. "$1"; echo $VIRTUALHOSTNAME; uname -n', "sh", str(active / "vhostenv")],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert sourced.stdout == f"shop.example.org\n{os.uname().nodename}\n", sourced.stderr
    assert "ProtectHostname=private:shop.example.org\n" in (active / "vhostenv.conf").read_text()
    assert json.loads(shell.run("confinfo", "-m", "shop", "--json"))["same"] is True


def test_envfile_that_a_directory_is_in_the_place_of_is_refused(shell: Shell) -> None:
    shell.configured()
    (module_of(shell) / "conf" / "userconfig.xml").write_text(NAMED.format(envfile="names"))
    (module_of(shell) / "bin" / "names").mkdir()
    assert "envfile names is a directory of the module's bin" in shell.run("config", "-m", "shop", code=6)
