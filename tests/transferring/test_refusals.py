"""What is refused, before anything is written."""

from __future__ import annotations

import pytest

from late_interaction import Index
from late_interaction.engines import LocalEngine, transfer
from late_interaction.errors import (
    IncompatibleEncoderError,
    InvalidRequestError,
    InvalidVectorsError,
    ReadOnlyIndexError,
    UnsupportedError,
)
from tests.conformance.helpers import DIM, record
from tests.conformance.weak_engines import WeakEngine
from tests.fakes import WordEncoder


def unchanged(engine, error, match, call):
    before = list(engine.scan()), engine.encoder_record, engine.roots
    with pytest.raises(error, match=match):
        call()
    assert (list(engine.scan()), engine.encoder_record, engine.roots) == before


def test_the_same_index(source):
    unchanged(source, InvalidRequestError, "the same index", lambda: transfer(source, source))
    with LocalEngine.open(source.path, read_only=True) as reader:
        unchanged(source, InvalidRequestError, "the same index", lambda: transfer(reader, source))


def test_the_same_index_through_a_link(source, tmp_path):
    (tmp_path / "link").symlink_to(source.path)
    with LocalEngine.open(tmp_path / "link", read_only=True) as reader:
        unchanged(source, InvalidRequestError, "the same index", lambda: transfer(reader, source))


def test_what_is_not_an_engine(source, target):
    index = Index(engine=target)
    unchanged(
        target, InvalidRequestError, r"must be an engine, got Index.*target\.engine", lambda: transfer(source, index)
    )
    unchanged(target, InvalidRequestError, "must be an engine, got str", lambda: transfer("my-index", target))


def test_a_target_that_is_only_read(source, target):
    with LocalEngine.open(target.path, read_only=True) as reader:
        unchanged(target, ReadOnlyIndexError, "read_only", lambda: transfer(source, reader))


def test_a_source_without_vectors(target, new_folder):
    source = WeakEngine.open(new_folder(), dim=DIM)
    unchanged(target, UnsupportedError, r"WeakEngine cannot return.*encoder=", lambda: transfer(source, target))


def test_another_dimension(source, new_folder):
    with LocalEngine.open(new_folder(), dim=DIM + 1, bits=None) as target:
        unchanged(
            target, InvalidVectorsError, f"dimension {DIM + 1}, the source of {DIM}", lambda: transfer(source, target)
        )


@pytest.mark.parametrize("number", [-1, 1.5, "3", True])
def test_a_number_of_queries(source, target, number):
    unchanged(target, InvalidRequestError, "verify must be", lambda: transfer(source, target, verify=number))


class TestEncoders:
    def test_of_another_encoder(self, source, target):
        Index(engine=source, encoder=WordEncoder(DIM))
        Index(engine=target, encoder=WordEncoder(DIM, name="others"))
        unchanged(target, IncompatibleEncoderError, r"another encoder.*'others'", lambda: transfer(source, target))

    def test_of_one_that_the_source_does_not_remember(self, source, target):
        Index(engine=target, encoder=WordEncoder(DIM))
        unchanged(target, IncompatibleEncoderError, r"the source does not", lambda: transfer(source, target))

    def test_the_record_is_taken_over(self, source, target):
        encoder = WordEncoder(DIM)
        Index(engine=source, encoder=encoder)
        transfer(source, target)
        assert target.encoder_record == source.encoder_record
        assert [hit.id for hit in Index(engine=target, encoder=encoder).search("text", 1)]

    def test_given_another_than_the_targets(self, source, target):
        Index(engine=target, encoder=WordEncoder(DIM, name="others"))
        unchanged(
            target,
            IncompatibleEncoderError,
            "not the encoder",
            lambda: transfer(source, target, encoder=WordEncoder(DIM)),
        )


def test_roots_of_the_same_number(source, target):
    for engine, path in ((source, "/docs"), (target, "/others")):
        engine.record_roots({"1": {"path": path, "label": "", "beside": None}})
        engine.upsert([record("in-a-root")])
        engine.set_root(["in-a-root"], 1)
    unchanged(target, InvalidRequestError, r"/docs.*/others", lambda: transfer(source, target))
