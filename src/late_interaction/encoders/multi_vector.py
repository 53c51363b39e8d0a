"""Checkpoints that `sentence_transformers.MultiVectorEncoder` loads: its own format, PyLate and Stanford ColBERT."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from late_interaction.encoders.precision import check_dtype, chosen_dtype, lower_weights, weight_options
from late_interaction.encoders.text import TextEncoder
from late_interaction.encoders.text_image import TextImageEncoder
from late_interaction.encoders.untrusted import check_modules, check_weights, is_dense
from late_interaction.encoders.videos import without_videos

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder
    from typing_extensions import Unpack

    from late_interaction.encoders.checkpoint import Checkpoint, Lengths

__all__ = ["check", "is_native", "is_pylate", "is_stanford", "load", "module_types", "wrap"]


def is_stanford(checkpoint: Checkpoint) -> bool:
    """Return whether the projection is among the weights of the transformer, as Stanford's ColBERT saves it."""
    return "HF_ColBERT" in checkpoint.architectures


def is_native(checkpoint: Checkpoint) -> bool:
    """Return whether the checkpoint is in the multi-vector format of sentence-transformers."""
    if checkpoint.modules is None:
        return False
    settings = checkpoint.read("config_sentence_transformers.json", dict) or {}
    return settings.get("model_type") == "MultiVectorEncoder"


def is_pylate(checkpoint: Checkpoint) -> bool:
    """Return whether the modules include a projection and no pooling to a single vector, as PyLate saves them."""
    types = module_types(checkpoint)
    return "Dense" in types and "Pooling" not in types


def module_types(checkpoint: Checkpoint) -> list[str]:
    """Return the class name of each module in ``modules.json``, in order, without its package."""
    modules = [module for module in checkpoint.modules or [] if isinstance(module, dict)]  # `check` refuses the others
    return [str(module.get("type", "")).rpartition(".")[2] for module in modules]


def check(checkpoint: Checkpoint) -> None:
    """Refuse modules that would run code or use files outside the checkpoint.

    Raises:
        UnsupportedCheckpointError: The message names the module.
    """
    modules = checkpoint.modules or []
    check_modules(checkpoint.name, modules, checkpoint.read)
    projections = ["model.safetensors"] if is_stanford(checkpoint) else []
    projections += [f"{module['path']}/model.safetensors" for module in modules if is_dense(module["type"])]
    check_weights(checkpoint.name, all(checkpoint.find(projection) is not None for projection in projections))


def load(checkpoint: Checkpoint) -> TextEncoder:
    """Load the model and return its encoder, which reads images too if the model does.

    Raises:
        InvalidRequestError: ``image_tokens_only`` for a model that reads no images, or an unknown ``dtype``.
    """
    check_dtype(checkpoint.dtype)
    model = _load_model(checkpoint)
    lower_weights(model, chosen_dtype(model, checkpoint.dtype))
    if not model.supports("image"):
        checkpoint.refuse_image_options()
    return wrap(
        model,
        source=checkpoint.source,
        revision=checkpoint.revision,
        image_tokens_only=checkpoint.image_tokens_only,
        dtype=checkpoint.dtype,
        **checkpoint.lengths,
    )


def wrap(
    model: MultiVectorEncoder,
    *,
    source: str | None = None,
    revision: str | None = None,
    image_tokens_only: bool = False,
    dtype: str | None = None,
    **lengths: Unpack[Lengths],
) -> TextEncoder:
    """Return the encoder of a model, which reads images too if the model does. See `TextImageEncoder`."""
    if model.supports("image"):
        return TextImageEncoder(
            model, source=source, revision=revision, image_tokens_only=image_tokens_only, dtype=dtype, **lengths
        )
    return TextEncoder(model, source=source, revision=revision, dtype=dtype, **lengths)


def _load_model(checkpoint: Checkpoint) -> MultiVectorEncoder:
    from sentence_transformers import MultiVectorEncoder

    load_model = partial(
        MultiVectorEncoder,
        checkpoint.place,
        device=checkpoint.device,
        model_kwargs=weight_options(checkpoint.device, checkpoint.dtype),
        **checkpoint.library_options,
    )
    try:
        return load_model()
    except ImportError as error:
        if "torchvision" not in str(error).lower():
            raise
    with without_videos():
        return load_model()
