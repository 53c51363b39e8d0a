"""Documents that are added, replaced and deleted between searches, and between the stages of one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from late_interaction import Cascade, Document, Index
from late_interaction.encoders import PooledEncoder
from late_interaction.engines import transfer
from late_interaction.errors import InvalidRequestError, UnsupportedError
from tests.cascades.conftest import corpus
from tests.conformance.weak_engines import Collection, ServerEngine, WeakEngine
from tests.fakes import ShortEncoder, WordEncoder


def cosine(encoder, query, text):
    """The cosine of the means of token vectors."""
    query, text = (
        encode([given])[0].sum(axis=0)
        for encode, given in ((encoder.encode_queries, query), (encoder.encode_documents, text))
    )
    return float(query @ text / np.linalg.norm(query) / np.linalg.norm(text)) if np.any(text) else 0.0


@pytest.fixture
def words():
    return WordEncoder()


def test_vectors_in_memory_follow_the_index(index, words):
    cascade = Cascade(index, [(PooledEncoder(words), 130)])

    def check():
        hits = cascade.search("w1 w2")
        assert {hit.id for hit in hits} == {document.id for document in index.scan()}
        assert [hit.score for hit in hits] == pytest.approx(
            [cosine(WordEncoder(), "w1 w2", hit.text) for hit in hits], abs=1e-5
        )
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    check()
    before = words.documents_encoded
    cascade.search("w3")
    assert words.documents_encoded == before  # once for all searches
    index.add([Document("w1 w2 w1", id="new"), Document("w9 w9 w8", id="d5"), Document("w1", id="d7")])
    check()
    index.delete(["d9", "d100", "new"])
    check()
    index.update(["d1"], metadata={"even": None})
    before = words.documents_encoded
    cascade.search("w1")
    assert words.documents_encoded == before  # metadata is not encoded
    assert "d1" not in {hit.id for hit in cascade.search("w1", where={"even": False})}
    index.clear()
    assert cascade.search("w1") == []
    index.add(["w1 w2"])
    check()


def test_only_changed_texts_are_encoded(index, words):
    cascade = Cascade(index, [(PooledEncoder(words), 5)])
    cascade.search("w1")
    before = words.documents_encoded
    index.add([Document("w1 w2", id="x"), Document("w1 w3", id="d3")])
    cascade.search("w1")
    assert words.documents_encoded == before + 2


@pytest.mark.parametrize("engine", [ServerEngine, WeakEngine])
def test_engines_that_cannot_tell_need_refresh(engine, words):
    index = Index(engine=engine(Collection(16)), encoder=words)
    index.add(corpus(15))
    cascade = Cascade(index, [(PooledEncoder(words), 20), ("late", 20)])
    cascade.search("w1 w2")
    index.add([Document("w1 w2", id="new"), Document("w2 w2 w2", id="d3")])
    hits = Cascade(index, [(PooledEncoder(words), 20)]).search("w1 w2")
    assert len(hits) == 16
    hits = cascade.search("w1 w2")  # a changed text is noticed when it is read
    assert {hit.text for hit in hits if hit.id == "d3"} == {"w2 w2 w2"}
    index.add([Document("w1", id="newer")])
    assert "newer" not in {hit.id for hit in cascade.search("w1 w2")}
    cascade.refresh()
    assert "newer" in {hit.id for hit in cascade.search("w1 w2")}
    index.delete(["newer"])
    assert "newer" not in {hit.id for hit in cascade.search("w1 w2")}


def test_weak_engines_have_no_lexical_stage(words):
    index = Index(engine=WeakEngine(Collection(16)), encoder=words)
    index.add(corpus(15))
    for stages in (
        [("lexical", 10)],
        [("hybrid", 10)],
        [("late", 10), ("lexical", 10)],
        [("late", 10), ("hybrid", 10)],
    ):
        with pytest.raises(UnsupportedError, match="WeakEngine cannot search by words"):
            Cascade(index, stages)
    with pytest.raises(InvalidRequestError, match="k must be at most 20"):  # what the engine takes at a time
        Cascade(index, [("late", 21)])
    assert len(Cascade(index, [("late", 12), ("late", 3)]).search("w1")) == 3


def test_documents_deleted_between_stages_vanish(index):
    gone = []

    def deleting(query, documents):
        gone.append(documents[0].id)
        index.delete([documents[0].id])
        return [1.0] * len(documents)

    found = index.search("w1 w2", 10)
    for later in (
        [],
        [("late", 10)],
        [("lexical", 10)],
        [("hybrid", 10)],
        [(lambda _, documents: [0] * len(documents), 10)],
    ):
        hits = Cascade(index, [("late", 10), (deleting, 10), *later]).search("w1 w2")
        assert gone[-1] not in {hit.id for hit in hits}
        assert len(hits) == 9
    assert gone[0] == found[0].id


def test_no_score_is_that_of_another_text(index, words):
    """A text that is replaced between two stages vanishes: the stages have seen different ones."""
    replaced = []

    def replacing(query, documents):
        replaced.append(documents[0].id)
        index.add([Document(f"w1 w2 w{len(replaced)}", id=documents[0].id)])
        return [1.0] * len(documents)

    for later in ([], [("late", 10)], [("lexical", 10)], [("hybrid", 10)], [(PooledEncoder(words), 10)]):
        hits = Cascade(index, [("lexical", 10), (replacing, 10), *later]).search("w1 w2")
        assert replaced[-1] not in {hit.id for hit in hits}


def test_another_index_out_of_step(index, words, tmp_path):
    with Index.open(tmp_path / "other", encoder=PooledEncoder(words)) as other:
        other.add([document for document in corpus(120) if document.id != "d1"])
        cascade = Cascade(index, [(other, 120)])
        assert {hit.id for hit in cascade.search("w1 w2")} == {f"d{number}" for number in range(120)} - {"d1"}
        index.delete(["d2"])
        index.add([Document("w1 w2", id="d3")])
        index.update(["d4"], metadata={"even": False})
        found = {hit.id for hit in cascade.search("w1 w2", where={"even": True})}
        assert found == {f"d{number}" for number in range(0, 120, 2)} - {"d2", "d4"}
        assert "d3" not in {hit.id for hit in cascade.search("w1 w2")}
        later = Cascade(index, [("late", 119), (other, 119)]).search("w1 w2")
        assert {"d1", "d3"} & {hit.id for hit in later} == set()


def test_another_index_after_a_transfer(index, tmp_path):
    with Index.open(tmp_path / "copy", encoder=WordEncoder()) as copy:
        transfer(index.engine, copy.engine)
        assert Cascade(index, [(copy, 9)]).search("w1 w2") == index.search("w1 w2", 9)


def test_searches_and_writes_at_the_same_time(index, words):
    cascade = Cascade(
        index, [(PooledEncoder(words), 40), ("late", 20), (lambda _, found: [len(one.text) for one in found], 5)]
    )
    done = threading.Event()

    def write():
        number = 0
        while not done.is_set():
            number += 1
            index.add([Document(f"w{number % 40} w1", id=f"d{number % 30}")])
            index.delete([f"d{(number + 7) % 30}"])

    def search(number):
        hits = cascade.search(f"w{number} w1")
        assert [hit.score for hit in hits] == [len(hit.text) for hit in hits]
        return len(hits)

    with ThreadPoolExecutor(5) as pool:
        writing = pool.submit(write)
        try:
            assert min(pool.map(search, range(40))) > 0
        finally:
            done.set()
        writing.result()


def test_truncated_texts_are_said(index):
    from late_interaction.errors import TruncationWarning

    cascade = Cascade(index, [(PooledEncoder(ShortEncoder(document_length=3)), 5)])
    with pytest.warns(TruncationWarning, match="documents are longer than the encoder reads"):
        cascade.search("w1")
