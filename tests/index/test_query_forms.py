"""A query is a text, an image, both in a document, or token vectors; each mode says which it takes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from late_interaction import Document, Index
from late_interaction.encoders import ReducedEncoder
from late_interaction.errors import ImageUnavailableError, InvalidRequestError, InvalidVectorsError
from late_interaction.retrieval.reranking import rerank
from tests.fakes import COLOURS, ColourEncoder
from tests.pictures import two_colours, write_picture

PAGES = ["red", "green", "blue", "yellow"]


def picture(colour):
    return Image.new("RGB", (64, 64), COLOURS[colour])


@pytest.fixture
def encoder():
    return ColourEncoder(rows=2)


@pytest.fixture
def pages(path, encoder):
    """One page of each colour, and a text."""
    with Index.open(path, encoder=encoder, bits=None) as index:
        index.add([Document(f"page about {name}", id=name, image=picture(name)) for name in PAGES])
        index.add([Document("a text about red and blue", id="text")])
        yield index


@pytest.mark.parametrize("colour", PAGES)
def test_an_image_finds_pages_like_it(pages, encoder, colour):
    hits = pages.search(picture(colour), 2)
    assert hits[0].id == colour
    assert hits[0].score == pytest.approx(5, abs=1e-2)  # four cells and a marker
    assert hits[0].relevance == pytest.approx(1, abs=1e-2)
    (query,) = encoder.encode_images([picture(colour)])
    assert [(hit.id, hit.score) for hit in pages.search(query, 2)] == [(hit.id, hit.score) for hit in hits]


def test_text_with_an_image_has_the_vectors_of_both(pages, encoder):
    asked = Document("about yellow", image=picture("green"))
    query = np.concatenate([encoder.encode_queries(["about yellow"])[0], encoder.encode_images([picture("green")])[0]])
    expected = [(hit.id, hit.score, hit.relevance) for hit in pages.search(query, 5)]
    assert [(hit.id, hit.score, hit.relevance) for hit in pages.search(asked, 5)] == expected
    assert pages.search_many([asked, "red"], 5)[0] == pages.search(asked, 5)
    assert [hit.id for hit in pages.rerank(asked, ids=[*PAGES, "text"])] == [name for name, *_ in expected]


def test_a_document_without_an_image_is_its_text(pages):
    assert pages.search(Document("a title", encoded_text="red"), 3) == pages.search("red", 3)
    assert pages.search(Document(" ", id="x"), 3) == []
    assert pages.search(pages.get(["blue"])[0], 1)[0].id == "blue"  # a stored page: what is like it


def test_an_image_of_any_mode_and_size(pages):
    for image in (picture("red").convert("RGBA"), picture("red").convert("P"), picture("red").resize((700, 30))):
        assert pages.search(image, 1)[0].id == "red"


@pytest.mark.parametrize("mode", ["lexical", "hybrid"])
def test_modes_that_need_words(pages, encoder, mode):
    encoded = encoder.texts_encoded, encoder.images_encoded
    for query, name in [
        (picture("red"), "an image"),
        (Document(image=picture("red")), "an image"),
        (np.ones((2, 16)), "token vectors"),
    ]:
        for call in (pages.search, lambda query, **options: pages.search_many(["red", query], **options)):
            with pytest.raises(InvalidRequestError, match=f"mode='{mode}' searches for words.*{name}.*mode='late'"):
                call(query, mode=mode)
    assert (encoder.texts_encoded, encoder.images_encoded) == encoded
    assert pages.search([], mode=mode) == []


def test_the_words_of_text_with_an_image(pages):
    asked = Document("yellow", image=picture("blue"))
    assert [hit.id for hit in pages.search(asked, mode="lexical")] == ["yellow"]
    assert {hit.id for hit in pages.search(asked, 2, mode="hybrid")} == {"yellow", "blue"}


def test_options_that_work_with_every_form(pages):
    for query in (
        picture("red"),
        Document("red", image=picture("red")),
        np.asarray(pages.engine.vectors(["red"])["red"]),
    ):
        assert [hit.id for hit in pages.search(query, 5, min_relevance=0.9)] == ["red"]
        assert pages.search(query, 2, diversity=0.3)[0].id == "red"
        assert pages.search(query, candidates=["blue", "red"])[0].id == "red"
        assert [hit.id for hit in pages.rerank(query, ids=PAGES, k=1)] == ["red"]


def test_rerank_without_an_index(encoder):
    given = [Document(image=picture(name), id=name) for name in PAGES]
    for query in (
        picture("blue"),
        encoder.encode_images([picture("blue")])[0],
        Document("blue", image=picture("blue")),
    ):
        assert rerank(query, given, encoder=encoder, k=1)[0].id == "blue"


def test_an_image_is_not_pooled(path, encoder):
    with Index.open(path, encoder=encoder, pooling=2, bits=None) as index:
        index.add([Document(image=picture(name), id=name) for name in PAGES])
        query = ReducedEncoder(encoder, pooling=2).encode_images_unpooled([two_colours("red", "blue")])[0]
        asked, given = index.search(two_colours("red", "blue"), 4), index.search(query, 4)
        assert [(hit.id, hit.score) for hit in asked] == [(hit.id, hit.score) for hit in given]


class TestRefused:
    def test_an_encoder_that_reads_no_images(self, facts):
        for query in (picture("red"), Document("red", image=picture("red"))):
            for call in (facts.search, lambda query: facts.rerank(query, ids=["nile"])):
                with pytest.raises(InvalidRequestError, match="query is an image, and WordEncoder encodes text only"):
                    call(query)

    def test_an_image_that_is_gone(self, pages, tmp_path):
        file = write_picture(tmp_path / "a.png")
        asked = Document(image=file)
        file.unlink()
        with pytest.raises(ImageUnavailableError, match=r"a\.png"):
            pages.search(asked)

    @pytest.mark.parametrize("query", [None, 5, b"red", ["red"], [None], {"text": "red"}, [b"red"], object()])
    def test_other_types(self, pages, query):
        for call in (pages.search, lambda query: pages.rerank(query, ids=["red"]), lambda q: pages.search_many([q])):
            with pytest.raises((InvalidRequestError, InvalidVectorsError), match=r"must be a string|^Query vectors"):
                call(query)

    def test_a_list_of_queries(self, pages):
        for queries in (["red", "blue"], [picture("red")]):
            with pytest.raises(InvalidRequestError, match="For several queries there is search_many"):
                pages.search(queries)
        for query in ("red", Document("red"), picture("red"), 5):
            with pytest.raises(InvalidRequestError, match="search_many takes a list"):
                pages.search_many(query)
        with pytest.raises(InvalidVectorsError, match="Query vectors"):
            pages.search_many(np.ones((2, 16)))
        with pytest.raises(InvalidRequestError, match="must be a string"):
            pages.explain(picture("red"), "red")


def test_many_query_tokens_find_the_exact_best(path):
    """More than a text has: an image has a thousand, in an index that is compressed."""
    draw = np.random.default_rng(0)
    arrays = draw.normal(size=(400, 40, 16)).astype(np.float32)
    arrays /= np.linalg.norm(arrays, axis=2, keepdims=True)
    with Index.open(path, dim=16, bits=8) as index:
        index.add([Document("", id=str(number)) for number in range(400)], vectors=arrays)
        index.compact()
        query = np.concatenate([arrays[7] + 0.1 * draw.normal(size=(40, 16)) for _ in range(25)])
        assert [hit.id for hit in index.search(query, 1)] == ["7"]
