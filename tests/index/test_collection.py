"""An `Index` as a collection of documents."""

from __future__ import annotations

import json

import pytest

from late_interaction import Index
from late_interaction.engines import LocalEngine
from late_interaction.errors import (
    IncompatibleEncoderError,
    IndexClosedError,
)
from tests.fakes import WordEncoder
from tests.index.helpers import FACTS


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
