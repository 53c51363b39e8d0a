"""Retriever and reranker as parts of larger chains, with LangChain's fake chat models."""

from __future__ import annotations

import asyncio
import threading

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel, ParrotFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnablePassthrough
from langchain_core.tools import create_retriever_tool

from late_interaction.langchain import LateInteractionReranker, LateInteractionRetriever
from tests.fakes import WordEncoder

QUERIES = ["capital of germany", "the nile is a river", "river in america"]
COMMON_WORDS_AND_A_RARE_ONE = "the is a in germany"  # which lexical search weighs by how rare they are


def ids(documents):
    return [document.id for document in documents]


def joined(documents):
    return " / ".join(document.page_content for document in documents)


async def gathered(chunks):
    return [chunk async for chunk in chunks]


@pytest.fixture
def retriever(filled):
    return LateInteractionRetriever(index=filled.index, k=3)


@pytest.fixture
def best(filled):
    """The reranker that keeps one."""
    return LateInteractionReranker(index=filled.index, top_n=1)


@pytest.fixture
def top_texts(filled):
    """Of each query, the text the index ranks first."""
    return [filled.index.search(query, 1)[0].text for query in QUERIES]


class TestReranked:
    @pytest.fixture
    def chain(self, retriever, best):
        """Retriever and reranker, which runs in the loop's way when the chain does."""
        rerank = RunnableLambda(
            lambda given: best.compress_documents(given["documents"], given["query"]),
            afunc=lambda given: best.acompress_documents(given["documents"], given["query"]),
        )
        query = RunnableLambda(lambda given: given["query"])
        return {"query": query, "documents": query | retriever} | rerank

    async def test_every_way_to_call_a_chain(self, chain, top_texts):
        inputs = [{"query": query} for query in QUERIES]
        expected = [[text] for text in top_texts]
        streamed = [await gathered(chain.astream(given)) for given in inputs]
        for found in (
            [chain.invoke(given) for given in inputs],
            chain.batch(inputs),
            [await chain.ainvoke(given) for given in inputs],
            await chain.abatch(inputs),
            [chunks[0] for chunks in streamed],
        ):
            assert [[document.page_content for document in documents] for documents in found] == expected
        assert [len(chunks) for chunks in streamed] == [1, 1, 1]

    def test_after_another_step(self, retriever, best, facts):
        """The retriever's documents may be changed on the way: those are encoded, and ranked as they are."""
        shout = RunnableLambda(lambda found: [Document(one.page_content + " zebra", id=one.id) for one in found])
        chain = retriever | shout | RunnableLambda(lambda found: best.compress_documents(found, "zebra amazon"))
        found = chain.invoke("river in america")
        assert [document.page_content for document in found] == [facts[1].page_content + " zebra"]
        assert found[0].metadata["relevance_score"] == pytest.approx(1, abs=1e-3)

    async def test_reranking_does_not_block_the_loop(self):
        class Waiting(WordEncoder):
            let_go = threading.Event()
            was_let_go = False

            def encode_queries(self, texts):
                self.was_let_go = self.let_go.wait(10)
                return super().encode_queries(texts)

        encoder = Waiting()
        ranking = asyncio.create_task(
            LateInteractionReranker(encoder=encoder).acompress_documents([Document("nile")], "nile")
        )
        await asyncio.sleep(0.01)
        encoder.let_go.set()
        assert len(await ranking) == 1
        assert encoder.was_let_go


