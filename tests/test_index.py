"""`Index`, held to plain numpy and hand-computed rankings, and to writing nothing when something goes wrong."""

from __future__ import annotations

import copy
import json
import random
import re
import shutil
import threading
import time

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.engines import LocalEngine
from late_interaction.errors import (
    DuplicateIdError,
    IncompatibleEncoderError,
    IndexClosedError,
    IndexLockedError,
    IndexNotFoundError,
    InvalidDocumentError,
    InvalidFilterError,
    InvalidRequestError,
    InvalidVectorsError,
    LateInteractionError,
    MissingEncoderError,
    ReadOnlyIndexError,
    UnknownIdError,
)
from tests.fakes import WordEncoder

WORDS = re.findall(r"\w+", "river nile amazon capital paris berlin water stone bread wine old new long deep city sea")
QUERIES = ["nile river", "the old capital", "Deep SEA water, deep!", "bread", "something else entirely"]
WINDOW = 128  # documents that may be in the encoder's hands at once

FACTS = [
    Document("the nile is a river in africa", id="nile", metadata={"kind": "river", "length": 6650}),
    Document("the amazon is a river in america", id="amazon", metadata={"kind": "river", "length": 6400}),
    Document("paris is the capital of france", id="paris", metadata={"kind": "city", "tags": ["seine", "old"]}),
    Document("berlin is the capital of germany", id="berlin", metadata={"kind": "city"}),
    Document("!!!", id="mute"),
]


def true_maxsim(query, text, encoder=None):
    """MaxSim by its definition in float64, the document's vectors rounded to float16 as the index keeps them."""
    encoder = encoder or WordEncoder()
    total = 0.0
    document = [encoder.vector(word) for word in re.findall(r"\w+", text)]
    document = [vector.astype(np.float32).astype(np.float16).astype(np.float64) for vector in document]
    for word in re.findall(r"\w+", query):
        token = encoder.vector(word).astype(np.float32).astype(np.float64)
        total += max((float(np.dot(token, vector)) for vector in document), default=0.0)
    return total


def random_documents(count, seed=0):
    draw = random.Random(seed)
    return [
        Document(
            f"{' '.join(draw.choices(WORDS, k=draw.randint(1, 12)))} number{number}",
            id=f"d{number}",
            metadata={"number": number, "even": number % 2 == 0},
        )
        for number in range(count)
    ]


def state(index):
    """All that a write may change: the documents, the sizes and the files."""
    info = index.info()
    sizes = {key: info[key] for key in ("documents", "tokens", "segments", "deleted_documents", "vector_bytes")}
    files = sorted(str(path) for path in (index.engine.path / "segments").rglob("*"))
    return list(index.scan()), sizes, files


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def index(path, word_encoder):
    """An empty index."""
    with Index.open(path, encoder=word_encoder) as index:
        yield index


@pytest.fixture
def facts(index):
    """An index of `FACTS`."""
    index.add(FACTS)
    return index


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """An index of 90 random documents, which tests only read; fewer than hybrid search looks at of each ranking."""
    documents = random_documents(90)
    with Index.open(tmp_path_factory.mktemp("library") / "index", encoder=WordEncoder()) as index:
        index.add(documents[:50])
        index.add(documents[50:])
        yield index


