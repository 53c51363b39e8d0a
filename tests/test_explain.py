"""Explanations: the right words, at the right places, with the score of the search, in HTML that cannot be broken."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from late_interaction import Document, Index
from late_interaction.errors import MissingEncoderError
from late_interaction.explanations.words import explain
from tests.fakes import WordEncoder

TEXT = "Cats chase mice; dogs chase Cats. The end"


@pytest.fixture
def index(tmp_path, word_encoder):
    with Index.open(tmp_path / "index", encoder=word_encoder) as index:
        index.add([Document(TEXT, id="pets"), Document("...", id="mute")])
        yield index


class Page(HTMLParser):
    """What a browser would make of HTML: the text of each element, and every tag with its attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.texts = [], [], {}
        self.feed(html)
        self.close()
        assert self.open == [], "elements are left open"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open.append(tag)
        self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag][-1] += data

    def attributes(self, wanted):
        return [attributes for tag, attributes in self.tags if tag == wanted]


def brute_force(query, text):
    """For each word of the query: where the word of the text with the greatest cosine is, and that cosine."""
    encoder = WordEncoder()
    stored = [
        (word, encoder.vector(word[0]).astype(np.float16).astype(np.float64)) for word in re.finditer(r"\w+", text)
    ]
    for asked in re.findall(r"\w+", query):
        cosines = [float(np.dot(encoder.vector(asked), vector)) for _, vector in stored]
        best = int(np.argmax(cosines))
        yield asked, stored[best][0], cosines[best]


def explained(text, query, similarities, query_spans, document_spans, **fields):
    return explain(
        query, Document(text, id="x", **fields), np.array(similarities, np.float32), query_spans, document_spans
    )


def test_equal_words_meet(index):
    explanation = index.explain("dogs eat mice", "pets")
    dogs, _, mice = explanation.spans
    assert (dogs.query_word, dogs.document_word, dogs.start, dogs.end) == ("dogs", "dogs", 17, 21)
    assert (mice.query_word, mice.document_word, mice.start, mice.end) == ("mice", "mice", 11, 15)
    assert dogs.similarity == pytest.approx(1, abs=1e-3)
    assert mice.similarity == pytest.approx(1, abs=1e-3)
    assert explanation.query == "dogs eat mice"
    assert explanation.document == Document(TEXT, id="pets")


@pytest.mark.parametrize("query", ["dogs eat mice", "A zebra at the END", "mice", "cats; dogs?"])
def test_every_word_of_the_query_meets_its_best(index, query):
    explanation = index.explain(query, "pets")
    assert len(explanation.spans) == len(re.findall(r"\w+", query))
    for span, (asked, best, cosine) in zip(explanation.spans, brute_force(query, TEXT), strict=True):
        assert span.query_word == asked
        assert (span.start, span.end, span.document_word) == (*best.span(), best[0])
        assert explanation.text[span.start : span.end] == span.document_word
        assert span.similarity == pytest.approx(cosine, abs=1e-3)


@pytest.mark.parametrize("query", ["dogs eat mice", "zebra", "?", " "])
@pytest.mark.parametrize("found", ["pets", "mute"])
def test_score_is_that_of_the_search(index, query, found):
    explanation = index.explain(query, found)
    scores = {hit.id: hit.score for hit in index.search(query, k=2)}
    assert explanation.score == pytest.approx(scores.get(found, 0), abs=1e-3)
    tokens = len(re.findall(r"\w+", query))
    assert explanation.similarities.shape == (tokens, 8 if found == "pets" else 0)
    if found == "pets":
        assert sum(cosine for *_, cosine in brute_force(query, TEXT)) == pytest.approx(explanation.score, abs=1e-3)
    else:
        assert explanation.spans == ()


def test_a_word_asked_twice_is_told_once(index):
    explanation = index.explain("dogs, dogs and DOGS", "pets")
    assert [span.query_word for span in explanation.spans] == ["dogs", "dogs", "and", "DOGS"]
    assert len(explanation.highlights()) == len({(span.start, span.end) for span in explanation.spans})


