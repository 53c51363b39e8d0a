"""Adding to and deleting from an `Index`: all or nothing."""

from __future__ import annotations

import copy

import pytest

from late_interaction import Document, Index
from late_interaction.errors import (
    DuplicateIdError,
    InvalidDocumentError,
)
from tests.fakes import WordEncoder
from tests.index.helpers import FACTS, WINDOW, random_documents, state, true_maxsim


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
        assert facts.clear() == 3

    def test_what_was_deleted_can_be_added_again(self, facts):
        facts.clear()
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
