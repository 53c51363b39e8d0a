"""Every word of ten sentences in each of 34 languages finds its sentence, and no sentence without it comes first."""

from __future__ import annotations

import unicodedata

import pytest

from late_interaction.engines import LocalEngine
from tests.engines.helpers import record
from tests.words.sentences import INFLECTED, SENTENCES, sentences

COUNT = 1000
SENTENCE = {
    f"{language}-{number}": (text, words)
    for language in SENTENCES
    for number, (text, words) in enumerate(sentences(language))
}


def plain(text):
    return unicodedata.normalize("NFKC", text).casefold()


def filled(root, names, *, form="NFC", language="default"):
    engine = LocalEngine.open(root, dim=8, language=language)
    engine.upsert([record(name, text=unicodedata.normalize(form, SENTENCE[name][0])) for name in names])
    return engine


@pytest.fixture(scope="module")
def composed(make_directory):
    with filled(make_directory("composed") / "index", SENTENCE) as engine:
        yield engine


@pytest.fixture(scope="module")
def decomposed(make_directory):
    with filled(make_directory("decomposed") / "index", SENTENCE, form="NFKD") as engine:
        yield engine


def found(engine, query):
    return [match.id for match in engine.search_lexical(query, COUNT)]


def check(engine, language, change=lambda word: word):
    """Search every word of a language, changed, among the sentences of all languages."""
    missed, others_first = [], []
    for number, (_, words) in enumerate(sentences(language)):
        for word in words:
            hits = found(engine, change(word))
            if f"{language}-{number}" not in hits:
                missed.append(word)
            elif plain(word) not in plain(SENTENCE[hits[0]][0]):
                others_first.append((word, SENTENCE[hits[0]][0]))
    assert missed == []
    assert others_first == []


def test_the_sentences():
    assert len(SENTENCES) == 34
    assert all(len(sentences(language)) == 10 for language in SENTENCES)
    assert len(SENTENCE) == len({text for text, _ in SENTENCE.values()}) == 340
    assert sum(len(words) for _, words in SENTENCE.values()) > 1700


@pytest.mark.parametrize("language", SENTENCES)
def test_every_word_finds_its_sentence(composed, language):
    check(composed, language)


@pytest.mark.parametrize("language", SENTENCES)
def test_decomposed_words_find_composed_sentences(composed, language):
    check(composed, language, lambda word: unicodedata.normalize("NFD", word))


@pytest.mark.parametrize("language", SENTENCES)
def test_composed_words_find_decomposed_sentences(decomposed, language):
    check(decomposed, language)


@pytest.mark.parametrize("language", ["french", "greek", "russian", "armenian", "turkish", "vietnamese"])
def test_capitals_find_their_sentence(composed, language):
    check(composed, language, str.upper)


def test_a_sentence_finds_itself_first(composed):
    for name, (text, _) in SENTENCE.items():
        assert found(composed, text)[0] == name


def share_of_forms(engine, language):
    """Which share of inflected forms finds its sentence first."""
    forms = [form.split("=") for form in INFLECTED[language].split()]
    return sum(found(engine, form)[:1] == [f"{language}-{number}"] for form, number in forms) / len(forms)


@pytest.mark.parametrize("language", INFLECTED)
def test_stems_of_the_language_find_inflected_forms(tmp_path, language):
    names = [f"{language}-{number}" for number in range(10)]
    with filled(tmp_path / "stems", names, language=language) as engine:
        with_stems = share_of_forms(engine, language)
        check(engine, language)
    with filled(tmp_path / "plain", names, language=None) as engine:
        without = share_of_forms(engine, language)
    assert with_stems >= 0.5
    assert without <= 0.2


def test_english_stems_are_a_good_default(composed, tmp_path):
    """They find more inflected forms in all languages together than no stems do, and no word less."""
    with filled(tmp_path / "plain", SENTENCE, language=None) as engine:
        without = {language: share_of_forms(engine, language) for language in INFLECTED}
    shares = {language: share_of_forms(composed, language) for language in INFLECTED}
    assert all(shares[language] >= without[language] for language in INFLECTED)
    assert shares["english"] == 1
    assert sum(shares.values()) > sum(without.values()) + 2
