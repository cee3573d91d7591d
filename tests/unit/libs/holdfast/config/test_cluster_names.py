"""Host names of a cluster's configuration are looked up once and kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from holdfast.config.names import CACHE_FILE, cache_text, cached_addresses, cluster_names, look_up_all
from holdfast.config.parse import parse_cluster
from holdfast.errors import ConfigError

CLUSTER = """<cluster><lans><lan name="front"><node name="node1" addr="10.0.0.1"/>
<node name="node2" addr="second.example" laddr="localhost"/></lan></lans></cluster>"""


def test_names_are_what_is_no_address() -> None:
    assert cluster_names(parse_cluster(CLUSTER.encode(), "cluster.xml")) == ("second.example", "localhost")


def test_every_unknown_name_is_told() -> None:
    assert look_up_all(["localhost"])["localhost"] in ("127.0.0.1", "::1")
    with pytest.raises(ConfigError) as caught:
        look_up_all(["localhost", "one.invalid", "two.invalid"])
    assert [str(problem).split()[0] for problem in caught.value.problems] == ["'one.invalid'", "'two.invalid'"]


def test_kept_addresses_belong_to_one_configuration(tmp_path: Path) -> None:
    cluster = parse_cluster(CLUSTER.encode(), "cluster.xml")
    other = parse_cluster(CLUSTER.replace("10.0.0.1", "10.0.0.9").encode(), "cluster.xml")
    assert cached_addresses(cluster, tmp_path) == {}
    (tmp_path / CACHE_FILE).write_bytes(cache_text(cluster, {"second.example": "10.0.0.2", "localhost": "rubbish"}))
    assert cached_addresses(cluster, tmp_path) == {"second.example": "10.0.0.2"}
    assert cached_addresses(other, tmp_path) == {}
    for damaged in (b"", b"[]", b'{"signature": 1}', b'{"addresses": 3, "signature": "x"}'):
        (tmp_path / CACHE_FILE).write_bytes(damaged)
        assert cached_addresses(cluster, tmp_path) == {}
