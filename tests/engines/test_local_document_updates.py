"""`update_documents`: what a document says changes, its vectors stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.errors import InvalidRequestError, UnknownIdError
from late_interaction.images import PageImage
from tests.engines.helpers import DIM, small_thresholds, unit_vectors

QUERY = unit_vectors(7, 3)


@pytest.fixture
def engine(tmp_path):
    """Thirty compressed documents, of which ``d3`` is a page."""
    with small_thresholds(20, 10**6), LocalEngine.open(tmp_path / "index", dim=DIM, bits=2) as engine:
        engine.upsert(
            [
                Record(Document(f"text {n}", id=f"d{n}", metadata={"n": n}, image=page(n)), unit_vectors(n, 5), root=1)
                for n in range(30)
            ]
        )
        assert engine.info()["exact_tokens"] == 0
        yield engine


def page(n):
    return PageImage("0" * 32, "/old/scan.png", 1, 20, 20) if n == 3 else None


def changed(document):
    image = document.image and replace(document.image, path="/new/scan.png")
    return Document(f"other {document.id}", id=document.id, metadata={"m": [document.id]}, image=image)


def test_everything_but_the_vectors_changes(engine):
    vectors = engine.vectors([f"d{n}" for n in range(30)])
    scores = {match.id: match.score for match in engine.search(QUERY, 30)}
    new = [changed(document) for document in engine.get(["d3", "d4"])]
    assert engine.update_documents(iter(new), 2) == 2
    assert engine.get(["d3", "d4"]) == new
    assert [document.id for document in engine.scan()] == [f"d{n}" for n in range(30)]  # the order stays
    assert engine.roots_of(["d3", "d4", "d5"]) == {"d3": 2, "d4": 2, "d5": 1}
    assert {document.id for document in engine.scan(where={"m": {"$contains": "d3"}})} == {"d3"}
    assert engine.count(where={"n": {"$in": [3, 4]}}) == 0
    assert [match.id for match in engine.search_lexical("other", 9)] == ["d3", "d4"]
    assert len(engine.search_lexical("text", 99)) == 28
    assert {match.id: match.score for match in engine.search(QUERY, 30)} == scores
    assert [match.id for match in engine.search(QUERY, 9, where={"m": "d4"})] == ["d4"]
    for document_id, stored in engine.vectors(list(vectors)).items():
        np.testing.assert_array_equal(stored, vectors[document_id])
    assert engine.verify().problems == ()


def test_an_image_comes_and_goes(engine):
    with_image = Document("text 5", id="d5", image=page(3))
    engine.update_documents([Document("text 3", id="d3"), with_image], None)
    assert [document.image for document in engine.get(["d3", "d5"])] == [None, page(3)]


def test_an_unknown_id_changes_nothing(engine):
    before = list(engine.scan())
    with pytest.raises(UnknownIdError, match="'nowhere'"):
        engine.update_documents([changed(before[0]), Document("x", id="nowhere")], 2)
    assert list(engine.scan()) == before
    assert engine.roots_of(["d0"]) == {"d0": 1}


def test_nothing_is_no_commit(engine):
    assert engine.update_documents([], 2) == 0


class TestNewIds:
    def rename(self, engine, stored_ids, root=1):
        documents = {document.id: document for document in engine.get(list(stored_ids.values()))}
        new = [
            Document(documents[old].text, id=new, metadata=documents[old].metadata, image=documents[old].image)
            for new, old in stored_ids.items()
        ]
        assert engine.update_documents(new, root, stored_ids=stored_ids) == len(new)

    @pytest.mark.parametrize(
        "stored_ids",
        [
            {"new": "d3"},
            {"d3": "d4", "d4": "d3"},
            {"d3": "d4", "d4": "d5", "d5": "d3", "x": "d6"},
            {f"d{n + 1}": f"d{n}" for n in range(28)},  # d28 is replaced
            {f"d{n}": f"d{n + 1}" for n in range(5)},  # d0 is replaced
        ],
    )
    def test_vectors_and_words_follow(self, engine, stored_ids):
        before = {document.id: document for document in engine.scan()}
        vectors = engine.vectors(list(before))
        self.rename(engine, stored_ids)
        moved = set(stored_ids.values())
        origins = {old: old for old in before if old not in moved and old not in stored_ids} | stored_ids
        assert {document.id: document.text for document in engine.scan()} == {
            new: before[old].text for new, old in origins.items()
        }
        after = engine.vectors(list(origins))
        for new, old in origins.items():
            np.testing.assert_array_equal(after[new], vectors[old])
            n = before[old].metadata["n"]
            assert [document.id for document in engine.scan(where={"n": n})] == [new]
            assert [match.id for match in engine.search(QUERY, 3, where={"n": n})] == [new]
        assert {match.id for match in engine.search_lexical("text", 99)} == origins.keys()
        assert engine.verify().problems == ()

    def test_a_hit_of_before_is_not_one_of_after(self, engine):
        matches = engine.search(QUERY, 30)
        self.rename(engine, {"d3": "d4", "d4": "d3", "x": "d5"})
        assert engine.fetch(matches).keys() == {f"d{n}" for n in range(30)} - {"d3", "d4", "d5"}

    def test_after_an_error_nothing_has_changed(self, engine):
        before = list(engine.scan())
        new = Document("x", id="x")
        with pytest.raises(UnknownIdError, match="'nowhere'"):
            engine.update_documents([new, Document("d4", id="d4")], 1, stored_ids={"d4": "d3", "x": "nowhere"})
        with pytest.raises(InvalidRequestError):
            engine.update_documents([new], 1, stored_ids={"d4": "d3"})
        assert list(engine.scan()) == before

    def test_they_are_still_so_when_reopened_and_compacted(self, tmp_path):
        with small_thresholds(20, 10**6), LocalEngine.open(tmp_path / "other", dim=DIM, bits=2) as engine:
            engine.upsert([Record(Document(f"text {n}", id=f"d{n}"), unit_vectors(n, 5)) for n in range(9)])
            engine.update_documents([Document("text 1", id="d2")], None, stored_ids={"d2": "d1"})
            engine.compact()
        with LocalEngine.open(tmp_path / "other") as engine:
            assert [document.text for document in engine.get(["d1", "d2"])] == ["text 1"]
            assert engine.verify().problems == ()
