"""Adding what only differs in metadata, `update`, and vectors of the caller, on every engine."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.errors import InvalidVectorsError, MissingEncoderError
from tests.conformance.helpers import DIM, at_most, needs, unit_vectors
from tests.conformance.interference import Interrupted
from tests.fakes import WordEncoder

TEXTS = {"a": "deep water", "b": "old bread", "c": "a new city"}


def documents(**metadata):
    return [Document(text, id=name, metadata=metadata) for name, text in TEXTS.items()]


@pytest.fixture
def index(engine):
    index = Index(engine=engine, encoder=WordEncoder(DIM))
    index.add(documents(n=0))
    return index


def check(index, texts):
    """Every document has the vectors of its text."""
    encoder = WordEncoder(DIM)
    for name, text in texts.items():
        (vectors,) = encoder.encode_documents([text])
        found = index.engine.score(vectors, [name])[name]
        assert found == pytest.approx(len(vectors), abs=0.2)


def test_adding_the_same_texts(index, engine):
    encoded = index.encoder.documents_encoded
    index.add([*documents(n=1), Document("another text", id="d")])
    assert [document.metadata for document in index.get(list(TEXTS))] == [{"n": 1}] * 3
    assert index.count(where={"n": 1}) == 3
    check(index, {**TEXTS, "d": "another text"})
    if engine.capabilities.vectors:
        assert index.encoder.documents_encoded == encoded + 1


def test_update(index, engine):
    needs(engine, "vectors")
    encoded = index.encoder.texts_encoded
    assert index.update(["a", "unknown", "c"], metadata={"n": 5, "new": [1]}) == 2
    assert [document.metadata for document in index.get(["a", "b", "c"])] == [
        {"n": 5, "new": [1]},
        {"n": 0},
        {"n": 5, "new": [1]},
    ]
    assert index.count(where={"n": 5}) == 2
    assert index.encoder.texts_encoded == encoded
    check(index, TEXTS)


@pytest.mark.parametrize("story", ["deleted", "replaced", "replaced before every call"])
def test_another_writer_comes_in_between(index, engine, story):
    """Whatever is stored at the end, its vectors are those of its text."""
    writes = 0

    def before(name):
        nonlocal writes
        if name not in ("get", "records", "vectors", "scan") or (writes and story != "replaced before every call"):
            return
        writes += 1
        if story == "deleted":
            engine.delete(ids=["a"])
        else:
            Index(engine=engine, encoder=WordEncoder(DIM)).add(
                [Document(f"bread {writes}", id="a")],
                vectors=[WordEncoder(DIM).encode_documents([f"bread {writes}"])[0]],
            )

    Index(engine=Interrupted(engine, before), encoder=WordEncoder(DIM)).add(documents(n=1))
    assert writes or not engine.capabilities.vectors
    assert index.get(["a"]) == documents(n=1)[:1]
    check(index, TEXTS)


def test_vectors_of_the_caller(engine):
    index = Index(engine=engine)
    arrays = [unit_vectors(number, 3) for number in range(8)]
    given = [Document("", id=str(number)) for number in range(8)]
    assert index.add(given, vectors=iter(arrays)) == [document.id for document in given]
    assert [hit.id for hit in index.rerank(arrays[3], ids=["1", "3"], k=1)] == ["3"]
    assert "5" in {hit.id for hit in index.search(arrays[5], at_most(engine, 8))}
    with pytest.raises(MissingEncoderError):
        index.add(["text"], replacing={"kind": "x"})
    with pytest.raises(InvalidVectorsError, match="'x'"):
        index.add([Document("", id="x")], vectors=[np.ones((1, DIM + 1))])
    assert len(index) == 8


def test_a_missing_encoder_deletes_nothing(engine):
    index = Index(engine=engine)
    index.add([Document("", id="a", metadata={"kind": "x"})], vectors=[unit_vectors(0, 2)])
    with pytest.raises(MissingEncoderError):
        index.add(["text"], replacing={"kind": "x"})
    assert "a" in index