def test_highlights_are_the_best_of_each_place_in_order():
    spans = [(0, 1), (2, 3), (4, 5)]
    explanation = explained("a b c", "x y z", [[0, 0, 0.9], [0.4, 0, 0], [0, 0, 0.7]], spans, spans)
    assert [(span.query_word, span.document_word) for span in explanation.spans] == [("x", "c"), ("y", "a"), ("z", "c")]
    assert list(explanation.highlights().items()) == [
        ((0, 1), pytest.approx(0.4)),
        ((4, 5), pytest.approx(0.9)),
    ]


def test_pieces_of_a_word_are_the_word():
    text, query = "an unbelievable tale", "believe it"
    document_spans = [None, (0, 2), (3, 5), (5, 12), (12, 15), (16, 20), None]
    query_spans = [None, (0, 6), (6, 7), (8, 10), None]
    similarities = np.full((5, 7), 0.1)
    similarities[1, 3], similarities[2, 4], similarities[3, 1] = 0.9, 0.95, 0.5
    believe, it = explained(text, query, similarities, query_spans, document_spans).spans
    assert (believe.query_word, believe.document_word) == ("believe", "unbelievable")
    assert (believe.start, believe.end, believe.similarity) == (3, 15, pytest.approx(0.95))
    assert (it.query_word, it.document_word) == ("it", "an")


def test_writing_without_spaces_is_not_one_word():
    explanation = explained("東京都に行く", "京都", [[0.9, 0.2, 0.1]], [(0, 2)], [(0, 2), (2, 3), (3, 6)])
    assert [(span.document_word, span.query_word) for span in explanation.spans] == [("東京", "京都")]


def test_markers_and_punctuation_score_but_match_no_word():
    # Query: marker, word, question mark. Document: marker, word.
    explanation = explained(
        "word", "ask?", [[0.9, 0.1], [0.8, 0.7], [0.3, 0.6]], [None, (0, 3), (3, 4)], [None, (0, 4)]
    )
    assert explanation.score == pytest.approx(0.9 + 0.8 + 0.6)
    assert [(span.query_word, span.document_word, span.similarity) for span in explanation.spans] == [
        ("ask", "word", pytest.approx(0.7))
    ]


def test_explains_the_encoded_text(index):
    index.add([Document("the body", id="x", encoded_text="Title: zebras\nthe body")])
    explanation = index.explain("zebras", "x")
    assert explanation.text == "Title: zebras\nthe body"
    assert explanation.spans[0].document_word == "zebras"
    assert explanation.document.text == "the body"
    assert Page(explanation.to_html()).texts["p"] == ["Title: zebras\nthe body"]


def test_html_is_escaped_and_self_contained(index):
    attack = "<script>alert(1)</script> & \"quotes\" <img src='x' onerror='y'> dogs</mark></p>"
    index.add([Document(attack, id="<b onclick='z'>\"id\"&")])
    html = index.explain("dogs <script>alert</script> <i>", "<b onclick='z'>\"id\"&").to_html()
    page = Page(html)
    assert {tag for tag, _ in page.tags} <= {"figure", "figcaption", "b", "small", "p", "mark", "span", "div"}
    assert page.texts["p"] == [attack]
    assert "dogs" in page.texts["mark"]
    assert "dogs <script>alert</script> <i>" in page.texts["figcaption"][0]
    assert "<b onclick='z'>\"id\"&" in page.texts["figcaption"][0]
    for _, attributes in page.tags:
        assert set(attributes) <= {"class", "style", "title"}
        assert "url(" not in (attributes.get("style") or "")


def test_marked_words_are_escaped():
    text = "a <b c"  # a token that has the sign in it
    page = Page(explained(text, "b", [[0.9]], [(0, 1)], [(2, 4)]).to_html())
    assert page.texts["mark"] == ["<b"]
    assert page.texts["p"] == [text]


