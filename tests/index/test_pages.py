"""An index of pages, and of pages and texts: what is found, what is encoded, what is refused."""

from __future__ import annotations

import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from late_interaction import Document, Index
from late_interaction.errors import (
    DuplicateIdError,
    ImageUnavailableError,
    InvalidDocumentError,
    InvalidRequestError,
)
from late_interaction.images import PageImage
from late_interaction.readers import read_paths
from tests import pdfs
from tests.fakes import ColourEncoder, WordEncoder
from tests.index.helpers import state
from tests.pdfs import Page, write_pdf
from tests.pictures import two_colours, write_picture

COLOURS = {"red": (1, 0, 0), "green": (0, 0.6, 0), "blue": (0, 0, 1), "yellow": (1, 0.9, 0)}


@pytest.fixture
def encoder():
    return ColourEncoder()


@pytest.fixture
def index(path, encoder):
    with Index.open(path, encoder=encoder) as index:
        yield index


@pytest.fixture
def report(tmp_path, monkeypatch):
    """A PDF with a page for each colour, which names another colour in its text."""
    monkeypatch.chdir(tmp_path)
    names = list(COLOURS)
    return write_pdf(
        tmp_path / "report.pdf",
        [
            Page(pdfs.box(100, 300, 200, 200, COLOURS[name]) + pdfs.text(f"not {names[n - 1]} but a figure"))
            for n, name in enumerate(names)
        ],
    )


@pytest.fixture
def mixed(index, report):
    """Four pages and three texts."""
    index.add(read_paths(["report.pdf"], modalities=["image"]))
    texts = {"t1": "the red house", "t2": "a green figure", "t3": "nothing of the kind"}
    index.add([Document(text, id=name, metadata={"kind": "text"}) for name, text in texts.items()])
    return index


def page(number):
    return f"report.pdf#page={number}"


def true_score(query, document, encoder):
    """MaxSim by its definition, in float64 over what an exact index keeps."""
    if document.image is None:
        vectors = encoder.encode_documents([document.text_to_encode])[0]
    else:
        vectors = encoder.encode_images([document.image.load(encoder.viewed_size)])[0]
    vectors = np.asarray(vectors, np.float16).astype(np.float64)
    return float((encoder.encode_queries([query])[0].astype(np.float64) @ vectors.T).max(axis=1).sum())


class TestSearch:
    def test_pages_are_found_by_what_is_seen_on_them(self, mixed):
        for number, colour in enumerate(COLOURS, 1):
            hits = mixed.search(colour, k=7, where={"source": "report.pdf"})
            assert len(hits) == 4
            assert hits[0].id == page(number)
            assert hits[0].relevance == pytest.approx(1, abs=1e-3)
            assert hits[1].relevance < 0.9
            assert hits[0].document.load_image().size == (1190, 1684)

    @pytest.mark.parametrize("query", ["red", "green figure", "page blue", "nothing"])
    def test_scores_of_pages_and_texts_together(self, mixed, query):
        oracle = ColourEncoder()
        hits = mixed.search(query, k=10)
        assert len(hits) == 7
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        for hit in hits:
            assert hit.score == pytest.approx(true_score(query, hit.document, oracle), abs=2e-3)

    def test_filters(self, mixed):
        assert {hit.id for hit in mixed.search("red", where={"kind": "text"})} == {"t1", "t2", "t3"}
        assert [hit.id for hit in mixed.search("red", where={"page": {"$gte": 4}})] == [page(4)]
        assert mixed.count(where={"source": "report.pdf"}) == 4
        assert {hit.id for hit in mixed.search("red", candidates=[page(2), "t1", "no"])} == {page(2), "t1"}

    def test_lexical_search_reads_the_text_of_pages(self, mixed):
        assert {hit.id for hit in mixed.search("figure", mode="lexical")} == {*map(page, (1, 2, 3, 4)), "t2"}
        assert [hit.id for hit in mixed.search("blue", mode="lexical")] == [page(4)]  # which says so and is yellow
        assert mixed.search("blue", mode="lexical")[0].document.image.page == 4

    def test_hybrid_search_finds_both(self, mixed):
        hits = [hit.id for hit in mixed.search("blue", k=7, mode="hybrid")]
        assert set(hits[:2]) == {page(3), page(4)}
        assert len(hits) == 7

    def test_deleting(self, mixed):
        assert mixed.delete(where={"page": {"$lte": 2}}) == 2
        assert mixed.delete(["t1", page(4)]) == 2
        assert sorted(document.id for document in mixed.scan()) == [page(3), "t2", "t3"]
        assert "blue" not in mixed.search("red", k=1)[0].text
        assert mixed.verify()

    def test_opened_again_to_read(self, mixed, path, encoder):
        expected = [(hit.id, hit.score) for hit in mixed.search("red figure", k=7)]
        documents = list(mixed.scan())
        with Index.open(path, encoder=encoder, read_only=True) as reader:
            assert [(hit.id, hit.score) for hit in reader.search("red figure", k=7)] == expected
            assert list(reader.scan()) == documents
        mixed.close()
        with Index.open(path, encoder=encoder) as again:
            again.compact()
            assert list(again.scan()) == documents
            assert again.modalities == ("text", "image")

    def test_image_and_text_of_a_page(self, index, encoder):
        """The image alone is encoded; words of the text are found by lexical search."""
        index.add([Document("zebra", image=two_colours("red", "blue"), id="a")])
        assert (encoder.images_encoded, encoder.documents_encoded) == (1, 0)
        assert index.search("red")[0].relevance == pytest.approx(1, abs=1e-3)
        assert index.search("zebra")[0].relevance < 0.95
        assert [hit.id for hit in index.search("zebra", mode="lexical")] == ["a"]


