"""The gateway over its Unix socket (through the command line) and over its loopback port."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from holdfast.events.envelope import NODE_SCOPE
from holdfast.events.module import ResourceReported, StateChanged
from holdfast.ids import ModuleId
from holdfast.testing.fake_statemachine import state_of

if TYPE_CHECKING:
    from conftest import RunningGateway

SHOP = ModuleId("shop")


def publish(gateway: RunningGateway, fact: object, module: ModuleId = SHOP) -> None:
    gateway.wait(gateway.listener.context.publish(module, fact))


def changed(role: str, status: str = "Ready") -> StateChanged:
    return StateChanged(
        role=role, status=status, previous_role="WAIT", previous_status="Transient", epoch=7, reason="a test"
    )


def test_command_reaches_the_state_machine_with_who_asked(gateway: RunningGateway) -> None:
    gateway.shell.run("start", "-m", "shop")
    gateway.shell.run("prim", "fullsync", "-m", "shop")
    gateway.shell.run("stop", "-i", "start_prim", SAFEMODULE="shop", SUDO_USER="ann")
    asked = [request for verb, request in gateway.machine.requests if verb == "command"]
    assert [(each["action"], each["argument"], each["identity"]) for each in asked] == [
        ("start", "", ""),
        ("prim", "fullsync", ""),
        ("stop", "", "start_prim"),
    ]
    assert asked[2]["who"] == "ann"


def test_refusal_is_said_with_its_reason_and_exit_code_4(gateway: RunningGateway) -> None:
    gateway.machine.refuse("command", "the peer is primary already")
    assert gateway.shell.run("prim", "-m", "shop", code=4) == "refused: the peer is primary already\n"


@pytest.mark.parametrize(("role", "code"), [("STOP", 0), ("WAIT", 1), ("ALONE", 2), ("PRIM", 3), ("SECOND", 4)])
def test_quiet_state_returns_the_models_exit_code(gateway: RunningGateway, role: str, code: int) -> None:
    gateway.machine.modules["shop"] = state_of("shop", role, "Ready")
    assert gateway.shell.run("state", "-m", "shop", "-lq", code=code) == f"{role} Ready\n"


def test_unknown_module_is_not_found(gateway: RunningGateway) -> None:
    assert "installed: shop" in gateway.shell.run("start", "-m", "nowhere", code=5)


def test_wait_ends_when_the_state_is_reached(gateway: RunningGateway) -> None:
    gateway.machine.modules["shop"] = state_of("shop", "WAIT", "Transient")
    said: list[str] = []

    def wait() -> None:
        said.append(gateway.shell.run("waitstate", "PRIM", "-m", "shop", "--ready", "--timeout", "20"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    gateway.machine.modules["shop"] = state_of("shop", "PRIM", "Ready")
    publish(gateway, changed("PRIM"))
    waiting.join()
    assert said == ["shop: PRIM Ready\n"]
    gateway.shell.run("waitstate", "STOP", "-m", "shop", "--timeout", "0", code=3)


def test_load_balancers_see_where_the_application_serves(gateway: RunningGateway) -> None:
    for role, status, expected in (
        ("PRIM", "Ready", 200),
        ("ALONE", "Ready", 200),
        ("PRIM", "Transient", 404),
        ("SECOND", "Ready", 404),
    ):
        gateway.machine.modules["shop"] = state_of("shop", role, status)
        assert gateway.web.ask("GET", "/var/modules/shop/ready.txt")[0] == expected
    assert gateway.web.ask("GET", "/var/modules/other/ready.txt")[0] == 404


def test_loopback_port_changes_nothing_and_knows_its_name(gateway: RunningGateway) -> None:
    status, text = gateway.web.ask("POST", "/api/v1/modules/shop/commands", body=b'{"action":"stop"}')
    assert (status, "Unix socket" in text) == (403, True)
    assert gateway.web.ask("GET", "/healthz", host="evil.example")[0] == 403
    assert gateway.web.ask("GET", "/healthz")[0] == 200
    assert not [verb for verb, _request in gateway.machine.requests if verb == "command"]


def test_figures_for_prometheus(gateway: RunningGateway) -> None:
    gateway.machine.modules["shop"] = state_of("shop", "PRIM", "Ready")
    text = gateway.web.ask("GET", "/metrics")[1]
    for line in (
        "holdfast_statemachine_up 1",
        'holdfast_module_role{module="shop",role="PRIM"} 1',
        'holdfast_module_role{module="shop",role="SECOND"} 0',
        'holdfast_module_ready{module="shop"} 1',
        'holdfast_module_epoch{module="shop"} 7',
        "# TYPE holdfast_module_role gauge",
    ):
        assert line in text.splitlines()


def test_configuration_that_the_state_machine_refuses_is_switched_back(gateway: RunningGateway) -> None:
    active = gateway.shell.place.state_dir / "modules" / "shop" / "active"
    before = (active / "userconfig.xml").read_text()
    edited = active.parent / "conf" / "userconfig.xml"
    edited.write_text(before.replace("<user/>", "<user><var name='A' value='b'/></user>"))
    gateway.machine.refuse("apply", "the module runs")
    assert gateway.shell.run("config", "-m", "shop", code=4) == "refused: the module runs\n"
    assert (active / "userconfig.xml").read_text() == before
    gateway.machine.accept("apply", {"accepted": True})
    gateway.shell.run("config", "-m", "shop")
    assert "value='b'" in (active / "userconfig.xml").read_text()
    gateway.machine.refuse("remove", "stop it first")
    gateway.shell.run("deconfig", "-m", "shop", code=4)
    assert (active / "userconfig.xml").exists()
    gateway.machine.accept("remove", {"accepted": True})
    gateway.shell.run("deconfig", "-m", "shop")
    assert not active.exists()


def test_modules_come_and_go_through_the_gateway(gateway: RunningGateway) -> None:
    package = gateway.shell.package()
    gateway.shell.run("module", "install", str(package), "-m", "second", "-M", "9")
    out = gateway.shell.place.root / "out.safe"
    gateway.shell.run("module", "package", "-m", "second", str(out))
    assert out.read_bytes()[:2] == b"PK"
    gateway.shell.run("module", "uninstall", "-m", "second")
    assert [each["module"] for each in gateway.web.get("/api/v1/modules")] == ["shop"]


def test_resources_are_set_and_read(gateway: RunningGateway) -> None:
    gateway.shell.run("set", "-m", "shop", "-r", "custom.web", "-v", "down", "-i", "mycheck")
    asked = {"module": "shop", "resource": "custom.web", "value": "down", "by": "mycheck", "log": ""}
    assert ("set", asked) in gateway.machine.requests
    assert "no resource" in gateway.shell.run("get", "-m", "shop", "-r", "custom.none", code=5)
    gateway.machine.accept("get", {"resource": "custom.web", "value": "down"})
    assert gateway.shell.run("get", "-m", "shop", "-r", "custom.web") == "down\n"


def test_lines_of_scripts_are_in_the_log(gateway: RunningGateway) -> None:
    gateway.shell.run("printe", "-m", "shop", "database", "started")
    gateway.shell.run("printi", "-m", "shop", "a detail")
    shown = gateway.shell.run("log", "-m", "shop")
    assert "| userplug | E | database started" in shown
    assert "detail" not in shown
    assert "| userplug | I | a detail" in gateway.shell.run("log", "-m", "shop", "-A")


def test_comparison_of_replicas_has_an_exit_code(gateway: RunningGateway) -> None:
    outcome = {"request": "x", "equal": True, "files": 3, "bytes": 10, "differences": [], "differences_total": 0}
    gateway.machine.accept("verify", {**outcome, "error": ""})
    assert "replicas are equal: 3 files" in gateway.shell.run("rfsverify", "-m", "shop")
    different = [{"path": "/data/a", "what": "content"}]
    gateway.machine.accept(
        "verify", {**outcome, "equal": False, "differences": different, "differences_total": 1, "error": ""}
    )
    assert "/data/a: content" in gateway.shell.run("rfsverify", "-m", "shop", code=10)


def test_estimate_of_a_resync_is_told_in_words(gateway: RunningGateway) -> None:
    estimate = {"kind": "difference", "files": 12, "bytes": 3_400_000_000, "names": 0, "seconds": 37.8, "error": ""}
    gateway.machine.accept("estimate", {**estimate, "bytes_per_second": 90_000_000, "speed": "assumed"})
    told = gateway.shell.run("rfsdiff", "-m", "shop")
    assert "at most 12 files, 3.4 GB, about 38 s at 90.0 MB/s (assumed" in told
    gateway.machine.accept("estimate", {**estimate, "bytes_per_second": 0, "speed": "", "error": "not primary"})
    assert "not primary" in gateway.shell.run("rfsdiff", "-m", "shop", code=8)


def read_events(port: int, count: int, after: str = "") -> list[dict[str, str]]:
    """Read so many server-sent events from a raw connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        header = f"Last-Event-ID: {after}\r\n" if after else ""
        connection.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode())
        events: list[dict[str, str]] = []
        with connection.makefile("rb") as stream:
            event: dict[str, str] = {}
            while len(events) < count:
                line = stream.readline()
                assert line, "the stream ended"
                name, _, value = line.decode().rstrip("\r\n").partition(": ")
                if name in ("id", "event", "data"):
                    event[name] = value
                elif event and not name:
                    events.append(event)
                    event = {}
        return events


