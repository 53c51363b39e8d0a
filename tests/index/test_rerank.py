"""Reranking: stored vectors are used, the rest is encoded, nothing is changed."""

from __future__ import annotations

import copy

import pytest

from late_interaction import Document
from late_interaction.errors import (
    InvalidDocumentError,
)
from tests.index.helpers import FACTS, true_maxsim


class TestRerank:
    def test_ids_from_stored_vectors(self, facts, word_encoder):
        encoded = word_encoder.documents_encoded
        hits = facts.rerank("capital river", ids=["mute", "berlin", "nile", "berlin"])
        expected = {hit.id: hit for hit in facts.search("capital river", k=5) if hit.id in {"mute", "berlin", "nile"}}
        assert {hit.id: hit for hit in hits} == expected
        assert len(hits) == 3
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert facts.rerank("capital river", ids=["mute", "berlin", "nile"], k=1) == hits[:1]
        assert word_encoder.documents_encoded == encoded

    def test_stored_documents_are_not_encoded(self, facts, word_encoder):
        encoded, queries = word_encoder.documents_encoded, word_encoder.queries_encoded
        hits = facts.rerank("capital of germany", documents=FACTS)
        assert word_encoder.documents_encoded == encoded
        assert word_encoder.queries_encoded == queries + 1
        assert [(hit.id, hit.score) for hit in hits] == [
            (hit.id, hit.score) for hit in facts.search("capital of germany", k=5)
        ]

    def test_stored_documents_under_the_same_heading_are_not_encoded(self, index, word_encoder):
        document = Document("body", id="a", encoded_text="zebra body")
        index.add([document])
        assert index.rerank("zebra", documents=[document])[0].score == pytest.approx(1, abs=1e-3)
        assert word_encoder.documents_encoded == 1

    def test_documents_without_id_are_known_by_content(self, index, word_encoder):
        index.add(["first words", Document("second words", metadata={"a": 1})])
        index.rerank("words", documents=["first words", Document("second words", metadata={"a": 1})])
        assert word_encoder.documents_encoded == 2

    def test_documents_given_come_back_as_given(self, facts):
        given = [
            Document("the nile is a river in africa", id="nile", metadata={"from": "another store"}),
            Document("a stranger", id="stranger"),
            Document("the nile is a river in africa", id="nile"),
        ]
        kept = copy.deepcopy(given)
        hits = facts.rerank("river stranger", documents=given)
        assert len(hits) == 3
        assert {id(hit.document) for hit in hits} == {id(document) for document in given}
        assert given == kept
        assert facts.get(["nile"]) == [FACTS[0]]
        assert "stranger" not in facts

    def test_another_text_of_the_same_id_is_encoded(self, facts, word_encoder):
        encoded = word_encoder.documents_encoded
        changed = Document("berlin lies on a river", id="nile")
        hits = facts.rerank("river berlin", documents=[changed, FACTS[3], "not stored"])
        assert word_encoder.documents_encoded == encoded + 2
        for hit in hits:
            assert hit.score == pytest.approx(true_maxsim("river berlin", hit.text), abs=2e-3)
        assert hits[0].document is changed

    def test_text_that_stands_under_another_heading_is_encoded(self, index, word_encoder):
        index.add([Document("body", id="a", encoded_text="zebra body")])
        hit = index.rerank("lion", documents=[Document("body", id="a", encoded_text="lion body")])[0]
        assert word_encoder.documents_encoded == 2
        assert hit.score == pytest.approx(1, abs=1e-3)

    def test_k_and_ties(self, facts):
        documents = [Document("same words", id=name) for name in "abc"]
        assert [hit.id for hit in facts.rerank("words", documents=documents, k=2)] == ["a", "b"]
        assert len(facts.rerank("words", documents=documents, k=9)) == 3
        assert facts.rerank("words", documents=[]) == []

    def test_bad_documents(self, facts):
        for documents in ([5], [None], [{"text": "x"}]):
            with pytest.raises(InvalidDocumentError):
                facts.rerank("nile", documents=documents)
