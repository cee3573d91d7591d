"""A module beside its cluster and beside other modules."""

from __future__ import annotations

import pytest
from holdfast.config.agreement import check_against_cluster, check_disjoint, on_named_lans, resolve_cluster
from holdfast.config.model import ClusterConfig, ModuleConfig
from holdfast.config.parse import parse_cluster, parse_module
from holdfast.errors import ConfigError
from holdfast.ids import NodeId

THREE_NODES = """<cluster><lans>
 <lan name="all">
  <node name="node1" addr="10.0.0.1"/><node name="node2" addr="10.0.0.2"/><node name="node3" addr="10.0.0.3"/>
 </lan>
 <lan name="pair"><node name="node1" addr="10.1.0.1"/><node name="node2" addr="host2" laddr="10.1.0.2"/></lan>
 <lan name="other"><node name="node2" addr="10.2.0.2"/><node name="node3" addr="10.2.0.3"/></lan>
</lans></cluster>"""


def cluster() -> ClusterConfig:
    return parse_cluster(THREE_NODES.encode(), "cluster.xml")


def module(
    *, lans: tuple[str, ...] = ("pair",), service: str = "", heart: str = "", dirs: tuple[str, ...] = (), vip: str = ""
) -> ModuleConfig:
    beats = "".join(f'<heartbeat name="{lan}"/>' for lan in lans)
    trees = "".join(f'<replicated dir="{path}"/>' for path in dirs)
    rfs = f"<rfs>{trees}</rfs>" if dirs else ""
    address = f'<virtual_addr addr="{vip}" where="one_side_alias"/>'
    inside = f"<interface><real_interface>{address}</real_interface></interface>"
    vips = f"<vip><interface_list>{inside}</interface_list></vip>" if vip else ""
    text = f'<safe><service mode="mirror" {service}><heart {heart}>{beats}</heart>{vips}{rfs}</service></safe>'
    return parse_module(text.encode(), "userconfig.xml", {})


def problems_of(config: ModuleConfig, node: str = "node1") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_against_cluster(config, cluster(), NodeId(node))
    return [str(problem) for problem in caught.value.problems]


def test_module_that_fits_is_accepted_on_both_nodes() -> None:
    config = module(service='defaultprim="node2"', vip="10.0.0.9")
    check_against_cluster(config, cluster(), NodeId("node1"))
    check_against_cluster(config, cluster(), NodeId("node2"))


def test_unknown_lan_is_refused_with_place_and_nearest_name() -> None:
    (problem,) = problems_of(module(lans=("pairs",)))
    assert problem.startswith("userconfig.xml:1:50: there is no lan 'pairs'; did you mean 'pair'?")


def test_lan_with_more_than_two_nodes_cannot_carry_a_mirror() -> None:
    assert "has 3 nodes" in problems_of(module(lans=("all",)))[0]


def test_node_that_is_not_on_the_lan_is_refused() -> None:
    assert "node 'node3' is not on lan 'pair'" in problems_of(module(), "node3")[0]
    assert "not in the cluster" in problems_of(module(), "node9")[0]


def test_heartbeats_must_join_the_same_two_nodes() -> None:
    assert any("join different nodes" in problem for problem in problems_of(module(lans=("pair", "other")), "node2"))


def old_syntax(*addresses: str) -> ModuleConfig:
    servers = "".join(f'<server addr="{address}"/>' for address in addresses)
    text = f'<safe><service mode="mirror"><heart><heartbeat>{servers}</heartbeat></heart></service></safe>'
    return parse_module(text.encode(), "userconfig.xml", {})


@pytest.mark.parametrize("addresses", [("10.1.0.1", "10.1.0.2"), ("host2", "10.1.0.1")])
def test_addresses_of_the_old_syntax_mean_the_lan_that_has_them(addresses: tuple[str, str]) -> None:
    config = old_syntax(*addresses)
    check_against_cluster(config, cluster(), NodeId("node1"))
    assert on_named_lans(config, cluster()).heart.flow.lan == "pair"


@pytest.mark.parametrize("addresses", [("10.1.0.1", "10.2.0.2"), ("10.1.0.2", "host2")])
def test_addresses_that_no_lan_has_are_refused(addresses: tuple[str, str]) -> None:
    (problem,) = problems_of(old_syntax(*addresses))
    assert f"no lan of the cluster has the addresses {addresses[0]} and {addresses[1]}" in problem


def test_unknown_preferred_primary_is_refused() -> None:
    assert "did you mean 'node2'" in problems_of(module(service='defaultprim="nod2"'))[0]


@pytest.mark.parametrize("address", ["10.0.0.2", "10.1.0.2"])
def test_virtual_address_that_a_node_has_is_refused(address: str) -> None:
    assert "is that of node 'node2'" in problems_of(module(vip=address))[0]


def test_heart_port_of_the_cluster_is_refused() -> None:
    assert "port 4800 is that of the cluster" in problems_of(module(heart='port="4800"'))[0]


def test_modules_with_things_of_their_own_are_accepted() -> None:
    check_disjoint({"A": module(dirs=("/srv/a",), vip="10.0.0.8"), "B": module(dirs=("/srv/ab",), vip="10.0.0.9")})


def test_modules_must_not_share_directories_addresses_or_ports() -> None:
    one = module(dirs=("/srv/a", "/srv/c"), vip="10.0.0.9", heart='port="9000"')
    two = module(dirs=("/srv/a/inner", "/srv/d"), vip="10.0.0.9", heart='port="9000"')
    with pytest.raises(ConfigError) as caught:
        check_disjoint({"A": one, "B": two})
    text = str(caught.value)
    assert "/srv/a/inner overlaps /srv/a of module 'A'" in text
    assert "virtual address 10.0.0.9 is also that of module 'A'" in text
    assert "heart port 9000 is also that of module 'A'" in text
    assert len(caught.value.problems) == 3


def test_host_names_are_replaced_by_what_they_resolve_to() -> None:
    asked: list[str] = []

    def resolve(name: str) -> str:
        asked.append(name)
        return "10.1.0.22"

    lan = resolve_cluster(cluster(), resolve).lan("pair")
    assert lan is not None
    assert [node.address for node in lan.nodes] == ["10.1.0.1", "10.1.0.22"]
    assert asked == ["host2"]
