"""What is refused before anything is written: another encoder, another dimension, the same index."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from late_interaction.collection import Collection
from late_interaction.encoders.fingerprint import differences
from late_interaction.engines.base import Engine
from late_interaction.errors import (
    IncompatibleEncoderError,
    InvalidRequestError,
    InvalidVectorsError,
    ReadOnlyIndexError,
    UnsupportedError,
)
from late_interaction.index_encoder import IndexEncoder, fingerprint_of, read_record

if TYPE_CHECKING:
    from late_interaction.encoders import Encoder
    from late_interaction.encoders.record import EncoderRecord

__all__ = ["check_engines", "has_the_vectors_of", "prepared"]


def check_engines(source: object, target: object, *, encodes: bool) -> tuple[Engine, Engine]:
    """Return the engines, if documents can be moved from one to the other.

    Args:
        source: The source.
        target: The target.
        encodes: Whether documents are encoded again.

    Raises:
        InvalidRequestError: One is not an engine, or both are the same index.
        UnsupportedError: The source cannot return vectors, and nothing is encoded again.
        ReadOnlyIndexError: The target is read-only.
    """
    source, target = _engine(source, "source"), _engine(target, "target")
    if source is target or _place(source) == _place(target) is not None:
        raise InvalidRequestError(f"The source and the target are the same index, {target!r}. Name another target.")
    if not encodes and not source.capabilities.vectors:
        raise UnsupportedError(
            f"{type(source).__name__} cannot return stored token vectors, so they cannot be transferred. To encode "
            "the documents again: transfer(…, encoder=…)."
        )
    if target.read_only:
        raise ReadOnlyIndexError(f"The target, {target!r}, is open with read_only=True. Open it for writing.")
    return source, target


def prepared(source: Engine, target: Engine, encoder: Encoder | None) -> Encoder | None:
    """Let the target hold vectors of the source, or of the encoder, and return the encoder as the target has it.

    Its collection or table is created if there is none, and the record of the encoder is stored if it has none.

    Raises:
        IncompatibleEncoderError: The target was built with another encoder.
        InvalidVectorsError: The target holds vectors of another dimension.
    """
    if encoder is not None:
        return IndexEncoder(target, encoder).load()
    dim, record = source.dim, read_record(source)  # what is damaged is an error before the target is created
    target.prepare(dim)
    if target.dim != dim:
        raise InvalidVectorsError(
            f"The target holds vectors of dimension {target.dim}, the source of {dim}. Transfer into a new index, or "
            "encode the documents again with the target's encoder."
        )
    _check_record(record, read_record(target))
    if record is not None and read_record(target) is None:
        target.record_encoder(record.to_json())
        _check_record(record, read_record(target))  # of another writer, if both found none at the same time
    return None


def has_the_vectors_of(source: Engine, encoder: Encoder) -> bool:
    """Return whether vectors of the source can be compared with those of an encoder."""
    record = read_record(source)
    return record is not None and not differences(record.fingerprint, fingerprint_of(encoder))


def _check_record(source: EncoderRecord | None, target: EncoderRecord | None) -> None:
    if target is None:
        return
    if source is None:
        raise IncompatibleEncoderError(
            "The target remembers its encoder and the source does not, so their vectors may be of different encoders. "
            "If they are of the same, let the source remember it: Index.open(source, encoder=…)."
        )
    if different := differences(target.fingerprint, source.fingerprint):
        raise IncompatibleEncoderError(
            f"The target was built with another encoder than the source. Different: {'; '.join(different)}, where "
            "the index is the target. Transfer into a new index, or encode the documents again with the target's "
            "encoder."
        )


def _engine(given: object, name: str) -> Engine:
    if isinstance(given, Engine):
        return given
    hint = f" Pass the engine of the index: {name}.engine." if isinstance(given, Collection) else ""
    raise InvalidRequestError(f"The {name} of a transfer must be an engine, got {type(given).__name__}.{hint}")


def _place(engine: Engine) -> tuple[type[Engine], str] | None:
    """Return what tells the index of an engine from others; None if nothing does."""
    if engine.reopening is None:
        return None
    location, _ = engine.reopening
    if engine.path is not None:
        with suppress(OSError):
            location = location.replace(str(engine.path), os.path.realpath(engine.path))
    return type(engine), location
