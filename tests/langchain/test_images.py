"""Images in and images asked, as in Chroma: files, or images in memory, and never URLs."""

from __future__ import annotations

import pytest
from PIL import Image

from late_interaction import Index
from late_interaction.errors import InvalidDocumentError, InvalidRequestError, LateInteractionError, UnsupportedError
from late_interaction.langchain import LateInteractionVectorStore, image_block
from tests.fakes import COLOURS


@pytest.fixture
def files(tmp_path):
    """A file of one colour, for each of three."""
    for name in ("red", "green", "blue"):
        Image.new("RGB", (64, 32), COLOURS[name]).save(tmp_path / f"{name}.png")
    return {name: tmp_path / f"{name}.png" for name in ("red", "green", "blue")}


@pytest.fixture
def images(tmp_path, colour_encoder):
    """An empty store that reads images."""
    with Index.open(tmp_path / "images", encoder=colour_encoder) as index:
        yield LateInteractionVectorStore(index=index)


class TestAdding:
    async def test_files_and_images(self, images, files):
        given = [str(files["red"]), files["green"]]
        assert images.add_images(given, [{"n": 1}, {"n": 2}], ids=["r", "g"]) == ["r", "g"]
        assert await images.aadd_images(uris=[Image.new("RGB", (64, 32), COLOURS["blue"])], ids=["b"]) == ["b"]
        (found,) = images.similarity_search("green", k=1)
        assert (found.id, found.metadata["n"], found.page_content) == ("g", 2, "")
        assert image_block(found)["mime_type"] == "image/jpeg"
        assert found.metadata["_page_image"]["path"] == str(files["green"])
        assert images.similarity_search("blue", k=1)[0].id == "b"

    def test_ids_are_of_the_content(self, images, files):
        ids = images.add_images(files.values(), [{}, {}, None])
        assert len(set(ids)) == 3
        assert images.add_images([files["red"], files["green"]], [{}, {}], ids=[None, "g"]) == [ids[0], "g"]

    @pytest.mark.parametrize(
        "url", ["https://example.org/a.png", "file:///etc/passwd", "s3://bucket/a.png", "data:image/png;base64,AAAA"]
    )
    def test_urls_are_never_fetched(self, images, url):
        with pytest.raises(InvalidDocumentError, match="URL"):
            images.add_images([url])
        with pytest.raises(InvalidDocumentError, match="URL"):
            images.similarity_search_by_image(url)
        assert len(images.index) == 0

    def test_what_is_no_image_adds_nothing(self, images, files, report):
        for bad in ("nowhere.png", __file__, report, 7, None):
            with pytest.raises(LateInteractionError):
                images.add_images([files["red"], bad])
        with pytest.raises(InvalidRequestError, match=r"pass `\["):
            images.add_images(str(files["red"]))
        with pytest.raises(InvalidRequestError, match="metadatas has 1 entries for 2"):
            images.add_images([files["red"], files["blue"]], [{}])
        assert len(images.index) == 0

    def test_an_encoder_that_reads_text_alone(self, store, files):
        with pytest.raises(UnsupportedError, match="no encoder that reads images"):
            store.add_images([files["red"]])


class TestAsking:
    @pytest.fixture
    def filled(self, images, files):
        images.add_images(files.values(), [{"n": 1}, {"n": 2}, {"n": 3}], ids=files)
        return images

    @pytest.mark.parametrize("given", [str, lambda path: path, Image.open], ids=["str", "Path", "PIL"])
    async def test_the_most_like_image_comes_first(self, filled, files, given):
        for name, path in files.items():
            found = filled.similarity_search_by_image(given(path), k=1)
            assert [document.id for document in found] == [name]
            assert await filled.asimilarity_search_by_image(given(path), k=1) == found

    async def test_relevances(self, filled, files):
        hits = filled.index.search(Image.open(files["red"]), 3)
        found = filled.similarity_search_by_image_with_relevance_score(files["red"], k=3)
        assert [(document.id, score) for document, score in found] == [(hit.id, hit.relevance) for hit in hits]
        assert found[0][1] == pytest.approx(1, abs=1e-3)
        assert await filled.asimilarity_search_by_image_with_relevance_score(files["red"], k=3) == found

    def test_arguments_of_a_search(self, filled, files):
        found = filled.similarity_search_by_image(files["red"], filter={"n": {"$gt": 1}})
        assert {document.id for document in found} == {"green", "blue"}
        assert [document.id for document in filled.similarity_search_by_image(files["red"], score_threshold=0.99)] == [
            "red"
        ]
        assert len(filled.similarity_search_by_image(files["red"], k=3, offset=1)) == 2
        with pytest.raises(InvalidRequestError, match="similarity_search_by_image has no argument 'namespace'"):
            filled.similarity_search_by_image(files["red"], namespace="a")
        with pytest.raises(InvalidRequestError):
            filled.similarity_search_by_image(files["red"], mode="lexical")


def test_asking_an_encoder_that_reads_text_alone(store, files):
    with pytest.raises(LateInteractionError, match="encodes text only"):
        store.similarity_search_by_image(files["red"])
