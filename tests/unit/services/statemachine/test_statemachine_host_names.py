"""What host names mean to a module: the cluster's what they meant when it was applied, its own what they mean now."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from holdfast.config.names import CACHE_FILE, cache_text
from holdfast.config.parse import parse_cluster
from holdfast.errors import ConfigError
from holdfast.ids import ModuleId, NodeId
from holdfast.settings import NodeSettings, load_settings

from services.statemachine.files import read_applied

SHOP = ModuleId("shop")
CLUSTER = """<cluster><lans><lan name="front"><node name="node1" addr="10.0.0.1"/>
<node name="node2" addr="second.invalid"/></lan></lans></cluster>"""
CONFIGURATION = """<safe><service mode="mirror"><heart><heartbeat name="front"/></heart>
<check><ip ident="own"><to addr="localhost"/></ip></check></service></safe>"""


@pytest.fixture
def settings(tmp_path: Path) -> NodeSettings:
    found = load_settings({f"HOLDFAST_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "STATE", "RUN")})
    found = replace(found, node=NodeId("node1"))
    active = found.module_dir(SHOP) / "active"
    active.mkdir(parents=True)
    found.config_dir.mkdir()
    found.cluster_file.write_text(CLUSTER)
    for name in ("userconfig.xml", "safeconf.xml"):
        (active / name).write_text(CONFIGURATION)
    (active.parent / "module.json").write_text(json.dumps({"id": 1}))
    return found


def test_names_of_the_cluster_need_no_name_service_once_it_is_applied(settings: NodeSettings) -> None:
    with pytest.raises(ConfigError, match=r"second\.invalid"):
        read_applied(settings, SHOP)
    kept = cache_text(parse_cluster(CLUSTER.encode(), "cluster.xml"), {"second.invalid": "10.0.0.2"})
    (settings.config_dir / CACHE_FILE).write_bytes(kept)
    addresses = read_applied(settings, SHOP).addresses
    assert addresses["second.invalid"] == "10.0.0.2"
    assert addresses["localhost"] in ("127.0.0.1", "::1")


def test_names_kept_for_another_cluster_do_not_count(settings: NodeSettings) -> None:
    other = parse_cluster(CLUSTER.replace("10.0.0.1", "10.0.0.9").encode(), "cluster.xml")
    (settings.config_dir / CACHE_FILE).write_bytes(cache_text(other, {"second.invalid": "10.0.0.2"}))
    with pytest.raises(ConfigError, match=r"second\.invalid"):
        read_applied(settings, SHOP)
