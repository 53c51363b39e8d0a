"""Load the model of a `SingleVectorEncoder` by its name, after its files were checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.encoders.checkpoint import resolve
from late_interaction.encoders.loading import complete_weights, loading_errors
from late_interaction.encoders.multi_vector import module_types
from late_interaction.encoders.precision import check_dtype, chosen_dtype, lower_weights, weight_options
from late_interaction.encoders.reachable import reachable
from late_interaction.encoders.untrusted import check_config, check_files, check_modules, check_weights
from late_interaction.errors import UnsupportedCheckpointError

if TYPE_CHECKING:
    import os

    from sentence_transformers import SentenceTransformer

    from late_interaction.encoders.checkpoint import Checkpoint

__all__ = ["load_model"]

_POOLING = "Pooling"


def load_model(
    name_or_path: str | os.PathLike[str], *, device: str | None = None, dtype: str | None = None
) -> tuple[str, SentenceTransformer]:
    """Return the name of a model, from which it can be loaded again, and the model.

    Args:
        name_or_path: ``"minilm"``, a folder, or a model of the Hugging Face hub.
        device: A torch device; None takes a GPU where there is one.
        dtype: Precision of matrix products, as for `load_encoder`.

    Raises:
        InvalidRequestError: ``dtype`` is unknown.
        UnsupportedCheckpointError: The checkpoint does not exist or cannot be reached, is damaged, is not a
            single-vector model of sentence-transformers, or asks for something that is not safe.
        OptionalDependencyError: ``"minilm"`` without its package.
    """
    check_dtype(dtype)
    checkpoint = resolve(name_or_path, device=device)
    with loading_errors(checkpoint.name):
        checkpoint = reachable(checkpoint)
        if Path(checkpoint.place).is_dir():
            check_files(Path(checkpoint.place))
        _check(checkpoint)
        from sentence_transformers import SentenceTransformer

        with complete_weights(checkpoint.name):
            model = SentenceTransformer(
                checkpoint.place,
                device=device,
                model_kwargs=weight_options(device, dtype),
                **checkpoint.library_options,
            )
            lower_weights(model, chosen_dtype(model, dtype))
    return checkpoint.name, model


def _check(checkpoint: Checkpoint) -> None:
    """Refuse other formats, for which sentence-transformers would add a mean that nobody trained, and unsafe settings.

    Raises:
        UnsupportedCheckpointError: The message says what was found.
    """
    types = module_types(checkpoint)
    settings = checkpoint.read("config_sentence_transformers.json", dict) or {}
    kind = settings.get("model_type", "SentenceTransformer")
    if _POOLING not in types or kind != "SentenceTransformer":
        found = f"has the modules {', '.join(types)}" if types else "has no modules.json"
        raise UnsupportedCheckpointError(
            f"{checkpoint.name} is not a single-vector model of sentence-transformers: it {found} and the type {kind}. "
            "Load the model as a SentenceTransformer and pass it, if that is what you mean; PooledEncoder takes a "
            "late-interaction encoder."
        )
    check_config(checkpoint.name, checkpoint.config)
    check_modules(checkpoint.name, checkpoint.modules or [], checkpoint.read, also=frozenset({_POOLING}))
    dense = [module["path"] for module in checkpoint.modules or [] if module["type"].endswith(".Dense")]
    files = ["model.safetensors", *(f"{path}/model.safetensors" for path in dense)]
    check_weights(checkpoint.name, all(checkpoint.find(name) is not None for name in files))
