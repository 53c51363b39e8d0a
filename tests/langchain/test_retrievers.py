"""The retriever, beyond LangChain's own suite (see test_standard.py)."""

from __future__ import annotations

import time

import pytest
from langchain_core.documents import Document
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import ValidationError

from late_interaction import Index
from late_interaction.errors import LateInteractionError, ReadOnlyIndexError
from late_interaction.langchain import LateInteractionRetriever
from tests.fakes import WordEncoder


@pytest.fixture
def retriever(filled):
    return LateInteractionRetriever(index=filled.index)


def ids(documents):
    return [document.id for document in documents]


def test_finds_what_the_index_finds(retriever, facts):
    hits = retriever.index.search("river in america", 4)
    assert ids(retriever.invoke("river in america")) == [hit.id for hit in hits]
    assert retriever.invoke("river in america")[0] == facts[1]  # its metadata is what was stored, nothing more


def test_where_and_mode(filled):
    retriever = LateInteractionRetriever(index=filled.index, where={"kind": "city"}, mode="lexical", k=5)
    assert ids(retriever.invoke("capital germany")) == ["berlin", "paris"]
    hybrid = LateInteractionRetriever(index=filled.index, mode="hybrid")
    assert ids(hybrid.invoke("capital germany")) == [
        hit.id for hit in filled.index.search("capital germany", 4, mode="hybrid")
    ]


def test_k_and_where_of_one_call(retriever):
    assert ids(retriever.invoke("the nile is a river", k=1)) == ["nile"]
    assert set(ids(retriever.invoke("river", where={"kind": "city"}))) == {"paris", "berlin"}
    assert ids(retriever.invoke("capital of germany", k=1, where={"kind": "city"})) == ["berlin"]
    assert len(retriever.invoke("river")) == 4


def test_k_of_one_call_that_is_no_number_of_hits(retriever):
    for k in (0, -1):
        with pytest.raises(LateInteractionError, match="k must be"):
            retriever.invoke("river", k=k)


def test_empty_filter_of_one_call_lifts_that_of_the_retriever(filled):
    retriever = LateInteractionRetriever(index=filled.index, where={"kind": "city"})
    assert len(retriever.invoke("river")) == 2
    assert len(retriever.invoke("river", where={})) == 4


async def test_async_and_batches(retriever):
    queries = ["the nile is a river", "capital of france", "capital of germany"]
    expected = [["nile"], ["paris"], ["berlin"]]
    assert [ids(found) for found in retriever.batch(queries, k=1)] == expected
    assert [ids(found) for found in await retriever.abatch(queries, k=1)] == expected
    assert ids(await retriever.ainvoke(queries[0], k=1)) == ["nile"]
    assert len(await retriever.ainvoke("river", where={"kind": "river"})) == 2


async def test_async_calls_do_not_wait_for_each_other(index):
    class Slow(WordEncoder):
        def encode_queries(self, texts):
            time.sleep(0.2)
            return super().encode_queries(texts)

    index.add(["the nile"])
    retriever = LateInteractionRetriever(index=Index(engine=index.engine, encoder=Slow()))
    retriever.invoke("the first search loads torch")
    start = time.perf_counter()
    await retriever.abatch(["one", "two", "three"])
    assert time.perf_counter() - start < 0.5


def test_in_a_chain(retriever):
    prompt = ChatPromptTemplate.from_template("Context: {context}\nQuestion: {question}")
    model = RunnableLambda(lambda value: value.to_messages()[0])
    context = retriever | RunnableLambda(lambda documents: documents[0].page_content)
    chain = {"context": context, "question": RunnablePassthrough()} | prompt | model | StrOutputParser()
    expected = "Context: berlin is the capital of germany\nQuestion: capital of germany"
    assert chain.invoke("capital of germany") == expected
    assert len(chain.batch(["nile", "paris"])) == 2


def test_path_is_opened_for_reading(filled, tmp_path, facts):
    Index.open(tmp_path / "other", encoder=WordEncoder()).close()
    for path in (tmp_path / "other", str(tmp_path / "other")):
        retriever = LateInteractionRetriever(index=path, mode="lexical")
        assert retriever.invoke("river") == []
        with pytest.raises(ReadOnlyIndexError):
            retriever.index.delete(["x"])
        retriever.index.close()
    # While the index is open for writing elsewhere, and following its commits.
    retriever = LateInteractionRetriever(index=tmp_path / "index", mode="lexical")
    assert retriever.invoke("germany") == [facts[3]]
    filled.add_documents([Document("more of germany", id="more")])
    assert len(retriever.invoke("germany")) == 2
    retriever.index.close()


@pytest.mark.parametrize("bad", [{"mode": "dense"}, {"index": 5}, {"k": "many"}, {"where": ["kind"]}])
def test_bad_settings(filled, bad):
    with pytest.raises(ValidationError):
        LateInteractionRetriever(**{"index": filled.index, **bad})


def test_errors_of_the_index_reach_the_caller(filled):
    with pytest.raises(LateInteractionError, match=r"\$like"):
        LateInteractionRetriever(index=filled.index, where={"kind": {"$like": "c"}}).invoke("x")
    with pytest.raises(LateInteractionError, match="no index"):
        LateInteractionRetriever(index="/nowhere/at/all")


def test_traces_name_the_engine(retriever, request):
    params = retriever._get_ls_params()
    names = {"local": "LocalEngine", "qdrant": "QdrantEngine", "lancedb": "LanceDBEngine"}
    assert params["ls_vector_store_provider"] == names[request.config.getoption("--engine")]
    assert params["ls_retriever_name"]
