"""`Index.open` with an address: created with the encoder's dimension, settings passed on, closed if anything fails."""

from __future__ import annotations

import itertools

import pytest

from late_interaction import Index
from late_interaction.engines.registry import ENGINES, EngineEntry
from late_interaction.errors import (
    IncompatibleEncoderError,
    IndexNotFoundError,
    InvalidRequestError,
    InvalidVectorsError,
    ReadOnlyIndexError,
)
from tests.fakes import WordEncoder
from tests.memory_engine import MemoryEngine

_NUMBERS = itertools.count()


@pytest.fixture
def address(monkeypatch):
    """An address where there is no index yet."""
    monkeypatch.setitem(ENGINES, "MemoryEngine", EngineEntry("tests.memory_engine", ("memory",)))
    return f"memory:index-{next(_NUMBERS)}"


def test_is_created_with_the_dimension_of_the_encoder(address, word_encoder):
    with Index.open(address, encoder=word_encoder) as index:
        index.add(["the nile"])
        assert index.engine.dim == word_encoder.dim
    with Index.open(address, encoder=word_encoder) as index:
        assert [hit.text for hit in index.search("nile")] == ["the nile"]


def test_is_created_with_a_reduced_dimension(address, word_encoder):
    with Index.open(address, encoder=word_encoder, dim=8, pooling=2) as index:
        assert index.engine.dim == 8
        assert index.engine.encoder_record["reduction"] == {"pooling": 2, "dim": 8}


def test_is_created_for_vectors(address):
    with Index.open(address, dim=3) as index:
        assert index.engine.dim == 3
    with pytest.raises((InvalidRequestError, InvalidVectorsError)):
        Index.open(address, dim=4)


@pytest.mark.parametrize("settings", [{}, {"read_only": True}, {"read_only": True, "dim": 3}])
def test_is_not_created(address, settings):
    with pytest.raises(IndexNotFoundError):
        Index.open(address, **settings)
    with pytest.raises(IndexNotFoundError):
        Index.open(address)


def test_read_only(address, word_encoder):
    Index.open(address, encoder=word_encoder).close()
    with Index.open(address, encoder=word_encoder, read_only=True) as index, pytest.raises(ReadOnlyIndexError):
        index.add(["new"])


def test_settings_reach_the_engine(address, word_encoder, monkeypatch):
    given = []

    def opened(location, **settings):
        given.append(settings)
        return open_it(location, **settings)

    open_it = MemoryEngine.open
    monkeypatch.setattr(MemoryEngine, "open", opened)
    Index.open(address, encoder=word_encoder, bits=2, language="german", device="cpu").close()
    expected = {"bits": 2, "language": "german", "device": "cpu", "read_only": False}
    assert given == [expected, {**expected, "dim": word_encoder.dim}]


def test_is_closed_if_the_encoder_is_another(address, word_encoder, monkeypatch):
    Index.open(address, encoder=word_encoder).close()
    closed = []
    monkeypatch.setattr(MemoryEngine, "close", lambda engine: closed.append(engine))
    with pytest.raises(IncompatibleEncoderError):
        Index.open(address, encoder=WordEncoder(name="others"))
    assert len(closed) == 1


def test_a_directory_of_qdrant(tmp_path, word_encoder):
    pytest.importorskip("qdrant_client")
    address = f"qdrant:{tmp_path / 'docs'}"
    with pytest.raises(IndexNotFoundError):
        Index.open(address, read_only=True, dim=16)
    with pytest.raises(InvalidRequestError, match="bits=2"):
        Index.open(address, encoder=word_encoder, bits=2)
    with Index.open(address, encoder=word_encoder, language="german") as index:
        index.add(["Häuser am Nil"])
        assert index.info()["language"] == "german"
        assert [hit.text for hit in index.search("haus", mode="lexical")] == ["Häuser am Nil"]
    with Index.open(address, encoder=word_encoder, read_only=True) as index, pytest.raises(ReadOnlyIndexError):
        index.add(["new"])
