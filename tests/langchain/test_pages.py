"""Pages in LangChain: references in metadata, content blocks for chat models, and reranking without encoding again."""

from __future__ import annotations

import base64
import io
from contextlib import nullcontext

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from PIL import Image

from late_interaction import Document as OurDocument
from late_interaction import Index
from late_interaction.errors import ImageUnavailableError, InvalidDocumentError, InvalidRequestError, UnknownIdError
from late_interaction.images import PageImage
from late_interaction.langchain import (
    LateInteractionReranker,
    LateInteractionRetriever,
    LateInteractionVectorStore,
    image_block,
)
from late_interaction.readers import read_paths


@pytest.fixture
def pages(tmp_path, colour_encoder, report):
    with Index.open(tmp_path / "pages", encoder=colour_encoder) as index:
        index.add(read_paths([report], modalities=["image"]))
        yield index


def picture_of(block):
    return Image.open(io.BytesIO(base64.b64decode(block["base64"])))


def test_a_page_comes_with_its_source_page_and_image(pages, report):
    (found,) = LateInteractionRetriever(index=pages, k=1).invoke("blue")
    assert found.id == f"{report.as_posix()}#page=2"
    assert found.page_content == "Rain in spring"
    assert (found.metadata["source"], found.metadata["page"]) == (report.as_posix(), 2)
    assert found.metadata["_page_image"]["path"] == str(report)
    assert PageImage.from_json(found.metadata["_page_image"]) == PageImage.from_file(report, 2)


def test_pages_round_trip_through_the_store(pages, report, tmp_path, colour_encoder):
    found = LateInteractionVectorStore(index=pages).similarity_search("red", k=3)
    with Index.open(tmp_path / "copy", encoder=colour_encoder) as index:
        store = LateInteractionVectorStore(index=index)
        store.add_documents(found)
        assert store.similarity_search("red", k=3) == found
        assert list(index.scan()) == sorted(pages.scan(), key=lambda page: [d.id for d in found].index(page.id))


def test_explanations_name_patches(pages):
    (found,) = LateInteractionRetriever(index=pages, k=1, explain=True).invoke("blue")
    (match,) = found.metadata["match_spans"]
    assert match["query_word"] == "blue"
    assert len(match["box"]) == 4


def test_a_block_is_the_image_of_the_page(pages, report):
    (found,) = LateInteractionRetriever(index=pages, k=1).invoke("blue")
    hit = pages.search("blue", 1)[0]
    block = image_block(found)
    assert block == image_block(hit) == image_block(hit.document) == image_block(found, index=pages)
    assert block.keys() == {"type", "base64", "mime_type"}
    picture = picture_of(block)
    assert picture.format == "JPEG"
    assert picture.size == hit.document.load_image().size
    red, _, blue = picture.getpixel((int(picture.width * 440 / 595), int(picture.height * 170 / 842)))
    assert (blue > 200, red < 60) == (True, True)


def test_a_chat_model_is_shown_the_pages(pages):
    shown = []

    class Model(GenericFakeChatModel):
        def _generate(self, messages, *args, **kwargs):
            shown.extend(messages)
            return super()._generate(messages, *args, **kwargs)

    def ask(documents):
        return [HumanMessage([{"type": "text", "text": "What is blue?"}, *map(image_block, documents)])]

    chain = (
        LateInteractionRetriever(index=pages, k=2) | RunnableLambda(ask) | Model(messages=iter([AIMessage("A bar")]))
    )
    assert chain.invoke("blue").content == "A bar"
    text, first, second = shown[0].content_blocks
    assert text["text"] == "What is blue?"
    assert first["type"] == second["type"] == "image"
    assert picture_of(first).size == (1190, 1684)


def test_an_image_that_only_the_index_keeps(tmp_path, colour_encoder):
    with Index.open(tmp_path / "pixels", encoder=colour_encoder) as index:
        index.add([OurDocument(image=Image.new("RGB", (64, 32), (0, 0, 255)), id="square")])
        (found,) = LateInteractionRetriever(index=index, k=1).invoke("blue")
        with pytest.raises(ImageUnavailableError, match=r"no file.*; pass index=, which keeps a thumbnail\.$"):
            image_block(found)
        store, retriever = LateInteractionVectorStore(index=index), LateInteractionRetriever(index=index)
        for source in (index, store, retriever):
            assert picture_of(image_block(found, index=source)).size == (64, 32)
        for wrong in (str(tmp_path), [index], 7):
            with pytest.raises(InvalidRequestError, match=r"index= takes the Index, .* not (str|list|int)\."):
                image_block(found, index=wrong)
        with pytest.raises(UnknownIdError):
            image_block(Document("x", id="nowhere"), index=index)


def test_a_file_that_is_gone(tmp_path, colour_encoder):
    """Of which the index may keep a thumbnail."""
    for keeps in (True, False):
        file = tmp_path / "blue.png"
        Image.new("RGB", (64, 32), (0, 0, 255)).save(file)
        with Index.open(tmp_path / f"index-{keeps}", encoder=colour_encoder) as index:
            image = PageImage.from_file(file)
            index.add([OurDocument(image=image.with_thumbnail() if keeps else image)])
            file.unlink()
            (found,) = LateInteractionRetriever(index=index, k=1).invoke("blue")
            with pytest.raises(ImageUnavailableError, match=r"blue\.png") as raised:
                image_block(found)
            assert ("pass index=" in str(raised.value)) == keeps
            with nullcontext() if keeps else pytest.raises(ImageUnavailableError, match=r"blue\.png"):
                assert picture_of(image_block(found, index=index)).size == (64, 32)


