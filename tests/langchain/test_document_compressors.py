"""The reranker: copies with relevances, from stored vectors where there are any."""

from __future__ import annotations

import copy
import datetime

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from late_interaction import Document as StoredDocument
from late_interaction import Index
from late_interaction.errors import LateInteractionError
from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever
from tests.fakes import WordEncoder


def ids(documents):
    return [document.id for document in documents]


@pytest.fixture
def both(filled):
    """The two ways to make one: with an index, and with an encoder alone."""
    return [
        LateInteractionReranker(index=filled.index, top_n=2),
        LateInteractionReranker(encoder=WordEncoder(), top_n=2),
    ]


def test_copies_with_relevances(both, filled, facts):
    kept = copy.deepcopy(facts)
    expected = filled.index.search("capital of germany", 2)
    for reranker in both:
        found = reranker.compress_documents(facts, "capital of germany")
        assert facts == kept
        assert [document.page_content for document in found] == [hit.text for hit in expected]
        for document, hit in zip(found, expected, strict=True):
            relevance = document.metadata["relevance_score"]
            assert relevance == pytest.approx(hit.relevance, abs=1e-3)
            original = next(given for given in facts if given.id == document.id)
            assert document == Document(
                original.page_content, id=original.id, metadata={**original.metadata, "relevance_score": relevance}
            )
            document.metadata["changed"] = True
        assert facts == kept


def test_stored_documents_are_not_encoded(filled, facts, word_encoder):
    encoded, queries = word_encoder.documents_encoded, word_encoder.queries_encoded
    LateInteractionReranker(index=filled.index).compress_documents(facts, "river")
    assert (word_encoder.documents_encoded, word_encoder.queries_encoded) == (encoded, queries + 1)


def test_documents_the_index_does_not_hold_are_encoded(filled, facts, word_encoder):
    encoded = word_encoder.documents_encoded
    changed = Document("the elbe meets the sea", id="nile")
    stranger = Document("the elbe", metadata={"from": "elsewhere"})
    reranker = LateInteractionReranker(index=filled.index, top_n=2)
    found = reranker.compress_documents([*facts[1:], changed, stranger], "elbe sea")
    assert word_encoder.documents_encoded == encoded + 2
    assert [document.page_content for document in found] == ["the elbe meets the sea", "the elbe"]
    assert found[0].metadata["relevance_score"] == pytest.approx(1, abs=1e-3)
    assert found[1].id is None


def test_documents_stored_under_a_heading_are_not_encoded(index, word_encoder):
    """As the readers and LlamaIndex store them: the text that is encoded is not the text that comes back."""
    index.add([StoredDocument("they flow north", id="a", encoded_text="Rivers\nthey flow north"), StoredDocument("b")])
    found = LateInteractionRetriever(index=index, k=2).invoke("rivers")
    encoded = word_encoder.documents_encoded
    ranked = LateInteractionReranker(index=index).compress_documents(found, "rivers")
    assert word_encoder.documents_encoded == encoded
    assert ranked[0].metadata["relevance_score"] == pytest.approx(1, abs=1e-3)  # as the retriever found it


def test_metadata_that_is_not_json(both):
    when = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
    given = [Document("nile", metadata={"when": when, 5: {1, 2}, "self": object}), Document("elbe")]
    for reranker in both:
        best = reranker.compress_documents(given, "nile")[0]
        assert best.metadata["when"] is when
        assert best.metadata["self"] is object
        assert given[0].metadata == {"when": when, 5: {1, 2}, "self": object}


def test_equal_documents_stay_apart(both):
    given = [Document("nile", id="x", metadata={"n": number}) for number in range(2)] + [Document("nile")]
    for reranker in both:
        reranker.top_n = 3
        found = reranker.compress_documents(given, "nile")
        assert [document.metadata.get("n") for document in found] == [0, 1, None]


def test_nothing_to_rank(both, facts):
    for reranker in both:
        assert reranker.compress_documents([], "nile") == []
        assert reranker.compress_documents(facts, " ") == []


async def test_async(both, facts):
    for reranker in both:
        assert await reranker.acompress_documents(facts, "germany") == reranker.compress_documents(facts, "germany")


def test_in_a_chain(filled):
    reranker = LateInteractionReranker(index=filled.index, top_n=1)
    retriever = filled.as_retriever(search_kwargs={"k": 4, "mode": "hybrid"})
    rerank = RunnableLambda(lambda both: reranker.compress_documents(both["documents"], both["query"]))
    chain = {"documents": retriever, "query": RunnableLambda(str)} | rerank
    assert [ids(found) for found in chain.batch(["capital of france", "river in africa"])] == [["paris"], ["nile"]]


def test_in_a_contextual_compression_retriever(filled):
    classic = pytest.importorskip("langchain_classic.retrievers")
    retriever = classic.ContextualCompressionRetriever(
        base_retriever=filled.as_retriever(search_kwargs={"k": 4}),
        base_compressor=LateInteractionReranker(index=filled.index, top_n=2),
    )
    assert ids(retriever.invoke("capital of france"))[0] == "paris"
    assert len(retriever.invoke("river")) == 2


def test_paths(tmp_path, minilm):
    with Index.open(tmp_path / "real", encoder=minilm) as index:
        index.add([StoredDocument("The Nile is a river.", id="nile")])
    given = [Document("Bread is baked."), Document("The Nile is a river.", id="nile")]
    for path in (tmp_path / "real", str(tmp_path / "real")):
        reranker = LateInteractionReranker(index=path, top_n=1)
        assert reranker.index.engine.read_only
    assert ids(reranker.compress_documents(given, "African streams")) == ["nile"]
    assert ids(LateInteractionReranker(encoder="minilm", top_n=1).compress_documents(given, "a stream")) == ["nile"]


@pytest.mark.parametrize("bad", [{}, {"encoder": 5}, {"encoder": WordEncoder}, {"index": 5}, {"both": True}])
def test_index_or_encoder(filled, bad):
    if "both" in bad:
        bad = {"index": filled.index, "encoder": WordEncoder()}
    with pytest.raises(ValueError, match=r"(?i)index|encoder"):
        LateInteractionReranker(**bad)


def test_top_n_that_is_no_number_of_documents(filled, facts):
    for top_n in (0, -1):
        with pytest.raises((ValueError, LateInteractionError)):
            LateInteractionReranker(index=filled.index, top_n=top_n).compress_documents(facts, "nile")
        with pytest.raises((ValueError, LateInteractionError)):
            LateInteractionReranker(encoder=WordEncoder(), top_n=top_n).compress_documents(facts, "nile")
