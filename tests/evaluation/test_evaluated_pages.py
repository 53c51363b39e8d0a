"""Pages as documents and as queries, and engines without lexical search."""

from __future__ import annotations

import pytest
from PIL import Image

from late_interaction import Document, Index
from late_interaction.errors import InvalidRequestError, UnsupportedError
from late_interaction.evaluation import JudgedQuery, evaluate
from tests.conformance.weak_engines import WeakEngine
from tests.fakes import ColourEncoder, WordEncoder

COLOURS = ["red", "green", "blue", "yellow"]


def page(colour):
    return Image.new("RGB", (64, 64), colour)


@pytest.fixture
def pages(tmp_path):
    with Index.open(tmp_path / "pages", encoder=ColourEncoder()) as index:
        index.add([Document(image=page(colour), id=colour) for colour in COLOURS])
        yield index


def test_lexical_search_is_left_out_of_pages_without_text(pages):
    queries = [{"query": colour, "relevant": colour} for colour in COLOURS]
    report = evaluate(pages, queries)
    assert [system.name for system in report.systems] == ["late"]
    assert report.systems[0].intervals["mrr@10"].mean == 1
    assert any("left out" in note and "pages without text" in note for note in report.notes)
    with pytest.raises(InvalidRequestError, match="pages without text"):
        evaluate(pages, queries, systems=["lexical"])


def test_queries_may_be_pages(pages):
    queries = [JudgedQuery(colour, Document(image=page(colour)), {colour: 1}) for colour in COLOURS]
    encoder = pages.encoder
    before = encoder.images_encoded
    report = evaluate(pages, queries, systems=["late", "pooled"])
    assert encoder.images_encoded - before == len(COLOURS)
    assert [system.intervals["mrr@10"].mean for system in report.systems] == [1, 1]
    assert any("have no text" in note for note in evaluate(pages, queries).notes)
    with pytest.raises(InvalidRequestError, match="4 of 4 queries"):
        evaluate(pages, queries, sparse=[object()])


def test_some_pages_have_text(pages):
    pages.add([Document("a red boat", image=page("red"), id="boat")])
    report = evaluate(pages, [{"query": "boat", "relevant": "boat"}], systems=["lexical"])
    assert report.systems[0].intervals["mrr@10"].mean == 1
    assert any("4 of 5 documents are pages without text" in note for note in report.notes)


def test_an_engine_without_lexical_search(tmp_path):
    index = Index(engine=WeakEngine.open(tmp_path, dim=16), encoder=WordEncoder())
    index.add([Document("a red boat", id="boat"), Document("a blue sea", id="sea")])
    queries = [{"query": "boat", "relevant": "boat"}]
    report = evaluate(index, queries)
    assert [system.name for system in report.systems] == ["late"]
    assert report.systems[0].result.bytes_per_document is None
    assert any("left out" in note for note in report.notes)
    assert any("late (20)" in note for note in report.notes)
    with pytest.raises(UnsupportedError):
        evaluate(index, queries, systems=["hybrid"])