class TestClassic:
    """What is made of retrievers and compressors in langchain_classic."""

    @pytest.fixture(autouse=True)
    def classic(self):
        pytest.importorskip("langchain_classic")

    async def test_contextual_compression(self, filled, retriever, best, top_texts, word_encoder):
        from langchain_classic.retrievers import ContextualCompressionRetriever

        both = ContextualCompressionRetriever(base_retriever=retriever, base_compressor=best)
        encoded = word_encoder.documents_encoded
        for found in (
            [both.invoke(query) for query in QUERIES],
            both.batch(QUERIES),
            [await both.ainvoke(query) for query in QUERIES],
            await both.abatch(QUERIES),
        ):
            assert [joined(documents) for documents in found] == top_texts
            scores = [documents[0].metadata["relevance_score"] for documents in found]
            assert scores == [filled.index.search(query, 1)[0].relevance for query in QUERIES]
        assert word_encoder.documents_encoded == encoded

    async def test_pipeline_that_splits_first(self, store, word_encoder):
        """Pieces are not what the index holds, so they are encoded, and the best of them is kept."""
        from langchain_classic.retrievers import ContextualCompressionRetriever
        from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
        from langchain_text_splitters import CharacterTextSplitter

        text = "the nile flows north. the elbe flows west. paris is old."
        store.add_documents([Document(text, id="long", metadata={"page": 3})])
        split = CharacterTextSplitter(separator=". ", chunk_size=25, chunk_overlap=0)
        pieces = DocumentCompressorPipeline(transformers=[split, LateInteractionReranker(index=store.index, top_n=1)])
        both = ContextualCompressionRetriever(base_retriever=store.as_retriever(), base_compressor=pieces)
        for found in (both.invoke("the elbe flows"), await both.ainvoke("the elbe flows")):
            assert [document.page_content for document in found] == ["the elbe flows west"]
            assert found[0].metadata == {"page": 3, "relevance_score": pytest.approx(1, abs=1e-3)}
        assert word_encoder.documents_encoded == 1 + 3 + 3

    async def test_ensemble_with_a_lexical_retriever(self, filled):
        from langchain_classic.retrievers import EnsembleRetriever

        late = LateInteractionRetriever(index=filled.index, k=4)
        lexical = LateInteractionRetriever(index=filled.index, k=4, mode="lexical")
        weights = [0.7, 0.3]
        ensemble = EnsembleRetriever(retrievers=[late, lexical], weights=weights, c=60, id_key=None)
        query = COMMON_WORDS_AND_A_RARE_ONE
        expected = {}
        for weight, mode in zip(weights, ("late", "lexical"), strict=True):
            for rank, hit in enumerate(filled.index.search(query, 4, mode=mode), 1):
                expected[hit.id] = expected.get(hit.id, 0) + weight / (rank + 60)
        expected = sorted(expected, key=expected.get, reverse=True)
        assert ids(ensemble.invoke(query)) == expected
        assert ids(await ensemble.ainvoke(query)) == expected

    async def test_retrieval_chain_with_a_history(self, retriever):
        from langchain_classic.chains import create_history_aware_retriever, create_retrieval_chain
        from langchain_classic.chains.combine_documents import create_stuff_documents_chain

        rephrase = ChatPromptTemplate.from_messages([("placeholder", "{chat_history}"), ("human", "{input}")])
        aware = create_history_aware_retriever(
            FakeListChatModel(responses=["capital of germany"]), retriever.bind(k=1), rephrase
        )
        answer = create_stuff_documents_chain(
            ParrotFakeChatModel(), ChatPromptTemplate.from_template("{input} <- {context}")
        )
        chain = create_retrieval_chain(aware, answer)
        follow_up = {
            "input": "and of the other one?",
            "chat_history": [HumanMessage("capital of france?"), AIMessage("paris")],
        }
        for done in (chain.invoke(follow_up), await chain.ainvoke(follow_up)):
            assert ids(done["context"]) == ["berlin"]
            assert done["answer"] == "and of the other one? <- berlin is the capital of germany"
        first = {"input": "the nile is a river"}  # without a history, the question itself is asked
        for done in (chain.invoke(first), await chain.ainvoke(first)):
            assert ids(done["context"]) == ["nile"]


class TestAnswering:
    @pytest.fixture
    def chain(self, retriever, best):
        """From a question to an answer, which repeats what the model was told."""
        rerank = RunnableLambda(lambda given: best.compress_documents(given["documents"], given["question"]))
        context = {"documents": retriever, "question": RunnablePassthrough()} | rerank | joined
        prompt = ChatPromptTemplate.from_template("{question} <- {context}")
        return (
            {"context": context, "question": RunnablePassthrough()} | prompt | ParrotFakeChatModel() | StrOutputParser()
        )

    async def test_question_answering(self, chain, top_texts):
        expected = [f"{query} <- {text}" for query, text in zip(QUERIES, top_texts, strict=True)]
        assert [chain.invoke(query) for query in QUERIES] == expected
        assert chain.batch(QUERIES) == expected
        assert [await chain.ainvoke(query) for query in QUERIES] == expected
        assert await chain.abatch(QUERIES) == expected
        assert ["".join(chain.stream(query)) for query in QUERIES] == expected

    async def test_events_of_a_chain_show_what_was_retrieved(self, chain, facts):
        shown = [
            event["data"]["output"]
            async for event in chain.astream_events("capital of germany", version="v2")
            if event["event"] == "on_retriever_end"
        ]
        assert [found[0] for found in shown] == [facts[3]]

    async def test_as_a_tool(self, retriever, facts):
        tool = create_retriever_tool(
            retriever.bind(k=1), "facts", "Finds facts.", response_format="content_and_artifact"
        )
        call = {"name": "facts", "args": {"query": "capital of germany"}, "id": "1", "type": "tool_call"}
        for message in (tool.invoke(call), await tool.ainvoke(call)):
            assert message.content == "berlin is the capital of germany"
            assert message.artifact == [facts[3]]


class TestSettingsOfOneCall:
    async def test_bound(self, retriever):
        bound = retriever.bind(k=1, where={"kind": "city"})
        assert ids(bound.invoke("the nile in germany")) == ["berlin"]
        assert [ids(found) for found in bound.batch(["germany", "france"])] == [["berlin"], ["paris"]]
        assert [ids(found) for found in await bound.abatch(["germany", "france"])] == [["berlin"], ["paris"]]

    async def test_configurable(self, retriever):
        chain = retriever.configurable_fields(k=ConfigurableField("k"), mode=ConfigurableField("mode")) | ids
        config = {"configurable": {"k": 1, "mode": "lexical"}}
        query = COMMON_WORDS_AND_A_RARE_ONE
        assert "berlin" not in chain.invoke(query, {"configurable": {"k": 1}})
        assert chain.invoke(query, config) == await chain.ainvoke(query, config) == ["berlin"]
        assert chain.batch([query, "france"], config) == [["berlin"], ["paris"]]
        assert await chain.abatch([query, "france"], config) == [["berlin"], ["paris"]]
        assert len(chain.invoke(query)) == retriever.k == 3

    def test_fallback(self, retriever):
        broken = RunnableLambda(lambda query: 1 / 0)
        assert ids(broken.with_fallbacks([retriever]).invoke("capital of germany"))[0] == "berlin"
        assert ids(retriever.with_retry(stop_after_attempt=2).invoke("capital of germany"))[0] == "berlin"
