"""What an engine does not declare is refused, by the engine and by `Index`, before anything is encoded."""

from __future__ import annotations

import pytest

from late_interaction import Document
from late_interaction.engines.base import require
from late_interaction.errors import InvalidFilterError, InvalidRequestError, UnsupportedError
from late_interaction.filters import OPERATORS
from late_interaction.ingestion import update
from tests.conformance.helpers import needs, record

DOCUMENTS = [Document(f"river number{number}", id=f"d{number}", metadata={"n": number}) for number in range(6)]


def same_documents(engine):
    return engine.update_documents([record("a").document], None)


ENGINE_CALLS = {
    ("lexical", "search_lexical"): lambda engine, _: engine.search_lexical("text", 3),
    ("vectors", "vectors"): lambda engine, _: engine.vectors(["a"]),
    ("vectors", "records"): lambda engine, _: engine.records(["a"]),
    ("verify", "verify"): lambda engine, _: engine.verify(),
    ("compact", "compact"): lambda engine, _: engine.compact(),
    ("copy", "copy"): lambda engine, folder: engine.copy(folder),
    ("sources", "roots"): lambda engine, _: engine.roots,
    ("sources", "record_roots"): lambda engine, _: engine.record_roots({"1": {"path": "/x"}}),
    ("sources", "roots_of"): lambda engine, _: engine.roots_of(["a"]),
    ("sources", "set_root"): lambda engine, _: engine.set_root(["a"], None),
    ("sources", "update_documents"): lambda engine, _: same_documents(engine),
    ("sources", "scan"): lambda engine, _: list(engine.scan(root=1)),
}


@pytest.mark.parametrize(("capability", "method"), ENGINE_CALLS, ids=lambda name: name)
def test_a_method_works_if_and_only_if_it_is_declared(engine, new_folder, capability, method):
    engine.upsert([record("a"), record("b")])
    call = ENGINE_CALLS[capability, method]
    if getattr(engine.capabilities, capability):
        require(engine, capability)
        call(engine, new_folder())
    else:
        for refused in (lambda: require(engine, capability), lambda: call(engine, new_folder())):
            with pytest.raises(UnsupportedError, match=type(engine).__name__) as caught:
                refused()
            assert isinstance(caught.value, InvalidRequestError)
    assert engine.count() == 2


INDEX_CALLS = {
    ("lexical", "lexical"): lambda index, _: index.search("river", mode="lexical"),
    ("lexical", "hybrid"): lambda index, _: index.search("river", mode="hybrid"),
    ("lexical", "hybrid of many"): lambda index, _: index.search_many(["river", "number1"], mode="hybrid"),
    ("lexical", "a blank query"): lambda index, _: index.search(" ", mode="lexical"),
    ("lexical", "no query"): lambda index, _: index.search_many([], mode="hybrid"),
    ("vectors", "diversity"): lambda index, _: index.search("river", diversity=0.5),
    ("vectors", "diversity of a blank query"): lambda index, _: index.search("", diversity=0.5),
    ("vectors", "diversity of none"): lambda index, _: index.search("river", diversity=0),
    ("vectors", "explain"): lambda index, _: index.explain("river", "d1"),
    ("vectors", "explain_many"): lambda index, _: index.explain_many("river", ["d1", "d2"]),
    ("verify", "verify"): lambda index, _: index.verify(),
    ("compact", "compact"): lambda index, _: index.compact(),
    ("copy", "copy"): lambda index, folder: index.copy(folder),
    ("sources", "update"): lambda index, folder: update(index, passages(folder), roots=[folder]),
}


def passages(folder):
    folder.mkdir()
    (folder / "a.txt").write_text("a river")
    return [Document("a river", metadata={"source": str(folder / "a.txt"), "passage": 0})]


@pytest.mark.parametrize(("capability", "what"), INDEX_CALLS, ids=lambda name: name)
def test_the_index_refuses_before_it_encodes(index, encoder, new_folder, capability, what):
    index.add(DOCUMENTS)
    encoded = encoder.texts_encoded
    call = INDEX_CALLS[capability, what]
    if getattr(index.engine.capabilities, capability):
        call(index, new_folder())
    else:
        with pytest.raises(UnsupportedError, match=type(index.engine).__name__):
            call(index, new_folder())
        assert encoder.texts_encoded == encoded
        assert index.count() == len(DOCUMENTS)


QUERIES = ["river", "", "  "]


@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_a_filter_is_refused_before_the_query_is_encoded(index, encoder, query):
    """Whatever the query is, also a blank one, which finds nothing."""
    missing = sorted(OPERATORS - index.engine.capabilities.filter_operators)
    if not missing:
        pytest.skip(f"{type(index.engine).__name__} declares every operator in filter_operators")
    index.add(DOCUMENTS)
    encoded = encoder.texts_encoded
    where = {"$or": [{"n": {"$gt": 2}}, {"n": 1}]}
    for call in (
        lambda: index.search(query, where=where),
        lambda: index.search_many([query, query], where=where),
        lambda: index.search_many([], where=where),
        lambda: index.search(query, where=where, candidates=["d1"]),
        lambda: index.count(where=where),
        lambda: list(index.scan(where=where)),
        lambda: index.delete(where=where),
        lambda: index.add(["new"], replacing=where),
        lambda: index.add(iter(["new"]), replacing=where),
    ):
        with pytest.raises(InvalidFilterError) as caught:
            call()
        assert type(index.engine).__name__ in str(caught.value)
        assert "$gt" in str(caught.value)
    assert encoder.texts_encoded == encoded
    assert index.count() == len(DOCUMENTS)


@pytest.mark.parametrize("query", QUERIES, ids=repr)
@pytest.mark.parametrize("where", [{"a": {"$regex": 1}}, {"_private": 1}, "a"], ids=repr)
def test_a_malformed_filter_too(index, encoder, query, where):
    index.add(DOCUMENTS)
    encoded = encoder.texts_encoded
    for call in (lambda: index.search(query, where=where), lambda: index.add(["new"], replacing=where)):
        with pytest.raises(InvalidFilterError):
            call()
    assert encoder.texts_encoded == encoded


@pytest.mark.parametrize(
    "options",
    [
        {"k": 0},
        {"k": True},
        {"mode": "dense"},
        {"min_relevance": 2},
        {"candidates": "d1"},
        {"candidates": [""]},
        {"diversity_pool": 0, "diversity": 0.5},
        {"diversity": 1.5},
    ],
    ids=repr,
)
@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_bad_arguments_too(index, encoder, query, options):
    if "diversity" in options:
        needs(index.engine, "vectors")
    index.add(DOCUMENTS)
    encoded = encoder.texts_encoded
    with pytest.raises(ValueError):  # InvalidRequestError, or InvalidDocumentError of an id
        index.search(query, **options)
    assert encoder.texts_encoded == encoded


def test_k_beyond_what_the_engine_takes_is_refused(index, encoder):
    limit = index.engine.capabilities.max_candidates
    if limit is None:
        pytest.skip(f"{type(index.engine).__name__} declares no max_candidates")
    index.add(DOCUMENTS)
    encoded = encoder.texts_encoded
    for query in QUERIES:
        with pytest.raises(InvalidRequestError, match=f"{limit}.*{type(index.engine).__name__}"):
            index.search(query, limit + 1)
    assert encoder.texts_encoded == encoded
    assert len(index.search("river", limit)) == len(DOCUMENTS)
