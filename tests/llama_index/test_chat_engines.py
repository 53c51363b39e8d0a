"""Chat engines over the index, in every mode that retrieves."""

from __future__ import annotations

import pytest
from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.llms import MockLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.memory import ChatMemoryBuffer

from late_interaction.llama_index import LateInteractionRerank

MODES = ["context", "condense_question", "condense_plus_context", "best"]
CONDENSING = MODES[1:]
FIRST, FOLLOW_UP, MEANT = "capital of france", "and of the neighbour?", "capital of germany"


class Condensing(MockLLM):
    """Repeats its prompt, but to a request for a standalone question it says what was meant."""

    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        if "standalone question" in prompt.lower():
            assert FIRST in prompt  # the history
            assert FOLLOW_UP in prompt
            return CompletionResponse(text=MEANT)
        return CompletionResponse(text=prompt)


@pytest.fixture
def engine(filled):
    def engine(mode, **settings):
        rerank = LateInteractionRerank(index=filled.index, top_n=1)
        return filled.as_chat_engine(
            chat_mode=mode,
            llm=Condensing(),
            memory=ChatMemoryBuffer.from_defaults(token_limit=10_000),  # the default one keeps a database thread
            similarity_top_k=4,
            node_postprocessors=[rerank],
            **settings,
        )

    return engine


def found(response):
    return [node.node.node_id for node in response.source_nodes]


def texts_in(answer, facts):
    return {fact.node_id for fact in facts if fact.text in answer}


@pytest.mark.parametrize("mode", MODES)
class TestEveryMode:
    def test_chat(self, engine, facts, mode):
        response = engine(mode).chat(FIRST)
        assert found(response) == ["paris"]
        assert texts_in(response.response, facts) == {"paris"}

    async def test_async(self, engine, facts, mode):
        response = await engine(mode).achat(FIRST)
        assert found(response) == ["paris"]
        assert texts_in(response.response, facts) == {"paris"}

    def test_streamed(self, engine, facts, mode):
        response = engine(mode).stream_chat(FIRST)
        assert texts_in("".join(response.response_gen), facts) == {"paris"}
        assert found(response) == ["paris"]

    async def test_streamed_async(self, engine, facts, mode):
        response = await engine(mode).astream_chat(FIRST)
        answer = "".join([token async for token in response.async_response_gen()])
        assert texts_in(answer, facts) == {"paris"}
        # Here LlamaIndex's response finds no source nodes in what its own query engine returned.
        assert found(response.sources[0].raw_output if mode == "condense_question" else response) == ["paris"]

    async def test_only_what_passes_the_filter(self, engine, mode):
        assert found(engine(mode, where={"kind": "river"}).chat(FIRST))[0] in {"nile", "amazon"}
        assert found(await engine(mode, where={"kind": "sea"}).achat(FIRST)) == []


@pytest.mark.parametrize("mode", CONDENSING)
class TestFollowUp:
    def test_the_question_that_was_meant_is_retrieved(self, engine, mode):
        chat = engine(mode)
        chat.chat(FIRST)
        assert found(chat.chat(FOLLOW_UP)) == ["berlin"]

    async def test_async(self, engine, mode):
        chat = engine(mode)
        await chat.achat(FIRST)
        assert found(await chat.achat(FOLLOW_UP)) == ["berlin"]

    def test_after_a_reset_there_is_no_history(self, engine, mode):
        chat = engine(mode)
        chat.chat(FIRST)
        chat.reset()
        assert found(chat.chat(MEANT)) == ["berlin"]
        assert len(chat.chat_history) == 2


def test_the_history_is_no_part_of_a_query_in_context_mode(engine, filled):
    chat = engine("context")
    chat.chat(FIRST)
    best = filled.index.search("a river in america", 1)[0]
    assert found(chat.chat("a river in america")) == [best.id]
    assert [message.content for message in chat.chat_history if message.role == "user"] == [
        FIRST,
        "a river in america",
    ]