class TestSearch:
    @pytest.mark.parametrize("query", QUERIES)
    def test_scores_are_maxsim(self, library, query):
        expected = {document.id: true_maxsim(query, document.text) for document in random_documents(90)}
        hits = library.search(query, k=90)
        assert {hit.id: hit.score for hit in hits} == pytest.approx(expected, abs=1e-3)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)

    @pytest.mark.parametrize("query", QUERIES)
    def test_relevance_is_the_score_per_query_vector(self, library, query):
        tokens = len(re.findall(r"\w+", query))
        for hit in library.search(query, k=90):
            assert hit.relevance == pytest.approx(min(1, max(0, hit.score / tokens)), abs=1e-6)
            assert 0 <= hit.relevance <= 1

    def test_a_document_is_wholly_relevant_to_its_own_words(self, facts):
        best = facts.search("the nile is a river", k=1)[0]
        assert (best.id, best.relevance) == ("nile", pytest.approx(1, abs=1e-3))

    def test_best_k_are_the_best(self, library):
        for query in QUERIES:
            truth = sorted((true_maxsim(query, document.text) for document in random_documents(90)), reverse=True)
            found = [hit.score for hit in library.search(query, k=7)]
            assert found == pytest.approx(truth[:7], abs=1e-3)

    @pytest.mark.parametrize("mode", ["late", "hybrid"])
    @pytest.mark.parametrize("k", [1, 44, 45, 46, 1000])
    def test_exactly_k(self, library, mode, k):
        hits = library.search("nile", k, mode=mode, where={"even": True})
        assert len(hits) == min(k, 45)
        assert len({hit.id for hit in hits}) == len(hits)
        assert all(hit.metadata["even"] for hit in hits)

    def test_exactly_k_of_more_than_hybrid_fuses_by_default(self, index):
        index.add(random_documents(130))
        assert len(index.search("nile", 120, mode="hybrid")) == 120

    def test_hits_carry_what_was_stored(self, facts):
        hit = facts.search("germany", k=1)[0]
        assert hit.document == FACTS[3]
        assert (hit.id, hit.text, hit.metadata) == ("berlin", FACTS[3].text, {"kind": "city"})

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    @pytest.mark.parametrize(
        ("where", "passing"),
        [
            ({}, {"nile", "amazon", "paris", "berlin", "mute"}),
            ({"kind": "city"}, {"paris", "berlin"}),
            ({"length": {"$gt": 6500}}, {"nile"}),
            ({"tags": "seine"}, {"paris"}),
            ({"kind": {"$exists": False}}, {"mute"}),
            ({"$or": [{"length": 6400}, {"tags": {"$contains": "old"}}]}, {"amazon", "paris"}),
            ({"kind": "mountain"}, set()),
        ],
    )
    def test_where(self, facts, mode, where, passing):
        found = {hit.id for hit in facts.search("river capital", k=10, where=where, mode=mode)}
        assert found == (passing - {"mute"} if mode == "lexical" else passing)

    def test_lexical_search_finds_words_alone(self, facts):
        hits = facts.search("capitals of germany", mode="lexical", k=10)
        assert [hit.id for hit in hits] == ["berlin", "paris"]
        assert hits[0].score > hits[1].score > 0
        assert [hit.relevance for hit in hits] == pytest.approx([hit.score / (1 + hit.score) for hit in hits])

    @pytest.mark.parametrize("query", QUERIES)
    @pytest.mark.parametrize("where", [None, {"even": False}])
    def test_hybrid_is_reciprocal_rank_fusion(self, library, query, where):
        late = [hit.id for hit in library.search(query, k=90, where=where)]
        lexical = [hit.id for hit in library.search(query, k=90, where=where, mode="lexical")]
        expected = {}
        for found in late + lexical:
            expected[found] = sum(
                1 / (60 + ranking.index(found) + 1) for ranking in (late, lexical) if found in ranking
            )
        order = sorted(expected, key=lambda found: -expected[found])[:12]

        hits = library.search(query, k=12, where=where, mode="hybrid")
        assert [hit.id for hit in hits] == order
        assert [hit.score for hit in hits] == pytest.approx([expected[found] for found in order])
        assert [hit.relevance for hit in hits] == pytest.approx([expected[found] * 61 / 2 for found in order])
        assert all(0 <= hit.relevance <= 1 for hit in hits)

    def test_search_many_is_search_of_each(self, library):
        queries = ["nile", " ", "bread and wine", "", "old"]
        for mode in ("late", "lexical", "hybrid"):
            many = library.search_many(queries, 5, mode=mode, where={"even": True})
            assert many == [library.search(query, 5, mode=mode, where={"even": True}) for query in queries]
        assert library.search_many([]) == []

    def test_search_many_encodes_queries_together(self, facts, word_encoder):
        calls = []
        encode = word_encoder.encode_queries
        word_encoder.encode_queries = lambda texts: calls.append(list(texts)) or encode(texts)
        facts.search_many(["one", "", "two"])
        facts.search_many(["one"], mode="lexical")
        assert calls == [["one", "two"]]

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    @pytest.mark.parametrize("query", ["", " \n\t"])
    def test_blank_query_finds_nothing(self, facts, mode, query):
        assert facts.search(query, mode=mode) == []
        assert facts.rerank(query, ids=["nile"]) == []
        assert facts.rerank(query, documents=["nile"]) == []

    def test_query_without_vectors_finds_k_of_score_0(self, facts):
        assert [(hit.score, hit.relevance) for hit in facts.search("?!", k=3)] == [(0, 0)] * 3

    @pytest.mark.parametrize("mode", ["late", "lexical", "hybrid"])
    def test_empty_index(self, index, mode):
        assert index.search("nile", mode=mode) == []
        assert index.rerank("nile", ids=[]) == []
        assert index.get(["nile"]) == list(index.scan()) == []
        assert (len(index), index.count(where={"kind": "river"}), index.delete(["nile"])) == (0, 0, 0)
        assert index
        assert index.verify()


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


