"""Level, health check, dump, snapshot, cleaning, mails and completion through the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from holdfast.bus import subjects
from holdfast.events.catalogue import BY_PAYLOAD
from holdfast.events.membership import PeerFound
from holdfast.events.module import ForgetScripts
from holdfast.ids import ModuleId
from holdfast.journal.port import ResourceAssigned
from holdfast.journal.sql import SqlJournal
from holdfast.testing.fake_statemachine import state_of

from tests.integration.mail.smtp_server import mail_server

if TYPE_CHECKING:
    from conftest import RunningGateway, Shell

SHOP = ModuleId("shop")


def module_dir(shell: Shell) -> Path:
    return shell.place.state_dir / "modules" / "shop"


def with_history(shell: Shell, values: int = 3) -> None:
    """A journal like the state machine's, with a resource that has had some values."""
    journal = SqlJournal(module_dir(shell) / "journal.db")
    for number in range(values):
        row = ResourceAssigned(resource="custom.web", value=f"v{number}", by="mycheck", wall_ns=number + 1, cause="c")
        journal.project(row)
    journal.flush()
    journal.close()


def test_level_tells_host_system_and_the_modules_own(gateway: RunningGateway) -> None:
    shell = gateway.shell
    lines = shell.run("level").splitlines()
    assert [line.split()[0] for line in lines] == ["Host", "OS", "Holdfast", "License"]
    assert "has no script level" in shell.run("level", "-m", "shop", code=5)
    script = module_dir(shell) / "active" / "bin" / "level"
    script.write_text('#!/bin/sh\necho "shop 1.2 of $SAFEMODULE"\n')
    script.chmod(0o755)
    assert shell.run("level", "-m", "shop") == "shop 1.2 of shop\n"
    script.write_text("#!/bin/sh\nexit 3\n")
    shell.run("level", "-m", "shop", code=1)


def test_paths_are_those_of_this_node(shell: Shell) -> None:
    lines = shell.run("-p").splitlines()
    assert f"SAFEVAR={shell.place.state_dir}" in lines
    assert f"SAFE={shell.place.state_dir}/safe" in lines
    assert f"HOLDFAST_RUN_DIR={shell.place.run_dir}" in lines


def test_health_of_a_node_that_does_not_run(shell: Shell, tmp_path: Path) -> None:
    shell.configured()
    file = tmp_path / "health.txt"
    text = shell.run("healthcheck", str(file), code=1)
    assert file.read_text() == text
    assert "ERROR | services | the node does not run" in text
    assert "OK    | configuration | module shop" in text
    assert "WARN  | configuration | the cluster has one network" in text
    assert text.splitlines()[-1] == "result: ERROR"


def test_health_finds_what_is_wrong(shell: Shell) -> None:
    shell.configured()
    (module_dir(shell) / "active" / "userconfig.xml").write_text("<safe>")
    (shell.place.config_dir / "cluster.key").chmod(0o644)
    text = shell.run("healthcheck", code=1)
    assert "ERROR | configuration | the cluster's key can be read by others (chmod 600" in text
    assert "ERROR | configuration | module shop: " in text


def test_health_knows_whether_this_nodes_clock_is_behind(gateway: RunningGateway) -> None:
    assert "the difference to the other node is not known" in gateway.shell.run("healthcheck", code=1)
    gateway.wait(gateway.listener.context.publish(SHOP, PeerFound(incarnation=1)))
    assert "OK    | clock | this node's clock is not behind" in gateway.shell.run("healthcheck", code=1)


def test_dump_holds_what_the_model_puts_there_and_three_are_kept(gateway: RunningGateway) -> None:
    shell = gateway.shell
    with_history(shell)
    gateway.machine.modules["shop"] = state_of("shop", "PRIM", "Ready")
    shell.run("printe", "-m", "shop", "an event")
    (module_dir(shell) / "log" / "userlog_2026-01-01T000000.000000_start_prim.ulog").write_text("started\n")
    shell.run("start", "-m", "shop")
    place = Path(shell.run("dump", "-m", "shop").strip())
    files = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert files >= {
        "log.txt", "log_verbose.txt", "log.csv", "resources.csv", "resource_history.csv", "states.csv", "commands.csv",
        "cmdlog.csv", "modules.csv", "cluster.json", "cluster/cluster.xml", "healthcheck.txt", "node.json",
        "state.json", "active/userconfig.xml", "services/gateway.log", "system/addresses",
        "scripts/userlog_2026-01-01T000000.000000_start_prim.ulog",
    }  # fmt: skip
    assert "an event" in (place / "log.txt").read_text()
    assert json.loads((place / "state.json").read_text())["role"] == "PRIM"
    assert len((place / "resource_history.csv").read_text().splitlines()) == 4
    assert "holdfast start -m shop" in (place / "cmdlog.csv").read_text()
    assert not [name for name in files if name.endswith((".key", ".secret", "bus.json"))]
    assert place.stat().st_mode & 0o077 == 0
    for _ in range(3):
        shell.run("dump", "-m", "shop")
    kept = sorted(path.name for path in (module_dir(shell) / "dumps").iterdir())
    assert len(kept) == 3
    assert place.name not in kept


def test_snapshot_holds_dumps_and_configurations(shell: Shell, tmp_path: Path) -> None:
    shell.configured()
    file = tmp_path / "shop.zip"
    assert shell.run("snapshot", "-m", "shop", str(file)) == f"{file}: written\n"
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    folders = {name.split("/")[1].partition("_")[0] for name in names}
    assert {name.split("/")[0] for name in names} == {"shop"}
    assert folders == {"dump", "config"}
    assert [name for name in names if name.endswith("conf/userconfig.xml") and "/config_2" in name]
    assert "of a module" in shell.run("snapshot", str(file), code=2)


