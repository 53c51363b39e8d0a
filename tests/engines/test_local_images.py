"""Page images in the local engine: what is kept of them."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from PIL import Image

from late_interaction.documents import Document
from late_interaction.engines import LocalEngine, Record
from late_interaction.errors import CorruptIndexError, ImageUnavailableError
from late_interaction.images import PageImage
from tests.engines.catalogs import change, seal_documents
from tests.engines.helpers import (
    CHILD_ENVIRONMENT,
    DIM,
    documents_of,
    left_over,
    record,
    small_thresholds,
    unit_vectors,
)
from tests.pdfs import Page, text, write_pdf
from tests.pictures import two_colours, write_picture

QUERY = unit_vectors(12345, 4)


def page(document_id, image, words="", tokens=3, **metadata):
    """A record of a page, whose vectors follow from its id as those of other records do."""
    vectors = record(document_id, tokens=tokens).vectors
    return Record(Document(words, image=image, id=document_id, metadata=metadata), vectors)


def on_disk(root, statement):
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def picture(tmp_path):
    return write_picture(tmp_path / "a.png")


@pytest.fixture
def report(tmp_path):
    path = write_pdf(tmp_path / "report.pdf", [Page(text("one")), Page(text("two"), size=(300.5, 200.25))])
    return [PageImage.from_file(path, number) for number in (1, 2)]


def test_what_goes_in_comes_out(root, engine, picture, report):
    records = [
        page("memory", two_colours("red", "blue")),
        page("file", picture, "a text beside it", n=1),
        page("kept", PageImage.from_file(picture).with_thumbnail()),
        page("one", report[0]),
        page("two", report[1].with_thumbnail(), n=2),
        record("text"),
    ]
    expected = [item.document for item in records]
    ids = [document.id for document in expected]
    assert engine.upsert(records) == ids
    thumbnails = [document.image and document.image.thumbnail for document in expected]
    assert [thumbnail is None for thumbnail in thumbnails] == [False, True, False, True, False, True]

    def check(engine):
        for found in (engine.get(ids), list(engine.scan()), [engine.get([name])[0] for name in ids]):
            assert found == expected
            assert [document.image and document.image.thumbnail for document in found] == thumbnails
        assert engine.fetch(engine.search(QUERY, 10)) == dict(zip(ids, expected, strict=True))
        assert documents_of(engine, engine.search_lexical("beside", 10)) == [expected[1]]
        assert documents_of(engine, engine.search(QUERY, 10, where={"n": 2})) == [expected[4]]
        assert engine.verify().problems == ()
        assert engine.count() == 6

    check(engine)
    with LocalEngine.open(root, read_only=True) as reader:
        check(reader)
    engine.compact()
    check(engine)
    engine.close()
    with LocalEngine.open(root) as again:
        check(again)
        assert again.get(["two"])[0].load_image().size == (601, 401)
        (picture.parent / "report.pdf").unlink()
        assert again.get(["two"])[0].load_image().size == (601, 401)
        with pytest.raises(ImageUnavailableError, match="the file does not exist"):
            again.get(["one"])[0].load_image()


def test_the_image_is_replaced_with_its_document(root, engine, picture):
    engine.upsert([page("a", picture), page("b", two_colours("red", "green"))])
    engine.upsert([page("b", picture), record("a")])
    assert engine.get(["a"])[0].image is None
    assert engine.get(["b"])[0].image == PageImage.from_file(picture)
    assert on_disk(root, "SELECT count(*), count(thumbnail) FROM images") == [(1, 0)]
    engine.upsert([page("a", two_colours("blue", "green"))])
    assert on_disk(root, "SELECT count(*), count(thumbnail) FROM images") == [(2, 1)]
    assert engine.get(["a"])[0].load_image().getpixel((2, 2))[2] > 200


def test_the_image_is_deleted_with_its_document(root, engine, picture):
    engine.upsert([page(str(n), picture, n=n) for n in range(6)] + [record("text")])
    assert engine.delete(ids=["0", "5"]) == 2
    assert engine.delete(where={"n": {"$gte": 3}}) == 2
    rows = "SELECT documents.id FROM images JOIN documents ON documents.row = images.document ORDER BY 1"
    assert on_disk(root, rows) == [("1",), ("2",)]
    assert on_disk(root, "SELECT count(*) FROM images") == [(2,)]
    engine.clear()
    assert on_disk(root, "SELECT count(*) FROM images") == [(0,)]


def test_pages_are_compressed_and_merged_as_texts_are(root, picture):
    image = PageImage.from_file(picture)
    with small_thresholds(), LocalEngine.open(root, dim=DIM) as engine:
        for batch in range(8):
            some = [page(f"p{batch}-{n}", image, tokens=4) for n in range(3)]
            engine.upsert([*some, *(record(f"t{batch}-{n}", tokens=4) for n in range(3))])
        engine.delete(ids=[f"p{batch}-0" for batch in range(8)])
        engine.compact()
        documents = {document.id: document for document in engine.scan()}
        assert len(documents) == 40
        assert all((document.image == image) == (name[0] == "p") for name, document in documents.items())
        assert engine.info()["exact_tokens"] == 0
        assert engine.verify().problems == ()
    assert left_over(root) == []


class TestOtherReaders:
    def test_readers_that_were_there_before_the_first_page(self, root, engine):
        engine.upsert([record("text")])
        with LocalEngine.open(root, read_only=True) as reader:
            assert reader.get(["text"])[0].image is None
            engine.upsert([page("page", two_colours("red", "blue"))])
            assert reader.get(["page"])[0].load_image().size == (40, 20)
            assert [document.image is not None for document in reader.scan()] == [False, True]

    def test_another_process_sees_them(self, root, engine):
        engine.upsert([page("page", two_colours("red", "blue"))])
        code = (
            "import sys; from late_interaction.engines import LocalEngine\n"
            "with LocalEngine.open(sys.argv[1], read_only=True) as e: print(e.get(['page'])[0].load_image().size)"
        )
        command = [sys.executable, "-c", code, str(root)]
        done = subprocess.run(command, capture_output=True, text=True, env=CHILD_ENVIRONMENT, timeout=60, check=True)
        assert done.stdout == "(40, 20)\n"


class TestDamage:
    @pytest.fixture
    def damaged(self, root):
        """An index with one page, and a function that puts something else in the place of its image."""
        with LocalEngine.open(root, dim=DIM) as engine:
            engine.upsert([page("page", two_colours("red", "blue")), record("text")])
        image = json.loads(on_disk(root, "SELECT image FROM images")[0][0])

        def damage(value):
            if isinstance(value, dict):
                value = json.dumps({key: item for key, item in (image | value).items() if item != "left out"})
            assert change(root, "UPDATE images SET image = ?", value) == 1
            if isinstance(value, str):
                seal_documents(root)  # what is meant is an image that a release would not write

        return damage

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "{",
            "[]",
            "null",
            "5",
            '"text"',
            "{}",
            b"\xff\xfe",
            {"digest": "left out"},
            {"other": 1},
            {"_pixels": "x"},
            {"_thumbnail": "x"},
            {"digest": 5},
            {"path": 5},
            {"page": "one"},
            {"page": None},
            {"width": "wide"},
            {"width": None},
            {"width": 0},
            {"height": -1},
            {"has_thumbnail": "no"},
        ],
    )
    def test_an_image_that_is_none(self, root, damaged, value):
        damaged(value)
        with LocalEngine.open(root) as engine:
            for read in (
                lambda: engine.get(["page"]),
                lambda: list(engine.scan()),
                lambda: engine.fetch(engine.search(QUERY, 5)),
                lambda: list(engine.scan(fields=["image"])),
            ):
                with pytest.raises(CorruptIndexError, match="page"):
                    read()
            assert engine.get(["text"])[0].text == "text of text"
            assert engine.delete(ids=["page"]) == 1
            assert [document.id for document in engine.scan()] == ["text"]

    def test_verify_finds_it(self, root, damaged):
        damaged('{"digest": "x"}')
        with LocalEngine.open(root) as engine:
            assert any("page" in problem for problem in engine.verify().problems)

    @pytest.mark.parametrize("thumbnail", [b"", b"not WebP", None])
    def test_a_damaged_thumbnail(self, root, engine, thumbnail):
        engine.upsert([page("page", two_colours("red", "blue"))])
        change(root, "UPDATE images SET thumbnail = ?", thumbnail)
        seal_documents(root)
        with pytest.raises(ImageUnavailableError):
            engine.get(["page"])[0].load_image()

    def test_a_thumbnail_that_was_cut_off(self, root, engine):
        engine.upsert([page("page", Image.effect_noise((500, 500), 80))])
        change(root, "UPDATE images SET thumbnail = substr(thumbnail, 1, 3000)")
        seal_documents(root)
        with pytest.raises(ImageUnavailableError):
            engine.get(["page"])[0].load_image()
