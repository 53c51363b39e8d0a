"""Pages of a scan reach the model, by every engine; a model that reads text alone is told that there are pages."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    LLMMetadata,
    TextBlock,
)
from llama_index.core.llms import CustomLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import MetadataMode, QueryBundle, TextNode
from PIL import Image

from late_interaction import Document, Index
from late_interaction.errors import InvalidRequestError
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank, LateInteractionRetriever
from late_interaction.readers import read_paths
from tests.pdfs import Page, box, write_pdf

SHOWS = "multimodal" in inspect.signature(RetrieverQueryEngine.from_args).parameters
pytestmark = pytest.mark.skipif(not SHOWS, reason="LlamaIndex shows images by all of its engines since 0.14.23")
COLOURS = {"red": (1, 0, 0), "blue": (0, 0, 1), "green": (0, 0.63, 0)}


class Recording(CustomLLM):
    """A model that keeps what it was sent."""

    is_chat: bool = True
    sent: list[Any]

    @property
    def metadata(self):
        return LLMMetadata(is_chat_model=self.is_chat, context_window=100_000)

    def chat(self, messages, **kwargs):
        self.sent.append(list(messages))
        return ChatResponse(message=ChatMessage(content="an answer", role="assistant"))

    async def achat(self, messages, **kwargs):
        return self.chat(messages)

    def stream_chat(self, messages, **kwargs):
        answer = self.chat(messages)
        return iter([ChatResponse(message=answer.message, delta="an answer")])

    async def astream_chat(self, messages, **kwargs):
        async def answers():
            yield ChatResponse(message=self.chat(messages).message, delta="an answer")

        return answers()

    def complete(self, prompt, formatted=False, **kwargs):
        self.sent.append([ChatMessage(content=prompt)])
        return CompletionResponse(text="an answer")

    def stream_complete(self, prompt, formatted=False, **kwargs):
        return iter([self.complete(prompt)])

    def images(self):
        """The colour in the middle of each image of the last call."""
        blocks = [block for message in self.sent[-1] for block in message.blocks]
        opened = [Image.open(block.resolve_image()) for block in blocks if isinstance(block, ImageBlock)]
        return [nearest(image.convert("RGB").getpixel((image.width // 2, image.height // 2))) for image in opened]

    def texts(self):
        """The text of the last call."""
        blocks = [block for message in self.sent[-1] for block in message.blocks]
        return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))


def nearest(pixel):
    def distance(name):
        return sum(abs(255 * want - got) for want, got in zip(COLOURS[name], pixel, strict=True))

    return min(COLOURS, key=distance)


@pytest.fixture
def scan(tmp_path, colour_encoder):
    """LlamaIndex's index of a PDF of three pages, without any text on them."""
    pages = [Page(box(200, 300, 200, 240, colour)) for colour in COLOURS.values()]
    path = write_pdf(tmp_path / "scan.pdf", pages)
    with Index.open(tmp_path / "pages", encoder=colour_encoder) as index:
        index.add(read_paths([path], modalities=["image"]))
        yield LateInteractionIndex(index=index)


@pytest.fixture
def model():
    return Recording(sent=[])


def memory():
    return ChatMemoryBuffer.from_defaults(token_limit=50_000)


