"""From text to configuration: the functions that everything outside this package calls.

All are pure: a text goes in, a value or a ConfigError with every problem found comes out. Nothing is read
from the environment or the disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from holdfast.config.build import build_cluster, build_module
from holdfast.config.macros import expand_tree
from holdfast.config.model import ClusterConfig, ModuleConfig
from holdfast.config.problem import Report
from holdfast.config.reader import read_document
from holdfast.config.semantics import check_cluster, check_module
from holdfast.config.tags.cluster import CLUSTER
from holdfast.config.tags.module import SAFE
from holdfast.config.xml import Element, canonical_xml, print_xml, read_xml


def parse_cluster(text: bytes, source: str) -> ClusterConfig:
    """The cluster that a cluster.xml describes. Raises ConfigError; `source` names the text in messages."""
    report = Report(source=source)
    tree = read_xml(text, source)
    root = read_document(CLUSTER, tree, report)
    check_cluster(root, report)
    report.raise_if_wrong()
    return build_cluster(root, signature=_signature(tree), source=source, warnings=report.warning_texts())


def parse_module(text: bytes, source: str, environment: Mapping[str, str]) -> ModuleConfig:
    """The module that a userconfig.xml describes, macros expanded.

    `environment` is asked for %NAME% when no macro has that name. Raises ConfigError.
    """
    report = Report(source=source)
    config = examine_module(text, source, environment, report)
    report.raise_if_wrong()
    assert config is not None, "without a problem there is a configuration"
    return config


def examine_module(text: bytes, source: str, environment: Mapping[str, str], report: Report) -> ModuleConfig | None:
    """Like `parse_module`, but everything that is wrong or doubtful is left in `report`; None when anything is wrong.

    Raises ConfigError only where reading cannot go on: no XML, another root, or more problems than are reported.
    """
    tree = expand_tree(read_xml(text, source), environment, report)
    root = read_document(SAFE, tree, report)
    check_module(root, report)
    if report.problems:
        return None
    return build_module(root, signature=_signature(tree), source=source, warnings=report.warning_texts())


def expand(text: bytes, source: str, environment: Mapping[str, str]) -> str:
    """The expanded copy that scripts read (`safeconf.xml`): same tags, macros replaced, no comments.

    Raises ConfigError when the text is not XML or a macro cannot be expanded; it is not checked further.
    """
    report = Report(source=source)
    tree = expand_tree(read_xml(text, source), environment, report)
    report.raise_if_wrong()
    return print_xml(tree)


def _signature(tree: Element) -> str:
    """SHA-256 of the canonical text: the same for files that differ only in layout, comments or order of
    attributes."""
    return hashlib.sha256(canonical_xml(tree).encode()).hexdigest()
