"""Documents: content ids, and what is refused before it can reach an index."""

from __future__ import annotations

import copy
import enum
import math
import pickle
import subprocess
import sys
from types import MappingProxyType

import numpy as np
import pytest

from late_interaction.documents import Document, Hit
from late_interaction.errors import InvalidDocumentError, LateInteractionError


def test_defaults():
    document = Document("text")
    assert (document.text, document.encoded_text, dict(document.metadata)) == ("text", None, {})
    assert document.text_to_encode == "text"
    assert document.has_content_id


def test_given_fields_are_kept_as_they_are():
    metadata = {"b": [1, {"x": None}], "a": 1.5, "é": "ü", "_private": True}
    document = Document("", id="my id/ü", metadata=metadata, encoded_text="title: text")
    assert document.id == "my id/ü"
    assert document.metadata == {"b": [1, {"x": None}], "a": 1.5, "é": "ü", "_private": True}
    assert document.text_to_encode == "title: text"
    assert not document.has_content_id
    assert metadata == {"b": [1, {"x": None}], "a": 1.5, "é": "ü", "_private": True}


def test_an_empty_encoded_text_is_not_the_text():
    assert Document("text", encoded_text="").text_to_encode == ""


def test_a_content_id_depends_on_all_content():
    variants = [
        Document("text"),
        Document("Text"),
        Document("text "),
        Document(""),
        Document("text", metadata={"a": 1}),
        Document("text", metadata={"a": "1"}),
        Document("text", metadata={"a": True}),
        Document("text", metadata={"a": None}),
        Document("text", metadata={"b": 1}),
        Document("text", metadata={"_a": 1}),
        Document("text", metadata={"a": [1]}),
        Document("text", metadata={"a": {"b": 1}}),
        Document("text", metadata={"a": [1, 2]}),
        Document("text", metadata={"a": [2, 1]}),
        Document("text", encoded_text="text"),
        Document("text", encoded_text=""),
        Document("text", encoded_text="other"),
        Document("other", encoded_text="text"),
        Document("é"),
        Document("e\u0301"),
    ]
    assert len({document.id for document in variants}) == len(variants)


def test_a_content_id_does_not_depend_on_the_order_of_keys():
    assert Document("t", metadata={"a": 1, "b": {"x": 1, "y": 2}}).id == (
        Document("t", metadata={"b": {"y": 2, "x": 1}, "a": 1}).id
    )


def test_a_content_id_is_the_same_in_every_process():
    code = "from late_interaction.documents import Document; print(Document('é', metadata={'b': [1], 'a': 'x'}).id)"
    ids = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert ids == {Document("é", metadata={"a": "x", "b": [1]}).id}


def test_a_content_id_is_pinned():
    """Ids are stored by users, so every release must give the same: a SHA-256 of the content as JSON."""
    assert Document("text").id == "7903383dfc1667f9d7189c8819e360bd"
    document = Document("é", encoded_text="t", metadata={"b": None, "a": [1.5, True]})
    assert document.id == "54c1b75111765b02a63544a0ea8cc291"
    assert Document("text", id="7903383dfc1667f9d7189c8819e360bd").has_content_id


def test_a_document_cannot_be_changed():
    document = Document("text")
    with pytest.raises(AttributeError):
        document.text = "other"


def test_metadata_is_a_copy_of_what_was_given():
    """Otherwise a later change would put something unchecked into the index, under an id that no longer fits."""
    metadata = {"a": 1}
    document = Document("text", metadata=metadata)
    metadata["a"] = math.nan
    assert document.metadata == {"a": 1}
    assert document.has_content_id


def test_equality():
    assert Document("a", metadata={"x": 1}) == Document("a", metadata={"x": 1})
    assert Document("a", id="1") != Document("a", id="2")
    assert Document("a", id="1", metadata={"x": 1}) != Document("a", id="1", metadata={"x": 2})


class Colour(str, enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        None,
        {"": ""},
        {"a": 2**63 - 1, "b": -(2**63)},
        {"a": 1e308, "b": -0.0, "c": 5e-324},
        {"nul": "\x00", "emoji": "😀", "rtl": "\u202eabc"},
        {"deep": {"er": [[[{"x": [None, True]}]]]}},
        {"tuple": (1, (2, 3))},
        MappingProxyType({"a": 1}),
        {"number": np.float64(1.5)},  # a subclass of float
        {"enum": Colour.RED},  # a subclass of str
    ],
    ids=repr,
)
def test_metadata_that_is_json(metadata):
    assert Document("text", metadata=metadata).has_content_id


def deep(levels):
    value = "x"
    for _ in range(levels):
        value = [value]
    return value