class TestQueryEngine:
    async def test_the_pages_that_were_found(self, scan, model):
        engine = scan.as_query_engine(llm=model, similarity_top_k=1)
        assert str(engine.query("blue")) == "an answer"
        assert model.images() == ["blue"]
        assert "blue" in model.texts()  # the question
        assert "page: 2" in model.texts()  # so that it can name its source
        await engine.aquery("green")
        assert model.images() == ["green"]

    @pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "simple_summarize", "accumulate"])
    def test_response_modes(self, scan, model, mode):
        scan.as_query_engine(llm=model, similarity_top_k=2, response_mode=mode).query("red")
        assert "red" in [colour for sent in model.sent for colour in Recording(sent=[sent]).images()]

    def test_streamed(self, scan, model):
        answer = scan.as_query_engine(llm=model, similarity_top_k=1, streaming=True).query("red")
        assert "".join(answer.response_gen) == "an answer"
        assert model.images() == ["red"]

    def test_reranked(self, scan, model):
        rerank = LateInteractionRerank(index=scan.index, top_n=1)
        scan.as_query_engine(llm=model, similarity_top_k=3, node_postprocessors=[rerank]).query("green")
        assert model.images() == ["green"]

    def test_pages_and_texts_together(self, scan, model):
        scan.insert_nodes([TextNode(text="blue is the colour of the sky")])
        scan.as_query_engine(llm=model, similarity_top_k=2).query("blue sky")
        assert "the colour of the sky" in model.texts()
        assert model.images() == ["blue"]

    def test_the_query_engine_of_llama_index_over_a_retriever(self, scan, model):
        retriever = LateInteractionRetriever(index=scan.index, similarity_top_k=1)
        RetrieverQueryEngine.from_args(retriever, llm=model, multimodal=True).query("red")
        assert model.images() == ["red"]

    def test_templates_for_text_alone(self, scan, model):
        from llama_index.core import PromptTemplate

        template = PromptTemplate("{context_str} {query_str}")
        with pytest.raises(InvalidRequestError, match="chat_content_qa_template"):
            scan.as_query_engine(llm=model, text_qa_template=template)
        scan.as_query_engine(llm=model, text_qa_template=template, multimodal=False).query("red")
        assert model.images() == []


@pytest.mark.parametrize("mode", ["context", "condense_plus_context", "best", "condense_question"])
class TestChatEngine:
    async def test_the_pages_that_were_found(self, scan, model, mode):
        chat = scan.as_chat_engine(chat_mode=mode, llm=model, similarity_top_k=1, memory=memory())
        assert chat.chat("blue").response == "an answer"
        assert model.images() == ["blue"]
        chat.reset()
        await chat.achat("green")
        assert model.images() == ["green"]
        chat.reset()
        assert "".join(chat.stream_chat("red").response_gen) == "an answer"
        assert model.images() == ["red"]

    def test_a_model_that_reads_text_alone(self, scan, mode):
        model = Recording(sent=[], is_chat=False)
        scan.as_chat_engine(chat_mode=mode, llm=model, similarity_top_k=1, memory=memory()).chat("blue")
        assert model.images() == []
        assert "A page without text, whose image cannot be shown" in model.texts()

    def test_what_would_have_no_effect(self, scan, model, mode):
        refused = {"context": "context_refine_template", "condense_question": "text_qa_template"}
        name = refused.get(mode, "context_refine_prompt")
        with pytest.raises(InvalidRequestError, match=f"{name}.*multimodal=False"):
            scan.as_chat_engine(chat_mode=mode, llm=model, **{name: "x"})


class TestWithoutImages:
    @pytest.mark.parametrize("settings", [{}, {"multimodal": False}])
    def test_the_context_is_not_empty(self, scan, settings):
        model = Recording(sent=[], is_chat="multimodal" in settings)
        scan.as_query_engine(llm=model, similarity_top_k=1, **settings).query("blue")
        assert model.images() == []
        assert "page: 2" in model.texts()
        assert "A page without text, whose image cannot be shown" in model.texts()

    def test_the_text_on_a_page_if_there_is_any(self, tmp_path, colour_encoder, report):
        with Index.open(tmp_path / "pages", encoder=colour_encoder) as index:
            index.add(read_paths([report], modalities=["image"]))
            model = Recording(sent=[], is_chat=False)
            LateInteractionIndex(index=index).as_query_engine(llm=model, similarity_top_k=1).query("blue")
        assert "Rain in spring" in model.texts()
        assert "cannot be shown" not in model.texts()

    def test_an_encoder_that_reads_text_shows_text(self, filled, model):
        filled.as_query_engine(llm=model, similarity_top_k=1).query("capital of germany")
        assert "berlin is the capital" in model.texts()

    def test_the_text_that_is_encoded_stays_empty(self, scan):
        [found] = scan.as_retriever(similarity_top_k=1).retrieve("blue")
        assert found.node.get_content() == found.node.get_content(MetadataMode.EMBED) == ""

    def test_a_page_that_is_gone_when_it_is_shown(self, scan, tmp_path):
        [found] = scan.as_retriever(similarity_top_k=1).retrieve("blue")
        (tmp_path / "scan.pdf").unlink()
        with pytest.warns(UserWarning, match=f"{found.node.node_id!r} without its image.*does not exist"):
            [block] = found.node.get_content_blocks(MetadataMode.LLM)
        assert "cannot be shown" in block.text


