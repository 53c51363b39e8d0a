"""How many tokens an encoder reads: which texts it truncates, and other lengths than those of the checkpoint."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from late_interaction import Index, load_encoder
from late_interaction.encoders import has_limits
from late_interaction.encoders.record import EncoderRecord
from late_interaction.engines.local.catalog.settings import CHECKSUM, settings_checksum
from late_interaction.errors import (
    CorruptIndexError,
    IncompatibleEncoderError,
    InvalidRequestError,
    TruncationWarning,
)
from tests.encoders.conftest import encode

WORDS = "quick brown fox jumps over the lazy dog and runs home "
TASKS = ["query", "document"]


def text_of(words):
    return " ".join((WORDS * (words // 11 + 1)).split()[:words])


def reads_all(encoder, text, task):
    """Whether a last token after the text changes a vector, found by encoding alone."""
    first, second = encode(encoder, [f"{text} z", f"{text} q"], task)
    return first.shape != second.shape or not np.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
def test_a_text_is_truncated_exactly_if_its_last_word_does_not_count(case, task):
    encoder = case.encoder
    read, first = 0, 600
    while first - read > 1:  # the smallest number of words of which it says that they are too many
        words = (read + first) // 2
        if encoder.truncated(["short", f"{text_of(words)} z", " "], task):
            first = words
        else:
            read = words
    assert encoder.truncated(["short", f"{text_of(first)} z", " "], task) == [1]
    assert reads_all(encoder, text_of(first - 1), task)
    assert not reads_all(encoder, text_of(first), task)


def test_white_space_is_no_loss(minilm):
    text = text_of(200)
    assert minilm.truncated([text + " " * 5000, "\n" * 5000 + text], "document") == []
    assert minilm.truncated(["é " * 600, "", "x " * 5000], "document") == [0, 2]


def test_tokens_are_counted_once(minilm, monkeypatch):
    texts = [text_of(300), text_of(100), "é " * 70]
    expected = minilm.encode_documents(texts)
    counted = []
    counts = type(minilm)._counts
    monkeypatch.setattr(type(minilm), "_counts", lambda *given: counted.append(1) or counts(*given))
    assert minilm.truncated(texts, "document") == [0]
    assert all(map(np.array_equal, minilm.encode_documents(texts), expected))
    assert len(counted) == 1
    minilm.encode_documents(texts[::-1])
    assert len(counted) == 2
    assert minilm.truncated(["a short query"], "query") == []  # shorter than it can be without being truncated
    assert len(counted) == 2


def test_the_offline_encoder_reads_queries_of_512_tokens(minilm):
    assert (minilm.query_length, minilm.document_length) == (512, 256)
    assert len(minilm.encode_queries([text_of(600)])[0]) == 512
    assert reads_all(minilm, text_of(400), "query")
    assert has_limits(minilm)


class TestOptions:
    def test_other_lengths(self, minilm):
        encoder = load_encoder("minilm", query_length=20, document_length=40)
        assert (encoder.query_length, encoder.document_length) == (20, 40)
        assert encoder.options == {"query_length": 20, "document_length": 40}
        assert encoder.truncated([text_of(17), text_of(19)], "query") == [1]
        assert len(encoder.encode_documents([text_of(100)])[0]) == 40
        short = text_of(10)
        for task in TASKS:
            assert np.allclose(encode(encoder, [short], task)[0], encode(minilm, [short], task)[0], atol=1e-5)
        assert minilm.options == {}

    @pytest.mark.parametrize("name", ["stanford", "pylate", "pylate_attended"])
    def test_longer_queries_of_a_model_with_query_expansion(self, request, name):
        folder = request.getfixturevalue(f"{name}_checkpoint")
        own, longer = load_encoder(folder), load_encoder(folder, query_length=60)
        width = own.query_length
        for text in ("two words", text_of(5)):  # padded as in training
            assert len(own.encode_queries([text])[0]) == len(longer.encode_queries([text])[0]) == width
            assert np.allclose(own.encode_queries([text])[0], longer.encode_queries([text])[0], atol=1e-5)
        assert own.truncated([text_of(50)], "query") == [0]
        assert longer.truncated([text_of(50), text_of(70)], "query") == [1]
        assert not reads_all(own, text_of(50), "query")
        assert reads_all(longer, text_of(50), "query")

    def test_shorter_queries_of_a_model_with_query_expansion(self, stanford_checkpoint):
        shorter = load_encoder(stanford_checkpoint, query_length=16)
        assert [len(vectors) for vectors in shorter.encode_queries(["two words", text_of(40)])] == [16, 16]
        assert shorter.truncated(["two words", text_of(40)], "query") == [1]

    @pytest.mark.parametrize("length", [0, -1, 3, True, 2.5, "20", 513, 10**12])
    def test_a_length_that_the_model_cannot_have(self, length):
        for option in ("query_length", "document_length"):
            with pytest.raises(InvalidRequestError, match=option):
                load_encoder("minilm", **{option: length})

    def test_a_model_of_pages_refuses_them(self, checkpoints):
        from tests.page_checkpoints import colpali

        folder = colpali(checkpoints / "colpali-lengths")
        with pytest.raises(InvalidRequestError, match="query_length cannot be set"):
            load_encoder(folder, query_length=20)
        assert load_encoder(folder).truncated(["x " * 5000], "query") == []


class TestIndexes:
    def test_an_index_opens_again_with_the_same_lengths(self, tmp_path):
        encoder = load_encoder("minilm", query_length=30, document_length=20)
        with (
            Index.open(tmp_path / "index", encoder=encoder) as index,
            pytest.warns(TruncationWarning, match="20 tokens"),
        ):
            index.add([text_of(30)])
        with Index.open(tmp_path / "index") as index:
            assert (index.encoder.query_length, index.encoder.document_length) == (30, 20)
            assert index.encoder.options == encoder.options
            assert index.info()["encoder"]["options"] == encoder.options
            with pytest.raises(InvalidRequestError, match="30 tokens"):
                index.search(text_of(40), truncate=False)
        with pytest.raises(IncompatibleEncoderError, match="document_length"):
            Index.open(tmp_path / "index", encoder="minilm")

    def test_another_query_length_is_compatible(self, tmp_path, minilm):
        """Stored vectors do not depend on it. Earlier releases recorded 64 for the offline encoder."""
        with Index.open(tmp_path / "index", encoder=minilm) as index:
            record = index.engine.encoder_record
            assert record["options"] == {}
            assert record["fingerprint"]["query_length"] == 512
            index.add(["red apples"])
        with Index.open(tmp_path / "index", encoder=load_encoder("minilm", query_length=64)) as index:
            assert index.search("red apples")[0].relevance > 0.9
        with Index.open(tmp_path / "index", encoder=load_encoder("minilm", query_length=8)) as index:
            assert index.encoder.query_length == 8  # less than the text has that the fingerprint compares
        with Index.open(tmp_path / "index") as index:
            assert index.encoder.query_length == 512

    def test_longer_queries_with_query_expansion_are_compatible(self, tmp_path, pylate_checkpoint):
        with Index.open(tmp_path / "index", encoder=load_encoder(pylate_checkpoint)) as index:
            index.add(["red apples"])
        with Index.open(tmp_path / "index", encoder=load_encoder(pylate_checkpoint, query_length=60)) as index:
            assert index.encoder.query_length == 60
            assert len(index.search("red apples")) == 1
        with Index.open(tmp_path / "index") as index:
            assert index.encoder.query_length == 32

    def test_a_record_with_a_length_that_the_model_cannot_have(self, tmp_path, minilm):
        path = tmp_path / "index"
        with Index.open(path, encoder=load_encoder("minilm", document_length=20)):
            pass
        with closing(sqlite3.connect(path / "catalog.sqlite")) as connection, connection:
            rows = connection.execute("SELECT key, value FROM settings").fetchall()
            changed = [
                (key, value.replace('"document_length": 20}', '"document_length": 4000}')) for key, value in rows
            ]
            changed = [(key, str(settings_checksum(changed)) if key == CHECKSUM else value) for key, value in changed]
            connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", changed)
        with Index.open(path) as index, pytest.raises(CorruptIndexError, match="at most 512 for minilm, got 4000"):
            index.search("red apples")

    @pytest.mark.parametrize(
        "options",
        [{"query_length": True}, {"document_length": 0}, {"query_length": "9"}, {"batch": 3}, {"image_tokens_only": 1}],
        ids=repr,
    )
    def test_a_record_with_other_options_loads_nothing(self, options):
        record = EncoderRecord.parse({"source": "minilm", "options": options})
        assert "encoder.options may have" in record.loading_problem
