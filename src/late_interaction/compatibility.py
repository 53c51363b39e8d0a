"""Which encoder goes with an index: the one it was built with, its vectors reduced as they were then."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from late_interaction.encoders import Encoder, ReducedEncoder, load_encoder
from late_interaction.encoders.fingerprint import differences
from late_interaction.encoders.protocol import reads_images, reads_text
from late_interaction.errors import IncompatibleEncoderError, InvalidRequestError, MissingEncoderError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from late_interaction.engines import Engine

__all__ = ["accepted", "as_encoder", "check_settings", "fingerprint_of", "modalities", "reduced", "remembered"]


def as_encoder(encoder: object) -> Encoder:
    """The encoder, loaded if it is given by what `load_encoder` takes.

    Raises:
        InvalidRequestError: It is neither.
    """
    if isinstance(encoder, (str, os.PathLike)):
        return load_encoder(encoder)
    if not isinstance(encoder, Encoder):
        raise InvalidRequestError(
            f"{type(encoder).__name__} is no encoder: it needs dim, fingerprint, encode_queries and encode_documents. "
            "A sentence_transformers.MultiVectorEncoder goes into late_interaction.encoders.TextEncoder(model)."
        )
    return encoder


def accepted(engine: Engine, encoder: Encoder) -> Encoder:
    """The encoder, if it is the one the index was built with; the first is remembered."""
    record = engine.encoder_record
    if record is not None and record.get("reduction") and not isinstance(encoder, ReducedEncoder):
        encoder = ReducedEncoder(encoder, **record["reduction"])
    fingerprint = fingerprint_of(encoder)
    if encoder.dim != engine.dim:
        raise IncompatibleEncoderError(
            f"The index holds vectors of dimension {engine.dim}, the encoder makes {encoder.dim}. "
            "Open it with the encoder it was built with, or build a new index in another directory."
        )
    if record is None:
        if not engine.read_only:
            known = {name: getattr(encoder, name, None) for name in ("source", "revision", "options", "reduction")}
            engine.record_encoder({**known, "modalities": modalities(encoder), "fingerprint": fingerprint})
    elif different := differences(record["fingerprint"], fingerprint):
        raise IncompatibleEncoderError(
            f"This is not the encoder the index was built with. Different: {'; '.join(different)}. "
            "Open it with that encoder, or build a new index in another directory."
        )
    return encoder


def remembered(record: Mapping[str, Any]) -> Encoder:
    """The encoder that an index remembers, loaded as it was.

    Raises:
        MissingEncoderError: It remembers none that can be loaded.
    """
    if not record.get("source"):
        raise MissingEncoderError(
            "This index was built with an encoder it cannot load by itself: one of your own, or one that runs code of "
            "its checkpoint. Pass it: Index.open(path, encoder=…)."
        )
    return load_encoder(record["source"], revision=record.get("revision"), **(record.get("options") or {}))


def modalities(encoder: Encoder) -> list[str]:
    """What documents the encoder reads: ``text``, ``image`` or both."""
    reads = {"text": reads_text(encoder), "image": reads_images(encoder)}
    return [modality for modality, known in reads.items() if known]


def reduced(encoder: Encoder, pooling: int | None, dim: int | None) -> Encoder:
    """The encoder with the settings of a new index."""
    if isinstance(encoder, ReducedEncoder) or (pooling in (None, 1) and dim in (None, encoder.dim)):
        return encoder
    return ReducedEncoder(encoder, pooling=1 if pooling is None else pooling, dim=dim)


def check_settings(engine: Engine, *, pooling: int | None, dim: int | None) -> None:
    """Refuse other settings than those the index was made with."""
    record = engine.encoder_record
    made_with = ((record or {}).get("reduction") or {}).get("pooling", 1)
    if record is not None and pooling not in (None, made_with):
        raise InvalidRequestError(f"The index was made with pooling={made_with}, which stays, not {pooling!r}.")
    if dim not in (None, engine.dim):
        raise InvalidRequestError(f"The index was made with dim={engine.dim}, which stays, not {dim!r}.")


def fingerprint_of(encoder: Encoder) -> dict[str, Any]:
    """The encoder's fingerprint as JSON values."""
    try:
        fingerprint = json.loads(json.dumps(encoder.fingerprint))
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"The fingerprint of {type(encoder).__name__} is not JSON: {error}.") from None
    if not isinstance(fingerprint, dict):
        raise InvalidRequestError(
            f"The fingerprint of {type(encoder).__name__} must be a dict that tells it from other encoders, "
            'for example {"model": "my-model", "version": 2}.'
        )
    return fingerprint