def test_notebooks_show_the_html(index):
    explanation = index.explain("dogs", "pets")
    assert explanation._repr_html_() == explanation.to_html()
    assert Page(explanation.to_html()).texts["mark"] == ["dogs"]


def test_stronger_matches_are_deeper():
    similarities = [[0.9, -1, -1, -1], [-1, 0.5, -1, -1], [-1, -1, 0.1, -1], [-0.9, -0.9, -0.9, -0.3]]
    spans = [(0, 1), (2, 3), (4, 5), (6, 7)]
    marks = Page(explained("a b c d", "a b c d", similarities, spans, spans).to_html()).attributes("mark")
    depths = [float(re.search(r"rgba\(.*, *([\d.]+)\)", mark["style"])[1]) for mark in marks]
    assert depths[0] > depths[1] > depths[2] >= depths[3] == 0


def test_similarity_below_zero_stays_what_it_is():
    explanation = explained("a", "b", [[-0.25]], [(0, 1)], [(0, 1)])
    assert explanation.spans[0].similarity == pytest.approx(-0.25)
    assert list(explanation.highlights().values()) == [pytest.approx(-0.25)]


def test_pieces_that_begin_with_punctuation_are_not_told_twice():
    # As SentencePiece may cut ".com": the first piece is of the word too, but begins before it.
    spans = [(0, 2), (2, 4)]
    explanation = explained(".com", "a bc", [[0.9, 0.1], [0.1, 0.9]], [(0, 1), (2, 4)], spans)
    assert Page(explanation.to_html()).texts["p"] == [".com"]


@st.composite
def tokenized(draw, text):
    """Spans that follow each other without overlap, as tokenizers give them."""
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    return [None, *(span for span in pairwise(cuts) if draw(st.integers(0, 3)))]


@given(st.data())
def test_html_holds_the_text_whatever_the_tokens(data):
    text = data.draw(st.text("ab.<é日", min_size=1, max_size=6))
    query = data.draw(st.text("ab ", min_size=1, max_size=6))
    query_spans, document_spans = data.draw(tokenized(query)), data.draw(tokenized(text))
    seed = data.draw(st.integers(0, 99))
    similarities = np.random.default_rng(seed).uniform(-1, 1, (len(query_spans), len(document_spans)))
    explanation = explained(text, query, similarities, query_spans, document_spans)
    for span in explanation.spans:
        assert text[span.start : span.end] == span.document_word != ""
        assert span.query_word in query
    assert Page(explanation.to_html()).texts["p"] == [text]


def test_minilm(tmp_path, minilm):
    text = "The Nile is a river. Its unbelievable length: 6650 km."
    with Index.open(tmp_path / "index", encoder=minilm) as index:
        index.add([Document(text, id="nile")])
        explanation = index.explain("African rivers, how long?", "nile")
        assert explanation.score == pytest.approx(index.search("African rivers, how long?")[0].score, abs=1e-3)
    met = {span.query_word: span.document_word for span in explanation.spans}
    assert met["rivers"] == "river"
    assert met["long"] == "length"
    assert all(text[span.start : span.end] == span.document_word for span in explanation.spans)
    assert all(span.document_word in re.findall(r"\w+", text) for span in explanation.spans)
    assert Page(explanation.to_html()).texts["p"] == [text]


def test_encoder_without_spans_cannot_explain(tmp_path):
    class Spanless:
        dim, fingerprint = 16, {"model": "spanless"}
        encode_queries = encode_documents = staticmethod(WordEncoder().encode_queries)

    with Index.open(tmp_path / "index", encoder=Spanless()) as index:
        index.add([Document("one", id="x")])
        assert index.search("one")[0].id == "x"
        with pytest.raises(MissingEncoderError, match="Spanless"):
            index.explain("one", "x")
