"""Load the page-image models of transformers: ColPali, ColQwen2 and ColModernVBert."""

from __future__ import annotations

from typing import TYPE_CHECKING

from late_interaction.encoders.checkpoint import cache_folder
from late_interaction.encoders.images import require_pillow
from late_interaction.encoders.page_models import PAGE_MODELS
from late_interaction.encoders.pages import ColVisionEncoder
from late_interaction.encoders.precision import check_dtype, default_dtype

if TYPE_CHECKING:
    from late_interaction.encoders.checkpoint import Checkpoint

__all__ = ["load", "matches"]


def matches(checkpoint: Checkpoint) -> bool:
    """Return whether the checkpoint is of an architecture in `PAGE_MODELS`."""
    return _architecture(checkpoint) is not None


def load(checkpoint: Checkpoint) -> ColVisionEncoder:
    """Load the model in evaluation mode and its processor.

    Its weights are in bfloat16 on a CUDA device and on a processor that multiplies it natively, in float32 elsewhere.

    Raises:
        OptionalDependencyError: Pillow is not installed.
        InvalidRequestError: ``query_length`` or ``document_length``, which are for models that read text documents;
            or an unknown ``dtype``.
    """
    checkpoint.refuse_lengths()
    check_dtype(checkpoint.dtype)
    require_pillow()
    import torch
    import transformers
    from sentence_transformers.util import get_device_name

    architecture = str(_architecture(checkpoint))
    device = checkpoint.device or get_device_name()
    kind = torch.device(device).type
    dtype = checkpoint.dtype or ("bfloat16" if kind == "cuda" else default_dtype(kind))
    # The cache in which the configuration was found.
    options = {**checkpoint.library_options, "cache_dir": cache_folder()}
    model_class = getattr(transformers, architecture)
    model = model_class.from_pretrained(checkpoint.place, dtype=getattr(torch, dtype), **options)
    # Pillow's resizing on every machine: torchvision's, the default where it is installed, gives other vectors.
    processor_class = getattr(transformers, PAGE_MODELS[architecture].processor)
    processor = processor_class.from_pretrained(checkpoint.place, backend="pil", **options)
    encoder = ColVisionEncoder(
        model.to(device).eval(),
        processor,
        source=checkpoint.source,
        revision=checkpoint.revision,
        image_tokens_only=checkpoint.image_tokens_only,
    )
    encoder.given_dtype = checkpoint.dtype
    return encoder


def _architecture(checkpoint: Checkpoint) -> str | None:
    return next((name for name in checkpoint.architectures if name in PAGE_MODELS), None)
