"""An index that byaldi wrote: pages, their images, metadata, and what is refused."""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from late_interaction import Document, Index
from late_interaction.errors import CorruptIndexError, IncompatibleEncoderError, InvalidRequestError
from late_interaction.importers import import_index
from late_interaction.importers.byaldi import BYALDI
from late_interaction.importers.foreign import SourceOptions
from tests.fakes import COLOURS, ColourEncoder
from tests.importers.byaldi_source import Byaldi, write_gzip_json

ENCODER = ColourEncoder(rows=4)
NAMES = list(COLOURS)


def page(number):
    """A white page with a colour in one cell."""
    image = Image.new("RGB", (64, 96), "white")
    image.paste(COLOURS[NAMES[number % len(NAMES)]], (8 * (number % 8), 24, 8 * (number % 8) + 8, 48))
    return image


def embedding(number, padding=0):
    (vectors,) = ENCODER.encode_images([page(number)])
    return torch.from_numpy(np.concatenate([vectors, np.zeros((padding, 16), np.float32)])).to(torch.bfloat16)


def made(folder, pages=10, *, images=True, chunk=4, padding=0):
    """Two pages of each document, the documents numbered from the highest."""
    index = Byaldi(images)
    for number in range(pages):
        document = 100 - number // 2
        index.add(
            document,
            1 + number % 2,
            embedding(number, padding),
            image=page(number) if images else None,
            metadata={"lang": "en", "n": document},
            name=f"/scans/{document}.pdf",
        )
    return index.export(folder, chunk)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return made(tmp_path_factory.mktemp("byaldi") / "index")


@pytest.fixture
def copied(source, tmp_path):
    return shutil.copytree(source, tmp_path / "source")


def opened(folder, given=None):
    assert BYALDI.matches(folder)
    return BYALDI.open(folder, SourceOptions(given))


def test_pages_and_images(source, tmp_path):
    report = import_index(source, tmp_path / "index", encoder=ENCODER, verify=3)
    assert (report.format, report.documents, report.encoder) == ("byaldi", 10, "vidore/colqwen2-v1.0")
    assert report.agreement > 0.95
    with Index.open(tmp_path / "index", encoder=ENCODER) as index:
        found = list(index.scan())
        assert [one.id for one in found[:3]] == ["100#page=1", "100#page=2", "99#page=1"]
        assert found[2].metadata == {"page": 1, "doc_id": 99, "source": "/scans/99.pdf", "lang": "en", "n": 99}
        for number, one in enumerate(found):
            shown = np.asarray(one.load_image(), np.int16)
            assert np.abs(shown - np.asarray(page(number), np.int16)).mean() < 12  # a thumbnail
            np.testing.assert_array_equal(
                index.engine.vectors([one.id])[one.id], embedding(number).float().numpy().astype(np.float16)
            )
        assert index.search("yellow", 1)[0].id == "98#page=2"


def test_from_any_position(source):
    whole = list(opened(source).read())
    for start in range(11):
        rest = list(opened(source).read(start))
        assert [one.id for one, _ in rest] == [one.id for one, _ in whole[start:]]
        assert [one.image for one, _ in rest] == [one.image for one, _ in whole[start:]]
        assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(rest, whole[start:], strict=True))


def test_padding_is_left_out_and_counted(tmp_path):
    index = opened(made(tmp_path / "index", padding=3, images=False))
    assert index.tokens == 10 * 17
    assert any("30 zero vectors" in note for note in index.notes)
    assert all(len(vectors) == 17 for _, vectors in index.read())


def test_without_images(tmp_path):
    report = import_index(made(tmp_path / "source", images=False), tmp_path / "index", verify=0)
    assert any("keeps no page images" in note for note in report.notes)
    given = [Document(f"page {number}") for number in range(10)]
    report = import_index(tmp_path / "source", tmp_path / "texts", documents=given, encoder=ENCODER, verify=0)
    assert report.agreement is None  # the texts are not what was encoded
    assert any("was not compared" in note for note in report.notes)


def test_an_encoder_that_does_not_fit(source, tmp_path):
    with pytest.raises(IncompatibleEncoderError, match=r"names the model 'vidore/colqwen2-v1\.0'"):
        import_index(source, tmp_path / "index", encoder=ColourEncoder(name="another", rows=4), verify=0)
    assert not (tmp_path / "index").exists()


