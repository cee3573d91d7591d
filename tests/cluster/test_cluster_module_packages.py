"""The packages of ops/modules whose applications can run here: each is found again on the other node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast.lab.errors import LabError

from tests.cluster.module_packages import APPLICATIONS, Application, Packages, packages

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAMS = ("mariadbd", "nginx", "apache2")


@pytest.fixture(scope="module")
def failed_over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Packages]:
    """Every application has been written to on node1, which then died; node2 is ALONE with all of them."""
    missing = [name for name in PROGRAMS if not Path("/usr/sbin", name).exists()]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (ops/tools/setup.sh)")
    with packages("packages", tmp_path_factory.mktemp("packages")) as cluster:
        cluster.shell("node1", _GRANT)
        for application in APPLICATIONS:
            if application.write:
                cluster.client(*application.write)
            assert cluster.client(*application.ask) == application.answer
        cluster.lab.node("node1").kill()
        cluster.wait_all("node2", "ALONE")
        yield cluster


_GRANT = (
    "mariadb --no-defaults --socket=/run/mysqld/mysqld.sock -e \"grant all on *.* to app@'%' identified by 'secret'\""
)


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda application: application.package)
def test_application_is_found_again_after_its_node_died(failed_over: Packages, application: Application) -> None:
    assert failed_over.client(*application.ask) == application.answer


def test_services_start_in_their_order_and_no_longer_at_boot(failed_over: Packages) -> None:
    started = failed_over.shell("node2", "cat /srv/shop/started").split("\n")
    assert started == ["db node1", "web node1", "db node2", "web node2", ""]
    assert failed_over.shell("node2", "ls /etc/units") == "shop-db.service\nshop-web.service\n"


def test_scripts_source_each_other_and_read_the_expanded_configuration(failed_over: Packages) -> None:
    lines = failed_over.shell("node2", "cat /var/lib/transitions").splitlines()
    assert lines[-1].startswith("SECOND ALONE ")
    assert all(line.endswith("shop-db.service, shop-web.service 2") for line in lines)


def test_application_finds_its_virtual_host_name_on_the_new_primary(failed_over: Packages) -> None:
    failed_over.wait("the application runs", lambda: failed_over.shell("node2", "ls /run").count("vhost_demo") > 0)
    assert failed_over.shell("node2", "cat /run/vhost_demo; uname -n") == "shop\nnode2\n"
    log = failed_over.shell("node2", "grep -h 'the host name is' /var/lib/holdfast/modules/vhost/log/*")
    assert log.splitlines()[0] == "prestart STOP WAIT start: the host name is node2"
    assert {line.rpartition(" ")[2] for line in log.splitlines() if "_prim" in line} == {"shop"}


def test_targeted_restart_leaves_the_other_service_alone(failed_over: Packages) -> None:
    failed_over.shell("node2", RESTART_WEB)
    started = failed_over.shell("node2", "tail -n 2 /srv/shop/started")
    assert started == "web node2\nweb node2\n"


RESTART_WEB = """
cd /var/lib/holdfast/modules/mirror/active/bin
export SAFE=/var/lib/holdfast/safe SAFEMODULE=mirror SERVICES="shop-db.service, shop-web.service"
./stop_prim ALONE ALONE restart -Services "shop-web.service"
./start_prim ALONE ALONE restart -Services "shop-web.service"
"""


def test_configuration_with_a_service_that_is_missing_is_refused(failed_over: Packages) -> None:
    failed_over.shell("node2", "sed -i s/shop-web/shop-wbe/ /var/lib/holdfast/modules/mirror/conf/userconfig.xml")
    with pytest.raises(LabError, match=r"there is no service shop-wbe\.service"):
        failed_over.holdfast("node2", "config", "-m", "mirror")
    assert failed_over.roles("node2")["mirror"] == "ALONE Ready"
