"""A configuration says the same after it was printed, laid out differently, or put into a journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from holdfast.config.jsonable import cluster_from_jsonable, module_from_jsonable, to_jsonable
from holdfast.config.parse import expand, parse_cluster, parse_module
from holdfast.config.xml import print_xml, read_xml

from tests.unit.libs.holdfast.config.corpus_files import CORPUS, ENVIRONMENT, name_of, parse

MODULES = sorted(CORPUS.glob("module/valid/*.xml"))
CLUSTERS = sorted(CORPUS.glob("cluster/valid/*.xml"))


LITERAL_PERCENT = "literal-percent"
"""Holds `%NAME%` as text: expanded it cannot be told from a use of that name."""


@pytest.mark.parametrize("file", [*MODULES, *CLUSTERS], ids=name_of)
def test_printed_text_says_the_same_and_has_the_same_signature(file: Path, tmp_path: Path) -> None:
    again = tmp_path / file.parent.parent.name / "valid" / file.name
    again.parent.mkdir(parents=True)
    again.write_text(print_xml(read_xml(file.read_bytes(), file.name)))
    assert parse(again) == parse(file)


@pytest.mark.parametrize("file", [file for file in MODULES if file.stem != LITERAL_PERCENT], ids=name_of)
def test_expanded_text_says_the_same_and_has_the_same_signature(file: Path) -> None:
    config = parse_module(file.read_bytes(), file.name, ENVIRONMENT)
    assert parse_module(expand(file.read_bytes(), file.name, ENVIRONMENT).encode(), "expanded", {}) == config


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_module_survives_a_journal(file: Path) -> None:
    config = parse_module(file.read_bytes(), file.name, ENVIRONMENT)
    again = module_from_jsonable(json.loads(json.dumps(to_jsonable(config))))
    assert again == config
    assert (again.source, again.warnings, again.heart.at) == (config.source, config.warnings, config.heart.at)


@pytest.mark.parametrize("file", CLUSTERS, ids=name_of)
def test_cluster_survives_a_journal(file: Path) -> None:
    config = parse_cluster(file.read_bytes(), file.name)
    assert cluster_from_jsonable(json.loads(json.dumps(to_jsonable(config)))) == config


def test_record_with_an_unknown_missing_or_mistyped_key_is_refused() -> None:
    plain = to_jsonable(parse_cluster(CLUSTERS[0].read_bytes(), "cluster.xml"))
    assert isinstance(plain, dict)
    without_port = {key: value for key, value in plain.items() if key != "port"}
    wrong: list[object] = [{**plain, "colour": 1}, without_port, {**plain, "port": "4800"}, {**plain, "lans": {}}, []]
    for record in wrong:
        with pytest.raises(ValueError, match="ClusterConfig"):
            cluster_from_jsonable(record)


def test_record_without_a_key_that_has_a_default_stays_readable() -> None:
    plain = to_jsonable(parse_cluster(CLUSTERS[0].read_bytes(), "cluster.xml"))
    assert isinstance(plain, dict)
    del plain["warnings"]
    assert cluster_from_jsonable(plain).warnings == ()


def test_signature_ignores_layout_and_follows_meaning() -> None:
    text = '<cluster><lans port="{}"><lan name="a"><node {}/></lan></lans></cluster>'
    one = parse_cluster(text.format("4800", 'name="n" addr="10.0.0.1"').encode(), "one")
    same = parse_cluster(
        text.format("4800", 'addr="10.0.0.1"  name="n"').replace("><", ">\n<!-- -->\n<").encode(), "two"
    )
    other = parse_cluster(text.format("4801", 'name="n" addr="10.0.0.1"').encode(), "three")
    assert one.signature == same.signature != other.signature


def test_macro_wins_over_the_environment_and_the_environment_is_asked_last() -> None:
    text = (
        b'<safe><macro name="LAN" value="from-macro"/><service mode="mirror" defaultprim="%NODE%">'
        b'<heart><heartbeat name="%LAN%"/></heart></service></safe>'
    )
    config = parse_module(text, "userconfig.xml", {"LAN": "from-environment", "NODE": "node7"})
    assert config.heart.flow.lan == "from-macro"
    assert config.service.defaultprim == "node7"


def test_expanded_text_can_be_had_from_a_file_that_is_not_valid_otherwise() -> None:
    assert 'b="x&quot;y"' in expand(b'<safe><macro name="A" value="x&quot;y"/><a b="%A%"/></safe>', "u", {})
