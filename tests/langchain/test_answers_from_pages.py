"""Pages reach the model: what chains over pages send to a chat model, which records it."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from PIL import Image

from late_interaction import Document, Index
from late_interaction.langchain import (
    LateInteractionReranker,
    LateInteractionRetriever,
    LateInteractionVectorStore,
    image_block,
)
from late_interaction.readers import read_paths

QUESTION = "blue"


class RecordingModel(GenericFakeChatModel):
    """A chat model that keeps what it is sent."""

    sent: list[Any]

    def _generate(self, messages, *args, **kwargs):
        self.sent.append(messages)
        return super()._generate(messages, *args, **kwargs)


@pytest.fixture
def model():
    return RecordingModel(messages=iter([AIMessage("a bar")] * 9), sent=[])


@pytest.fixture
def pages(tmp_path, colour_encoder, report):
    """An index of pages, and of one text."""
    with Index.open(tmp_path / "pages", encoder=colour_encoder) as index:
        index.add(read_paths([report], modalities=["image"]))
        index.add([Document("blue is a colour", id="text")])
        yield index


def message(given):
    """The question, with each document as the model can read it."""
    shown = [
        image_block(document) if "_page_image" in document.metadata else {"type": "text", "text": document.page_content}
        for document in given["documents"]
    ]
    return [HumanMessage([{"type": "text", "text": given["question"]}, *shown])]


def pictures(blocks):
    return [Image.open(io.BytesIO(base64.b64decode(block["base64"]))) for block in blocks if block["type"] == "image"]


def has_the_blue_bar(picture):
    red, _, blue = picture.getpixel((int(picture.width * 440 / 595), int(picture.height * 170 / 842)))
    return blue > 200 and red < 60


@pytest.mark.parametrize("kind", ["retriever", "store", "reranked"])
async def test_the_page_that_answers_is_sent(pages, model, kind):
    store = LateInteractionVectorStore(index=pages)
    best = LateInteractionReranker(index=pages, top_n=2)
    found = {
        "retriever": LateInteractionRetriever(index=pages, k=2),
        "store": store.as_retriever(search_kwargs={"k": 2}),
        "reranked": store.as_retriever(search_kwargs={"k": 4})
        | RunnableLambda(lambda documents: best.compress_documents(documents, QUESTION)),
    }[kind]
    chain = {"documents": found, "question": RunnablePassthrough()} | RunnableLambda(message) | model
    assert chain.invoke(QUESTION).content == "a bar"
    assert (await chain.ainvoke(QUESTION)).content == "a bar"
    assert [done.content for done in chain.batch([QUESTION])] == ["a bar"]
    assert "".join(chunk.content for chunk in chain.stream(QUESTION)) == "a bar"
    assert len(model.sent) == 4
    for (sent,) in model.sent:
        question, *context = sent.content_blocks
        assert question["text"] == QUESTION
        assert {block["type"] for block in context} == {"image", "text"}
        assert [block["text"] for block in context if block["type"] == "text"] == ["blue is a colour"]
        (picture,) = pictures(context)
        assert picture.format == "JPEG"
        assert has_the_blue_bar(picture)


def test_a_tool_of_an_agent_answers_with_pages(pages, model):
    """An agent's search: the images go to the model in the message of the tool."""
    retriever = LateInteractionRetriever(index=pages, k=1, filter={"page": {"$exists": True}})

    @tool
    def search(query: str) -> list[dict[str, str]]:
        """Search pages."""
        return [image_block(page) for page in retriever.invoke(query)]

    call = {"name": "search", "args": {"query": QUESTION}, "id": "1", "type": "tool_call"}
    answer = search.invoke(call)
    assert isinstance(answer, ToolMessage)
    assert model.invoke([HumanMessage(QUESTION), AIMessage("", tool_calls=[call]), answer]).content == "a bar"
    (picture,) = pictures(model.sent[0][-1].content_blocks)
    assert has_the_blue_bar(picture)


def test_a_page_whose_file_is_gone(pages, model, report):
    """It is an error, and not an answer from an empty context."""
    retriever = LateInteractionRetriever(index=pages, k=1, filter={"page": {"$exists": True}})
    chain = {"documents": retriever, "question": RunnablePassthrough()} | RunnableLambda(message) | model
    report.unlink()
    with pytest.raises(Exception, match="does not exist"):
        chain.invoke(QUESTION)
    assert model.sent == []
