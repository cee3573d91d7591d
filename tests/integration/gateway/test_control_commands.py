"""Commands that control modules, over the gateway and a stand-in for the state machine."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from holdfast.events.module import StateChanged
from holdfast.ids import ModuleId
from holdfast.testing.fake_statemachine import state_of

if TYPE_CHECKING:
    from conftest import RunningGateway, Shell

SHOP = ModuleId("shop")
LOOP = {"accepted": True, "module": "shop", "counted": 3, "maxloop": 3, "loop_interval_s": 60, "limit_reached": True}


def asked(gateway: RunningGateway, verb: str) -> list[dict[str, object]]:
    return [request for known, request in gateway.machine.requests if known == verb]


def test_loop_commands_return_1_at_the_limit(gateway: RunningGateway) -> None:
    for verb, do in (("incloop", "count"), ("checkloop", ""), ("resetloop", "reset")):
        gateway.machine.accept("loop", LOOP)
        assert gateway.shell.run(verb, "-i", "mend", SAFEMODULE="shop", code=1) == "shop: 3 of 3 within 60 s\n"
        request = asked(gateway, "loop")[-1]
        assert (request["do"], request["by"]) == (do, "mend" if do else "")
    gateway.machine.accept("loop", {**LOOP, "limit_reached": False})
    gateway.shell.run("incloop", "-m", "shop")


def test_actions_in_every_spelling_and_with_an_identity(gateway: RunningGateway) -> None:
    gateway.shell.run("primforce", "-m", "shop")
    assert "whatever its date" in gateway.shell.run("secondforce", "-m", "shop", "-d", "2026-05-01T10:00:00Z")
    gateway.shell.run("secondforce", "-m", "shop", "-d", "yesterday", code=2)
    gateway.shell.run("swap", "nosync", "-m", "shop")
    for verb in ("start", "stop", "restart", "stopstart"):
        gateway.shell.run(verb, "-i", "mycheck", SAFEMODULE="shop")
    found = [(each["action"], each["argument"], each["identity"]) for each in asked(gateway, "command")]
    assert found == [
        ("prim", "force", ""),
        ("second", "", ""),
        ("swap", "nosync", ""),
        *((verb, "", "mycheck") for verb in ("start", "stop", "restart", "stopstart")),
    ]


def test_switches_classes_of_processes_and_resync_policy(gateway: RunningGateway) -> None:
    for words in (("errd", "off"), ("errd", "disable", "prim"), ("errd", "enable", "mine"), ("checker", "off")):
        gateway.shell.run(*words, "-m", "shop")
    gateway.machine.accept("resync", {"module": "shop", "replicated": True, "mode": "full"})
    assert gateway.shell.run("rfssync", "full", "-m", "shop") == "shop: full (everything is copied)\n"
    found = [(each["setting"], each["value"]) for each in asked(gateway, "setting")]
    assert found == [("errd", False), ("errd.prim", False), ("errd.mine", True), ("checker", False), ("rfssync", True)]
    gateway.shell.run("errd", "enable", "-m", "shop", code=2)
    gateway.shell.run("errd", "on", "prim", "-m", "shop", code=2)
    process = {"name": "shopd", "process_class": "prim", "class_on": False, "action": "restart", "at_least": 1}
    gateway.machine.accept("processes", {"processes": [{**process, "watched": False, "value": "up"}]})
    listed = gateway.shell.run("errd", "list", "-m", "shop").splitlines()
    assert listed[1].split() == ["shopd", "prim", "(off)", "restart", "1", "no", "up"]


def test_resource_is_assigned_in_silence_or_told_every_time(gateway: RunningGateway) -> None:
    for words in ((), ("-n",), ("-l",)):
        gateway.shell.run("set", "-r", "custom.web", "-v", "up", *words, "-i", "mycheck", SAFEMODULE="shop")
    found = [(each["by"], each["log"]) for each in asked(gateway, "set")]
    assert found == [("mycheck", ""), ("mycheck", "no"), ("mycheck", "always")]


def test_shutdown_and_waiting_for_the_end_of_start_and_stop(gateway: RunningGateway) -> None:
    gateway.machine.accept("shutdown", {"modules": ["shop"], "not_stopped": []})
    assert gateway.shell.run("shutdown") == "stopped: shop\n"
    gateway.machine.accept("shutdown", {"modules": ["shop"], "not_stopped": ["shop"]})
    assert gateway.shell.run("shutdown", code=3) == "not stopped in time: shop\n"
    gateway.machine.modules["shop"] = state_of("shop", "WAIT", "Transient")
    said: list[str] = []
    waiting = threading.Thread(target=lambda: said.append(gateway.shell.run("waitstart", "-m", "shop")))
    waiting.start()
    gateway.machine.modules["shop"] = state_of("shop", "ALONE", "Ready")
    fact = StateChanged(
        role="ALONE", status="Ready", previous_role="WAIT", previous_status="Transient", epoch=7, reason="a test"
    )
    gateway.wait(gateway.listener.context.publish(SHOP, fact))
    waiting.join()
    assert said == ["shop: ALONE Ready\n"]
    gateway.shell.run("waitstop", "-m", "shop", "--timeout", "0", code=3)
    gateway.machine.modules["shop"] = state_of("shop", "STOP", "NotReady")
    gateway.shell.run("waitstop", "-m", "shop")
    gateway.shell.run("waitstart", "-m", "shop", code=1)


def test_boot_is_chosen_and_kept_with_and_without_a_running_node(gateway: RunningGateway) -> None:
    kept = gateway.shell.place.state_dir / "modules" / "shop" / "boot"
    assert json.loads(gateway.shell.run("boot", "status", "-m", "shop", "--json"))["at_start"] == "auto"
    gateway.shell.run("boot", "off", "-m", "shop")
    assert (kept.read_text(), gateway.web.get("/api/v1/modules/shop/boot")["at_start"]) == ("off\n", "off")
    gateway.process.stop()
    gateway.shell.run("boot", "on")
    (status,) = json.loads(gateway.shell.run("boot", "status", "--json"))
    assert (status["chosen"], status["at_start"]) == ("on", "on")


def test_boot_of_the_configuration_is_not_overruled(shell: Shell) -> None:
    shell.configured()
    edited = shell.place.state_dir / "modules" / "shop" / "conf" / "userconfig.xml"
    edited.write_text(edited.read_text().replace('mode="mirror"', 'mode="mirror" boot="on" boot_delay="90s"'))
    shell.run("config", "-m", "shop")
    assert 'boot="on"' in shell.run("boot", "off", "-m", "shop", code=4)
    assert shell.run("boot", "status").splitlines()[1].split() == ["shop", "on", "on", "-", "90", "s"]


def test_ids_ports_and_uninstalling_through_the_gateway(gateway: RunningGateway) -> None:
    assert gateway.shell.run("module", "listid").split() == ["MODULE", "ID", "shop", "1"]
    ports = gateway.shell.run("module", "getports", "-m", "shop").splitlines()
    assert ports == ["safeadmin", "port TCP 4800", "webconsole", f"port TCP {gateway.port}", "heart", "port UDP 8888"]
    ports = gateway.shell.run("module", "getports", "-i", "3").splitlines()
    assert ports[4:] == ["heart", "port UDP 8890", "rfs", "port TCP 5608", "farm", "port UDP 4809"]
    gateway.shell.run("module", "getports", "-i", "300", code=2)
    gateway.shell.run("module", "getports", code=2)
    gateway.machine.modules["shop"] = state_of("shop", "PRIM", "Ready")
    assert "stop it first" in gateway.shell.run("module", "uninstall", "-m", "shop", code=4)
    gateway.machine.modules["shop"] = state_of("shop", "STOP", "NotReady")
    gateway.shell.run("module", "uninstall", "-m", "shop")
    assert [verb for verb, _request in gateway.machine.requests if verb == "remove"] == ["remove"]


def test_key_is_made_anew_only_while_no_module_runs(gateway: RunningGateway) -> None:
    key = gateway.shell.place.config_dir / "cluster.key"
    before = key.read_text()
    gateway.machine.modules["shop"] = state_of("shop", "PRIM", "Ready")
    assert "modules run: shop" in gateway.shell.run("cluster", "genkey", code=4)
    assert key.read_text() == before
    gateway.machine.modules["shop"] = state_of("shop", "STOP", "NotReady")
    gateway.shell.run("cluster", "genkey")
    assert key.read_text() != before
    gateway.shell.run("cluster", "lock")
    assert "is locked" in gateway.shell.run("cluster", "deconfig", code=4)


def test_uninstalling_runs_deconfig_and_keeps_a_package(shell: Shell) -> None:
    shell.configured()
    package = shell.package(deconfig="echo undone", start_prim="true")
    shell.run("module", "install", str(package), "-m", "shop", "-r")
    shell.run("config", "-m", "shop")
    said = shell.run("module", "uninstall", "-m", "shop")
    assert "deconfig: undone" in said
    (kept,) = (shell.place.state_dir / "backup").iterdir()
    assert str(kept) in said
    shell.run("module", "install", str(kept), "-m", "again")
    assert (shell.place.state_dir / "modules" / "again" / "bin" / "deconfig").exists()


def test_processes_are_found_and_ended_by_name_and_arguments(gateway: RunningGateway) -> None:
    program = [sys.executable, "-c", "import time; time.sleep(300)", "holdfast-test-victim"]
    victims = [subprocess.Popen(program) for _ in range(2)]
    try:
        words = ("kill", "-argregex=holdfast-test-[v]ictim$")
        listed = json.loads(gateway.shell.run(*words, "-level=test", "--json"))
        assert {each["pid"] for each in listed} == {victim.pid for victim in victims}
        assert all(victim.poll() is None for victim in victims)
        gateway.shell.run(*words, "-level=9")
        assert [victim.wait(20) for victim in victims] == [-9, -9]
    finally:
        for victim in victims:
            victim.kill()
            victim.wait()
    gateway.shell.run("kill", code=2)
    gateway.shell.run("kill", "-name=x", "-level=mild", code=2)
    gateway.shell.run("kill", "-argregex=(", code=2)


def test_script_state_adds_to_the_command(gateway: RunningGateway) -> None:
    gateway.machine.modules["shop"] = state_of("shop", "PRIM", "Ready")
    gateway.machine.accept("apply", {"accepted": True})
    package = gateway.shell.package(state='echo "and $SAFEMODULE sells"; exit 3')
    gateway.machine.modules["shop"] = state_of("shop", "STOP", "NotReady")
    gateway.shell.run("module", "install", str(package), "-m", "shop", "-r")
    gateway.shell.run("config", "-m", "shop")
    assert "and shop sells\n" in gateway.shell.run("state", "-m", "shop", "-v", code=1)
    assert "sells" not in gateway.shell.run("state", "-m", "shop")


def test_cluster_with_names_is_looked_up_when_it_is_applied(gateway: RunningGateway) -> None:
    place = gateway.shell.place
    file = place.root / "named.xml"
    before = (place.config_dir / "cluster.xml").read_text()
    file.write_text(before.replace("10.0.0.2", "nobody.invalid"))
    assert "nobody.invalid" in gateway.shell.run("cluster", "config", str(file), code=6)
    assert (place.config_dir / "cluster.xml").read_text() == before
    file.write_text(before.replace("10.0.0.2", "localhost"))
    gateway.machine.refuse("apply", "the module is PRIM Ready")
    said = gateway.shell.run("cluster", "config", str(file))
    assert "module shop goes on with the configuration it has until it is stopped and started" in said
    kept = json.loads((place.config_dir / "cluster_names.json").read_text())
    assert kept["addresses"]["localhost"] in ("127.0.0.1", "::1")
    assert asked(gateway, "apply")[-1] == {"module": "shop", "update": True}