def test_anonymised_snapshot_names_nobody(shell: Shell, tmp_path: Path) -> None:
    shell.configured()
    (module_dir(shell) / "bin" / "start_prim").write_text("#!/bin/sh\n# of Customer Ltd, mail ann@corp.example\n")
    (module_dir(shell) / "bin" / "logo.png").write_bytes(b"\x89PNG\xff\xfe")
    words, file = tmp_path / "words", tmp_path / "shop.zip"
    words.write_text("Customer Ltd\n")
    shell.run("snapshot", "-m", "shop", "--anonymise", "--words", str(words), "--without", "sockets$", str(file))
    with zipfile.ZipFile(file) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    whole = "\n".join(texts.values())
    for private in ("10.0.0.1", "10.0.0.2", "node1", "node2", "Customer", "ann@", os.uname().nodename + " "):
        assert private not in whole, private
    assert 'addr="198.18.' in whole
    assert not [name for name in texts if name.endswith(("logo.png", "system/sockets"))]
    catalogue = tmp_path / "shop.zip.catalogue.json"
    assert catalogue.stat().st_mode & 0o777 == 0o600
    told = json.loads(catalogue.read_text())
    assert told["replaced"]["node1"].startswith("host-")
    assert [name for name in told["left_out"] if name.endswith("logo.png")]
    plain, again = tmp_path / "plain.zip", tmp_path / "again.zip"
    shell.run("snapshot", "-m", "shop", str(plain))
    shell.run("snapshot", "--from", str(plain), "--anonymise", str(again))
    assert again.exists()


def test_clean_takes_away_what_is_said(gateway: RunningGateway) -> None:
    shell = gateway.shell
    with_history(shell)
    shell.run("printe", "-m", "shop", "an event")
    log = module_dir(shell) / "log" / "userlog_2026-01-01T000000.000000_start_prim.ulog"
    log.write_text("started\n")
    assert "(0 log files, 3 earlier values" in shell.run("clean", "resource", "-m", "shop")
    assert shell.run("clean", "log", "-m", "shop").startswith("shop: cleaned log (2 log files, 0 earlier values")
    assert (log.exists(), shell.run("log", "-m", "shop", "-A")) == (False, "")
    journal = SqlJournal(module_dir(shell) / "journal.db", read_only=True)
    assert [each.value for each in journal.resources()] == ["v2"]
    assert list(journal.resource_history("custom.web")) == []
    journal.close()
    gateway.machine.modules["shop"] = state_of("shop", "PRIM", "Ready")
    assert "stop it first" in shell.run("clean", "-m", "shop", code=4)
    shell.run("clean", "weather", "-m", "shop", code=2)


def test_clean_ends_script_runs_of_a_stopped_module(gateway: RunningGateway) -> None:
    orders: list[str] = []

    async def hear(subject: str, _data: bytes) -> None:
        orders.append(subject)

    cluster = gateway.shell.place.settings.cluster
    subject = subjects.order(cluster, SHOP, "scripts", BY_PAYLOAD[ForgetScripts].name)
    gateway.wait(gateway.listener.context.bus.subscribe(subject, hear))
    gateway.machine.modules["shop"] = state_of("shop", "STOP", "NotReady")
    gateway.shell.run("clean", "process", "-m", "shop")
    assert orders == [subject]


def test_mails_are_configured_tested_and_switched(gateway: RunningGateway) -> None:
    shell = gateway.shell
    assert "mails have no sender, recipients" in shell.run("notification", "enable", code=4)
    server = gateway.wait(mail_server())
    try:
        shell.run(
            "notification", "configure", "--from", "ha@example.org", "--to", "ops@example.org",
            "--host", "127.0.0.1", "--port", str(server.port), "--event", "state", "--delay", "5",
        )  # fmt: skip
        assert shell.run("notification", "test") == "sent to ops@example.org\n"
        assert server.mailbox.mails[0]["Subject"] == "[Holdfast] node1: test"
    finally:
        gateway.wait(server.close())
    wanted = shell.place.run_dir / "services-node.json"
    assert json.loads(wanted.read_text()) == {"services": []}
    assert "mails    on" in shell.run("notification", "enable")
    assert json.loads(wanted.read_text()) == {"services": ["mail"]}
    assert "there is no such" not in shell.run("notification", "configure", "--event", "weather", code=6)
    assert "has not taken the mail" in shell.run("notification", "test", code=7)
    shell.run("notification", "disable")
    assert json.loads(wanted.read_text()) == {"services": []}


def completed(script: str, words: list[str], cwd: Path) -> set[str]:
    """What bash offers for the last of these words."""
    line = " ".join(f"'{word}'" for word in words)
    program = (
        f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _holdfast; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, cwd=cwd, timeout=20, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_options_and_modules(shell: Shell, tmp_path: Path) -> None:
    shell.configured()
    script = shell.run("completion", "bash")
    assert completed(script, ["holdfast", "sto"], tmp_path) == {"stop", "stopstart"}
    assert completed(script, ["holdfast", "cluster", "conf"], tmp_path) >= {"config", "confinfo"}
    assert completed(script, ["holdfast", "log", "-m", ""], tmp_path) == {"shop"}
    assert "-I" in completed(script, ["holdfast", "log", "-m", "shop", "-"], tmp_path)
    assert completed(script, ["holdfast", "clean", "-m", "shop", "pro"], tmp_path) == {"process"}
    assert "no completion for 'tcsh'" in shell.run("completion", "tcsh", code=2)


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells_accept_their_completion(shell: Shell, name: str, tmp_path: Path) -> None:
    script = shell.run("completion", name)
    assert "logview" in script
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    file = tmp_path / "completion"
    file.write_text(script)
    subprocess.run([program, "-n", str(file)], check=True, timeout=20)