def test_large_images_are_made_smaller_for_models(tmp_path):
    Image.new("RGB", (5000, 2500), (0, 0, 255)).save(tmp_path / "large.png")
    assert picture_of(image_block(OurDocument(image=tmp_path / "large.png"))).size == (2048, 1024)


def test_a_text_has_no_block():
    with pytest.raises(ImageUnavailableError, match="no image"):
        image_block(Document("words", id="t"))


class TestReranking:
    def test_stored_pages_are_not_encoded_again(self, pages, colour_encoder):
        found = LateInteractionVectorStore(index=pages).similarity_search("red", k=3)
        before = colour_encoder.images_encoded
        reranked = LateInteractionReranker(index=pages, top_n=2).compress_documents(found, "green")
        assert colour_encoder.images_encoded == before
        assert reranked[0].id.endswith("#page=3")
        assert reranked[0].metadata["relevance_score"] == pytest.approx(1, abs=1e-3)
        assert "relevance_score" not in found[0].metadata

    def test_unknown_pages_are_encoded_and_can_be_stored(self, pages, tmp_path, colour_encoder):
        found = LateInteractionVectorStore(index=pages).similarity_search("red", k=3)
        with Index.open(tmp_path / "other", encoder=colour_encoder) as other:
            before = colour_encoder.images_encoded
            LateInteractionReranker(index=other, top_n=1, store=True).compress_documents(found, "green")
            assert colour_encoder.images_encoded == before + 3
            LateInteractionReranker(index=other, top_n=1).compress_documents(found, "green")
            assert colour_encoder.images_encoded == before + 3
            assert other.get([found[0].id])[0] == pages.get([found[0].id])[0]

    def test_with_an_encoder_alone(self, pages, colour_encoder):
        found = LateInteractionVectorStore(index=pages).similarity_search("red", k=3)
        best = LateInteractionReranker(encoder=colour_encoder, top_n=1).compress_documents(found, "green")
        assert best[0].id.endswith("#page=3")

    def test_a_text_encoder_ranks_the_text_on_the_pages(self, pages, word_encoder):
        found = LateInteractionVectorStore(index=pages).similarity_search("red", k=3)
        best = LateInteractionReranker(encoder=word_encoder, top_n=1).compress_documents(found, "forests")
        assert best[0].page_content == "Forests"

    def test_a_text_index_stores_the_text_of_pages(self, pages, index):
        found = LateInteractionVectorStore(index=pages).similarity_search("red", k=3)
        LateInteractionVectorStore(index=index).add_documents(found)
        assert index.search("forests", 1)[0].text == "Forests"
        assert index.get([found[0].id])[0].image is None
        scan = found[0].model_copy(update={"page_content": ""})
        with pytest.raises(InvalidDocumentError, match="page without text"):
            LateInteractionVectorStore(index=index).add_documents([scan])
        reranked = LateInteractionReranker(index=index, store=True).compress_documents(found, "forests")
        assert reranked[0].page_content == "Forests"


@pytest.mark.parametrize(
    "values",
    ["/etc/passwd", {"path": "/etc/passwd"}, {"digest": "x", "path": "/etc/passwd", "page": 1}, 7, ["a"]],
)
def test_metadata_that_is_no_reference_is_refused(pages, values):
    with pytest.raises(InvalidDocumentError, match="_page_image"):
        LateInteractionVectorStore(index=pages).add_documents([Document("x", metadata={"_page_image": values})])
    assert len(pages) == 3


def test_a_reference_to_what_is_no_file(pages):
    """A device has no end: nothing of it is read."""
    endless = {**PageImage.from_pixels(Image.new("RGB", (4, 4))).to_json(), "path": "/dev/zero"}
    with pytest.raises(ImageUnavailableError, match="not a regular file"):
        LateInteractionVectorStore(index=pages).add_documents([Document("x", metadata={"_page_image": endless})])


def test_what_others_keep_under_another_key_stays(pages):
    document = Document("blue whale", id="w", metadata={"page_image": "https://example.org/w.png"})
    store = LateInteractionVectorStore(index=pages)
    store.add_documents([document])
    assert store.get_by_ids(["w"]) == [document]


def test_a_reference_reads_no_file_without_its_hash(pages, tmp_path):
    """Metadata from strangers must not make us read a file they do not know."""
    Image.new("RGB", (64, 32), (0, 0, 255)).save(tmp_path / "private.png")
    forged = {**PageImage.from_file(tmp_path / "private.png").to_json(), "digest": "0" * 32}
    with pytest.raises(ImageUnavailableError, match="has changed"):
        LateInteractionVectorStore(index=pages).add_documents([Document("x", metadata={"_page_image": forged})])
    assert len(pages) == 3


def test_a_text_that_was_shortened_loses_what_was_encoded_with_it(index):
    """A part of the text is a part of what was encoded, too."""
    index.add(
        [OurDocument("The Nile flows. Whales sing.", id="d", encoded_text="Rivers: The Nile flows. Whales sing.")]
    )
    store = LateInteractionVectorStore(index=index)
    (document,) = store.get_by_ids(["d"])
    store.add_documents([document.model_copy(update={"page_content": "The Nile flows."})])
    assert index.search("whales", 1)[0].relevance < 0.9
    store.add_documents([document])
    assert index.get(["d"])[0].encoded_text == "Rivers: The Nile flows. Whales sing."
