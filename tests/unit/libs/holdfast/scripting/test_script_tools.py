"""The small programs that scripts call, and what they are made of."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from holdfast.config.xml import read_xml
from holdfast.errors import OperatorError
from holdfast.scripting import processes, xpath
from holdfast.scripting.safe_tree import write_safe_tree
from holdfast.scripting.tools import boundcmd, exitcode, gencron, processtree, xpathget
from holdfast.scripting.tools.names import TOOLS

CONFIGURATION = b"""<safe><service mode="mirror"><rfs>
<replicated dir="/a"/><replicated dir="/b" mode="read_only"/></rfs>
<user><var name="SERVICES" value="db, web"/><var name="PORT" value="80"/></user>
<failover><![CDATA[ a: if (x.y == down) then stop(); ]]></failover></service></safe>"""
CRONTAB = """# the night
MAILTO=ann
5 1 * * * /usr/bin/report --daily
@daily /usr/bin/tidy
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/safe/service/@mode", ["mirror"]),
        ("/safe/service/user/var[@name='SERVICES']/@value", ["db, web"]),
        ('//var[@name="PORT"]/@value', ["80"]),
        ("//replicated/@dir", ["/a", "/b"]),
        ("//replicated[2]/@dir", ["/b"]),
        ("//replicated[@mode]/@dir", ["/b"]),
        ("//replicated[@dir!='/a']/@*", ["/b", "read_only"]),
        ("/safe/*/user/var[2]/@name", ["PORT"]),
        ("//failover/text()", ["a: if (x.y == down) then stop();"]),
        ("//@name", ["SERVICES", "PORT"]),
        ("service/user/var/@name", ["SERVICES", "PORT"]),
        ("/service", []),
        ("//nothing", []),
    ],
)
def test_paths_read_the_configuration(path: str, found: list[str]) -> None:
    assert xpath.values(read_xml(CONFIGURATION, "safeconf.xml"), path) == found


@pytest.mark.parametrize("path", ["", "//", "/safe[", "/safe/@mode/x", "//var[position()=1]", "/safe | /b", "/" * 2000])
def test_path_that_is_not_understood_is_an_error(path: str) -> None:
    with pytest.raises(OperatorError, match="path"):
        xpath.values(read_xml(CONFIGURATION, "safeconf.xml"), path)


def test_xpathget_reads_the_applied_configuration_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "safeconf.xml").write_bytes(CONFIGURATION)
    monkeypatch.setenv("SAFEUSERCONF", str(tmp_path))
    assert xpathget.main(["//var/@name"]) == 0
    assert xpathget.main(["-f", str(tmp_path / "safeconf.xml"), "//var[1]/@value"]) == 0
    assert capsys.readouterr().out == "SERVICES\nPORT\ndb, web\n"
    assert xpathget.main(["//absent/@name"]) == 1


def test_entries_of_a_crontab_are_commented_out_and_back() -> None:
    without = gencron.changed(CRONTAB, verb="del", text="report", comment="runs where shop runs")
    assert without.splitlines()[2:4] == [
        "#holdfast# runs where shop runs",
        "#holdfast# 5 1 * * * /usr/bin/report --daily",
    ]
    assert gencron.changed(without, verb="del", text="report", comment="runs where shop runs") == without
    assert gencron.changed(without, verb="add", text="report", comment="runs where shop runs") == CRONTAB
    nothing = gencron.changed(CRONTAB, verb="del", text="")
    assert [line for line in nothing.splitlines() if not line.startswith("#")] == ["MAILTO=ann"]
    assert gencron.changed(nothing, verb="add", text="") == CRONTAB


def test_gencron_uses_the_crontab_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table").write_text(CRONTAB)
    program = tmp_path / "crontab"
    program.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "-u ann" ] || exit 9\n'
        f"case $3 in -l) cat {tmp_path}/table;; -) cat >{tmp_path}/new;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert gencron.main(["del", "ann", "report"]) == 0
    assert "#holdfast# 5 1" in (tmp_path / "new").read_text()


def test_bounded_command_has_its_own_exit_code_or_2_when_its_time_is_over() -> None:
    assert boundcmd.main(["20", "sh", "-c", "exit 7"]) == 7
    assert boundcmd.main(["20", "sh", "-c", "kill -9 $$"]) == 137
    began = time.monotonic()
    assert boundcmd.main(["1", "sh", "-c", "trap '' TERM; sleep 60 & sleep 60"]) == boundcmd.TIME_IS_OVER
    assert time.monotonic() - began < 50
    for words in (["sleep", "1"], ["0", "true"], ["5"]):
        with pytest.raises(OperatorError):
            boundcmd.main(words)


def test_exit_code_is_the_one_asked_for() -> None:
    assert exitcode.main(["3"]) == 3
    with pytest.raises(OperatorError):
        exitcode.main(["300"])


def test_tree_of_processes_is_listed_and_ended(capsys: pytest.CaptureFixture[str]) -> None:
    child = "import time; time.sleep(300)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}, 'holdfast-test-leaf'])"
    process = subprocess.Popen([sys.executable, "-c", parent, "holdfast-test-root"])
    try:
        while not any(each.parent == process.pid for each in processes.processes()):
            time.sleep(0.01)
        assert processtree.main(["list", str(process.pid)]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{process.pid} ")
        assert lines[1].startswith("  ")
        leaf = int(lines[1].split()[0])
        assert processtree.main(["kill", "all", "holdfast-test-[r]oot$"]) == 0
        assert process.wait(20) == -9
        assert capsys.readouterr().out.splitlines()[0].startswith(f"{leaf} "), "children first"
        assert processtree.main(["list", "no-such-process"]) == 1
    finally:
        process.kill()
        process.wait()
    for words in (["kill"], ["kill", "all"], ["end", "x"]):
        with pytest.raises(OperatorError):
            processtree.main(words)


def test_our_own_processes_and_who_asks_are_spared() -> None:
    def process(pid: int, parent: int, name: str) -> processes.Process:
        return processes.Process(pid=pid, parent=parent, name=name, started=pid)

    found = [
        process(1, 0, "init"),
        process(5, 1, "hf-supervisor"),
        process(6, 5, "hf-vip"),
        process(7, 5, "nats-server"),
        process(20, 1, "bash"),
        process(21, 20, "script"),
        process(22, 21, "holdfast"),
        process(30, 1, "shopd"),
        process(31, 6, "shopd"),
    ]
    assert processes.spared(found, asking=(22,)) == {1, 5, 6, 7, 20, 21, 22}


def test_every_tool_can_be_called_from_the_scripts_directory(tmp_path: Path) -> None:
    write_safe_tree(tmp_path)
    for name in TOOLS:
        assert os.access(tmp_path / "private" / "bin" / name, os.X_OK)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([tmp_path / "private/bin/exitcode", "4"], env=environment, timeout=60)
    assert done.returncode == 4
    done = subprocess.run([tmp_path / "safekit", "-r", "exitcode", "5"], env=environment, timeout=60)
    assert done.returncode == 5
    done = subprocess.run([tmp_path / "safekit", "-r", "vanish"], env=environment, timeout=60, capture_output=True)
    assert (done.returncode, b"processtree" in done.stderr) == (2, True)
