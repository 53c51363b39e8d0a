"""Cascades over every engine, and the token that tells that an engine was written to."""

from __future__ import annotations

import pytest

from late_interaction import Cascade, Document
from late_interaction.encoders import PooledEncoder
from late_interaction.errors import UnsupportedError
from tests.conformance.helpers import needs
from tests.fakes import WordEncoder

TEXTS = {"a": "red green", "b": "red blue", "c": "yellow", "d": "red green blue", "e": ""}


@pytest.fixture
def documents():
    return [Document(text, id=name, metadata={"n": number}) for number, (name, text) in enumerate(TEXTS.items())]


def test_stages(index, documents):
    def length(query, found):
        return [len(document.text) for document in found]

    index.add(documents)
    hits = Cascade(index, [("late", 4), (length, 2)]).search("red green", where={"n": {"$in": [0, 1, 2]}})
    assert [hit.id for hit in hits] == ["a", "b"]
    assert [report.candidates for report in hits.stages] == [3, 3]
    stages = [(PooledEncoder(WordEncoder()), 5), ("late", 2)]
    assert {hit.id for hit in Cascade(index, stages).search("red green")} == {"a", "d"}


def test_lexical_stages(index, engine, documents):
    index.add(documents)
    if not engine.capabilities.lexical:
        with pytest.raises(UnsupportedError, match="cannot search by words"):
            Cascade(index, [("late", 4), ("lexical", 2)])
        return
    assert {hit.id for hit in Cascade(index, [("lexical", 5), ("late", 5)]).search("blue")} == {"b", "d"}
    for mode in ("lexical", "hybrid"):  # documents without the word are kept
        hits = Cascade(index, [("late", 5), (mode, 5)]).search("blue")
        assert {hit.id for hit in hits} == set(TEXTS)
        assert {hit.id for hit in hits[:2]} == {"b", "d"}


def test_the_change_token_differs_after_every_write(index, engine, documents):
    if engine.change_token() is None:
        pytest.skip(f"{type(engine).__name__} has no change token")
    needs(engine, "snapshots")
    seen = [engine.change_token()]
    for write in (
        lambda: index.add(documents),
        lambda: index.add([Document("other", id="a")]),
        lambda: index.update(["b"], metadata={"n": 7}),
        lambda: index.delete(["c"]),
        lambda: index.clear(),
    ):
        write()
        token = engine.change_token()
        assert token not in seen
        assert engine.change_token() == token
        seen.append(token)
