"""Documents without vectors, unusual ids and texts, pages of 1,030 vectors, thumbnails."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.engines import Record
from late_interaction.images import PageImage
from tests.conformance.helpers import DIM, Truth, ids_of, needs, record, unit_vectors
from tests.pictures import two_colours

NOTHING = np.zeros((0, DIM), np.float32)
QUERY = unit_vectors(1, 3)
IDS = [
    *(
        "a/b",
        "../../etc/passwd",
        "C:\\temp",
        "with space",
        " leading",
        "trailing ",
        "line\nbreak",
        "tab\t",
        "\x00",
        "a\x00b",
    ),
    *(
        "é",
        "e\u0301",
        "😀",
        "\u202e",
        "ﬁ",
        "'; DROP TABLE documents; --",
        '"',
        "%",
        "_",
        "*",
        "$where",
        "{}",
        "[]",
        "#?&=+",
    ),
    *("0", "00", "-1", "1", "1.0", "1e0", "True", "true", "null", "None", "18446744073709551615"),
    "6F9619FF-8B86-D011-B42D-00CF4FC964FF",
    "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "6f9619ff8b86d011b42d00cf4fc964ff",
    "{6f9619ff-8b86-d011-b42d-00cf4fc964ff}",
    "urn:uuid:6f9619ff-8b86-d011-b42d-00cf4fc964ff",
    "x" * 3000,
    "x" * 3001,
]


class TestWithoutVectors:
    def test_they_are_stored(self, engine):
        given = [record("empty", vectors=NOTHING), record("full")]
        engine.upsert(given)
        assert engine.count() == 2
        assert engine.get(["empty"]) == [given[0].document]
        assert ids_of(engine.scan()) == ["empty", "full"]
        assert engine.delete(ids=["empty"]) == 1

    def test_they_score_zero(self, engine):
        engine.upsert([record("empty", vectors=NOTHING), record("full")])
        assert engine.score(QUERY, ["empty"]) == {"empty": 0.0}
        found = {match.id: match.score for match in engine.search(QUERY, 2)}
        assert found.keys() == {"empty", "full"}
        assert found["empty"] == 0.0
        assert engine.search(QUERY, 1, candidates=["empty"])[0].score == 0.0
        assert list(engine.fetch(engine.search(QUERY, 5, candidates=["empty"]))) == ["empty"]

    def test_zero_is_better_than_less(self, engine):
        """So a search for one gives the document without vectors, not the opposite of what was asked."""
        query = unit_vectors(1, 1)
        engine.upsert([record("away", vectors=-query), record("empty", vectors=NOTHING)])
        assert engine.score(query, ["away", "empty"]) == {"away": pytest.approx(-1, abs=0.1), "empty": 0.0}
        assert ids_of(engine.search(query, 2)) == ["empty", "away"]
        assert ids_of(engine.search(query, 1)) == ["empty"]

    def test_a_collection_of_nothing_else(self, engine):
        engine.upsert([record(f"d{number}", vectors=NOTHING, n=number) for number in range(5)])
        assert [match.score for match in engine.search(QUERY, 3)] == [0.0] * 3
        assert ids_of(engine.search(QUERY, 9, where={"n": 2})) == ["d2"]
        assert len(engine.search(QUERY, 9)) == 5

    def test_vectors_come_and_go(self, engine):
        engine.upsert([record("a", vectors=NOTHING)])
        engine.upsert([record("a", vectors=QUERY)])
        assert engine.search(QUERY, 1)[0].score == pytest.approx(3, abs=0.1)
        engine.upsert([record("a", vectors=NOTHING)])
        assert engine.search(QUERY, 1)[0].score == 0.0

    def test_their_vectors(self, engine):
        needs(engine, "vectors")
        engine.upsert([record("empty", vectors=NOTHING), record("full")])
        assert engine.vectors(["empty"])["empty"].shape == (0, DIM)
        assert engine.records(["empty"])["empty"].vectors.shape == (0, DIM)


class TestIds:
    @pytest.fixture
    def odd(self, engine):
        assert engine.upsert([record(name, number=place) for place, name in enumerate(IDS)]) == IDS
        return engine

    def test_each_is_a_document_of_its_own(self, odd):
        assert odd.count() == len(IDS)
        assert ids_of(odd.scan()) == IDS
        assert [document.metadata["number"] for document in odd.get(IDS)] == list(range(len(IDS)))

    def test_they_are_found_and_fetched(self, odd):
        for name in IDS:
            found = odd.search(record(name).vectors, 3, candidates=[name, "another"])
            assert ids_of(found) == [name]
            assert odd.fetch(found)[name].id == name
        some = IDS[:15]
        assert sorted(odd.score(QUERY, some)) == sorted(some)

    def test_they_are_replaced_and_deleted(self, odd):
        for name in IDS[::3]:
            odd.upsert([record(name, text="new")])
            assert odd.get([name])[0].text == "new"
        assert odd.count() == len(IDS)
        for left, name in enumerate(reversed(IDS)):
            assert odd.count() == len(IDS) - left
            assert odd.delete(ids=[name]) == 1

    def test_vectors(self, odd):
        needs(odd, "vectors")
        assert list(odd.vectors(IDS)) == IDS
        assert list(odd.records(IDS)) == IDS


DOCUMENTS = [
    Document("", id="empty text"),
    Document("a\x00b", id="NUL"),
    Document("😀 é e\u0301 \u202e ﬁ \r\n\t", id="unicode"),
    Document("x" * 200_000, id="long"),
    Document("shown", id="encoded", encoded_text="title: shown"),
    Document("shown", id="encoded as nothing", encoded_text=""),
    Document(
        "metadata",
        id="metadata",
        metadata={
            "int": 2**53 + 1,
            "negative": -(2**63),
            "float": 0.1 + 0.2,
            "whole": 1.0,
            "small": 5e-324,
            "true": True,
            "none": None,
            "text": "é\x00😀",
            "nested": {"list": [1, [2.5, None], {"deep": {}}], "empty": []},
            "": "no name",
            "a.b": "dots",
            "_private": {"kept": True},
        },
    ),
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.id)
def test_documents_come_back_as_they_were(engine, document):
    engine.upsert([Record(document, unit_vectors(1, 2)), record("other")])
    (found,) = engine.get([document.id])
    fetched = engine.fetch(engine.search(unit_vectors(1, 2), 1, candidates=[document.id]))[document.id]
    (scanned,) = [one for one in engine.scan() if one.id == document.id]
    for one in (found, fetched, scanned):
        assert one == document
        assert types_of(one.metadata) == types_of(document.metadata)
        assert one.encoded_text == document.encoded_text


def types_of(value):
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    return [types_of(item) for item in value] if isinstance(value, list) else type(value)


def test_pages_of_1030_vectors(engine):
    given = [record(f"p{number}", tokens=1030) for number in range(6)]
    engine.upsert(iter(given))
    truth = Truth(engine, given)
    for query in (unit_vectors(5, 20), given[3].vectors[:30]):
        truth.check_best(query, engine.search(query, 6), 6)
        assert engine.score(query, ["p1"]) == pytest.approx(truth.scores(query, ["p1"]), abs=truth.tolerance(query))
    assert ids_of(engine.search(given[3].vectors[:30], 1)) == ["p3"]
    assert ids_of(engine.search(given[3].vectors[:30], 1, where={"n": 1})) == []


class TestThumbnails:
    @pytest.fixture
    def page(self):
        return Document("a page", id="page", image=PageImage.from_pixels(two_colours("red", "blue", (400, 200))))

    def check(self, found, page):
        assert found == page
        assert found.image.thumbnail == page.image.thumbnail
        image = found.load_image()
        assert image.size == (400, 200)
        assert image.getpixel((10, 10))[0] > 200 > 60 > image.getpixel((10, 10))[2]

    def test_they_come_back(self, engine, page):
        engine.upsert([Record(page, unit_vectors(1, 40)), record("text")])
        self.check(engine.get(["page"])[0], page)
        self.check(next(one for one in engine.scan() if one.id == "page"), page)
        self.check(engine.fetch(engine.search(unit_vectors(1, 3), 1, candidates=["page"]))["page"], page)
        assert engine.get(["text"])[0].image is None

    def test_with_their_vectors(self, engine, page):
        needs(engine, "vectors")
        engine.upsert([Record(page, unit_vectors(1, 40))])
        self.check(engine.records(["page"])["page"].document, page)

    def test_after_reopening(self, case, folder, page):
        engine = case.make(folder, DIM)
        engine.upsert([Record(page, unit_vectors(1, 40))])
        engine.close()
        engine = case.reopen(folder)
        self.check(engine.get(["page"])[0], page)
        engine.close()

    def test_a_page_that_becomes_a_text(self, engine, page):
        engine.upsert([Record(page, unit_vectors(1, 40))])
        engine.upsert([record("page", text="a text")])
        assert engine.get(["page"])[0].image is None

    def test_a_reference_without_a_thumbnail(self, engine, tmp_path):
        path = tmp_path / "page.png"
        two_colours("red", "blue").save(path)
        document = Document(image=path, id="page")
        engine.upsert([Record(document, unit_vectors(1, 40))])
        (found,) = engine.get(["page"])
        assert found == document
        assert found.image.thumbnail is None
        assert found.image.path == str(path)

    def test_a_scan_of_other_fields_has_no_image(self, engine, page):
        engine.upsert([Record(page, unit_vectors(1, 40))])
        (found,) = engine.scan(fields=("text",))
        assert (found.text, found.image) == ("a page", None)
        (found,) = engine.scan(fields=("image",))
        assert (found.text, found.image) == (None, page.image)
