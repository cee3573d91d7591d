"""Both nodes lose power, one after the other, and the operator has accepted to lose what lies between (`syncdelta`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.mirror import DATA, MODULE, mirror, userconfig

pytestmark = pytest.mark.root

QUARANTINE = f"/var/lib/holdfast/modules/{MODULE}/rfs/quarantine"


def test_first_node_back_goes_on_alone_and_the_other_one_joins(tmp_path: Path) -> None:
    configuration = userconfig().replace("<rfs>", '<rfs syncdelta="5m">')
    with mirror("syncdelta", tmp_path, configuration=configuration) as cluster:
        one, two = cluster.node("node1"), cluster.node("node2")
        one.run(["sh", "-c", f"echo kept >{DATA}/kept && sync"])
        cluster.wait_for(
            "both have a mark",
            lambda: all(
                cluster.holdfast(name, "get", "-m", MODULE, "-r", "rfs.synced").stdout.strip() == "up"
                for name in ("node1", "node2")
            ),
        )
        two.kill()
        cluster.wait_role("node1", "ALONE")
        one.run(["sh", "-c", f"echo later >{DATA}/later && sync"])
        one.kill()

        two.start()
        cluster.wait_answers("node2")
        cluster.holdfast("node2", "start", "-m", MODULE)
        cluster.wait_role("node2", "ALONE")
        assert two.run(["ls", DATA]).stdout.split() == ["kept"]

        one.start()
        cluster.wait_answers("node1")
        cluster.holdfast("node1", "start", "-m", MODULE)
        cluster.wait_pair("node2")
        assert cluster.verify()["equal"] is True
        assert "later" in one.run(["find", QUARANTINE, "-type", "f"]).stdout