cyclic: list = []
cyclic.append(cyclic)

REFUSED = {
    "text None": {"text": None},
    "text bytes": {"text": b"text"},
    "text number": {"text": 1},
    "text surrogate": {"text": "a\ud800b"},
    "encoded number": {"encoded_text": 1},
    "encoded surrogate": {"encoded_text": "\udc00"},
    "id number": {"id": 1},
    "id empty": {"id": ""},
    "id bytes": {"id": b"x"},
    "id bool": {"id": False},
    "id surrogate": {"id": "\ud800"},
    "metadata list": {"metadata": [("a", 1)]},
    "metadata string": {"metadata": "a"},
    "metadata number": {"metadata": 0},
    "nan": {"metadata": {"a": math.nan}},
    "infinity": {"metadata": {"a": math.inf}},
    "minus infinity, nested": {"metadata": {"a": [{"b": -math.inf}]}},
    "numpy nan": {"metadata": {"a": np.float64("nan")}},
    "set": {"metadata": {"a": {1}}},
    "bytes": {"metadata": {"a": b"x"}},
    "object": {"metadata": {"a": object()}},
    "complex": {"metadata": {"a": 1j}},
    "number as key": {"metadata": {1: "a"}},
    "None as key": {"metadata": {None: "a"}},
    "number as nested key": {"metadata": {"a": [{1: 2}]}},
    "tuple as key": {"metadata": {"a": {(1, 2): 3}}},
    "surrogate as value": {"metadata": {"a": "\ud800"}},
    "surrogate as key": {"metadata": {"\ud800": 1}},
    "surrogate as nested key": {"metadata": {"a": {"b\udfff": 1}}},
    "surrogate in a list": {"metadata": {"a": ["\ud800"]}},
    "an integer of 65 bits": {"metadata": {"a": 2**63}},
    "a negative integer of 65 bits": {"metadata": {"a": [-(2**63) - 1]}},
    "a huge integer": {"metadata": {"a": 10**5000}},
    "too deep": {"metadata": {"a": deep(100)}},
    "far too deep": {"metadata": {"a": deep(100_000)}},
    "cyclic": {"metadata": {"a": cyclic}},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stored_is_refused(name):
    arguments = {"text": "text", **REFUSED[name]}
    with pytest.raises(InvalidDocumentError) as caught:
        Document(arguments.pop("text"), **arguments)
    assert isinstance(caught.value, LateInteractionError)
    assert isinstance(caught.value, ValueError)
    assert 10 < len(str(caught.value)) < 1_000


def test_the_message_names_the_place():
    with pytest.raises(InvalidDocumentError, match=r"metadata\['a'\]\[1\]\['b'\] is nan"):
        Document("text", metadata={"a": [0, {"b": math.nan}]})
    with pytest.raises(InvalidDocumentError, match=r"metadata\['raw'\] is a bytes"):
        Document("text", metadata={"raw": b"x"})
    with pytest.raises(InvalidDocumentError, match="key 3"):
        Document("text", metadata={3: 1})


def test_a_hit_shows_its_document():
    document = Document("text", id="a", metadata={"x": 1})
    hit = Hit(document, score=2.5, relevance=0.5)
    assert (hit.id, hit.text, hit.metadata, hit.score, hit.relevance) == ("a", "text", {"x": 1}, 2.5, 0.5)


class TestHashes:
    """Documents and hits go into sets and dicts; equal ones are one there."""

    def documents(self):
        return [
            Document("one", id="a", metadata={"n": 1, "nested": {"list": [1, {}]}}),
            Document("one", id="a", metadata={"n": 1.0, "nested": {"list": [True, {}]}}),  # equal, as in Python
            Document("one", id="a", metadata={"n": 2}),
            Document("one", id="b"),
            Document("two", id="a", encoded_text="and more"),
            Document("one"),
            Document("one"),
        ]

    def test_equal_documents_have_equal_hashes(self):
        documents = self.documents()
        for one in documents:
            for other in documents:
                assert one != other or hash(one) == hash(other)
        assert len(set(documents)) == 5
        assert {document: at for at, document in enumerate(documents)}[Document("one")] == 6

    def test_hits(self):
        hits = [Hit(document, 1.5, 0.5) for document in self.documents()]
        assert len(set(hits)) == 5
        assert Hit(self.documents()[0], 1.5, 0.25) not in set(hits)

    def test_copies_and_pickles_keep_equality_and_hash(self):
        for document in self.documents():
            hit = Hit(document, 2.0, 1.0)
            for value in (document, hit):
                copies = [copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))]
                assert copies == [value] * 3
                assert set(copies) == {value}
