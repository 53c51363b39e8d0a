"""Pages that were found are rendered when somebody reads the image, and are then what they were before."""

from __future__ import annotations

import base64
import copy
import json
import pickle

import pytest
from llama_index.core.llms import MockLLM
from llama_index.core.schema import ImageNode, MetadataMode, NodeWithScore, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore

from late_interaction import Index
from late_interaction.images import pictures
from late_interaction.images.pdf import Pdf, open_pdf
from late_interaction.llama_index import LateInteractionIndex, LateInteractionRerank, LateInteractionRetriever
from late_interaction.llama_index.pages import PageWithoutImage
from late_interaction.readers import read_paths

needs_content_blocks = pytest.mark.skipif(
    not hasattr(ImageNode, "get_content_blocks"), reason="this version of LlamaIndex has no content blocks of nodes"
)


@pytest.fixture
def pages(tmp_path, colour_encoder, report):
    with Index.open(tmp_path / "pages", encoder=colour_encoder) as index:
        index.add(read_paths([report], modalities=["image"]))
        yield index


@pytest.fixture
def rendered(monkeypatch):
    """The page numbers that were rendered so far; the renderer itself is the real one."""
    numbers, render = [], Pdf.render

    def counted(self, page, scale):
        numbers.append(page)
        return render(self, page, scale)

    monkeypatch.setattr(Pdf, "render", counted)
    return numbers


@pytest.fixture
def node(pages):
    [found] = LateInteractionRetriever(index=pages, similarity_top_k=1).retrieve("blue")
    return found.node


@pytest.fixture
def expected(pages, node):
    """The image, rendered without the node."""
    return pictures.to_jpeg(pages.get([node.node_id])[0].load_image())


async def test_retrieving_and_reranking_render_nothing(pages, rendered):
    retriever = LateInteractionRetriever(index=pages, similarity_top_k=3, explain=True)
    found = retriever.retrieve("blue")
    found += await retriever.aretrieve("red")
    rerank = LateInteractionRerank(index=pages, top_n=6, keep_retrieval_score=True)
    found = rerank.postprocess_nodes(found, query_str="green")
    for each in found:
        assert isinstance(each.node, ImageNode)
        assert each.node.hash
        assert each.node.get_content(MetadataMode.LLM)
        str(each)
        copy.copy(each.node)
        copy.deepcopy(each.node)
    assert rendered == []


def test_a_model_that_reads_renders_nothing(pages, rendered):
    engine = LateInteractionIndex(index=pages).as_query_engine(llm=MockLLM(), similarity_top_k=2)
    assert "Rain in spring" in str(engine.query("blue"))
    assert rendered == []


def test_reading_renders_once(node, rendered, expected):
    rendered.clear()
    assert node.image == expected
    assert node.resolve_image().read() == base64.b64decode(expected)
    assert node.image == expected
    assert rendered == [2]


WAYS = {
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "model_copy": lambda node: node.model_copy(),
    "pickle": lambda node: pickle.loads(pickle.dumps(node)),
    "to_dict": lambda node: ImageNode.from_dict(node.to_dict()),
    "to_json": lambda node: ImageNode.from_json(node.to_json()),
    "model_dump": lambda node: ImageNode(**node.model_dump()),
    "model_dump_json": lambda node: ImageNode(**json.loads(node.model_dump_json())),
    "iteration": lambda node: ImageNode(**dict(node)),
    "inside another": lambda node: ImageNode(**NodeWithScore(node=node, score=1).to_dict()["node"]),
}


@pytest.mark.parametrize("was_read", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_to_another_node(node, expected, way, was_read):
    if was_read:
        assert node.image == expected
    other = way(node)
    assert other.image == expected
    assert other == node
    assert node == other
    assert other.image_mimetype == "image/jpeg"


def test_what_is_written_down_is_a_plain_node(node):
    assert type(pickle.loads(pickle.dumps(node))) is ImageNode
    assert node.to_dict()["class_name"] == "ImageNode"
    plain = ImageNode(**dict(node))
    assert node.to_dict() == plain.to_dict()
    assert [kind for kind in (TextNode(text=node.text), plain.model_copy(update={"image": "x"})) if kind == node] == []


@needs_content_blocks
def test_models_are_shown_the_image(node):
    assert node.get_content_blocks() == ImageNode(**dict(node)).get_content_blocks()


def test_through_a_document_store(node, expected, tmp_path):
    store = SimpleDocumentStore()
    store.add_documents([node])
    store.persist(str(tmp_path / "store.json"))
    again = SimpleDocumentStore.from_persist_path(str(tmp_path / "store.json")).get_document(node.node_id)
    assert again.image == expected
    assert again == node


def test_another_image_in_its_place(node, rendered):
    rendered.clear()
    node.image = "aGVsbG8="
    assert node.image == "aGVsbG8="
    assert node.to_dict()["image"] == "aGVsbG8="
    assert rendered == []


def test_changed_metadata_renders_nothing(node, rendered):
    node.metadata["n"] = 1
    node.text = "changed"
    changed = node.model_copy(update={"id_": "other"})
    assert (changed.metadata["n"], changed.text, changed.node_id) == (1, "changed", "other")
    assert rendered == []


class TestUnavailable:
    """The file goes between retrieval and reading."""

    @pytest.fixture
    def node(self, node, report):
        report.unlink()
        return node

    def test_it_says_why(self, node):
        assert node.image is None
        assert "the file does not exist" in node.metadata["image_error"]
        with pytest.warns(UserWarning, match="without its image: .*does not exist"):
            assert "image_error" not in node.get_content(MetadataMode.LLM)

    @needs_content_blocks
    def test_models_are_shown_the_text(self, node):
        assert node.get_content_blocks() == TextNode(text="Rain in spring").get_content_blocks()

    @pytest.mark.parametrize("way", ["pickle", "to_dict", "to_json", "inside another", "model_dump"])
    def test_it_can_be_written_down(self, node, way):
        other = WAYS[way](node)
        assert other.image is None
        assert "the file does not exist" in other.metadata["image_error"]
        assert other.text == "Rain in spring"

    def test_no_image_can_be_resolved(self, node):
        with pytest.raises(ValueError, match="No image"):
            node.resolve_image()


def test_a_file_that_has_changed_is_known_when_it_is_found(pages, report, rendered):
    report.write_bytes(report.read_bytes() + b"\n")
    [found] = LateInteractionRetriever(index=pages, similarity_top_k=1).retrieve("blue")
    assert type(found.node) is PageWithoutImage
    assert "has changed" in found.node.metadata["image_error"]
    assert rendered == []


def test_the_renderer_that_is_counted_renders(report, rendered):
    with open_pdf(report) as pdf:
        pdf.render(1, 1.0)
    assert rendered == [1]