class TestWhatIsEncoded:
    def test_a_mixed_batch_keeps_its_order(self, index, encoder, report):
        pages = list(read_paths(["report.pdf"], modalities=["image"]))
        documents = [pages[0], Document("one", id="1"), pages[1], pages[2], Document("two", id="2"), pages[3]]
        assert index.add(documents) == [document.id for document in documents]
        assert list(index.scan()) == documents
        assert (encoder.images_encoded, encoder.documents_encoded) == (4, 2)
        for document in documents:
            stored = index.engine.vectors([document.id])[document.id]
            assert len(stored) == (1 if document.image is None else 65)

    def test_copies_of_one_file_are_one_document(self, index, encoder, tmp_path):
        first = write_picture(tmp_path / "a.png")
        copied = shutil.copy(first, tmp_path / "b.png")
        ids = index.add([Document(image=first), Document(image=copied), Document(image=first)])
        assert len(set(ids)) == len(index) == 1
        assert index.get(ids[:1])[0].load_image().size == (40, 20)

    def test_two_pages_of_one_id(self, index, tmp_path):
        pages = [Document(image=two_colours("red", other), id="a") for other in ("blue", "green")]
        with pytest.raises(DuplicateIdError):
            index.add(pages)
        assert len(index) == 0

    def test_strings_beside_pages(self, index, encoder):
        index.add(["red.png", Document(image=two_colours("red", "blue"))])
        assert (encoder.images_encoded, encoder.documents_encoded) == (1, 1)

    def test_memory_is_bounded_however_many_pages(self, path, tmp_path):
        """Images are loaded as their turn comes, as many as fit into some 70 MB."""
        seen = []

        class Recorder(ColourEncoder):
            def encode_images(self, images):
                alive = [thing for thing in gc.get_objects() if issubclass(type(thing), Image.Image)]
                alive = [image for image in alive if image.width == 2000]  # not those of this module
                seen.append((len(images), sum(image.width * image.height for image in alive)))
                return super().encode_images(images)

            def viewed_size(self, width, height):
                return 1600, 1600

        for number in range(9):
            write_picture(tmp_path / "many" / f"{number}.png", Image.new("RGB", (2000, 2000), (number, 0, 0)))
        write_pdf(tmp_path / "many" / "a.pdf", [Page(size=(400, 400))] * 6)  # 2,000 pixels a side
        gc.collect()
        with Index.open(path, encoder=Recorder()) as index:
            index.add(read_paths([tmp_path / "many"], modalities=["image"]))
            assert len(index) == 15
        assert sum(count for count, _ in seen) == 15
        assert 1 < max(count for count, _ in seen) <= 6
        assert max(pixels for _, pixels in seen) <= 28_000_000

    def test_small_pages_are_encoded_together(self, path):
        sizes = []

        class Recorder(ColourEncoder):
            def encode_images(self, images):
                sizes.append(len(images))
                return super().encode_images(images)

        with Index.open(path, encoder=Recorder()) as index:
            index.add(Document(image=Image.new("RGB", (20, 20), (n, 0, 0))) for n in range(100))
        assert sizes == [100]


