"""Control characters in ids, NUL among them, survive in every call of every engine, and no id is taken for another."""

from __future__ import annotations

import json

import pytest

from late_interaction import Document, Index
from tests.conformance.helpers import ids_of, needs, record, unit_vectors
from tests.fakes import WordEncoder

IDS = [
    *("a\0b", "a", "a\0", "\0", "a\0c", "\0a"),
    *("tab\t", "line\nfeed\r", "\x1b[2J", "\x7f\x85", "\u2028", "\u202eabc", " a ", "%", "'"),
]


@pytest.fixture
def filled(engine):
    engine.upsert([record(name, text=f"common word{number}", n=number) for number, name in enumerate(IDS)])
    return engine


def test_reading(filled, case, folder):
    assert ids_of(filled.scan()) == IDS
    assert [row.id for row in filled.scan(fields=())] == IDS
    assert ids_of(filled.get(IDS[::-1])) == IDS[::-1]
    query = unit_vectors(1, 3)
    for name in IDS:
        assert ids_of(filled.get([name])) == [name]
        assert filled.score(query, [name]).keys() == {name}
        found = filled.search(query, 5, candidates=[name])
        assert ids_of(found) == [name]
        assert filled.fetch(found)[name].id == name
        if filled.capabilities.lexical:
            assert ids_of(filled.search_lexical("common", 5, candidates=[name])) == [name]
        if filled.capabilities.vectors:
            assert filled.vectors([name]).keys() == filled.records([name]).keys() == {name}
    filled.close()
    again = case.reopen(folder)
    assert ids_of(again.scan()) == IDS
    again.close()


def test_replacing_and_deleting(filled):
    filled.upsert([record("a\0b", text="another text")])
    assert {found.id: found.text for found in filled.get(["a", "a\0b"])} == {
        "a": "common word1",
        "a\0b": "another text",
    }
    assert filled.delete(ids=["a\0b"]) == 1
    assert filled.delete(ids=["a\0b"]) == 0
    assert sorted(ids_of(filled.scan())) == sorted(set(IDS) - {"a\0b"})


def test_in_the_index(index):
    index.add(Document("common text", id=name, metadata={"own": name}) for name in IDS)
    assert "a\0b" in index
    assert "b" not in index
    assert {hit.id for hit in index.search("common", k=len(IDS))} == set(IDS)
    assert {hit.id for hit in index.rerank("common", ids=["a", "a\0b"])} == {"a", "a\0b"}
    for name in IDS[:5]:
        assert ids_of(index.scan(where={"own": {"$in": [name]}})) == [name]
    assert index.delete(["a"]) == 1
    assert "a\0b" in index


def test_checks_and_copies(filled, new_folder):
    needs(filled, "verify", "compact", "copy")
    filled.delete(ids=["a"])
    filled.compact()
    assert filled.verify().problems == ()
    target = new_folder()
    filled.copy(target)
    with type(filled).open(target, read_only=True) as copied:
        assert ids_of(copied.scan()) == [name for name in IDS if name != "a"]


def test_on_the_command_line(tmp_path):
    from typer.testing import CliRunner

    from late_interaction.cli import app

    with Index.open(tmp_path / "index", encoder=WordEncoder()) as index:
        index.add(Document("common text", id=name) for name in IDS)
    options = ["-k", str(len(IDS)), "--json", "--mode", "lexical"]  # which needs no encoder
    found = CliRunner().invoke(app, ["search", str(tmp_path / "index"), "common", *options])
    assert {hit["id"] for hit in json.loads(found.stdout)} == set(IDS)
    assert "\0" not in found.stdout
