"""Documents that keep their stored vectors: `upsert_keeping`, `update_metadata`, `update_documents`, over Qdrant."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import QdrantClient

from late_interaction import Document
from late_interaction.engines import QdrantEngine, Record
from late_interaction.engines.qdrant import rewriting
from late_interaction.errors import InvalidVectorsError, UnknownIdError
from late_interaction.images import PageImage
from tests.conformance.helpers import ids_of, record, unit_vectors
from tests.pictures import two_colours
from tests.qdrant_edge import EdgeClient
from tests.qdrant_edge.conftest import edge_folder  # noqa: F401  # a fixture


@pytest.fixture(params=["local", "edge"])
def engine(request, edge_folder):  # noqa: F811
    client = QdrantClient(":memory:") if request.param == "local" else EdgeClient(edge_folder)
    yield QdrantEngine(client=client, dim=16)
    client.close()


@pytest.fixture
def letters(engine):
    engine.upsert([Record(record(name, n=0).document, unit_vectors(place, 3), 7) for place, name in enumerate("abcd")])
    return engine


def never(documents):
    raise AssertionError(f"encoded: {ids_of(documents)}")


def changed(name, **metadata):
    return record(name, **metadata).document


class TestUpsertKeeping:
    def test_documents_and_records_in_one_call(self, letters):
        before = letters.vectors(list("abcd"))
        items = [changed("b", n=1), record("new"), changed("a", n=1)]
        assert letters.upsert_keeping(iter(items), never) == ["b", "new", "a"]
        assert ids_of(letters.scan()) == ["c", "d", "b", "new", "a"]
        assert [one.metadata for one in letters.get(["a", "b", "c"])] == [{"n": 1}, {"n": 1}, {"n": 0}]
        after = letters.vectors(list("abcd"))
        assert all((before[name] == after[name]).all() for name in "abcd")
        assert letters.count(where={"n": 1}) == 2
        assert letters.roots_of(["a", "c"]) == {"a": None, "c": 7}

    def test_what_is_lost_is_encoded(self, letters):
        letters.delete(ids=["b"])
        letters.upsert([record("c", text="another")])
        given = []

        def encode(documents):
            given.extend(ids_of(documents))
            return [Record(one, unit_vectors(40, 5)) for one in documents]

        assert letters.upsert_keeping([changed(name, n=2) for name in "abc"], encode) == ["a", "b", "c"]
        assert given == ["b", "c"]
        assert letters.get(["c"])[0].text == "text of c"
        found = letters.vectors(["a", "b", "c"])
        assert [len(found[name]) for name in "abc"] == [3, 5, 5]
        with pytest.raises(InvalidVectorsError, match="encode"):
            letters.upsert_keeping([changed("gone")], lambda documents: [])

    def test_replaced_between_reading_and_writing(self, letters, monkeypatch):
        """The vectors of another text never get this one."""
        conditional = rewriting._conditional

        def interrupted(change):
            if change.document.id == "a":
                letters.upsert([record("a", text="another", vectors=unit_vectors(50, 6))])
            return conditional(change)

        monkeypatch.setattr(rewriting, "_conditional", interrupted)
        encoded = unit_vectors(51, 2)
        letters.upsert_keeping([changed("a", n=3)], lambda documents: [Record(one, encoded) for one in documents])
        assert letters.get(["a"]) == [changed("a", n=3)]
        np.testing.assert_allclose(letters.vectors(["a"])["a"], encoded, atol=1e-3)

    def test_replacing_keeps_the_vectors_of_what_is_given(self, letters):
        before = letters.vectors(["a"])["a"]
        letters.upsert_keeping([changed("a", n=0, new=True)], never, replacing={"n": 0})
        assert ids_of(letters.scan()) == ["a"]
        assert (letters.vectors(["a"])["a"] == before).all()

    def test_the_words_of_a_page_may_change(self, engine):
        page = PageImage.from_pixels(two_colours("red", "blue", (64, 64)))
        engine.upsert([Record(Document("old words", image=page, id="p"), unit_vectors(1, 4))])
        engine.upsert_keeping([Document("new words", image=page, id="p")], never)
        assert ids_of(engine.search_lexical("new")) == ["p"]
        assert engine.search_lexical("old") == []
        engine.upsert_keeping([Document(image=page, id="p")], never)
        assert engine.search_lexical("words") == []
        assert engine.get(["p"])[0].image.thumbnail == page.thumbnail
        assert len(engine.vectors(["p"])["p"]) == 4

    def test_a_document_without_tokens(self, engine):
        engine.upsert([record("mute", vectors=np.zeros((0, 16)))])
        engine.upsert_keeping([changed("mute", n=1)], never)
        assert engine.score(unit_vectors(1, 2), ["mute"]) == {"mute": 0.0}


class TestUpdateMetadata:
    def test_it_merges_and_reads_no_vectors(self, letters):
        assert letters.update_metadata(["a", "unknown", "b"], {"n": 5, "more": [1, {"x": None}]}) == 2
        assert letters.get(["a"])[0].metadata == {"n": 5, "more": [1, {"x": None}]}
        assert letters.count(where={"n": 5}) == 2
        assert ids_of(letters.scan()) == list("abcd")
        assert letters.roots_of(["a"]) == {"a": 7}

    def test_it_is_applied_to_what_others_write_meanwhile(self, letters, monkeypatch):
        conditional, writes = rewriting._conditional, iter(range(9))

        def interrupted(change):
            if next(writes) < 2:
                letters.upsert([record("a", text="another", other=1)])
            return conditional(change)

        monkeypatch.setattr(rewriting, "_conditional", interrupted)
        assert letters.update_metadata(["a"], {"n": 5}) == 1
        assert letters.get(["a"]) == [record("a", text="another", other=1, n=5).document]


class TestUpdateDocuments:
    def test_in_place(self, letters):
        before = letters.vectors(list("abcd"))
        assert letters.update_documents([changed("b", n=9), changed("d", n=9)], 3) == 2
        assert ids_of(letters.scan()) == list("abcd")
        assert letters.roots_of(list("abcd")) == {"a": 7, "b": 3, "c": 7, "d": 3}
        assert ids_of(letters.scan(root=3)) == ["b", "d"]
        assert letters.count(where={"n": 9}) == 2
        after = letters.vectors(list("abcd"))
        assert all((before[name] == after[name]).all() for name in "abcd")

    @pytest.mark.parametrize(
        "renamed",
        [
            {"x": "a"},
            {"x": "a", "y": "b"},
            {"b": "a"},
            {"b": "a", "c": "b", "d": "c"},
            {"a": "b", "b": "a"},
            {"b": "a", "c": "b", "a": "c", "x": "d"},
            {"a": "a"},
        ],
        ids=str,
    )
    def test_other_ids(self, letters, renamed):
        before = letters.vectors(list("abcd"))
        documents = [Document(f"text of {old}", id=new, metadata={"moved": 1}) for new, old in renamed.items()]
        assert letters.update_documents(documents, 3, stored_ids=renamed) == len(renamed)
        expected = {name: before[name] for name in "abcd" if name not in renamed.values()}
        expected |= {new: before[old] for new, old in renamed.items()}
        found = letters.vectors(list(expected))
        assert sorted(ids_of(letters.scan())) == sorted(expected)
        assert all((found[name] == expected[name]).all() for name in expected)
        assert letters.get(list(renamed)) == documents

    def test_unknown_ids_change_nothing(self, letters):
        before = list(letters.scan())
        with pytest.raises(UnknownIdError, match="gone"):
            letters.update_documents([changed("a", n=9), changed("gone")], 3)
        with pytest.raises(UnknownIdError, match="gone"):
            letters.update_documents([changed("x", n=9)], 3, stored_ids={"x": "gone"})
        assert list(letters.scan()) == before

    def test_roots(self, letters):
        assert letters.roots == {}
        letters.record_roots({"3": {"path": "/x"}})
        assert letters.roots == {"3": {"path": "/x"}}
        letters.set_root(["a", "b", "unknown"], 3)
        letters.set_root(["b"], None)
        assert letters.roots_of(["a", "b", "c", "unknown"]) == {"a": 3, "b": None, "c": 7}
        assert letters.count() == 4
