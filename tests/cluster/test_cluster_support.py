"""What supports an operator, on a pair that loses its primary: mail, log, command log, health, snapshot, resources."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

import pytest
from holdfast.lab.place import kill_group

from tests.cluster.mirror import MODULE, Mirror, mirror

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
MAIL_PORT = 2525


def mail_is_running(cluster: Mirror, node: str) -> bool:
    done = cluster.holdfast(node, "node", "services", "--json", check=False)
    services = json.loads(done.stdout or "{}").get("services", [])
    return any(each["service"] == "mail" and each["ready"] for each in services)


def switch_mails_on(cluster: Mirror, node: str) -> None:
    address = str(cluster.lab.client.ipv4)
    said = ["--from", "ha@example.org", "--to", "ops@example.org", "--host", address, "--port", str(MAIL_PORT)]
    cluster.holdfast(node, "notification", "configure", *said, "--delay", "2", "--event", "failover", "--event", "peer")
    cluster.holdfast(node, "notification", "enable")
    cluster.wait_for("the mail service runs", lambda: mail_is_running(cluster, node))


def test_a_failover_is_told_by_mail_and_can_be_looked_into(tmp_path: Path) -> None:
    with mirror("support", tmp_path / "setup") as cluster:
        inbox = tmp_path / "inbox"
        inbox.touch()
        words = ["tests.integration.mail.smtp_server", str(cluster.lab.client.ipv4), str(MAIL_PORT), str(inbox)]
        server = cluster.lab.client.popen(["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", *words])
        try:
            switch_mails_on(cluster, "node2")
            cluster.node("node1").kill()
            cluster.wait_role("node2", "ALONE")
            cluster.wait_for("a mail has come", lambda: "failover" in inbox.read_text())
        finally:
            kill_group(server)
        text = inbox.read_text()
        assert "[Holdfast] node2: app, " in text
        assert "this node takes over); Remote node is lost: " in text
        assert_can_be_looked_into(cluster)


def assert_can_be_looked_into(cluster: Mirror) -> None:
    log = cluster.holdfast("node2", "log", "-m", MODULE).stdout
    assert "| statemachine | E | Local state ALONE Ready" in log
    commands = cluster.holdfast("node2", "cmdlog").stdout
    assert "START holdfast notification enable" in commands
    assert "END 0" in commands
    health = cluster.holdfast("node2", "healthcheck").stdout
    assert "ERROR" not in health
    resources = cluster.holdfast("node2", "state", "-m", MODULE, "-v").stdout
    for shown in ("state.local", "ALONE Ready", "usersetting.failover", "heart.maxloop", "rfs.uptodate"):
        assert shown in resources
    cluster.holdfast("node2", "snapshot", "-m", MODULE, "--anonymise", "/root/app.zip")
    with zipfile.ZipFile(cluster.node("node2").root / "root/app.zip") as archive:
        names = archive.namelist()
        told = "".join(archive.read(name).decode() for name in names)
    assert [name for name in names if name.endswith("/journal.jsonl")]
    assert "node2" not in told
    assert str(cluster.node("node2").ipv4("lan1")) not in told