class TestAdd:
    def test_ids_in_order(self, index):
        ids = index.add(["plain", Document("own id", id="mine"), Document("no id", metadata={"a": 1})])
        assert ids == [Document("plain").id, "mine", Document("no id", metadata={"a": 1}).id]
        assert [document.id for document in index.scan()] == ids
        assert index.add([]) == []

    @pytest.mark.parametrize("make", [list, tuple, iter, lambda documents: (document for document in documents)])
    def test_any_iterable(self, index, make):
        assert index.add(make(FACTS)) == [document.id for document in FACTS]
        assert list(index.scan()) == FACTS

    def test_same_id_replaces(self, facts):
        new = Document("the white nile meets the blue", id="nile", metadata={"length": 1})
        assert facts.add([new]) == ["nile"]
        assert len(facts) == len(FACTS)
        assert facts.get(["nile"]) == [new]
        assert facts.search("nile", k=1)[0].document == new
        assert facts.search("white", k=1)[0].score == pytest.approx(true_maxsim("white", new.text), abs=1e-3)
        assert facts.search("africa", mode="lexical") == []
        assert facts.count(where={"length": 6650}) == 0
        assert facts.verify()

    def test_equal_documents_without_ids_are_one(self, index, word_encoder):
        ids = index.add(["again", Document("again"), "once", "again"])
        assert ids == [ids[0], ids[0], ids[2], ids[0]]
        assert (len(index), word_encoder.documents_encoded) == (2, 2)

    @pytest.mark.parametrize("make", [list, iter])
    @pytest.mark.parametrize("second", ["other", "one"])
    def test_explicit_id_twice_in_one_call(self, facts, make, second):
        before = state(facts)
        with pytest.raises(DuplicateIdError, match="'x'"):
            facts.add(make([Document("one", id="x"), "between", Document(second, id="x")]))
        assert state(facts) == before

    def test_own_id_that_is_the_hash_of_another_document_loses_neither(self, index):
        other = Document("by its hash")
        for documents in ([other, Document("own", id=other.id)], [Document("own", id=other.id), other]):
            with pytest.raises(DuplicateIdError):
                index.add(documents)
            assert len(index) == 0

    @pytest.mark.parametrize("bad", [5, None, b"bytes", {"text": "dict"}, ["nested"]])
    @pytest.mark.parametrize("make", [list, iter])
    def test_what_is_no_document(self, facts, word_encoder, bad, make):
        before, encoded = state(facts), word_encoder.documents_encoded
        with pytest.raises(InvalidDocumentError, match=type(bad).__name__):
            facts.add(make(["fine", bad]))
        assert state(facts) == before
        assert word_encoder.documents_encoded == encoded  # found before the encoder went to work

    def test_generator_that_raises_writes_nothing(self, facts):
        def stream():
            yield from random_documents(2 * WINDOW + 5)
            yield Document("replaced", id="nile")
            raise RuntimeError("the source broke")

        before = state(facts)
        with pytest.raises(RuntimeError, match="the source broke"):
            facts.add(stream())
        assert state(facts) == before
        assert facts.verify()
        facts.add(random_documents(3))
        assert len(facts) == len(FACTS) + 3

    def test_stream_is_encoded_in_windows(self, path):
        class Watched(WordEncoder):
            def encode_documents(self, texts):
                windows.append((len(texts), len(taken) - self.documents_encoded))
                return super().encode_documents(texts)

        def stream():
            for document in random_documents(1000):
                taken.append(document.id)
                yield document

        windows, taken = [], []
        with Index.open(path, encoder=Watched()) as index:
            assert index.add(stream()) == taken
            assert len(index) == 1000
        assert sum(size for size, _ in windows) == 1000
        assert max(size for size, _ in windows) <= WINDOW
        assert max(held for _, held in windows) <= WINDOW  # nor were more taken from the stream than the encoder saw

    def test_inputs_are_not_mutated_and_not_shared(self, index):
        metadata = {"nested": {"list": [1, 2]}, "a": "b"}
        given = [Document("one", id="x", metadata=metadata), Document("two", id="y", encoded_text="2")]
        kept = copy.deepcopy(given)
        index.add(given)
        index.rerank("one", documents=given)
        assert given == kept
        metadata["nested"]["list"].append(3)
        hit = index.search("one", k=1)[0]
        assert hit.metadata == kept[0].metadata
        hit.metadata["nested"]["list"].append(4)
        assert index.get(["x"])[0].metadata == kept[0].metadata

    def test_progress_goes_to_stderr_and_only_if_asked(self, index, capfd):
        index.add(["one"])
        assert capfd.readouterr() == ("", "")
        index.add(["two"], progress=True)
        out, err = capfd.readouterr()
        assert out == ""
        assert "1 documents" in err or "1/1" in err

    def test_encoded_text_is_what_is_searched(self, index):
        index.add([Document("the body", id="a", encoded_text="zebra over the body"), Document("other words", id="b")])
        hit = index.search("zebra", k=1)[0]
        assert (hit.id, hit.text, hit.score) == ("a", "the body", pytest.approx(1, abs=1e-3))
        assert [hit.text for hit in index.search("zebra", mode="lexical")] == ["the body"]
        assert index.get(["a"])[0].encoded_text == "zebra over the body"
        assert index.explain("zebra", "a").text == "zebra over the body"


