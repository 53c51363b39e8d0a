"""What only changes metadata is not encoded again, in the same transaction as the rest of the call."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from late_interaction import Document, Index
from late_interaction.encoders import ReducedEncoder
from late_interaction.errors import InvalidDocumentError, ReadOnlyIndexError, UnsupportedError
from tests.conformance.weak_engines import WeakEngine
from tests.fakes import ColourEncoder, WordEncoder
from tests.index.helpers import FACTS, WINDOW, random_documents, state


def again(document, **metadata):
    return Document(document.text, id=document.id, encoded_text=document.encoded_text, metadata=metadata)


def ids(documents):
    return [document.id for document in documents]


class TestAdd:
    def test_encodes_only_what_changed(self, facts, word_encoder):
        encoded = word_encoder.documents_encoded
        before = facts.engine.vectors(["nile", "paris"])
        new = [
            again(FACTS[0], seen=1),
            Document("a new one", id="new"),
            again(FACTS[2]),
            Document("other", id="berlin"),
        ]
        assert facts.add(iter(new)) == ids(new)
        assert word_encoder.documents_encoded == encoded + 2
        assert facts.get(ids(new)) == new
        after = facts.engine.vectors(["nile", "paris"])
        assert all((before[name] == after[name]).all() for name in before)
        # The order of addition is that of documents that are encoded again.
        assert ids(facts.scan()) == ["amazon", "mute", "nile", "new", "paris", "berlin"]
        assert facts.search("other", 1)[0].id == "berlin"
        assert facts.count(where={"length": {"$exists": True}}) == 1
        assert facts.verify()

    def test_compressed_vectors_are_not_rounded_again(self, path):
        with Index.open(path, encoder=WordEncoder(), bits=1) as index:
            given = random_documents(60)
            index.add(given)
            index.compact()
            before = index.engine.vectors(ids(given))
            for number in range(3):
                index.add([again(document, round=number) for document in given])
                index.compact()
            after = index.engine.vectors(ids(given))
            assert all((before[name] == after[name]).all() for name in before)
            assert index.verify()

    def test_what_the_encoder_reads_decides(self, facts, word_encoder):
        """The title may change if only the encoded text is encoded."""
        facts.add([Document("title", id="a", encoded_text="deep water")])
        encoded = word_encoder.documents_encoded
        facts.add([Document("another title", id="a", encoded_text="deep water"), Document("deep water", id="b")])
        assert word_encoder.documents_encoded == encoded + 1
        facts.add([Document("deep water", id="a")])
        assert word_encoder.documents_encoded == encoded + 1
        assert facts.get(["a"]) == [Document("deep water", id="a")]
        facts.add([Document("deep", id="a")])
        assert word_encoder.documents_encoded == encoded + 2
        assert [hit.id for hit in facts.search("deep", mode="lexical")] == ["a", "b"]

    def test_pages(self, path):
        encoder = ColourEncoder(rows=2)
        red, blue = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))
        with Index.open(path, encoder=encoder) as index:
            index.add([Document("old text", image=red, id="a"), Document("a text", id="b")])
            index.add([Document("new text", image=red, id="a", metadata={"n": 1})])
            assert encoder.images_encoded == 1
            assert index.search("new", mode="lexical")[0].id == "a"
            assert index.search("old", mode="lexical") == []
            index.add([Document("new text", image=blue, id="a"), Document("a text", image=blue, id="b")])
            assert encoder.images_encoded == 3
            assert index.search("blue", 1)[0].score == pytest.approx(1, abs=1e-2)
            assert index.verify()

    @pytest.mark.parametrize("reduction", [{"pooling": 2}, {"dim": 8}])
    def test_a_reduced_encoder(self, path, reduction):
        encoder = WordEncoder()
        with Index.open(path, encoder=ReducedEncoder(encoder, **reduction)) as index:
            index.add(FACTS)
            encoded = encoder.documents_encoded
            index.add([again(document, n=1) for document in FACTS])
            assert encoder.documents_encoded == encoded
            assert index.count(where={"n": 1}) == len(FACTS)

    def test_the_encoder_is_not_loaded(self, facts, path):
        facts.close()
        with Index.open(path) as index:  # the encoder is an object that the index cannot load
            index.add([again(FACTS[0], n=2)])
            assert index.get(["nile"])[0].metadata == {"n": 2}

    def test_all_or_nothing(self, facts):
        before = state(facts)
        for bad in (5, Document("twice", id="nile")):
            with pytest.raises(InvalidDocumentError):
                facts.add(iter([again(FACTS[0], n=1), Document("new"), bad]))
            assert state(facts) == before
        broken = (1 / (5 - number) and again(FACTS[number], n=1) for number in range(6))
        with pytest.raises((ZeroDivisionError, IndexError)):
            facts.add(broken)
        assert state(facts) == before

    def test_with_replacing(self, facts, word_encoder):
        """What the filter deletes and the call brings back keeps its vectors."""
        encoded = word_encoder.documents_encoded
        facts.add([again(FACTS[0], kind="water"), Document("new", id="new")], replacing={"kind": "river"})
        assert word_encoder.documents_encoded == encoded + 1
        assert ids(facts.scan()) == ["paris", "berlin", "mute", "nile", "new"]
        assert facts.search("nile", 1)[0].id == "nile"
        assert facts.info()["deleted_documents"] == 1
        assert facts.verify()

    def test_the_iterable_may_write(self, facts, word_encoder):
        """It deletes and replaces what it yielded before: nothing has the vectors of another text."""

        def documents():
            yield again(FACTS[0], n=1)
            yield again(FACTS[1], n=1)
            yield from random_documents(2 * WINDOW)
            facts.delete(["nile"])
            facts.add([Document("bread", id="amazon")])
            facts.compact()

        encoded = word_encoder.documents_encoded
        facts.add(documents())
        assert word_encoder.documents_encoded == encoded + 2 * WINDOW + 3
        assert facts.get(["nile", "amazon"]) == [again(FACTS[0], n=1), again(FACTS[1], n=1)]
        vectors = facts.engine.vectors(["nile", "amazon"])
        for fact in FACTS[:2]:
            np.testing.assert_allclose(vectors[fact.id], word_encoder.encode_documents([fact.text])[0], atol=1e-2)
        assert facts.verify()

    def test_look_up_of_new_documents(self, path, monkeypatch):
        """One query of ids for each window."""
        with Index.open(path, encoder=WordEncoder()) as index:
            get, looked_up = index.engine.get, []
            monkeypatch.setattr(index.engine, "get", lambda names: looked_up.append(len(names)) or get(names))
            index.add(iter(random_documents(2 * WINDOW + 10)))
            assert looked_up == [WINDOW, WINDOW, 10]


class TestUpdate:
    def test_sets_keys_and_keeps_others(self, facts, word_encoder):
        encoded = word_encoder.texts_encoded
        order = ids(facts.scan())
        assert facts.update(["nile", "unknown", "paris", "nile"], metadata={"kind": "old", "n": {"deep": 1}}) == 2
        assert facts.get(["nile"])[0].metadata == {"kind": "old", "length": 6650, "n": {"deep": 1}}
        assert facts.get(["amazon"]) == [FACTS[1]]
        assert {document.id for document in facts.scan(where={"kind": "old", "n.deep": 1})} == {"nile", "paris"}
        assert ids(facts.scan()) == order
        assert word_encoder.texts_encoded == encoded
        assert facts.update([], metadata={"n": 1}) == 0
        assert facts.update(["nile"], metadata={}) == 1
        assert facts.search("nile", mode="hybrid", where={"kind": "old"}, k=1)[0].id == "nile"
        assert facts.verify()

    def test_pages_keep_their_image(self, path):
        with Index.open(path, encoder=ColourEncoder(rows=2)) as index:
            page = Document(image=Image.new("RGB", (32, 32), "red"), id="a")
            index.add([page])
            index.update(["a"], metadata={"n": 1})
            assert index.get(["a"])[0].image == page.image
            assert index.get(["a"])[0].load_image().size == (32, 32)
            assert index.verify()

    @pytest.mark.parametrize("metadata", [None, [("a", 1)], {"a": object()}, {5: 1}, {"a": float("nan")}])
    def test_what_is_no_metadata(self, facts, metadata):
        before = state(facts)
        with pytest.raises(InvalidDocumentError, match="metadata"):
            facts.update(["nile"], metadata=metadata)
        assert state(facts) == before

    def test_a_reader(self, facts, path):
        with Index.open(path, read_only=True) as reader, pytest.raises(ReadOnlyIndexError):
            reader.update(["nile"], metadata={"n": 1})

    def test_an_engine_that_cannot(self, tmp_path):
        index = Index(engine=WeakEngine.open(tmp_path, dim=16), encoder=WordEncoder())
        index.add(FACTS)
        with pytest.raises(UnsupportedError, match=r"WeakEngine cannot change metadata alone\. Add the documents"):
            index.update(["nile"], metadata={"n": 1})
