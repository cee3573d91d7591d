"""What of the machine a node sees beside the overlay; and how its services are recognised."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast.lab.init import InitSpec
from holdfast.lab.rootfs import shared_directories
from holdfast.lab.service import is_service

MOUNTS = """\
25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 25 8:2 / /home rw,relatime shared:2 - xfs /dev/sda2 rw
31 25 8:3 / /var/lib/docker rw - ext4 /dev/sda3 rw
32 25 0:5 / /dev rw - devtmpfs udev rw
33 25 8:4 / /boot rw - ext4 /dev/sda4 rw
34 25 0:40 / /opt rw - nfs4 server:/opt rw
35 25 8:5 / /with\\040blank rw - ext4 /dev/sda5 rw
"""


def test_other_disks_of_the_machine_are_shared_but_not_those_a_node_has_itself() -> None:
    assert shared_directories(None, MOUNTS) == ("/home",)


def test_checkout_is_shared_once() -> None:
    assert shared_directories(Path("/home"), MOUNTS) == ("/home",)
    assert shared_directories(Path("/root/holdfast"), MOUNTS) == ("/home", "/root/holdfast")


def test_node_is_told_what_was_meant() -> None:
    spec = InitSpec(
        name="node1", directory="/d", hosts="a\nb\n", shared=("/home",), command=("x", "y z"), python_bin="/bin"
    )
    assert InitSpec.decode(spec.encode()) == spec


@pytest.mark.parametrize(
    ("service", "name", "arguments"),
    [
        ("vip", "hf-vip", ["hf-vip"]),
        ("nats-server", "nats-server", ["nats-server", "-c", "x"]),
        ("statemachine", "hf-statemachine", ["hf-statemachine"]),
        ("checker-process", "hf-checker-proc", []),
        ("rfs", "hf-rfs@postgres", ["hf-rfs@postgresql"]),
        ("rfs@postgresql", "hf-rfs@postgres", ["hf-rfs@postgresql"]),
    ],
)
def test_service_is_recognised(service: str, name: str, arguments: list[str]) -> None:
    assert is_service(service, name, arguments)


@pytest.mark.parametrize(
    ("service", "name", "arguments"),
    [
        ("vip", "vi", ["vi", "services.vip.txt"]),
        ("rfs@web", "hf-rfs@postgres", ["hf-rfs@postgresql"]),
        ("checker-process", "hf-checker-tcp", ["hf-checker-tcp"]),
    ],
)
def test_other_process_is_not_taken_for_a_service(service: str, name: str, arguments: list[str]) -> None:
    assert not is_service(service, name, arguments)
