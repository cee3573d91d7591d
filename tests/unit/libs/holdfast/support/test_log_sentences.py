"""The log's sentences in every language."""

from __future__ import annotations

import re
from string import Formatter

import pytest
from holdfast.events import membership, module, replication
from holdfast.events.catalogue import EVENTS, Entry
from holdfast.support import sentences
from holdfast.support.sentences import Language, Sentence
from holdfast.support.wording import words
from holdfast.testing.samples import sample

CATALOGUE = {name: value for name, value in vars(sentences).items() if isinstance(value, Sentence)}
NOT_TOLD = {
    module.TimerFired,
    module.ServiceStarted,
    module.SpanEnded,
    module.WitnessReported,
    replication.ResyncEstimated,
}
JAPANESE = re.compile("[぀-ヿ一-鿿]")


def places(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("name", CATALOGUE)
def test_sentence_is_there_in_every_language_with_the_same_places(name: str) -> None:
    sentence = CATALOGUE[name]
    texts = {language: getattr(sentence, language.value) for language in Language}
    assert all(text.strip() for text in texts.values())
    assert len(set(texts.values())) == len(Language), "a language that says the same as another was forgotten"
    assert {tuple(places(text)) for text in texts.values()} == {tuple(places(sentence.en))}
    assert JAPANESE.search(texts[Language.JA])
    assert not any(JAPANESE.search(texts[language]) for language in (Language.EN, Language.FR))


@pytest.mark.parametrize("name", CATALOGUE)
def test_french_has_its_spaces_before_colon_and_semicolon(name: str) -> None:
    french = CATALOGUE[name].fr
    assert re.sub(" [:;]", "", french).translate({ord(each): None for each in ":;"}) == re.sub(" [:;]", "", french)


@pytest.mark.parametrize("entry", EVENTS, ids=lambda entry: entry.name)
def test_fact_is_told_in_every_language_with_the_same_level_and_facts(entry: Entry) -> None:
    payload = sample(entry.payload)
    told = {language: words(payload, language) for language in Language}
    assert all((said is None) is (entry.payload in NOT_TOLD) for said in told.values())
    if entry.payload not in NOT_TOLD:
        said = [each for each in told.values() if each is not None]
        assert len({level for level, _text in said}) == 1
        assert len({text for _level, text in said}) == len(Language)
        assert len({tuple(sorted(re.findall("[0-9]+", text))) for _level, text in said}) == 1, "the same figures"


@pytest.mark.parametrize(
    ("payload", "english", "french", "japanese"),
    [
        (
            module.CommandRequested(action=module.Action.STOP, who="root"),
            "Action stop called by root",
            "Action stop demandée par root",
            "root がアクション stop を要求しました",
        ),
        (
            module.ScriptFinished(
                run="r", script="stop_prim", exit_code=3, duration_ms=1500, timed_out=False, log="/l/stop_prim.ulog"
            ),
            "Script stop_prim ended with 3 after 1.500 s; log /l/stop_prim.ulog",
            "Script stop_prim terminé avec le code 3 après 1,500 s ; journal /l/stop_prim.ulog",
            "スクリプト stop_prim は 1.500 秒後にコード 3 で終了しました。ログは /l/stop_prim.ulog",
        ),
        (
            membership.PeerFound(incarnation=3),
            "Remote node is heard",
            "Le nœud distant est entendu",
            "リモートノードのハートビートを受信しました",
        ),
    ],
)
def test_words_of_each_language(payload: object, english: str, french: str, japanese: str) -> None:
    assert [said[1] for language in Language if (said := words(payload, language)) is not None] == [
        english,
        french,
        japanese,
    ]


def test_differing_replicas_are_critical_in_every_language() -> None:
    verified = replication.ReplicasVerified(
        request="r", equal=False, files=2, bytes=3, differences=(), differences_total=1, error=""
    )
    assert {said[0].value for language in Language if (said := words(verified, language)) is not None} == {"C"}
