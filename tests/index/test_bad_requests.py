"""What cannot be asked of an `Index` is a clear error, and writes nothing."""

from __future__ import annotations

import pytest

from late_interaction import Document, Index
from late_interaction.errors import (
    InvalidDocumentError,
    InvalidFilterError,
    InvalidRequestError,
    LateInteractionError,
    UnknownIdError,
)
from tests.index.helpers import FACTS


class TestBadRequests:
    @pytest.mark.parametrize("k", [0, -1, True, 1.5, "3", None])
    def test_bad_k(self, facts, k):
        for mode in ("late", "lexical", "hybrid"):
            with pytest.raises(InvalidRequestError, match="k must be a positive integer"):
                facts.search("nile", k, mode=mode)
        if k is not None:  # None is all
            with pytest.raises(InvalidRequestError, match="k must be a positive integer"):
                facts.rerank("nile", ids=["nile"], k=k)

    @pytest.mark.parametrize("mode", ["dense", "", None, "LATE"])
    def test_bad_mode(self, facts, mode):
        with pytest.raises(InvalidRequestError, match="late, lexical, hybrid"):
            facts.search("nile", mode=mode)

    def test_a_misspelt_name_suggests_the_nearest(self, facts, path):
        for mode, nearest in {"lexcial": "lexical", "LATE": "late", "hybird": "hybrid"}.items():
            with pytest.raises(InvalidRequestError, match=f"Did you mean '{nearest}'"):
                facts.search("nile", mode=mode)
        with pytest.raises(InvalidRequestError, match="Did you mean 'metadata'"):
            list(facts.scan(fields=["metdata"]))
        with pytest.raises(InvalidRequestError, match="Did you mean 'german'"):
            Index.open(path / "new", encoder=facts.encoder, language="German")

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    def test_a_query_that_is_not_unicode(self, facts, mode):
        with pytest.raises(InvalidRequestError, match="not valid Unicode"):
            facts.search("the nile \ud835", mode=mode)

    @pytest.mark.parametrize("query", [None, 5, b"nile", ["nile"]])
    def test_query_that_is_no_string(self, facts, query):
        for mode in ("late", "lexical", "hybrid"):
            with pytest.raises(InvalidRequestError, match="query must be a string"):
                facts.search(query, mode=mode)
        with pytest.raises(InvalidRequestError, match="query must be a string"):
            facts.rerank(query, ids=["nile"])
        with pytest.raises(InvalidRequestError):
            facts.explain(query, "nile")

    def test_one_string_for_many(self, facts):
        with pytest.raises(InvalidRequestError, match="list of queries"):
            facts.search_many("nile")
        with pytest.raises(InvalidDocumentError, match="list of documents"):
            facts.add("nile")
        with pytest.raises(InvalidDocumentError, match="list of documents"):
            facts.add(Document("nile"))
        for call in (facts.get, facts.delete, lambda ids: facts.rerank("q", ids=ids)):
            with pytest.raises(InvalidRequestError, match="list"):
                call("nile")

    @pytest.mark.parametrize("documents", ["nile", Document("nile")])
    def test_one_document_for_many_in_rerank(self, facts, documents):
        with pytest.raises(LateInteractionError):
            facts.rerank("nile", documents=documents)

    @pytest.mark.parametrize("bad", [5, None, b"nile", ""])
    def test_bad_ids(self, facts, bad):
        for call in (facts.get, facts.delete, lambda ids: facts.rerank("q", ids=ids)):
            with pytest.raises(InvalidDocumentError, match="id must"):
                call(["nile", bad])
        with pytest.raises(LateInteractionError):
            facts.explain("nile", bad)
        assert len(facts) == len(FACTS)

    @pytest.mark.parametrize("where", [{"kind": {"$like": "r"}}, {"$nor": []}, ["kind"], "kind", {5: 1}])
    def test_bad_filter(self, facts, where):
        for query in ("nile", ""):  # a bad filter is an error whatever the query
            for mode in ("late", "lexical", "hybrid"):
                with pytest.raises(InvalidFilterError):
                    facts.search(query, where=where, mode=mode)
        for call in (facts.delete, facts.count, lambda where: list(facts.scan(where=where))):
            with pytest.raises(InvalidFilterError):
                call(where=where)
        assert len(facts) == len(FACTS)

    def test_delete_and_rerank_take_one_of_two(self, facts):
        for arguments in ({}, {"ids": ["nile"], "where": {"kind": "city"}}):
            with pytest.raises(InvalidRequestError, match="either"):
                facts.delete(**arguments)
        for arguments in ({}, {"ids": ["nile"], "documents": ["nile"]}):
            with pytest.raises(InvalidRequestError, match="either"):
                facts.rerank("nile", **arguments)
        assert len(facts) == len(FACTS)

    def test_unknown_ids(self, facts):
        with pytest.raises(UnknownIdError, match="'atlantis'"):
            facts.rerank("nile", ids=["nile", "atlantis"])
        with pytest.raises(UnknownIdError, match="'atlantis'"):
            facts.explain("nile", "atlantis")
        assert facts.get(["atlantis", "nile", "atlantis"]) == [FACTS[0]]
        assert facts.delete(["atlantis"]) == 0

    @pytest.mark.parametrize("mode", ["late", "hybrid"])
    def test_query_of_broken_unicode(self, path, minilm, mode):
        with Index.open(path, encoder=minilm) as index:
            index.add(["the nile"])
            with pytest.raises(LateInteractionError):
                index.search("the nile \ud800", mode=mode)
