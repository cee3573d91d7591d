"""Who the node is: file, then environment, and errors that say where to look."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from holdfast.errors import ConfigError, OperatorError
from holdfast.ids import ModuleId, checked_name
from holdfast.settings import HTTP_PORT, LIFELINE_PORT, load_settings
from hypothesis import given
from hypothesis import strategies as st


def environment(folder: Path, text: str | None = None, **more: str) -> dict[str, str]:
    if text is not None:
        (folder / "node.toml").write_text(text)
    return {"HOLDFAST_CONFIG_DIR": str(folder), **more}


def test_a_node_without_a_file_has_its_host_name_and_the_usual_places(tmp_path: Path) -> None:
    found = load_settings(environment(tmp_path, HOLDFAST_NODE="node1"))
    assert (found.node, found.cluster) == ("node1", "main")
    assert (found.http_port, found.lifeline_port) == (HTTP_PORT, LIFELINE_PORT)
    assert found.state_dir == Path("/var/lib/holdfast")
    assert found.run_dir == Path("/run/holdfast")
    assert found.cluster_file == tmp_path / "cluster.xml"
    assert found.key_file == tmp_path / "cluster.key"
    assert found.module_dir(ModuleId("shop")) == Path("/var/lib/holdfast/modules/shop")


def test_the_file_is_read(tmp_path: Path) -> None:
    text = 'node = "a1"\ncluster = "c"\nhttp_port = 1\nlifeline_port = 65535\notlp_endpoint = "http://127.0.0.1:4318"\n'
    found = load_settings(environment(tmp_path, text))
    assert (found.node, found.cluster, found.http_port, found.lifeline_port) == ("a1", "c", 1, 65_535)
    assert found.otlp_endpoint == "http://127.0.0.1:4318"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    found = load_settings(environment(tmp_path, 'node = "a1"', HOLDFAST_NODE="b2", HOLDFAST_RUN_DIR="/elsewhere"))
    assert (found.node, found.run_dir) == ("b2", Path("/elsewhere"))


def test_headers_for_the_collector_come_from_both_and_are_not_shown(tmp_path: Path) -> None:
    text = 'otlp_headers = { Authorization = "Bearer x", team = "one" }'
    found = load_settings(environment(tmp_path, text, OTEL_EXPORTER_OTLP_HEADERS="team=two%20three, ,k=v"))
    assert found.otlp_headers == {"authorization": "Bearer x", "team": "two three", "k": "v"}
    assert "Bearer" not in repr(found)


def test_the_host_name_up_to_its_first_dot_is_the_nodes_default_name(tmp_path: Path) -> None:
    assert load_settings(environment(tmp_path)).node == os.uname().nodename.split(".")[0]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("node = ", "node.toml"),
        ("colour = 'red'", "colour"),
        ("node = 'a.b'", "a.b"),
        ("node = ''", "node name ''"),
        ("node = 5", "node = 5"),
        ("cluster = 'x y'", "x y"),
        ("cluster = ['x']", "cluster"),
        ("http_port = 0", "http_port = 0"),
        ("http_port = 65536", "65536"),
        ("http_port = '80'", "http_port"),
        ("http_port = true", "http_port = True"),
        ("lifeline_port = 1.5", "lifeline_port"),
        ("otlp_endpoint = 1", "otlp_endpoint"),
        ("otlp_headers = 'a=b'", "otlp_headers"),
        ('otlp_headers = { "a b" = "c" }', "a b"),
        ('otlp_headers = { a = "c\\nd" }', "header 'a'"),
        ("otlp_headers = { a = 1 }", "header 'a'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(environment(tmp_path, text))
    assert "node.toml" in str(refused.value)
    assert named in str(refused.value)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"node\.toml"):
        load_settings(environment(tmp_path))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "node.toml").mkdir()
    with pytest.raises(ConfigError, match=r"node\.toml"):
        load_settings(environment(tmp_path))


@pytest.mark.parametrize("variable", ["HOLDFAST_CONFIG_DIR", "HOLDFAST_STATE_DIR", "HOLDFAST_RUN_DIR"])
def test_a_directory_that_is_not_absolute_is_refused(tmp_path: Path, variable: str) -> None:
    """Services and commands run in different working directories and must mean the same place."""
    with pytest.raises(ConfigError, match=variable):
        load_settings({**environment(tmp_path), variable: "here"})


@given(st.text(max_size=80))
def test_a_name_is_accepted_or_refused_with_what_is_accepted(text: str) -> None:
    fits = 1 <= len(text) <= 64 and all(char.isascii() and (char.isalnum() or char in "-_") for char in text)
    if fits:
        assert checked_name("node", text) == text
    else:
        with pytest.raises(OperatorError, match="1 to 64 letters"):
            checked_name("node", text)
