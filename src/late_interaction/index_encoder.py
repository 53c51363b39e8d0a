"""Load and check the encoder of an index: the one it was built with, with the same reduction."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.encoders import Encoder, ReducedEncoder
from late_interaction.encoders.fingerprint import differences
from late_interaction.encoders.protocol import reads_images, reads_text
from late_interaction.encoders.record import EncoderRecord, InvalidRecordError, is_hub_name
from late_interaction.encoders.sharing import shared_encoder, shared_wrapper
from late_interaction.errors import (
    CorruptIndexError,
    IncompatibleEncoderError,
    InvalidRequestError,
    MissingEncoderError,
    UnsupportedCheckpointError,
)
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from late_interaction.engines import Engine

__all__ = ["IndexEncoder", "as_encoder", "fingerprint_of", "modalities", "read_record", "reduced"]


class IndexEncoder:
    """The encoder of an index: the one given, or the one that the index remembers, loaded at first use.

    Any thread may call.

    Args:
        engine: The engine of the index.
        encoder: An `Encoder`, or what `load_encoder` takes; None for the one that the index remembers.

    Attributes:
        given: The encoder given; None for the one that the index remembers.

    Raises:
        IncompatibleEncoderError: The index was built with another encoder.
    """

    def __init__(self, engine: Engine, encoder: Encoder | str | os.PathLike[str] | None) -> None:
        self._engine = engine
        self._record: EncoderRecord | None = None
        self._encoder = None if encoder is None else _accepted(engine, as_encoder(encoder))
        self.given = self._encoder
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def _make_mutex(self) -> None:
        self._mutex = threading.RLock()  # reentrant, so that a signal handler may search

    @property
    def record(self) -> EncoderRecord | None:
        """What the index remembers of its encoder, read once; None if it remembers nothing yet.

        Raises:
            CorruptIndexError: It is damaged.
        """
        if self._record is None:
            self._record = read_record(self._engine)
        return self._record

    @property
    def exists(self) -> bool:
        """Whether an encoder was given, or the index remembers one. Nothing is loaded."""
        return self._encoder is not None or self.record is not None

    def load(self) -> Encoder:
        """Return the encoder.

        Raises:
            MissingEncoderError: The index remembers none, or one that is not on this machine.
            CorruptIndexError: What the index remembers is damaged.
            IncompatibleEncoderError: What is found under the remembered name has changed.
        """
        with self._mutex:  # held while loading, so that many first searches load one model
            if self._encoder is None:
                self._encoder = _accepted(self._engine, _remembered(self.record))
            return self._encoder

    @property
    def modalities(self) -> tuple[str, ...]:
        """What documents the encoder reads: ``text``, ``image`` (pages) or both. Known without loading it."""
        if self._encoder is not None:
            return tuple(modalities(self._encoder))
        return ("text",) if self.record is None else self.record.modalities

    def info(self) -> dict[str, Any] | None:
        """Return what the index remembers of its encoder as JSON values, without the probe; None if nothing."""
        if self.record is None:
            return None
        info = self.record.to_json()
        info["fingerprint"].pop("probe", None)  # numbers for machines
        return info


def as_encoder(encoder: object, **options: Any) -> Encoder:
    """Return the encoder, loaded if it is given by what `load_encoder` takes.

    A `sentence_transformers.MultiVectorEncoder` becomes a `TextEncoder` or `TextImageEncoder`.

    Args:
        encoder: An encoder, or its name or path.
        options: Other arguments of `load_encoder`, for a name or path.

    Raises:
        InvalidRequestError: It is none of these.
    """
    if isinstance(encoder, (str, os.PathLike)):
        return shared_encoder(encoder, **options)
    if isinstance(encoder, Encoder):
        return encoder
    classes = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(encoder).__mro__}
    if "sentence_transformers.MultiVectorEncoder" in classes:  # by its name: importing the class would import torch
        return shared_wrapper(encoder)
    advice = ""
    if "pylate.ColBERT" in classes:
        advice = " Of a model of PyLate, pass the name or folder of its checkpoint, or vectors: add(…, vectors=[…])."
    elif "sentence_transformers.SentenceTransformer" in classes:
        advice = " A SentenceTransformer makes one vector of a text; a MultiVectorEncoder makes one of each token."
    raise InvalidRequestError(
        f"{type(encoder).__name__} is not an encoder: it needs dim, fingerprint, encode_queries and encode_documents."
        f"{advice} Pass a name for load_encoder, a sentence_transformers.MultiVectorEncoder, or an Encoder."
    )


def _accepted(engine: Engine, encoder: Encoder) -> Encoder:
    """Return the encoder, reduced as the index was built; record the first one.

    Raises:
        IncompatibleEncoderError: The index was built with another encoder.
    """
    engine.prepare(encoder.dim)
    record = read_record(engine)
    if record is not None and record.reduction and not isinstance(encoder, ReducedEncoder):
        encoder = _reduced_again(engine, record.reduction, encoder)
    fingerprint = fingerprint_of(encoder)
    if encoder.dim != engine.dim:
        raise IncompatibleEncoderError(
            f"The index holds vectors of dimension {engine.dim}, the encoder makes {encoder.dim}. "
            "Open it with the encoder it was built with, or build a new index in another directory."
        )
    if record is None:
        if engine.read_only:
            return encoder
        engine.record_encoder(_record_of(encoder, fingerprint).to_json())
        record = read_record(engine)  # of another writer, if both found none at the same time
    if record is not None and (different := differences(record.fingerprint, fingerprint)):
        raise IncompatibleEncoderError(
            f"This is not the encoder the index was built with. Different: {'; '.join(different)}. "
            "Open it with that encoder, or build a new index in another directory."
        )
    return encoder


def _reduced_again(engine: Engine, reduction: dict[str, int], encoder: Encoder) -> ReducedEncoder:
    if reduction["dim"] != engine.dim:
        raise CorruptIndexError(
            f"The setting 'encoder' of the index is damaged: encoder.reduction has dim={reduction['dim']}, and the "
            f"index holds vectors of dimension {engine.dim}. Restore the index from a copy, or build a new one."
        )
    if encoder.dim < engine.dim:
        raise IncompatibleEncoderError(
            f"The index keeps {engine.dim} dimensions of each vector, the encoder makes {encoder.dim}. "
            "Open it with the encoder it was built with, or build a new index in another directory."
        )
    return ReducedEncoder(encoder, **reduction)


def _record_of(encoder: Encoder, fingerprint: dict[str, Any]) -> EncoderRecord:
    """Return what an index remembers of this encoder: also how to load it, if `load_encoder` loaded it."""
    found = {name: getattr(encoder, name, None) for name in ("source", "revision", "options", "reduction")}
    found |= {"modalities": modalities(encoder), "fingerprint": fingerprint}
    try:
        record = EncoderRecord.parse(found)
    except InvalidRecordError:
        record = None
    if record is not None and record.loading_problem is None:
        return record
    # A custom encoder, whose attributes of these names mean something else.
    own = {"reduction": encoder.reduction} if isinstance(encoder, ReducedEncoder) else {}
    try:
        return EncoderRecord.parse({**own, "modalities": found["modalities"], "fingerprint": fingerprint})
    except InvalidRecordError as error:
        raise InvalidRequestError(f"{type(encoder).__name__} cannot be remembered: {error}.") from None


def _remembered(record: EncoderRecord | None) -> Encoder:
    """Load the encoder that an index remembers, without the network and without code of the checkpoint.

    Raises:
        MissingEncoderError: It remembers none, or one that is not on this machine.
        CorruptIndexError: The record names something that an index may not load.
    """
    if record is None:
        raise MissingEncoderError(
            "This index has no encoder, so texts and images cannot be encoded. Pass token vectors of your own: "
            "add(documents, vectors=[…]) and search(vectors). Search texts by their words: mode='lexical'. Or open "
            "the index with the encoder of its vectors: Index.open(path, encoder=…)."
        )
    if record.source is None:
        raise MissingEncoderError(
            "This index was built with an encoder that it cannot load: a custom one, or one that runs code of its "
            "checkpoint. Pass it: Index.open(path, encoder=…)."
        )
    if problem := record.loading_problem:
        raise CorruptIndexError(
            f"The setting 'encoder' of the index is damaged: {problem}. Nothing was loaded. If you know the encoder, "
            "pass it: Index.open(path, encoder=…)."
        )
    source = record.source
    if is_hub_name(source) and Path(source).exists():
        raise MissingEncoderError(
            f"This index was built with the model {source!r} of the Hugging Face hub, and the working directory has a "
            f"folder of that name. Pass the one you mean: {_call(record)}."
        )
    try:
        return shared_encoder(source, **record.load_options)
    except InvalidRequestError as error:  # options that this model cannot have
        raise CorruptIndexError(
            f"The setting 'encoder' of the index is damaged: {error} If you know the encoder, pass it: "
            "Index.open(path, encoder=…)."
        ) from None
    except UnsupportedCheckpointError as error:
        reason = "is not in the local cache and is not downloaded without your consent"
        if not is_hub_name(source):
            reason = "cannot be loaded from there"
        raise MissingEncoderError(
            f"This index was built with the encoder {source!r}, which {reason}. If you trust it, open the index once "
            f"with: {_call(record)}. ({error})"
        ) from error


def _call(record: EncoderRecord) -> str:
    """Return the call that loads the encoder of this record."""
    arguments = {"revision": record.revision} if record.revision else {}
    settings = "".join(f", {name}={value!r}" for name, value in {**arguments, **record.options}.items())
    encoder = f"load_encoder({record.source!r}{settings})" if settings else repr(record.source)
    return f"Index.open(path, encoder={encoder})"


def modalities(encoder: Encoder) -> list[str]:
    """Return what documents the encoder reads: ``text``, ``image`` or both."""
    reads = {"text": reads_text(encoder), "image": reads_images(encoder)}
    return [modality for modality, known in reads.items() if known]


def reduced(encoder: Encoder, pooling: int | None, dim: int | None) -> Encoder:
    """Return the encoder with the settings of a new index.

    Raises:
        InvalidRequestError: It is a `ReducedEncoder` with other settings, or cannot have these.
    """
    if isinstance(encoder, ReducedEncoder):
        given = {"pooling": pooling, "dim": dim}
        if other := {name: value for name, value in given.items() if value not in (None, encoder.reduction[name])}:
            raise InvalidRequestError(
                f"The encoder is a ReducedEncoder with {encoder.reduction}, got {other}. Leave them out, or pass the "
                "encoder inside it: encoder=encoder.encoder."
            )
        return encoder
    if pooling in (None, 1) and dim in (None, encoder.dim):
        return encoder
    return ReducedEncoder(encoder, pooling=1 if pooling is None else pooling, dim=dim)


def fingerprint_of(encoder: Encoder) -> dict[str, Any]:
    """Return the encoder's fingerprint as JSON values.

    Raises:
        InvalidRequestError: It is not a dict of JSON values.
    """
    try:
        fingerprint = json.loads(json.dumps(encoder.fingerprint))
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"The fingerprint of {type(encoder).__name__} is not JSON: {error}.") from None
    if not isinstance(fingerprint, dict):
        raise InvalidRequestError(
            f"The fingerprint of {type(encoder).__name__} must be a dict that identifies it, "
            'for example {"model": "my-model", "version": 2}.'
        )
    try:
        return EncoderRecord.parse({"fingerprint": fingerprint}).fingerprint
    except InvalidRecordError as error:
        raise InvalidRequestError(f"{type(encoder).__name__} cannot be remembered: {error}.") from None


def read_record(engine: Engine) -> EncoderRecord | None:
    """Return what an index remembers of its encoder, or None if it remembers nothing.

    Raises:
        CorruptIndexError: It is not a record of an encoder.
    """
    value: object = engine.encoder_record
    if value is None:
        return None
    try:
        return EncoderRecord.parse(value)
    except InvalidRecordError as error:
        raise CorruptIndexError(
            f"The setting 'encoder' of the index is damaged: {error}. Documents can still be read with get, scan and "
            "lexical search. Restore the index from a copy, or build a new one."
        ) from None