class TestDelete:
    def test_by_ids(self, facts):
        assert facts.delete(["nile", "mute", "atlantis", "nile"]) == 2
        assert [document.id for document in facts.scan()] == ["amazon", "paris", "berlin"]
        assert "nile" not in {hit.id for mode in ("late", "hybrid") for hit in facts.search("nile", k=9, mode=mode)}
        assert facts.search("nile", mode="lexical") == []

    def test_by_filter(self, facts):
        assert facts.delete(where={"kind": "city"}) == 2
        assert len(facts) == 3
        assert len(facts.search("capital", k=10)) == 3
        assert facts.delete(where={"kind": "city"}) == 0
        assert facts.delete(where={}) == 3

    def test_what_was_deleted_can_be_added_again(self, facts):
        facts.delete(where={})
        facts.add(FACTS)
        assert list(facts.scan()) == FACTS
        assert facts.search("germany", k=1)[0].id == "berlin"

    def test_compact_gives_back_room_and_changes_no_answer(self, facts):
        facts.add([Document("more about the sea", id="sea")])
        facts.delete(["amazon"])
        before = {mode: facts.search("river capital", mode=mode) for mode in ("late", "lexical", "hybrid")}
        assert facts.info()["deleted_documents"] == 1
        facts.compact()
        assert {mode: facts.search("river capital", mode=mode) for mode in before} == before
        assert facts.info()["deleted_documents"] == 0
        assert facts.info()["segments"] == 1
        assert facts.verify()


