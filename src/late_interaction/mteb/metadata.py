"""MTEB's metadata of a model, from an encoder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from late_interaction.encoders import ReducedEncoder, TextEncoder
from late_interaction.encoders.record import is_hub_name
from late_interaction.index_encoder import fingerprint_of, modalities

if TYPE_CHECKING:
    from mteb.models.model_meta import ModelMeta

    from late_interaction.encoders import Encoder

__all__ = ["model_meta_of"]

_OWNER = "late-interaction"  # of models that are not from the hub: MTEB's names are "owner/name"


def model_meta_of(given_encoder: object, encoder: Encoder, *, bits: int | None, given: ModelMeta | None) -> ModelMeta:
    """Return the metadata of an encoder, or those of the caller, with the settings of the index.

    Args:
        given_encoder: What the caller passed as encoder.
        encoder: The encoder.
        bits: Bits per dimension of the index; None if it is exact.
        given: Metadata of the caller.
    """
    meta = _described(given_encoder, encoder) if given is None else given
    settings: dict[str, Any] = {} if bits is None else {"bits": bits}
    settings |= getattr(encoder, "reduction", None) or {}
    if not settings:
        return meta
    return meta.model_copy(update={"experiment_kwargs": {**(meta.experiment_kwargs or {}), **settings}})


def _described(given_encoder: object, encoder: Encoder) -> ModelMeta:
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    fingerprint = fingerprint_of(encoder)
    model = encoder.encoder if isinstance(encoder, ReducedEncoder) else encoder
    card = getattr(given_encoder, "model_card_data", None)  # of a sentence_transformers.MultiVectorEncoder
    names = [getattr(card, "model_name", None), getattr(card, "base_model", None), fingerprint.get("model")]
    name = next((str(name) for name in names if name), type(given_encoder).__name__)
    revisions = [getattr(encoder, "revision", None), getattr(card, "base_model_revision", None)]
    return ModelMeta.create_empty(
        overwrites={
            "name": name if _is_on_hub(name) else f"{_OWNER}/{PurePath(name).name}",
            "revision": next((str(revision) for revision in revisions if revision), _digest(fingerprint)),
            "max_tokens": getattr(encoder, "document_length", None),
            "embed_dim": encoder.dim,
            "framework": ["Sentence Transformers", "PyTorch"] if isinstance(model, TextEncoder) else [],
            "similarity_fn_name": ScoringFunction.MAX_SIM,
            "modalities": sorted({"text", *modalities(encoder)}),  # queries are texts, whatever documents are
            "model_type": ["late-interaction"],
        }
    )


def _is_on_hub(name: str) -> bool:
    return "/" in name and is_hub_name(name) and not Path(name).exists()


def _digest(fingerprint: dict[str, Any]) -> str:
    """Return a revision of an encoder that has none: 12 hexadecimal digits, other ones for other weights."""
    kept = {key: value for key, value in fingerprint.items() if key != "libraries"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]
