"""Known-item queries: what they are made of, that it is removed, and what is left out."""

from __future__ import annotations

import random
import re

import pytest

from late_interaction import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation import synthetic_dataset
from late_interaction.evaluation.synthetic import SYNTHETIC
from late_interaction.readers import split_document
from tests.pictures import write_picture

WORDS = [f"{first}{second}" for first in "bcdfglmnprst" for second in ("aran", "elor", "imud", "oset", "ukin")]


def sentence(draw, words=8):
    return " ".join(draw.choice(WORDS) for _ in range(words)).capitalize() + "."


def documents(count=60, seed=0):
    draw = random.Random(seed)
    made = []
    for number in range(count):
        text = " ".join(sentence(draw) for _ in range(5))
        metadata = {"title": f"Title {sentence(draw, 3)[:-1]} {number}"} if number % 2 else {}
        made.append(Document(text, id=f"d{number}", metadata=metadata))
    return made


def plain(text):
    return re.sub(r"\s+", " ", text).casefold()


def test_queries_are_removed_from_the_text_that_is_searched():
    given = documents()
    dataset = synthetic_dataset(given, queries=40)
    after = {document.id: document for document in dataset.documents}
    assert list(after) == [document.id for document in given]
    before = {document.id: document for document in given}
    changed = set()
    for query in dataset.queries:
        ((relevant, grade),) = query.relevant.items()
        assert grade == 1
        changed.add(relevant)
        if not query.id.startswith("title"):
            assert plain(query.query) in plain(before[relevant].text)
        assert plain(query.query) not in plain(after[relevant].text_to_encode)
        assert after[relevant].metadata == before[relevant].metadata
    assert len(changed) == len(dataset.queries) == 40
    assert all(after[name] == before[name] for name in before.keys() - changed)
    assert len({query.id for query in dataset.queries}) == 40


def test_a_third_of_each_kind():
    dataset = synthetic_dataset(documents(200), queries=60)
    kinds = [query.id.rpartition("-")[0] for query in dataset.queries]
    titles, first, rare = (kinds.count(kind) for kind in ("title", "first-sentence", "rare-words"))
    assert titles + first + rare == 60
    assert min(titles, first, rare) >= 18
    made = f"{titles} titles, {first} first sentences, {rare} sentences with rare words"
    assert f"Synthetic queries made from 200 documents: {made}." in dataset.notes


def test_first_sentence_and_rarest_sentence():
    common = "The river flows through the land to the sea. "
    others = [Document(f"Text {number} of others. {common * 2}", id=str(number)) for number in range(20)]
    one = Document(
        f"It begins with this sentence. {common}Zebras quarrel about xylophones. The land is flat here. {common}",
        id="one",
    )
    found = {}
    for seed in range(8):
        for query in synthetic_dataset([one, *others], queries=21, seed=seed).queries:
            if "one" in query.relevant:
                found[query.id.rpartition("-")[0]] = query.query
    dataset = synthetic_dataset([one], queries=1)
    assert dataset.queries[0].query == "It begins with this sentence."
    assert found.get("rare-words", "Zebras quarrel about xylophones.") == "Zebras quarrel about xylophones."


@pytest.mark.parametrize(
    ("text", "suffix", "query"),
    [
        ("# Long rivers\n\nThe Nile flows north through eleven countries, and into the sea.", ".md", "Long rivers"),
        (
            "Long rivers\n===========\n\nThe Nile flows north through eleven countries into the sea.",
            ".rst",
            "Long rivers",
        ),
    ],
)
def test_titles_of_files(text, suffix, query):
    """`encoded_text`, which is what is searched, begins with the title."""
    given = split_document(text, source=f"a{suffix}", suffix=suffix)
    assert given[0].encoded_text.startswith(query)
    dataset = synthetic_dataset(given)
    assert [(one.id, one.query) for one in dataset.queries] == [("title-1", query)]
    (after,) = dataset.documents
    assert query not in after.encoded_text


