"""Whatever the text, the parser answers with a configuration or a ConfigError, and soon."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from holdfast.config.jsonable import module_from_jsonable, to_jsonable
from holdfast.config.parse import expand, parse_cluster, parse_module
from holdfast.config.regex import compile_posix
from holdfast.config.schema import Attribute, Kind, Status, Tag
from holdfast.config.tags.cluster import CLUSTER
from holdfast.config.tags.module import SAFE
from holdfast.errors import ConfigError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.libs.holdfast.config.corpus_files import CORPUS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

TEXTS = [file.read_bytes() for file in sorted(CORPUS.glob("*/*/*.xml"))]
MODULES = [file.read_bytes() for file in sorted(CORPUS.glob("module/valid/*.xml"))]
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = sorted(
    {tag.name for root in (CLUSTER, SAFE) for _, tag in root.walk()}
    | {attribute.name for root in (CLUSTER, SAFE) for _, tag in root.walk() for attribute in tag.attributes}
)
WORDS = st.sampled_from(
    [*NAMES, "on", "off", "10.0.0.1", "[fd00::1]", "/a", "1s", "0", "-1", "%A%", "%PATH%", "x" * 300]
)
VALUES = st.one_of(WORDS, st.text(max_size=20))


def refusal(parse: Callable[[], object]) -> ConfigError | None:
    """The error with which a text is refused; anything but a ConfigError fails the test."""
    try:
        parse()
    except ConfigError as error:
        return error
    return None


def answers(text: bytes) -> None:
    for parse in (
        lambda: parse_cluster(text, "any.xml"),
        lambda: parse_module(text, "any.xml", {"PATH": "/bin"}),
        lambda: expand(text, "any.xml", {}),
    ):
        if (error := refusal(parse)) is not None:
            assert error.problems
            assert len(str(error)) < 200_000


@RELAXED
@given(st.binary(max_size=2_000))
def test_any_bytes_get_an_answer(text: bytes) -> None:
    answers(text)


@RELAXED
@given(st.sampled_from(TEXTS), st.integers(min_value=0), st.integers(0, 40), st.binary(max_size=12))
def test_damaged_files_get_an_answer(text: bytes, at: int, length: int, insert: bytes) -> None:
    at %= len(text) + 1
    answers(text[:at] + insert + text[at + length :])


def escaped(text: str) -> str:
    legal = "".join(char for char in text if char >= " " and not "\ud800" <= char <= "\udfff" and char < "\ufffe")
    return legal.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


@st.composite
def trees(draw: st.DrawFn, tag: Tag, *, noise: bool) -> str:
    """XML that has the shape of the language; with noise, words in wrong places too."""
    names = [attribute.name for attribute in tag.attributes]
    picked = draw(st.lists(st.sampled_from(names), unique=True, max_size=6)) if names else []
    if noise:
        picked = list(dict.fromkeys([*picked, *draw(st.lists(st.sampled_from(NAMES), max_size=1))]))
    attributes = "".join(f' {name}="{escaped(draw(VALUES))}"' for name in picked)
    children = draw(st.lists(st.sampled_from(tag.children), max_size=4)) if tag.children else []
    inside = "".join(draw(trees(child, noise=noise)) for child in children)
    return f"<{tag.name}{attributes}>{inside}</{tag.name}>"


@RELAXED
@given(st.sampled_from([CLUSTER, SAFE]).flatmap(lambda root: trees(root, noise=True)))
def test_any_tree_of_known_words_gets_an_answer(text: str) -> None:
    answers(text.encode())


def valid_value(attribute: Attribute) -> st.SearchStrategy[str]:
    low, high = attribute.minimum or 0, attribute.maximum or 1_000
    switches = {Kind.SWITCH: ("on", "off"), Kind.YES_NO: ("yes", "no")}
    samples = {
        Kind.NAME: ("node1", "lan-2", "A_b"),
        Kind.IDENT: ("a", "web.1", "b:c"),
        Kind.VARIABLE: ("A", "_b1"),
        Kind.INTERFACE: ("eth0", "bond0.12"),
        Kind.ADDRESS: ("10.0.0.1", "[fd00::1]", "db.example.com"),
        Kind.HOST: ("shop", "Shop-1.example.org"),
        Kind.NETMASK: ("255.255.255.0",),
        Kind.ABSOLUTE_PATH: ("/srv/a", "/srv/b c/"),
        Kind.RELATIVE_PATH: ("a", "b/c"),
        Kind.PATH: ("a", "/b"),
        Kind.REGEX: ("^a[[:alpha:]]*$",),
        Kind.PROCESS_CLASS: ("prim", "sec", "nightly"),
        Kind.REACTION: ("restart", "stop", "fix.sh"),
        Kind.TEXT: ("", "a <b> & 'c' \"d\"", "é\t\n"),
    }
    match attribute.kind:
        case Kind.DURATION | Kind.INTEGER:
            return st.integers(low, min(high, low + 5_000)).map(str)
        case Kind.CHOICE:
            return st.sampled_from(attribute.choices)
        case Kind.SWITCH | Kind.YES_NO:
            return st.sampled_from(switches[attribute.kind])
        case _:
            return st.sampled_from(samples[attribute.kind])


@st.composite
def valid_trees(draw: st.DrawFn, tag: Tag) -> str:
    """XML in which each attribute by itself is right; conditions between them may still be broken."""
    attributes = "".join(
        f' {attribute.name}="{escaped(draw(valid_value(attribute)))}"'
        for attribute in tag.attributes
        if attribute.status is Status.IMPLEMENTED and (attribute.required or draw(st.integers(0, 3)) == 0)
    )
    inside = ""
    for child in tag.children:
        if child.status is Status.IMPLEMENTED:
            count = draw(st.integers(child.minimum, max(child.minimum, 1)))
            inside += "".join(draw(valid_trees(child)) for _ in range(count))
    return f"<{tag.name}{attributes}>{inside}</{tag.name}>"


@RELAXED
@given(valid_trees(SAFE))
def test_valid_module_survives_printing_and_journals(text: str) -> None:
    if (error := refusal(lambda: parse_module(text.encode(), "any.xml", {}))) is not None:
        assert not any("is not a valid" in str(problem) for problem in error.problems)
        return
    config = parse_module(text.encode(), "any.xml", {})
    assert parse_module(expand(text.encode(), "any.xml", {}).encode(), "again.xml", {}) == config
    assert module_from_jsonable(to_jsonable(config)) == config


@RELAXED
@given(st.text(alphabet="ab[]()^$*+?{}|\\-:.,0123é&~", max_size=30))
def test_any_expression_compiles_or_is_refused(pattern: str) -> None:
    with suppress(ValueError):
        compile_posix(pattern)


def test_macros_that_multiply_are_refused() -> None:
    levels = "".join(f'<macro name="L{n}" value="{f"%L{n - 1}%" * 10}"/>' for n in range(1, 20))
    text = f'<safe><macro name="L0" value="lol"/>{levels}<service mode="mirror" defaultprim="%L19%"/></safe>'
    with pytest.raises(ConfigError, match="expands to too long a text"):
        parse_module(text.encode(), "any.xml", {})


def test_many_uses_of_a_long_macro_are_refused() -> None:
    uses = '<x a="%A%"/>' * 15_000
    text = f'<safe><macro name="A" value="{"x" * 16_000}"/>{uses}</safe>'
    with pytest.raises(ConfigError) as caught:
        parse_module(text.encode(), "any.xml", {})
    assert len(caught.value.problems) == 100


def test_long_chain_of_macros_is_refused() -> None:
    chain = "".join(f'<macro name="L{n}" value="%L{n + 1}%"/>' for n in range(5_000))
    with pytest.raises(ConfigError, match="nested too deep"):
        parse_module(f"<safe>{chain}</safe>".encode(), "any.xml", {})


def test_directories_without_number_are_refused_without_comparing_each_with_each() -> None:
    trees = "".join(f'<replicated dir="/srv/{n}"/>' for n in range(15_000))
    heart = '<heart><heartbeat name="lan1"/></heart>'
    with pytest.raises(ConfigError, match="too many <replicated>"):
        parse_module(f'<safe><service mode="mirror">{heart}<rfs>{trees}</rfs></service></safe>'.encode(), "any.xml", {})