class TestRefused:
    def test_a_text_encoder_refuses_pages(self, path):
        with Index.open(path, encoder=WordEncoder()) as index:
            index.add([Document("text", id="t")])
            before = state(index)
            assert index.modalities == ("text",)
            page_image = Document(image=two_colours("red", "blue"), id="p")
            with pytest.raises(InvalidRequestError, match=r"'p' cannot be encoded.*WordEncoder encodes text only"):
                index.add(["more", page_image])
            with pytest.raises(InvalidRequestError, match="'p'"):
                index.add(iter(["more", page_image]))
            with pytest.raises(InvalidRequestError, match="text only"):
                index.rerank("red", documents=[page_image])
            assert state(index) == before

    def test_a_page_encoder_refuses_texts(self, path):
        encoder = ColourEncoder(modalities={"image"})
        with Index.open(path, encoder=encoder) as index:
            assert index.modalities == ("image",)
            index.add([Document(image=two_colours("red", "blue"), id="p")])
            before = state(index)
            for documents in (["text"], [Document("text", id="t")], [Document(image=two_colours("red", "red")), "t"]):
                with pytest.raises(InvalidRequestError, match="encodes page images only"):
                    index.add(documents)
                with pytest.raises(InvalidRequestError, match="page images only"):
                    index.rerank("red", documents=documents)
            assert state(index) == before
            assert index.search("red")[0].id == "p"
            assert encoder.documents_encoded == 0

    def test_a_file_that_is_gone(self, index, encoder, tmp_path):
        path = write_picture(tmp_path / "a.png")
        documents = [Document(image=two_colours("red", "green")), Document(image=path), "text"]
        path.unlink()
        with pytest.raises(ImageUnavailableError, match="the file does not exist"):
            index.add(documents)
        assert len(index) == 0
        index.add([documents[0], documents[2]])
        assert len(index) == 2
        assert index.verify()

    @pytest.mark.parametrize("given", [Image.new("RGB", (4, 4)), Path("a.png"), PageImage("x", None, 1, 4, 4)])
    def test_an_image_that_is_no_document(self, index, given):
        with pytest.raises(InvalidDocumentError):
            index.add([given])

    def test_a_page_of_nothing_but_an_old_thumbnail_is_found_but_not_encoded(self, index):
        index.add([Document(image=two_colours("red", "blue"), id="a")])
        stored = index.get(["a"])[0]
        index.add([stored])  # the thumbnail that is left is encoded again
        assert index.get(["a"]) == [stored]
        assert index.search("red")[0].relevance == pytest.approx(1, abs=1e-3)


class TestRerank:
    def test_stored_pages_are_not_encoded(self, mixed, encoder, report):
        before = encoder.images_encoded, encoder.documents_encoded
        pages = list(read_paths(["report.pdf"], modalities=["image"]))
        hits = mixed.rerank("blue", documents=[*pages, Document("the red house", id="t1")])
        assert [(hit.id, hit.score) for hit in hits] == [
            (hit.id, hit.score) for hit in mixed.search("blue", candidates=[*map(page, (1, 2, 3, 4)), "t1"])
        ]
        by_id = mixed.rerank("blue", ids=[page(1), page(3)])
        assert [hit.id for hit in by_id] == [page(3), page(1)]
        report.unlink()
        assert mixed.rerank("blue", documents=pages)[0].document is pages[2]
        assert (encoder.images_encoded, encoder.documents_encoded) == before

    def test_others_are_encoded(self, mixed, encoder):
        before = encoder.images_encoded
        strangers = [Document(image=two_colours("red", name), id=name) for name in ("blue", "green")]
        hits = mixed.rerank("green", documents=[*strangers, *mixed.get([page(1)])])
        assert encoder.images_encoded == before + 2
        assert hits[0].document is strangers[1]
        for hit in hits:
            assert hit.score == pytest.approx(true_score("green", hit.document, ColourEncoder()), abs=2e-3)
        assert len(mixed) == 7

    def test_another_image_of_a_known_id_is_encoded(self, index, encoder):
        index.add([Document("same", image=two_colours("red", "blue"), id="a")])
        changed = Document("same", image=two_colours("green", "yellow"), id="a")
        assert index.rerank("green", documents=[changed])[0].relevance == pytest.approx(1, abs=1e-3)
        assert encoder.images_encoded == 2
        assert index.rerank("red", documents=[Document("same", id="a")])[0].relevance < 0.9  # the text by itself
        assert encoder.documents_encoded == 1
        assert index.get(["a"])[0].image == PageImage.from_pixels(two_colours("red", "blue"))

    def test_storing_what_is_not_known(self, index, encoder):
        given = [Document(image=two_colours("red", name)) for name in ("blue", "green")]
        for _ in range(3):
            assert index.rerank("green", documents=given, store=True)[0].document is given[1]
        assert encoder.images_encoded == 2
        assert len(index) == 2

    def test_a_page_whose_file_was_moved_is_known_by_its_content(self, index, encoder, tmp_path):
        path = write_picture(tmp_path / "a.png")
        index.add([Document(image=path)])
        moved = shutil.move(path, tmp_path / "b.png")
        index.rerank("red", documents=[Document(image=moved)])
        assert encoder.images_encoded == 1