class TestPagesThatAreGoneWhenTheyAreFound:
    """The model is told that there is a page, and the user that it has no image."""

    @pytest.fixture
    def gone(self, tmp_path, colour_encoder):
        Image.new("RGB", (64, 64), (0, 0, 255)).save(tmp_path / "blue.png")
        with Index.open(tmp_path / "pages", encoder=colour_encoder) as index:
            index.add([Document(image=tmp_path / "blue.png", id="sky")])
            (tmp_path / "blue.png").unlink()
            yield LateInteractionIndex(index=index)

    @pytest.mark.parametrize("mode", ["query", "context", "condense_plus_context", "condense_question"])
    async def test_shown(self, gone, model, mode):
        def engine():
            if mode == "query":
                return gone.as_query_engine(llm=model, similarity_top_k=1)
            return gone.as_chat_engine(chat_mode=mode, llm=model, similarity_top_k=1, memory=memory())

        with pytest.warns(UserWarning, match=r"'sky' without its image: .*blue\.png: the file does not exist"):
            getattr(engine(), "query" if mode == "query" else "chat")("blue")
        assert model.images() == []
        assert "[A page without text, whose image cannot be shown here.]" in model.texts()
        with pytest.warns(UserWarning, match="'sky' without its image"):
            await getattr(engine(), "aquery" if mode == "query" else "achat")("blue")
        assert "[A page without text, whose image cannot be shown here.]" in model.texts()

    def test_a_model_that_reads_text_alone(self, gone):
        model = Recording(sent=[], is_chat=False)
        with pytest.warns(UserWarning, match="'sky' without its image"):
            gone.as_query_engine(llm=model, similarity_top_k=1).query("blue")
        assert "[A page without text, whose image cannot be shown here.]" in model.texts()

    def test_the_text_on_a_page(self, tmp_path, colour_encoder, report, model):
        with Index.open(tmp_path / "pages", encoder=colour_encoder) as index:
            index.add(read_paths([report], modalities=["image"]))
            report.unlink()
            with pytest.warns(UserWarning, match="without its image"):
                LateInteractionIndex(index=index).as_query_engine(llm=model, similarity_top_k=1).query("blue")
        assert "Rain in spring" in model.texts()
        assert "cannot be shown" not in model.texts()


def test_a_query_with_an_image(scan, tmp_path):
    """It finds pages that look like it."""
    Image.new("RGB", (64, 64), (0, 0, 255)).save(tmp_path / "blue.png")
    bundle = QueryBundle("", image_path=str(tmp_path / "blue.png"))
    [found] = scan.as_retriever(similarity_top_k=1).retrieve(bundle)
    assert found.node.metadata["page"] == 2


def test_a_core_that_cannot_show_images(scan, model, monkeypatch):
    from llama_index.core import chat_engine

    from late_interaction.llama_index import answering

    known = answering._names_of
    monkeypatch.setattr(answering, "_names_of", lambda function: known(function) - {"multimodal"})
    monkeypatch.delattr(chat_engine, "MultiModalContextChatEngine")
    for make in (scan.as_query_engine, lambda **settings: scan.as_chat_engine(chat_mode="context", **settings)):
        with pytest.raises(InvalidRequestError, match=r"0\.14\.23 or later"):
            make(llm=model)
        make(llm=model, multimodal=False)