class TestCollection:
    def test_len_in_count_get_scan(self, facts):
        assert len(facts) == facts.count() == 5
        assert facts.count(where={"kind": "river"}) == 2
        assert "nile" in facts
        assert "atlantis" not in facts
        assert 5 not in facts
        assert facts.get(["paris", "nile", "paris"]) == [FACTS[2], FACTS[0], FACTS[2]]
        assert list(facts.scan()) == FACTS
        assert list(facts.scan(where={"kind": "city"})) == FACTS[2:4]

    @pytest.mark.parametrize("impossible", ["", "\ud800", None, ("nile",)])
    def test_in_is_false_for_what_can_be_no_id(self, facts, impossible):
        assert impossible not in facts

    def test_info_is_json_for_people(self, facts):
        info = facts.info()
        assert json.loads(json.dumps(info)) == info
        assert info["documents"] == 5
        assert info["tokens"] == sum(len(document.text.split()) for document in FACTS[:4])
        assert info["dim"] == 16
        assert info["encoder"]["fingerprint"] == {"model": "words", "dim": 16}

    def test_info_leaves_out_the_probe(self, path, minilm):
        with Index.open(path, encoder=minilm) as index:
            encoder = index.info()["encoder"]
        assert encoder["source"] == "minilm"
        assert "probe" not in encoder["fingerprint"]
        assert "libraries" in encoder["fingerprint"]

    def test_verify_finds_a_flipped_bit(self, facts):
        assert facts.verify()
        file = next((facts.engine.path / "segments").rglob("vectors.npy"))
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
        found = facts.verify()
        assert not found
        assert any("vectors.npy" in problem for problem in found.problems)

    def test_closed_index_says_so(self, path, word_encoder):
        with Index.open(path, encoder=word_encoder) as index:
            index.add(FACTS)
        index.close()  # twice is no error
        calls = [
            lambda: index.add(["more"]),
            lambda: index.delete(["nile"]),
            lambda: index.search("nile"),
            lambda: index.search("nile", mode="lexical"),
            lambda: index.rerank("nile", ids=["nile"]),
            lambda: index.explain("nile", "nile"),
            lambda: index.get(["nile"]),
            lambda: list(index.scan()),
            lambda: len(index),
            lambda: "nile" in index,
            lambda: index.info(),
            lambda: index.compact(),
        ]
        for call in calls:
            with pytest.raises(IndexClosedError):
                call()
        with Index.open(path, encoder=word_encoder) as again:
            assert list(again.scan()) == FACTS

    def test_any_engine(self, path, word_encoder):
        with Index(engine=LocalEngine.open(path, dim=16), encoder=word_encoder) as index:
            index.add(FACTS)
            assert index.search("germany", k=1)[0].id == "berlin"
            assert str(path) in repr(index)
        with pytest.raises(IncompatibleEncoderError, match="16"), LocalEngine.open(path) as engine:
            Index(engine=engine, encoder=WordEncoder(dim=8))


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


