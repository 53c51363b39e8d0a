"""Pages in LlamaIndex: image nodes in and out, and a query engine that shows them to a model."""

from __future__ import annotations

import base64
import inspect
import io
import pickle

import pytest
from llama_index.core.base.llms.types import ImageBlock, LLMMetadata
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine, SimpleMultiModalQueryEngine
from llama_index.core.schema import ImageDocument, ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode
from PIL import Image

from late_interaction import Document, Index
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank, LateInteractionRetriever
from late_interaction.readers import read_paths
from tests.fakes import ColourEncoder

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.fixture
def empty(tmp_path, colour_encoder):
    with Index.open(tmp_path / "images", encoder=colour_encoder) as index:
        yield index


@pytest.fixture
def pages(empty, report):
    empty.add(read_paths([report], modalities=["image"]))
    return empty


def saved(path, colour):
    Image.new("RGB", (64, 64), colour).save(path)
    return str(path)


def in_base64(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def found(index, query, k=1):
    return [hit.node for hit in LateInteractionRetriever(index=index, similarity_top_k=k).retrieve(query)]


class TestNodesIn:
    def test_image_nodes_come_back_as_they_were(self, empty, tmp_path):
        nodes = [
            ImageNode(id_="path", image_path=saved(tmp_path / "red.png", RED), metadata={"page": 1}),
            ImageNode(id_="pixels", image=in_base64(BLUE), image_mimetype="image/png", text="a caption"),
            TextNode(id_="text", text="green as grass"),
        ]
        LateInteractionIndex(nodes, index=empty)
        for query, node in zip(("red", "blue", "green"), nodes, strict=True):
            assert found(empty, query) == [node]

    def test_the_text_of_a_page_is_for_words(self, empty, tmp_path):
        node = ImageNode(id_="red", image_path=saved(tmp_path / "red.png", RED), text="a caption on whales")
        LateInteractionIndex([node], index=empty)
        retriever = LateInteractionRetriever(index=empty, mode="lexical")
        assert [hit.node for hit in retriever.retrieve("whales")] == [node]

    def test_image_documents_through_from_documents(self, empty, tmp_path):
        documents = [
            ImageDocument(id_="red", image_path=saved(tmp_path / "red.png", RED)),
            ImageDocument(id_="blue", image=in_base64(BLUE), metadata={"kind": "square"}),
        ]
        index = LateInteractionIndex.from_documents(documents, index=empty)
        (node,) = found(empty, "blue")
        assert isinstance(node, ImageNode)
        assert node.ref_doc_id == "blue"
        assert node.metadata == {"kind": "square"}
        assert found(empty, "red")[0].ref_doc_id == "red"
        index.delete_ref_doc("red")
        assert len(empty) == 1

    def test_an_address_is_never_fetched(self, empty, monkeypatch):
        monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("was fetched"))
        with pytest.raises(InvalidDocumentError, match="nothing is fetched"):
            LateInteractionIndex([ImageNode(image_url="https://example.org/i.png")], index=empty)
        LateInteractionIndex([ImageNode(id_="i", image_url="https://example.org/i.png", text="blue sky")], index=empty)
        assert found(empty, "sky")[0].image_url == "https://example.org/i.png"

    @pytest.mark.parametrize("image", ["not base64!", base64.b64encode(b"no image").decode()])
    def test_a_damaged_image_is_a_clear_error(self, empty, image):
        with pytest.raises(InvalidDocumentError, match="node 'broken'"):
            LateInteractionIndex([ImageNode(id_="broken", image=image)], index=empty)
        assert len(empty) == 0

    def test_documents_with_an_image_of_their_own(self, empty, tmp_path):
        nodes = [
            ImageDocument(id_="path", image_path=saved(tmp_path / "red.png", RED)),
            ImageDocument(id_="pixels", image=in_base64(BLUE)),
        ]
        LateInteractionIndex(index=empty).insert_nodes(nodes)
        assert [found(empty, colour)[0].node_id for colour in ("red", "blue")] == ["path", "pixels"]

    def test_a_text_encoder_reads_the_text_of_image_nodes(self, index, tmp_path):
        node = ImageNode(id_="red", image_path=saved(tmp_path / "red.png", RED), text="a caption on whales")
        LateInteractionIndex([node], index=index)
        assert found(index, "whales") == [node]
        assert index.get(["red"])[0].image is None