def test_a_title_of_several_passages_needs_the_heading():
    text = "# Long rivers\n\n" + "".join(
        f"## About {name}\n\n{name} is a river that flows through many countries and into the sea.\n\n"
        for name in ("Nile", "Amazon")
    )
    queries = synthetic_dataset(split_document(text, source="a.md", suffix=".md")).queries
    titles = {one.query: set(one.relevant) for one in queries if one.id.startswith("title")}
    assert titles
    assert set(titles) <= {"Long rivers About Nile", "Long rivers About Amazon"}


def test_a_heading_line_in_the_text():
    text = "Rivers of the world\n\nThe Nile flows north through eleven countries and into the Mediterranean Sea."
    dataset = synthetic_dataset([Document(text, id="a")])
    assert [query.query for query in dataset.queries] == ["Rivers of the world"]


@pytest.mark.parametrize(
    "text",
    [
        "尼罗河是非洲的一条河流。它向北流经十一个国家最后流入地中海。河水来自维多利亚湖。",
        "Нил — река в Африке. Она течёт на север через одиннадцать стран и впадает в Средиземное море.",
        "नील नदी अफ़्रीका में है। यह उत्तर की ओर ग्यारह देशों से होकर भूमध्य सागर तक बहती है।",
    ],
)
def test_any_language(text):
    dataset = synthetic_dataset([Document(text, id="a")])
    (after,) = dataset.documents
    assert dataset.queries[0].query in text
    assert dataset.queries[0].query not in after.text


def test_deterministic_in_any_order():
    given = documents(80)
    shuffled = given[:]
    random.Random(1).shuffle(shuffled)
    queries = synthetic_dataset(given, queries=20).queries
    assert queries == synthetic_dataset(iter(shuffled), queries=20).queries
    assert queries != synthetic_dataset(given, queries=20, seed=1).queries


def test_duplicates_are_left_out_and_counted():
    given = documents(10)
    twins = [Document(f"  {given[0].text.upper()}\n", id="twin"), *given]
    dataset = synthetic_dataset(twins)
    assert not {"d0", "twin"} & {name for query in dataset.queries for name in query.relevant}
    assert any(note.startswith("2 documents have the same text as another one") for note in dataset.notes)
    assert not any("text as another" in note for note in synthetic_dataset(given).notes)


def test_sentences_of_several_documents_are_left_out():
    boilerplate = "This package contains the development files."
    draw = random.Random(3)
    given = [Document(f"{boilerplate} {sentence(draw)} {sentence(draw)} {sentence(draw)}", id=str(n)) for n in range(9)]
    queries = synthetic_dataset(given).queries
    assert queries
    assert boilerplate not in {query.query for query in queries}


def test_short_documents_are_left_out_and_counted():
    given = [*documents(10), Document("Too short.", id="short"), Document("", id="blank")]
    dataset = synthetic_dataset(given)
    kinds, unused, others = dataset.notes[1:]
    assert kinds.startswith("Synthetic queries made from 12 documents: ")
    assert kinds.endswith(", fewer than the 200 asked for.")
    assert unused == "Of the 11 documents considered, not used: 1 too short to remove a sentence from."
    assert others == "Documents that are searched, but that no queries were made from: 1 without words."


def test_notes_say_what_it_can_tell():
    assert synthetic_dataset(documents(5)).notes[0] == SYNTHETIC
    assert "cannot tell" in SYNTHETIC


def test_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="There are no documents"):
        synthetic_dataset([])
    with pytest.raises(InvalidRequestError, match="No synthetic query can be made from 2 documents: a document needs"):
        synthetic_dataset([Document("Short.", id="a"), Document("Shorter.", id="b")])
    twice = [Document(document.text, id=f"{document.id}-{copy}") for document in documents(3) for copy in "ab"]
    with pytest.raises(InvalidRequestError, match="6 documents: each has the same text as another one"):
        synthetic_dataset(twice)
    path = tmp_path / "page.png"
    write_picture(path)
    with pytest.raises(InvalidRequestError, match="all 1 document are pages"):
        synthetic_dataset([Document("The text of a page.", image=path, id="page")])
    with pytest.raises(InvalidRequestError, match="queries"):
        synthetic_dataset(documents(3), queries=0)