def test_events_can_be_resumed_where_a_reader_left(gateway: RunningGateway) -> None:
    found: list[dict[str, str]] = []
    reader = threading.Thread(target=lambda: found.extend(read_events(gateway.port, 1)))
    reader.start()
    while reader.is_alive():
        publish(gateway, ResourceReported(resource="custom.a", value="up", by="test"))
        reader.join(0.05)
    publish(gateway, changed("ALONE"))
    publish(gateway, changed("PRIM"), ModuleId(NODE_SCOPE))
    resumed = read_events(gateway.port, 2, after=found[0]["id"])
    kinds = [event["event"] for event in resumed]
    assert found[0]["event"] == "resource.reported"
    assert "reset" not in kinds
    assert resumed[0]["id"] != found[0]["id"]
    assert json.loads(resumed[-1]["data"])["node"] == "node1"
    assert read_events(gateway.port, 1, after="unknown")[0]["event"] == "reset"


def test_killed_gateway_is_back_with_the_same_answers(gateway: RunningGateway) -> None:
    gateway.machine.modules["shop"] = state_of("shop", "PRIM", "Ready")
    before = gateway.shell.run("state", "-m", "shop")
    gateway.process.kill()
    gateway.start()
    assert gateway.shell.run("state", "-m", "shop") == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/modules/..%2f..%2fetc/state", 404),
        ("/api/v1/modules/a%20b/state", 400),
        ("/api/v1/modules/shop/log?lines=999999999", 400),
        ("/api/v1/modules/shop/state/wait?role=PRIM&timeout_s=nan", 400),
        ("/api/v1/nowhere", 404),
        ("/api/v1/traces/zz", 400),
    ],
)
def test_hostile_paths_get_an_error_and_nothing_else(gateway: RunningGateway, path: str, status: int) -> None:
    assert gateway.web.ask("GET", path)[0] == status
    assert gateway.web.ask("GET", "/healthz")[0] == 200


def test_too_large_a_body_is_refused(gateway: RunningGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        assert b" 413 " in connection.recv(100)


def test_rubbish_on_the_port_does_not_end_the_gateway(gateway: RunningGateway) -> None:
    for rubbish in (b"\x00\xff" * 500, b"GET " + b"a" * 100_000, b"{}\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
            connection.sendall(rubbish)
            connection.shutdown(socket.SHUT_WR)
            try:
                connection.recv(1000)
            except ConnectionResetError:
                continue
    assert gateway.web.ask("GET", "/healthz")[0] == 200
