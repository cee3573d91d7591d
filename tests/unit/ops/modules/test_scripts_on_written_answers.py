"""Scripts of packages whose applications cannot run here, on answers as the applications' documentation has them."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.ops.modules.stand_ins import LIMIT_S, PACKAGES, Stage

pytestmark = pytest.mark.slow

DISKS = " Type   Device   Target   Source\n---------------------------------------------\n"
NO_CACHE = "<domain>\n  <driver name='qemu' type='qcow2' cache='none'/>\n</domain>\n"
NODES = "node1   NotReady   control-plane   9d   v1.30.4+k3s1\nshop    Ready      control-plane   9d   v1.30.4+k3s1\n"


def kvm(folder: Path, state: str) -> Stage:
    """A host whose guest is in a state; no state: it knows no guest."""
    stage = Stage(folder, "kvm", ("virsh",))
    stage.answer("virsh domstate", f"{state}\n\n" if state else "", 0 if state else 1)
    return stage


def guest(stage: Stage, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return stage.run(script, *arguments, VM="web", DIRECTORY="/srv/vm", SHUTDOWN_S="0")


@pytest.mark.parametrize(
    ("state", "expected"),
    [("running", []), ("paused", ["virsh resume web"]), ("shut off", ["virsh start --force-boot web"])],
)
def test_guest_is_started_from_what_it_is(tmp_path: Path, state: str, expected: list[str]) -> None:
    stage = kvm(tmp_path, state)
    assert guest(stage, "start_prim", "WAIT", "ALONE", "start").returncode == 0
    assert stage.asked("virsh")[1:] == expected
    assert stage.asked("safekit") == []


def test_guest_that_is_not_defined_stops_the_module(tmp_path: Path) -> None:
    stage = kvm(tmp_path, "")
    assert guest(stage, "start_prim").returncode == 1
    assert stage.asked("safekit")[-1] == "safekit stop -i start_prim"


def test_guest_is_shut_down_first_and_switched_off_by_force(tmp_path: Path) -> None:
    stage = kvm(tmp_path, "running")
    guest(stage, "stop_prim", "ALONE", "STOP", "stop")
    assert "virsh shutdown web" in stage.asked("virsh")
    assert "virsh destroy web" not in stage.asked("virsh")
    stage.answer("virsh domstate", "shut off\n\n")
    before = len(stage.asked("virsh"))
    guest(stage, "stop_prim", "force", "ALONE", "STOP", "stop")
    assert stage.asked("virsh")[before:] == ["virsh domstate web"] * 2, "a guest that is off is left alone"


def test_start_of_the_module_ends_a_guest_and_libvirts_own_start(tmp_path: Path) -> None:
    stage = kvm(tmp_path, "shut off")
    assert guest(stage, "prestart").returncode == 0
    assert stage.asked("virsh")[0] == "virsh autostart --disable web"


@pytest.mark.parametrize(
    ("disk", "xml", "said"),
    [
        ("file   disk     vda      /srv/vm/web.qcow2", NO_CACHE, ""),
        ("file   disk     vda      /var/tmp/web.qcow2", NO_CACHE, "is not in /srv/vm"),
        ("file   disk     vda      /srv/vm/web.qcow2", NO_CACHE.replace("none", "writeback"), "without cache='none'"),
    ],
)
def test_configuration_wants_disks_that_are_replicated_and_not_cached(
    tmp_path: Path, disk: str, xml: str, said: str
) -> None:
    stage = kvm(tmp_path, "shut off")
    stage.answer("virsh domblklist", f"{DISKS} {disk}\n file   cdrom    sda      /srv/iso/web.iso\n\n")
    stage.answer("virsh dumpxml", xml)
    done = guest(stage, "postconfig")
    assert (done.returncode == 1) is bool(said)
    assert said in done.stdout


def compose(folder: Path, engine: str = "docker", commands: tuple[str, ...] = ()) -> Stage:
    return Stage(folder, "compose", commands or (engine, f"{engine}-compose"))


def project(stage: Stage, folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return stage.run(script, *arguments, PROJECT=str(folder), ENGINE="docker")


def test_containers_are_started_by_the_engines_own_compose(tmp_path: Path) -> None:
    stage = compose(tmp_path)
    assert project(stage, tmp_path, "start_prim").returncode == 0
    started = [line for line in stage.asked() if " up " in line]
    assert started == ["docker compose --project-name shop up --detach --no-build --remove-orphans"]


def test_containers_are_started_by_the_program_where_the_engine_has_no_compose(tmp_path: Path) -> None:
    stage = compose(tmp_path)
    stage.answer("docker compose", "docker: 'compose' is not a docker command.\n", 1)
    assert project(stage, tmp_path, "start_prim").returncode == 0
    assert "docker-compose --project-name shop up --detach --no-build --remove-orphans" in stage.asked()


def test_containers_that_cannot_be_started_stop_the_module(tmp_path: Path) -> None:
    stage = compose(tmp_path)
    up = "docker compose --project-name shop up --detach --no-build --remove-orphans"
    stage.answer(up, "no such image\n", 1)
    assert project(stage, tmp_path, "start_prim").returncode == 1
    assert stage.asked("safekit")[-1] == "safekit stop -i start_prim"


def test_containers_are_taken_down_and_by_force_removed(tmp_path: Path) -> None:
    stage = compose(tmp_path)
    assert project(stage, tmp_path, "stop_prim").returncode == 0
    assert not [line for line in stage.asked() if " down " in line], "where there is none nothing is asked for"
    stage.answer("docker ps", "4c01db0b339c\nd7886598dbe2\n")
    project(stage, tmp_path, "stop_prim")
    assert stage.asked()[-1] == "docker compose --project-name shop down --timeout 60"
    project(stage, tmp_path, "stop_prim", "force")
    assert stage.asked()[-1] == "docker rm --force 4c01db0b339c d7886598dbe2"


def k3s(folder: Path, condition: str = "NotReady") -> Stage:
    stage = Stage(
        folder, "k3s", ("systemctl", "k3s", "mariadb-admin", "mountpoint", "mount", "umount", "exportfs", "hostname")
    )
    stage.answer("hostname ", "Shop\n")
    stage.answer("k3s kubectl get nodes --no-headers", NODES.replace("NotReady", condition))
    return stage


def volumes(stage: Stage, folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return stage.run(script, *arguments, STORAGE="/srv/k3s", EXPORT=str(folder / "volumes"))


def test_new_primary_brings_all_up_in_order_and_removes_the_dead_node(tmp_path: Path) -> None:
    stage = k3s(tmp_path)
    stage.answer("mountpoint -q", "", 1)
    assert volumes(stage, tmp_path, "start_prim").returncode == 0
    asked = [line.replace(str(tmp_path), "") for line in stage.asked() if not line.startswith("hostname")]
    assert asked == [
        "systemctl start mariadb",
        "mariadb-admin ping",
        "mountpoint -q /volumes",
        "mount -o loop /srv/k3s/volumes.img /volumes",
        "exportfs -o rw,sync,no_subtree_check,no_root_squash,fsid=1 *:/volumes",
        "systemctl start --no-block k3s",
        "k3s kubectl get node shop",
        "k3s kubectl uncordon shop",
        "k3s kubectl get nodes --no-headers",
        "safekit printe node node1 is NotReady and is removed, so that its pods start here",
        "k3s kubectl delete node node1 --wait=false",
    ]


def test_primary_that_leaves_moves_its_pods_only_where_another_node_is_ready(tmp_path: Path) -> None:
    for condition, drained in (("Ready", True), ("NotReady", False)):
        folder = tmp_path / condition
        folder.mkdir()
        stage = k3s(folder, condition)
        volumes(stage, folder, "stop_prim", "PRIM", "WAIT", "stop")
        assert any(" drain shop " in line for line in stage.asked("k3s")) is drained
        assert [line for line in stage.asked("systemctl") if " stop " in line] == [
            "systemctl stop k3s",
            "systemctl stop mariadb",
        ]


def test_service_that_is_missing_is_named(tmp_path: Path) -> None:
    stage = k3s(tmp_path)
    stage.answer("systemctl cat nfs-server", "No files found for nfs-server.service.\n", 1)
    stage.answer("systemctl is-enabled k3s", "enabled\n")
    done = volumes(stage, tmp_path, "postconfig")
    assert done.returncode == 1
    assert "there is no service nfs-server" in done.stdout
    assert "systemctl disable k3s" in stage.asked()
    assert "systemctl disable mariadb" not in stage.asked()


def told(stage: Stage, package: str, arguments: tuple[str, ...], expected: list[str], **variables: str) -> list[str]:
    """What an endless checker has assigned when it has assigned as much as expected."""
    command = [PACKAGES / package / "bin/checker", "shop", "custom.it", *arguments]
    with subprocess.Popen(command, env=stage.environment(variables), stdout=subprocess.DEVNULL) as checker:
        try:
            end = time.monotonic() + LIMIT_S
            while len(stage.asked("safekit")) < len(expected) and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            checker.kill()
    return stage.asked("safekit")


UP = "safekit set -r custom.it -v up -i checker"
DOWN = "safekit set -r custom.it -v down -i checker"


@pytest.mark.parametrize(
    ("state", "expected"), [("running", UP), ("paused", UP), ("shut off", DOWN), ("crashed", DOWN)]
)
def test_checker_tells_whether_the_guest_runs(tmp_path: Path, state: str, expected: str) -> None:
    assert told(kvm(tmp_path, state), "kvm", ("2", "0.05"), [expected], VM="web") == [expected]


@pytest.mark.parametrize(("running", "expected"), [("a1\nb2\n", UP), ("a1\n", DOWN)])
def test_checker_counts_running_containers(tmp_path: Path, running: str, expected: str) -> None:
    stage = compose(tmp_path)
    stage.answer("docker compose --project-name shop config --services", "db\nweb\n")
    stage.answer("docker ps", running)
    assert told(stage, "compose", ("2", "0.05"), [expected], PROJECT=str(tmp_path), ENGINE="docker") == [expected]


def test_example_of_a_checker_goes_down_after_its_grace(tmp_path: Path) -> None:
    trouble = tmp_path / "trouble"
    trouble.touch()
    stage = Stage(tmp_path, "customchecker", ())
    assert told(stage, "customchecker", (str(trouble), "2", "0.05"), [DOWN]) == [DOWN]
