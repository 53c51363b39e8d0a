"""Which encoder goes with an index: the one it was built with, its vectors reduced as they were then."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.encoders import Encoder, ReducedEncoder, load_encoder
from late_interaction.encoders.fingerprint import differences
from late_interaction.encoders.protocol import reads_images, reads_text
from late_interaction.encoders.record import EncoderRecord, InvalidRecordError, is_hub_name, read_record
from late_interaction.errors import (
    CorruptIndexError,
    IncompatibleEncoderError,
    InvalidRequestError,
    MissingEncoderError,
    UnsupportedCheckpointError,
)

if TYPE_CHECKING:
    from late_interaction.engines import Engine

__all__ = ["accepted", "as_encoder", "check_settings", "fingerprint_of", "modalities", "reduced", "remembered"]


def as_encoder(encoder: object) -> Encoder:
    """Return the encoder, loaded if it is given by what `load_encoder` takes.

    Raises:
        InvalidRequestError: It is neither.
    """
    if isinstance(encoder, (str, os.PathLike)):
        return load_encoder(encoder)
    if not isinstance(encoder, Encoder):
        raise InvalidRequestError(
            f"{type(encoder).__name__} is not an encoder: it needs dim, fingerprint, encode_queries and "
            "encode_documents. A sentence_transformers.MultiVectorEncoder goes into "
            "late_interaction.encoders.TextEncoder(model)."
        )
    return encoder


def accepted(engine: Engine, encoder: Encoder) -> Encoder:
    """Return the encoder if it is the one the index was built with; the first is remembered."""
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
        if not engine.read_only:
            engine.record_encoder(_record_of(encoder, fingerprint).to_json())
    elif different := differences(record.fingerprint, fingerprint):
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
    """What an index remembers of this encoder: how to load it again, if `load_encoder` has made it."""
    found = {name: getattr(encoder, name, None) for name in ("source", "revision", "options", "reduction")}
    found |= {"modalities": modalities(encoder), "fingerprint": fingerprint}
    try:
        record = EncoderRecord.parse(found)
    except InvalidRecordError:
        record = None
    if record is not None and record.loading_problem is None:
        return record
    # An encoder of the user's own, whose attributes of these names mean something else.
    own = {"reduction": encoder.reduction} if isinstance(encoder, ReducedEncoder) else {}
    try:
        return EncoderRecord.parse({**own, "modalities": found["modalities"], "fingerprint": fingerprint})
    except InvalidRecordError as error:
        raise InvalidRequestError(f"{type(encoder).__name__} cannot be remembered: {error}.") from None


def remembered(record: EncoderRecord | None) -> Encoder:
    """Load the encoder that an index remembers, without the network and without code of the checkpoint.

    Raises:
        MissingEncoderError: It remembers none, or one that is not on this machine.
        CorruptIndexError: What it remembers is nothing that an index may remember.
    """
    if record is None or record.source is None:
        raise MissingEncoderError(
            "This index was built with an encoder it cannot load by itself: one of your own, or one that runs code of "
            "its checkpoint. Pass it: Index.open(path, encoder=…)."
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
        return load_encoder(
            source,
            revision=record.revision,
            local_files_only=True,
            image_tokens_only=record.options.get("image_tokens_only", False),
        )
    except UnsupportedCheckpointError as error:
        reason = "is not in the local cache and is not downloaded without your consent"
        if not is_hub_name(source):
            reason = "cannot be loaded from there"
        raise MissingEncoderError(
            f"This index was built with the encoder {source!r}, which {reason}. If you trust it, open the index once "
            f"with: {_call(record)}. ({error})"
        ) from error


def _call(record: EncoderRecord) -> str:
    """What the caller writes to load the encoder of this record."""
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


def check_settings(engine: Engine, *, pooling: int | None, dim: int | None, has_encoder: bool) -> None:
    """Refuse other settings than those the index was created with.

    Raises:
        InvalidRequestError: They differ, or the index has no encoder yet that they could be settings of.
    """
    if dim not in (None, engine.dim):
        raise InvalidRequestError(
            f"The index was created with dim={engine.dim}, which cannot be changed (got dim={dim!r})."
        )
    if pooling is None:
        return
    record = read_record(engine)
    if record is None and not has_encoder:
        raise InvalidRequestError(f"The index has no encoder yet: pass pooling={pooling!r} together with encoder=.")
    made_with = 1 if record is None or record.reduction is None else record.reduction["pooling"]
    if record is not None and pooling != made_with:
        raise InvalidRequestError(
            f"The index was created with pooling={made_with}, which cannot be changed (got pooling={pooling!r})."
        )


def fingerprint_of(encoder: Encoder) -> dict[str, Any]:
    """Return the encoder's fingerprint as JSON values."""
    try:
        fingerprint = json.loads(json.dumps(encoder.fingerprint))
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"The fingerprint of {type(encoder).__name__} is not JSON: {error}.") from None
    if not isinstance(fingerprint, dict):
        raise InvalidRequestError(
            f"The fingerprint of {type(encoder).__name__} must be a dict that tells it from other encoders, "
            'for example {"model": "my-model", "version": 2}.'
        )
    try:
        return EncoderRecord.parse({"fingerprint": fingerprint}).fingerprint
    except InvalidRecordError as error:
        raise InvalidRequestError(f"{type(encoder).__name__} cannot be remembered: {error}.") from None