def test_images_that_cannot_be_read_are_left_out(copied, tmp_path):
    encoded = json.loads(gzip.decompress((copied / "collection" / "0.json.gz").read_bytes()))
    encoded |= {"1": "not an image", "3": encoded["3"][: len(encoded["3"]) // 2]}
    write_gzip_json(copied / "collection" / "0.json.gz", encoded)
    report = import_index(copied, tmp_path / "index", encoder=ENCODER, verify=3)
    assert (report.documents, report.recall) == (10, 1)
    assert any("2 page images, such as that of 100#page=2 (" in note for note in report.notes)
    with Index.open(tmp_path / "index", read_only=True) as index:
        assert [one.id for one in index.scan() if one.image is None] == ["100#page=2", "99#page=2"]


def test_images_of_some_pages(tmp_path):
    """``store_collection_with_index`` is chosen for each call of `add_to_index`."""
    index = Byaldi(store_images=True)
    for number in range(9):
        index.add(number, 1, embedding(number), image=page(number) if number % 3 == 1 else None)
    found = list(opened(index.export(tmp_path / "index", 2)).read())
    assert [number for number, (one, _) in enumerate(found) if one.image is not None] == [1, 4, 7]


def test_texts_of_the_caller(source):
    given = [Document(f"text {number}", metadata={"n": number, "own": True}) for number in range(9)]
    given.append(Document("last", id="mine"))
    found = [one for one, _ in opened(source, lambda: iter(given)).read()]
    assert [one.text for one in found] == [*(f"text {number}" for number in range(9)), "last"]
    assert [one.id for one in found[-2:]] == ["96#page=1", "mine"]
    assert found[1].metadata["n"] == 1
    assert found[1].metadata["lang"] == "en"
    assert found[1].image is not None
    with pytest.raises(InvalidRequestError, match="9 documents given, and the source has 10"):
        opened(source, lambda: iter(given[:9]))


def test_an_old_index_without_names_and_metadata(copied):
    for name in ("doc_ids_to_file_names.json.gz", "metadata.json.gz"):
        (copied / name).unlink()
    document, _ = next(opened(copied).read())
    assert document.metadata == {"page": 1, "doc_id": 100}


def test_metadata_that_is_a_list(copied):
    """`add_to_index` is annotated with a list, and stores what it gets."""
    write_gzip_json(copied / "metadata.json.gz", {100: [{"a": 1}]})
    document, _ = next(opened(copied).read())
    assert document.metadata["metadata"] == [{"a": 1}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("embed_id_to_doc_id.json.gz", {}),
        ("embed_id_to_doc_id.json.gz", {str(n): {"doc_id": n, "page_id": 1} for n in range(11)}),
        ("embed_id_to_doc_id.json.gz", {str(n): {"doc_id": 0, "page_id": 1} for n in range(10)}),
        ("embed_id_to_doc_id.json.gz", {str(n): {"doc_id": "../x", "page_id": n} for n in range(10)}),
        ("embed_id_to_doc_id.json.gz", {str(n + 1): {"doc_id": n, "page_id": 1} for n in range(10)}),
        ("embed_id_to_doc_id.json.gz", [1]),
        ("metadata.json.gz", {"x": {}}),
        ("metadata.json.gz", {"1": {}, "01": {}}),
        ("metadata.json.gz", {"100": {"n": 2**70}}),
        ("index_config.json.gz", []),
        ("collection/0.json.gz", {"0": 3}),
        ("collection/0.json.gz", {"x": "a"}),
        ("collection/0.json.gz", {"5": "a", "1": "b"}),
        ("collection/0.json.gz", {"100": "a"}),
    ],
)
def test_contradictions(copied, tmp_path, name, content):
    write_gzip_json(copied / name, content)
    with pytest.raises(CorruptIndexError, match="source"):
        import_index(copied, tmp_path / "index", verify=0)


def test_embeddings_of_other_shapes(copied, tmp_path):
    for wrong in ([torch.ones(3)], [torch.ones(2, 8)], [torch.ones(2, 16, dtype=torch.int64)], torch.ones(2, 16)):
        torch.save(wrong, copied / "embeddings" / "embeddings_8.pt")
        with pytest.raises(CorruptIndexError, match=r"embeddings_8\.pt"):
            import_index(copied, tmp_path / "index", verify=0)
    shutil.rmtree(copied / "embeddings")
    with pytest.raises(CorruptIndexError, match=r"contains no embeddings_0\.pt"):
        import_index(copied, tmp_path / "index", verify=0)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"0"',
        b'{"0": "AA',
        b'{"0": "AA"',
        b'{"0": "AA" "1": "BB"}',
        b'{"0": "AA"} x "y"',
        b"[1, 2]",
        b'\xff{"',
    ],
)
def test_a_damaged_collection(copied, content):
    (copied / "collection" / "0.json.gz").write_bytes(gzip.compress(content))
    with pytest.raises(CorruptIndexError, match=r"0\.json\.gz"):
        list(opened(copied).read())


def test_a_bomb_in_the_collection(copied, monkeypatch):
    monkeypatch.setattr("late_interaction.importers.byaldi_pages._MAX_PAGE_CHARACTERS", 1_000_000)
    (copied / "collection" / "0.json.gz").write_bytes(gzip.compress(b'{"0": "' + b"A" * 30_000_000 + b'"}'))
    with pytest.raises(CorruptIndexError, match="more than 1,000,000 characters"):
        list(opened(copied).read())
