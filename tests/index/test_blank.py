"""A document or query without visible characters has no vectors and scores 0, whatever markers an encoder adds."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image

from late_interaction import Document, Index, load_encoder
from late_interaction.encoders import ReducedEncoder
from late_interaction.engines import Record
from late_interaction.retrieval.encoding import is_blank
from late_interaction.retrieval.reranking import rerank
from tests.fakes import ColourEncoder

BLANK = {
    "nothing": "",
    "white space": " \n\t\r\f\v",
    "no-break and wide spaces": "\u00a0\u1680\u2003\u202f\u205f\u3000",
    "line and paragraph separators": "\u2028\u2029\x85",
    "zero-width characters": "\u200b\u200c\u200d\u2060\u180e",
    "byte order mark": "\ufeff",
    "NUL": "\0",
    "control characters": "\x01\x02\x07\x1b\x7f\x9f",
    "soft hyphens": "\u00ad \u00ad",
    "bidirectional marks": "\u200e\u200f\u061c\u202a\u202e\u202c\u2066\u2069",
    "variation selectors": "\ufe0f\ufe00\U000e0100\u180b",
    "tags": "\U000e0001\U000e0041\U000e007f",
    "invisible operators": "\u2061\u2062\u2063\u2064",
    "combining grapheme joiner": "\u034f",
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "empty Braille pattern": "\u2800",
    "place of an embedded object": "\ufffc",
    "noncharacters": "\ufffe\uffff\ufdd0\U0001ffff",
    "reserved and ignorable": "\u2065\ufff0\U000e0fff",
    "marks without a letter": "\u0301\u064b\u05b0\u093e\u20dd",
}
VISIBLE = [
    "a",
    ".",
    "1",
    "é",
    "e\u0301",
    "€",
    "א",
    "ا",  # noqa: RUF001
    "क",
    "कि",
    "ไ",
    "中",
    "ㄱ",
    "가",
    "😀",
    "\ue000",
    "\u0600",
    "\u06dd",
    "�",
]
PASSAGES = ["The Nile flows through eleven countries.", "Paris is the capital of France.", "A violin has four strings."]
QUERIES = ["hello", "price", "what is the refund policy?"]


@pytest.fixture(
    params=[
        "minilm",
        "stanford_checkpoint",
        "pylate_checkpoint",
        "modernbert_checkpoint",
        "modernbert_expansion_checkpoint",
    ]
)
def encoder(request):
    found = request.getfixturevalue(request.param)
    return found if request.param == "minilm" else load_encoder(found)


@pytest.mark.parametrize("text", BLANK.values(), ids=BLANK)
def test_blank(text):
    assert is_blank(text)
    assert is_blank(f" {text}\n{text}")
    assert not is_blank(f"{text}x")
    assert not is_blank(f"x{text}")


@pytest.mark.parametrize("text", VISIBLE)
def test_not_blank(text):
    assert not is_blank(text)
    assert not is_blank(f" {text}\u200b")


def test_letters_digits_punctuation_and_symbols_are_visible():
    """But for the fillers, which are letters by category and have no shape."""
    fillers = set("\u115f\u1160\u3164\uffa0\u2800\ufffc")
    for character in map(chr, range(0x110000)):
        if unicodedata.category(character)[0] in "LNPS" and character not in fillers:
            assert not is_blank(character), f"U+{ord(character):04X}"


def test_blank_documents_have_no_vectors_and_score_zero(tmp_path, encoder):
    blank = [Document(text, id=name) for name, text in BLANK.items()]
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([blank[0], *PASSAGES, *blank[1:]])
        vectors = index.engine.vectors([document.id for document in blank])
        assert {name: found.shape for name, found in vectors.items()} == dict.fromkeys(BLANK, (0, encoder.dim))
        for query in QUERIES:
            scores = {hit.text: hit.score for hit in index.search(query, k=len(blank) + len(PASSAGES))}
            assert len(scores) == len(blank) + len(PASSAGES)
            assert all(scores[document.text] == 0 for document in blank)
            assert all(scores[text] != 0 for text in PASSAGES)
            assert {hit.text: hit.score for hit in index.rerank(query, ids=list(BLANK))} == dict.fromkeys(
                BLANK.values(), 0
            )
            fresh = index.rerank(query, documents=[Document("\u200b", id="fresh"), *PASSAGES])
            assert [hit.score for hit in fresh if hit.id == "fresh"] == [0]
        assert index.get(list(BLANK)) == blank
        assert index.verify()


def test_blank_documents_are_not_given_to_the_encoder(tmp_path, word_encoder):
    with Index.open(tmp_path / "index", encoder=word_encoder) as index:
        index.add([Document(text, id=name) for name, text in BLANK.items()])
        index.rerank("nile", documents=["\ufeff", " "])
    assert word_encoder.documents_encoded == 0


def test_positive_similarities_put_blank_documents_last(tmp_path, minilm):
    with Index.open(tmp_path / "index", encoder=minilm) as index:
        index.add([Document("", id="blank"), Document("\u200b\ufeff", id="invisible"), *PASSAGES])
        for query in QUERIES:
            hits = index.search(query, k=5)
            assert {hit.text for hit in hits[:3]} == set(PASSAGES)
            assert [(hit.score, hit.relevance) for hit in hits[3:]] == [(0, 0), (0, 0)]
            hits = rerank(query, [Document("\0"), *map(Document, PASSAGES)], encoder=minilm)
            assert (hits[-1].text, hits[-1].score) == ("\0", 0)


@pytest.mark.parametrize("text", BLANK.values(), ids=BLANK)
def test_blank_queries_have_no_hits(tmp_path, word_encoder, text):
    with Index.open(tmp_path / "index", encoder=word_encoder) as index:
        index.add([*PASSAGES, Document("\u200b", id="blank")])
        for mode in ("late", "lexical", "hybrid"):
            assert index.search(text, k=3, mode=mode) == []
            assert index.search_many([text, "Nile"], k=1, mode=mode)[0] == []
        assert index.rerank(text, documents=PASSAGES) == []
    assert rerank(text, [Document("nile")], encoder=word_encoder) == []


def test_the_encoded_text_is_what_counts(tmp_path, minilm):
    with Index.open(tmp_path / "index", encoder=minilm) as index:
        index.add(
            [Document("", id="titled", encoded_text="The Nile"), Document("shown", id="mute", encoded_text="\ufeff")]
        )
        vectors = index.engine.vectors(["titled", "mute"])
        assert len(vectors["titled"]) > 0
        assert len(vectors["mute"]) == 0


def test_an_image_is_never_blank(tmp_path):
    white = Image.new("RGB", (64, 64), "white")
    with Index.open(tmp_path / "index", encoder=ColourEncoder()) as index:
        index.add(
            [Document("\u200b", image=white, id="page"), Document("\u200b", id="text"), Document("red", id="red")]
        )
        assert [len(index.engine.vectors([name])[name]) for name in ("page", "text", "red")] == [65, 0, 1]
        assert index.search("white", k=1)[0].id == "page"


def test_explanations_of_blank_documents_and_queries(tmp_path, encoder):
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        index.add([Document("\u200b", id="blank"), Document("The Nile", id="nile")])
        for query, name in (("Nile", "blank"), ("\ufeff", "nile"), ("", "blank")):
            explanation = index.explain(query, name)
            assert (explanation.score, explanation.spans) == (0, ())
            assert explanation.to_html()


@pytest.mark.parametrize("pooling", [1, 2])
def test_an_index_that_holds_blank_documents_with_vectors_keeps_working(tmp_path, minilm, pooling):
    """Earlier releases stored the vectors of the markers."""
    with Index.open(tmp_path / "index", encoder=minilm, pooling=pooling) as index:
        markers = ReducedEncoder(minilm, pooling=pooling).encode_documents([""])[0]
        assert len(markers) > 0
        index.add(PASSAGES)
        index.engine.upsert([Record(Document("", id="old"), markers)])
        score = float((minilm.encode_queries(["hello"])[0] @ np.asarray(markers, np.float16).T).max(axis=1).sum())
        assert {hit.id: hit.score for hit in index.search("hello", k=4)}["old"] == pytest.approx(score, abs=1e-2)
        assert index.explain("hello", "old").spans == ()
        index.add([Document("", id="old")])
        assert {hit.id: hit.score for hit in index.search("hello", k=4)}["old"] == 0