class Faulty(WordEncoder):
    """Encodes well, but for texts with the word "bad"."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def encode_documents(self, texts):
        encoded = super().encode_documents(texts)
        return self.fault(encoded) if any("bad" in text for text in texts) else encoded

    def encode_queries(self, texts):
        return self.encode_documents(texts)


def _with_last(value):
    def fault(encoded):
        encoded[-1] = value(encoded[-1])
        return encoded

    return fault


FAULTS = {
    "nan": _with_last(lambda vectors: np.where(vectors == vectors[0, 0], np.nan, vectors)),
    "infinity": _with_last(lambda vectors: vectors * np.inf),
    "beyond float16": _with_last(lambda vectors: vectors * 1e6),
    "another dimension": _with_last(lambda vectors: vectors[:, :8]),
    "one vector": _with_last(lambda vectors: vectors[0]),
    "three axes": _with_last(lambda vectors: vectors[None]),
    "words": _with_last(lambda vectors: [["a"] * 16]),
    "nothing for one": _with_last(lambda vectors: None),
    "too few": lambda encoded: encoded[:-1],
    "too many": lambda encoded: [*encoded, encoded[-1]],
    "nothing": lambda encoded: None,
}


class TestEncoders:
    @pytest.fixture
    def faulty(self, path, request):
        with Index.open(path, encoder=Faulty(request.param)) as index:
            index.add(FACTS)
            yield index

    @pytest.mark.parametrize("faulty", FAULTS.values(), ids=FAULTS, indirect=True)
    def test_bad_vectors_write_nothing(self, faulty):
        before = state(faulty)
        with pytest.raises(InvalidVectorsError):
            faulty.add([*random_documents(WINDOW + 7), Document("a bad one", id="nile")])
        assert state(faulty) == before
        assert faulty.verify()
        for call in (
            lambda: faulty.search("bad"),
            lambda: faulty.search_many(["fine", "bad"], mode="hybrid"),
            lambda: faulty.rerank("bad", ids=["nile"]),
            lambda: faulty.rerank("fine", documents=["good", "bad"]),
        ):
            with pytest.raises(InvalidVectorsError):
                call()
        faulty.add(["fine"])

    @pytest.mark.parametrize("encoder", [object(), 5, WordEncoder, {"dim": 16}])
    def test_what_is_no_encoder(self, path, encoder):
        with pytest.raises(LateInteractionError):
            Index.open(path, encoder=encoder)
        assert not path.exists()

    def test_fingerprint_that_is_not_json(self, path):
        class Strange(WordEncoder):
            @property
            def fingerprint(self):
                return {"model": object()}

        with pytest.raises(LateInteractionError):
            Index.open(path, encoder=Strange())

    def test_own_encoder_is_to_be_passed_again(self, path, word_encoder):
        with Index.open(path, encoder=word_encoder) as index:
            index.add(FACTS)
            expected = index.search("nile")
        with Index.open(path) as index:
            for call in (
                lambda: index.search("nile"),
                lambda: index.search("nile", mode="hybrid"),
                lambda: index.add(["more"]),
                lambda: index.rerank("nile", ids=["nile"]),
                lambda: index.explain("nile", "nile"),
            ):
                with pytest.raises(MissingEncoderError, match="encoder="):
                    call()
            assert [hit.id for hit in index.search("nile", mode="lexical")] == ["nile"]
            assert index.get(["nile"]) == FACTS[:1]
            assert list(index.scan(where={"kind": "city"})) == FACTS[2:4]
            assert index.delete(["mute"]) == 1
            assert index.verify()
        with Index.open(path, encoder=WordEncoder()) as index:
            assert index.search("nile") == [hit for hit in expected if hit.id != "mute"]

    def test_minilm_opens_again_by_itself(self, path, minilm):
        with Index.open(path, encoder=minilm) as index:
            index.add(FACTS)
            expected = index.search("longest stream of Egypt", k=2)
            assert expected[0].id == "nile"
        with Index.open(path, read_only=True) as index:
            assert index.search("longest stream of Egypt", k=2) == expected
            assert index.encoder is index.encoder

    @pytest.mark.parametrize("other", [WordEncoder(name="other"), WordEncoder(dim=8)], ids=["other name", "other dim"])
    @pytest.mark.parametrize("read_only", [False, True])
    def test_another_encoder_is_refused(self, path, word_encoder, other, read_only):
        with Index.open(path, encoder=word_encoder) as index:
            index.add(FACTS)
        with pytest.raises(IncompatibleEncoderError, match="another directory") as refused:
            Index.open(path, encoder=other, read_only=read_only)
        assert refused.tb is not None  # which keeps alive what was not closed
        with Index.open(path, encoder=word_encoder) as index:  # the refused one holds no lock
            assert index.search("germany", k=1)[0].id == "berlin"

    @pytest.mark.parametrize("changed", [{"seed": 9}, {"dim": 24}, {"document_length": 60}], ids=str)
    def test_another_model_under_the_remembered_name_is_refused(self, path, tmp_path, changed):
        from tests.checkpoints import stanford

        checkpoint = stanford(tmp_path / "checkpoint")
        with Index.open(path, encoder=checkpoint) as index:
            index.add(["the quick brown fox", "the rain in spain"])
        shutil.rmtree(checkpoint)
        stanford(checkpoint, **changed)
        with Index.open(path) as index:
            for _ in range(2):  # not only the first time
                with pytest.raises(IncompatibleEncoderError):
                    index.search("fox")
            with pytest.raises(IncompatibleEncoderError):
                index.add(["more"])
            assert len(index) == len(index.search("rain fox", mode="lexical")) == 2

    def test_lexical_index_never_loads_the_encoder(self, path, word_encoder, monkeypatch):
        with Index.open(path, encoder=word_encoder) as index:
            index.add(FACTS)
        with LocalEngine.open(path) as engine:
            engine.record_encoder({"source": "minilm", "revision": None, "fingerprint": {}})
        monkeypatch.setattr("late_interaction.index.load_encoder", lambda *_, **__: pytest.fail("was loaded"))
        with Index.open(path, read_only=True) as index:
            index.search("nile", mode="lexical")
            index.info()


class TestOpening:
    def test_nothing_is_created_without_an_encoder(self, path, word_encoder):
        with pytest.raises(IndexNotFoundError, match="encoder"):
            Index.open(path)
        with pytest.raises(IndexNotFoundError):
            Index.open(path, encoder=word_encoder, read_only=True)
        assert not path.exists()

    def test_one_writer(self, facts, path, word_encoder):
        with pytest.raises(IndexLockedError, match="read_only"):
            Index.open(path, encoder=word_encoder)
        facts.close()
        Index.open(path, encoder=word_encoder).close()

    def test_readers_see_each_commit_and_write_nothing(self, facts, path, word_encoder):
        with Index.open(path, encoder=word_encoder, read_only=True) as reader:
            for call in (
                lambda: reader.add(["more"]),
                lambda: reader.delete(["nile"]),
                lambda: reader.delete(where={}),
            ):
                with pytest.raises(ReadOnlyIndexError):
                    call()
            assert list(reader.scan()) == FACTS
            facts.add([Document("the elbe flows north", id="elbe")])
            assert reader.search("elbe", k=1)[0].id == "elbe"
            facts.delete(["elbe"])
            facts.compact()
            assert "elbe" not in {hit.id for hit in reader.search("elbe", k=10)}
            assert "elbe" not in reader


class TestConsistency:
    """Every answer is that of one committed state."""

    COUNT = 20

    def version(self, number):
        """A state: all documents again, with other words."""
        words = [f"common word{number} item{item}" for item in range(self.COUNT)]
        return [Document(text, id=f"d{item}", metadata={"v": number}) for item, text in enumerate(words)]

    def test_eight_threads_search_while_one_adds(self, index):
        def check(hits):
            versions = {hit.metadata["v"] for hit in hits}
            assert len(versions) == 1, versions
            assert {hit.id for hit in hits} == {f"d{item}" for item in range(self.COUNT)}
            for hit in hits:
                assert hit.score == pytest.approx(expected[hit.text], abs=1e-3)
            return versions.pop()

        def search():
            try:
                while not done.is_set():
                    seen.append(check(index.search("common word3", k=100)))
                    assert len({hit.metadata["v"] for hit in index.search("common", 100, mode="lexical")}) == 1
            except BaseException as error:  # noqa: BLE001  # told to the main thread
                failures.append(error)

        versions = [self.version(number) for number in range(12)]
        expected = {document.text: true_maxsim("common word3", document.text) for v in versions for document in v}
        index.add(versions[0])
        done, seen, failures = threading.Event(), [], []
        threads = [threading.Thread(target=search) for _ in range(8)]
        for thread in threads:
            thread.start()
        for documents in versions[1:]:
            index.add(documents)
        deadline = time.monotonic() + 30
        while not failures and (not seen or max(seen) < 11) and time.monotonic() < deadline:
            done.wait(0.01)
        done.set()
        for thread in threads:
            thread.join()
        assert failures == []
        assert max(seen) == 11
        assert index.verify()

    def interpose(self, index, monkeypatch, write):
        """Let another thread's write come to pass between the first and the second read of the engine."""

        def interposed(read):
            def wrapped(*args, **kwargs):
                answer = read(*args, **kwargs)
                if not written:
                    written.append(True)
                    write()
                return answer

            return wrapped

        written = []
        for name in ("search", "search_lexical", "get", "vectors"):
            monkeypatch.setattr(index.engine, name, interposed(getattr(index.engine, name)))

    def test_hybrid_search_sees_one_state(self, index, monkeypatch):
        index.add(self.version(1))
        self.interpose(index, monkeypatch, lambda: index.add(self.version(2)))
        hits = index.search("item3", k=self.COUNT, mode="hybrid")
        assert [hit.metadata["v"] for hit in hits] in ([1] * self.COUNT, [2] * self.COUNT)

    def test_rerank_scores_the_text_it_was_given(self, index, monkeypatch):
        old = Document("the old text", id="x")
        index.add([old])
        self.interpose(index, monkeypatch, lambda: index.add([Document("something new", id="x")]))
        hit = index.rerank("old", documents=[old])[0]
        assert hit.score == pytest.approx(1, abs=1e-3)

    @pytest.mark.parametrize("new", ["long", "a text longer than before with long at its end long"])
    def test_explain_sees_one_state(self, index, monkeypatch, new):
        index.add([Document("a long text", id="x")])
        self.interpose(index, monkeypatch, lambda: index.add([Document(new, id="x")]))
        explanation = index.explain("long", "x")
        assert explanation.score == pytest.approx(1, abs=1e-3)
        assert [span.document_word for span in explanation.spans] == ["long"]