class TestPagesOut:
    def test_a_page_of_a_pdf_is_an_image_node(self, pages, report):
        (node,) = found(pages, "blue")
        assert isinstance(node, ImageNode)
        assert (node.text, node.metadata["page"], node.metadata["source"]) == ("Rain in spring", 2, report.as_posix())
        assert Image.open(node.resolve_image()).size == (1190, 1684)
        assert node.image_mimetype == "image/jpeg"

    def test_models_are_not_shown_the_reference(self, pages):
        (node,) = found(pages, "blue")
        assert "_page_image" in node.metadata
        assert "digest" not in node.get_content(MetadataMode.LLM)
        assert node.get_content(MetadataMode.EMBED) == "Rain in spring"

    def test_a_page_whose_file_is_gone_is_a_text_that_says_so(self, pages, report):
        report.unlink()
        (node,) = found(pages, "blue")
        plain = pickle.loads(pickle.dumps(node))
        assert type(plain) is type(TextNode.from_dict(node.to_dict())) is TextNode
        assert node == plain == TextNode.from_dict(node.to_dict())
        assert not isinstance(node, ImageNode)
        assert node.text == "Rain in spring"
        assert "the file does not exist" in node.metadata["image_error"]

    def test_it_is_still_reranked_from_its_vectors_and_shows_models_no_path(self, pages, report, colour_encoder):
        report.unlink()
        nodes, before = LateInteractionRetriever(index=pages, similarity_top_k=3).retrieve("red"), 3
        best = LateInteractionRerank(index=pages, top_n=1).postprocess_nodes(nodes, query_str="green")
        assert best[0].node.metadata["page"] == 3
        assert colour_encoder.images_encoded == before
        with pytest.warns(UserWarning, match="without its image"):
            shown = best[0].node.get_content(MetadataMode.LLM)
        assert "does not exist" not in shown + best[0].node.get_content(MetadataMode.EMBED)

    def test_pixels_in_a_node_stand_for_an_image_that_came_without_a_file(self, empty, tmp_path, colour_encoder):
        empty.add([Document(image=Image.new("RGB", (64, 64), BLUE), id="square")])
        (node,) = found(empty, "blue")
        best = LateInteractionRerank(encoder=colour_encoder).postprocess_nodes([NodeWithScore(node=node)], None, "blue")
        assert best[0].score > 0.9
        with Index.open(tmp_path / "other", encoder=colour_encoder) as other:
            LateInteractionIndex([node], index=other)
            assert other.get(["square"])[0].load_image().getpixel((5, 5))[2] > 200

    def test_explanations_name_patches(self, pages):
        (node,) = LateInteractionRetriever(index=pages, similarity_top_k=1, explain=True).retrieve("blue")
        (match,) = node.node.metadata["match_spans"]
        assert match["query_word"] == "blue"
        assert len(match["box"]) == 4

    def test_a_found_page_can_be_indexed_elsewhere(self, pages, tmp_path, colour_encoder):
        (node,) = found(pages, "blue")
        with Index.open(tmp_path / "other", encoder=colour_encoder) as other:
            LateInteractionIndex([node], index=other)
            assert found(other, "blue") == [node]
            assert other.get([node.node_id])[0].image == pages.get([node.node_id])[0].image


class SeeingLLM(MockLLM):
    """Answers with what it was shown."""

    @property
    def metadata(self):
        return LLMMetadata(is_chat_model=True, context_window=100_000)

    def chat(self, messages, **kwargs):
        blocks = [block for message in messages for block in message.blocks]
        images = [Image.open(block.resolve_image()) for block in blocks if isinstance(block, ImageBlock)]
        answer = super().chat(messages, **kwargs)
        answer.message.content = f"I see {len(images)} images of {[image.size for image in images]}."
        return answer


class TestQueryEngine:
    def test_a_model_that_sees_is_shown_the_pages(self, pages):
        retriever = LateInteractionRetriever(index=pages, similarity_top_k=2)
        if "multimodal" in inspect.signature(RetrieverQueryEngine.from_args).parameters:
            engine = RetrieverQueryEngine.from_args(retriever, llm=SeeingLLM(), multimodal=True)
        else:  # until 0.14.22
            engine = SimpleMultiModalQueryEngine(retriever=retriever, multi_modal_llm=SeeingLLM())
        answer = engine.query("blue")
        assert str(answer) == "I see 2 images of [(1190, 1684), (1190, 1684)]."
        assert answer.source_nodes[0].node.metadata["page"] == 2

    def test_a_model_that_reads_is_shown_the_text(self, pages):
        engine = LateInteractionIndex(index=pages).as_query_engine(llm=MockLLM(), similarity_top_k=1)
        assert "Rain in spring" in str(engine.query("blue"))


class TestReranking:
    def nodes(self, index):
        return [NodeWithScore(node=node, score=0.1) for node in found(index, "red", k=3)]

    def test_stored_pages_are_not_encoded_again(self, pages, colour_encoder):
        nodes, before = self.nodes(pages), colour_encoder.images_encoded
        best = LateInteractionRerank(index=pages, top_n=1).postprocess_nodes(nodes, query_str="green")
        assert best[0].node.metadata["page"] == 3
        assert colour_encoder.images_encoded == before

    def test_with_an_encoder_alone(self, pages, tmp_path):
        nodes = [*self.nodes(pages), NodeWithScore(node=ImageNode(image_path=saved(tmp_path / "b.png", BLUE)))]
        best = LateInteractionRerank(encoder=ColourEncoder(), top_n=4).postprocess_nodes(nodes, QueryBundle("blue"))
        assert {node.node.metadata.get("page") for node in best[:2]} == {2, None}

    def test_a_text_encoder_refuses_pages_without_text(self, word_encoder, tmp_path):
        nodes = [NodeWithScore(node=ImageNode(image_path=saved(tmp_path / "b.png", BLUE)))]
        rerank = LateInteractionRerank(encoder=word_encoder)
        assert rerank.postprocess_nodes(nodes, query_str="blue")[0].score == 0

    def test_a_page_encoder_refuses_text(self):
        nodes = [NodeWithScore(node=TextNode(text="blue"))]
        rerank = LateInteractionRerank(encoder=ColourEncoder(modalities={"image"}))
        with pytest.raises(InvalidRequestError, match="page images only"):
            rerank.postprocess_nodes(nodes, query_str="blue")


def test_pages_written_by_one_framework_are_read_by_the_other(pages, report):
    pytest.importorskip("langchain_core")
    from late_interaction.langchain import LateInteractionVectorStore

    store = LateInteractionVectorStore(index=pages)
    (document,) = store.similarity_search("blue", k=1)
    store.delete([document.id])
    store.add_documents([document])
    (node,) = found(pages, "blue")
    assert node.metadata["_page_image"] == document.metadata["_page_image"]
    assert pages.get([document.id]) == list(read_paths([report], modalities=["image"]))[1:2]
