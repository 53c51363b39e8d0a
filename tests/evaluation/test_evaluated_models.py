"""Models of sentence-transformers as systems, compared with cosines, dot products and scores of the models."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Cascade, Index
from late_interaction.errors import InvalidRequestError, TruncationWarning, UnsupportedCheckpointError
from late_interaction.evaluation import evaluate
from tests.fakes import WordEncoder

TEXTS = {
    "nile": "The Nile is the longest river of Africa.",
    "paris": "Paris is the capital of France.",
    "rome": "Rome is the capital of Italy, on the Tiber river.",
    "danube": "The Danube flows through ten countries and four capitals.",
    "everest": "Mount Everest is the highest mountain.",
    "story": "A long story about a short walk.",
    "bread": "Bread is made of flour, water and salt.",
    "sea": "The sea is salty, and ships cross it.",
}
QUERIES = [
    {"id": "q1", "query": "capital of France", "relevant": "paris"},
    {"id": "q2", "query": "longest river", "relevant": ["nile", "danube"]},
    {"id": "q3", "query": "salt water", "relevant": {"sea": 1, "bread": 2}},
]


@pytest.fixture
def index(tmp_path):
    from late_interaction import Document

    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        index.add([Document(text, id=key) for key, text in TEXTS.items()])
        yield index


@pytest.fixture(scope="module")
def dense_folder(checkpoints):
    from tests.checkpoints import single_vector

    return single_vector(checkpoints / "evaluated-dense", prompts={"query": "search: ", "document": "text: "})


@pytest.fixture(scope="module")
def sparse_folder(checkpoints):
    from tests.checkpoints import sparse_encoder

    return sparse_encoder(checkpoints / "evaluated-sparse")


@pytest.fixture(scope="module")
def cross_folder(checkpoints):
    from tests.checkpoints import cross_encoder

    return cross_encoder(checkpoints / "evaluated-cross")


def system(report, name):
    return next(one.result for one in report.systems if one.name == name)


def ranked(scores):
    """Ids of TEXTS by score, best first, for each query id."""
    ids = list(TEXTS)
    return {
        query["id"]: [ids[at] for at in np.argsort(-np.asarray(row), kind="stable")]
        for query, row in zip(QUERIES, scores, strict=True)
    }


def test_single_vectors_rank_by_cosine(index, dense_folder):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(dense_folder), device="cpu")
    vectors = model.encode_document(list(TEXTS.values()), normalize_embeddings=True)
    asked = model.encode_query([query["query"] for query in QUERIES], normalize_embeddings=True)
    expected = ranked(asked @ vectors.T)

    report = evaluate(index, QUERIES, systems=[], single_vector=[dense_folder, model])

    names = [one.name for one in report.systems]
    assert names[0] == f"single vector, {dense_folder.name}"
    for name in names:
        assert {key: list(ids) for key, ids in system(report, name).rankings.items()} == expected
        assert system(report, name).settings["kind"] == "single-vector"
        assert system(report, name).bytes_per_document == pytest.approx(2 * vectors.shape[1] + 2 * 128 / 8 + 9)


def test_sparse_vectors_rank_by_dot_product(index, sparse_folder):
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(sparse_folder), device="cpu")
    vectors = model.encode_document(list(TEXTS.values())).to_dense().numpy()
    asked = model.encode_query([query["query"] for query in QUERIES]).to_dense().numpy()

    report = evaluate(index, QUERIES, systems=["lexical"], sparse=[sparse_folder])

    found = system(report, f"sparse, {sparse_folder.name}")
    assert {key: list(ids) for key, ids in found.rankings.items()} == ranked(asked @ vectors.T)
    assert found.bytes_per_document == 8 * np.count_nonzero(vectors) / len(TEXTS)
    assert found.settings["kind"] == "sparse"


def test_sparse_stages_use_the_vectors_that_are_there(index, sparse_folder, monkeypatch):
    from sentence_transformers import SparseEncoder

    model = SparseEncoder(str(sparse_folder), device="cpu")
    vectors = model.encode_document(list(TEXTS.values())).to_dense().numpy()
    asked = model.encode_query([query["query"] for query in QUERIES]).to_dense().numpy()
    encoded = []
    encode = model.encode_document
    monkeypatch.setattr(
        model, "encode_document", lambda texts, **options: encoded.extend(texts) or encode(texts, **options)
    )

    report = evaluate(index, QUERIES, systems=[], sparse=[model], stages=["sparse:4,late:2", "late:8,sparse:3"])

    assert len(encoded) == len(TEXTS)
    expected = ranked(asked @ vectors.T)
    last = system(report, "late:8, sparse:3").rankings
    assert {key: list(ids) for key, ids in last.items()} == {key: ids[:3] for key, ids in expected.items()}
    for query in QUERIES:
        late = [hit.id for hit in index.search(query["query"], 2, candidates=expected[query["id"]][:4])]
        assert list(system(report, "sparse:4, late:2").rankings[query["id"]]) == late


def test_pooled_vectors_as_a_stage_alone(index):
    stages = ["pooled:4,late:2"]
    alone = evaluate(index, QUERIES, systems=["late"], stages=stages)
    both = evaluate(index, QUERIES, systems=["late", "pooled"], stages=stages)
    assert [one.name for one in alone.systems] == ["late", "pooled:4, late:2"]
    assert system(alone, "pooled:4, late:2").rankings == system(both, "pooled:4, late:2").rankings
    pooled, late = (system(both, name).bytes_per_document for name in ("pooled", "late"))
    assert system(alone, "pooled:4, late:2").bytes_per_document == pytest.approx(pooled + late)


def test_truncated_documents_of_a_model_are_said(index, dense_folder):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(dense_folder), device="cpu")
    model.max_seq_length = 6
    with pytest.warns(TruncationWarning):
        evaluate(index, QUERIES, systems=[], single_vector=[model])


def test_a_cross_encoder_follows_each_system(index, cross_folder):
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(cross_folder), device="cpu")
    scores = [model.predict([(query["query"], text) for text in TEXTS.values()]) for query in QUERIES]

    report = evaluate(index, QUERIES, systems=["late", "pooled"], cross_encoder=cross_folder)

    names = ["late:20, cross-encoder:20", "pooled:20, cross-encoder:20"]
    assert [one.name for one in report.systems] == ["late", "pooled", *names]
    for name, first in zip(names, ["late", "pooled"], strict=True):
        assert {key: list(ids) for key, ids in system(report, name).rankings.items()} == ranked(scores)
        assert system(report, name).bytes_per_document == system(report, first).bytes_per_document
        assert [stage["stage"] for stage in system(report, name).stages][-1] == "cross-encoder"


def test_cascades_equal_cascades(index, cross_folder, dense_folder):
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(cross_folder), device="cpu")
    given = Cascade(index, [("lexical", 6), ("late", 3), (model, 2)])
    stages = ["lexical:6, late:3,cross-encoder:2", "single-vector:5,late:2", "hybrid:4,late:4", given]

    report = evaluate(
        index, QUERIES, systems=["lexical"], cross_encoder=model, single_vector=[dense_folder], stages=stages
    )

    names = [one.name for one in report.systems]
    assert names[2:] == [
        "lexical:6, late:3, cross-encoder:2",
        "single-vector:5, late:2",
        "hybrid:4, late:4",
        "lexical:6, late:3, cross-encoder:2 (2)",
    ]
    expected = {query["id"]: [hit.id for hit in given.search(query["query"])] for query in QUERIES}
    assert system(report, names[2]).rankings == expected
    assert system(report, names[5]).rankings == expected
    single = {key: ids[:5] for key, ids in system(report, names[1]).rankings.items()}
    for query in QUERIES:
        late = [hit.id for hit in index.search(query["query"], 8, candidates=single[query["id"]])]
        assert list(system(report, names[3]).rankings[query["id"]]) == late[:2]
    stages_of = [(stage["stage"], stage["candidates"]) for stage in system(report, names[3]).stages]
    assert stages_of == [("index", 8), ("late", 5)]
    sizes = {name: system(report, name).bytes_per_document for name in names}
    assert sizes[names[2]] == sizes[names[4]] == sizes[names[5]]  # words, and the vectors of late interaction
    vectors = index.info()["vector_bytes"] / len(TEXTS)
    assert sizes[names[3]] == pytest.approx(sizes[names[1]] + vectors)


def test_a_cascade_of_words_needs_no_encoder():
    report = evaluate(
        list(TEXTS.values()), [{"query": "salt", "relevant": "x"}], systems=["lexical"], stages=["lexical:3"]
    )
    assert [one.name for one in report.systems] == ["lexical", "lexical:3"]


def test_models_need_no_late_interaction(dense_folder):
    report = evaluate(
        list(TEXTS.values()), [{"query": "salt", "relevant": "x"}], systems=[], single_vector=[dense_folder]
    )
    assert len(report.systems) == 1


@pytest.mark.parametrize("argument", ["single_vector", "sparse"])
def test_models_that_cannot_be_loaded(index, argument, tmp_path):
    with pytest.raises(UnsupportedCheckpointError):
        evaluate(index, QUERIES, **{argument: [tmp_path]})


def test_a_cross_encoder_that_cannot_be_loaded(index, tmp_path):
    with pytest.raises(UnsupportedCheckpointError, match="CrossEncoder"):
        evaluate(index, QUERIES, cross_encoder=tmp_path)


def test_a_cross_encoder_alone_is_no_first_stage(index, cross_folder):
    with pytest.raises(InvalidRequestError):
        evaluate(index, QUERIES, cross_encoder=cross_folder, stages=["cross-encoder:5"])
