"""What hits, lists of hits, documents, explanations and indexes look like in notebooks and terminals."""

from __future__ import annotations

import copy
import pickle
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from late_interaction import Document, Hit, Index
from late_interaction.documents import Hits
from tests.fakes import ColourEncoder
from tests.pictures import write_picture

HOSTILE = "<script>alert('x')</script><img src=http://evil/x onerror=\"y()\">&amp;"


class Parsed(HTMLParser):
    """Tags, attributes and text of a piece of HTML; tags must be closed in order."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.words, self._open = [], [], [], []
        self.feed(source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag != "img":
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)

    @property
    def images(self):
        return [value for name, value in self.attributes if name == "src"]


@pytest.fixture
def index(tmp_path, word_encoder):
    with Index.open(tmp_path / "index", encoder=word_encoder) as opened:
        opened.add([Document("The Nile flows.", id="nile", metadata={"km": 6650}), Document(HOSTILE, id=HOSTILE)])
        yield opened


@pytest.fixture
def pages(tmp_path):
    with Index.open(tmp_path / "pages", encoder=ColourEncoder()) as opened:
        for number in range(12):
            path = write_picture(tmp_path / f"{number}.png", Image.new("RGB", (1200, 800), (200, 10 * number, 0)))
            opened.add([Document("Text on it.", image=path, id=f"page {number}")])
        yield opened


class TestNotebook:
    def test_a_hit(self, index):
        shown = Parsed(index.search("Nile", 1)[0]._repr_html_())
        assert re.search(r"1 +\d+\.\d\d +\d\.\d\d +nile +The Nile flows\. +\{\"km\": 6650\}", shown.text)

    def test_hits_are_a_table(self, index):
        hits = index.search("Nile", 2)
        shown = Parsed(hits._repr_html_())
        assert shown.tags.count("tr") == 3
        assert shown.text.index("nile") < shown.text.index("<script>")
        assert "2 hits" in shown.text

    def test_text_is_escaped(self, index):
        (hit,) = index.search("script", 1)
        hit = Hit(Document(HOSTILE, id=HOSTILE, metadata={HOSTILE: [HOSTILE]}), hit.score, hit.relevance)
        shown = Parsed(hit._repr_html_())
        assert {"script", "img"}.isdisjoint(shown.tags)
        assert shown.text.count(HOSTILE) == 2
        assert {name for name, _ in shown.attributes} == {"class", "style", "dir"}

    def test_pages_have_small_images_and_only_the_first_ten(self, pages):
        hits = pages.search("red", 12)
        html = hits._repr_html_()
        shown = Parsed(html)
        assert len(shown.images) == 10
        assert all(source.startswith("data:image/jpeg;base64,") for source in shown.images)
        assert len(html) < 200_000

    def test_a_page_whose_file_is_gone_says_so(self, pages, tmp_path):
        (hit,) = pages.search("red", 1)
        for path in tmp_path.glob("*.png"):
            path.unlink()
        shown = Parsed(hit._repr_html_())
        assert shown.images == []
        assert "the file does not exist" in shown.text

    def test_lengths_are_bounded(self):
        document = Document("word " * 10_000, metadata={"key": "value " * 10_000})
        html = Hits([Hit(document, 1.0, 0.5)] * 1000)._repr_html_()
        assert len(html) < 100_000
        assert "950 more hits" in html

    def test_an_index(self, index):
        shown = Parsed(index._repr_html_()).text
        assert str(index.path) in shown
        assert re.search(r"documents +2 ", shown)
        assert re.search(r"encoder +custom ", shown)
        assert re.search(r"size +\d+\.\d MB", shown)
        index.close()
        assert index._repr_html_() is None  # so that a notebook shows the repr

    def test_no_hits(self, index):
        assert "0 hits" in index.search("", 1)._repr_html_()


class TestHits:
    def test_are_a_list(self, index):
        hits = index.search("Nile", 2)
        assert isinstance(hits, list)
        assert hits == list(hits)
        assert index.search("") == []
        assert isinstance(hits[:1], Hits)
        assert hits[:1] == [hits[0]]
        assert isinstance(hits[-1], Hit)
        assert pickle.loads(pickle.dumps(hits)) == copy.copy(hits) == hits

    def test_of_every_search(self, index):
        found = [
            index.search("Nile"),
            *index.search_many(["Nile", "x"]),
            index.rerank("Nile", ids=["nile"]),
            index.rerank("Nile", documents=["Nile"]),
        ]
        assert all(isinstance(hits, Hits) for hits in found)


class TestTerminal:
    def test_a_hit_is_one_short_line(self, index):
        shown = repr(index.search("Nile", 1)[0])
        assert re.fullmatch(
            r"Hit\(score=\d\.\d{4}, relevance=\d\.\d{4}, id='nile', text='The Nile flows\.', metadata={'km': 6650}\)",
            shown,
        )
        document = Document("line\n" * 10_000, id="x", metadata={"key": "value " * 10_000})
        for value in (Hit(document, 1.0, 1.0), document):
            assert len(repr(value)) < 300
            assert "\n" not in repr(value)

    def test_a_page(self, pages, tmp_path):
        shown = repr(pages.search("red", 1)[0])
        assert f"image=page 1 of '{tmp_path}" in shown
        assert len(shown) < 300 + len(str(tmp_path))

    def test_an_explanation_shows_no_vectors(self, index, pages):
        for explanation in (index.explain("Nile", "nile"), pages.explain("red", "page 1")):
            assert "array" not in repr(explanation)
            assert "query_word=" in repr(explanation)
