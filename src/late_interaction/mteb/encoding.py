"""Encoding for a task of MTEB: its arguments, its prompts, its queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from late_interaction.encoders import ReducedEncoder, TextEncoder
from late_interaction.errors import InvalidRequestError
from late_interaction.retrieval import encoding
from late_interaction.retrieval.truncation import Truncation
from late_interaction.validation import is_invisible

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from mteb.abstasks.task_metadata import TaskMetadata
    from numpy.typing import NDArray

    from late_interaction.encoders import Encoder

__all__ = ["EncodeOptions", "check_encode_kwargs", "encode_queries", "for_task"]

_DEFAULT_PRECISIONS = (("precision", None), ("precision", "float32"))


class EncodeOptions(NamedTuple):
    """The known ``encode_kwargs`` of MTEB, with its defaults."""

    batch_size: int = 32
    show_progress_bar: bool = True


def check_encode_kwargs(encode_kwargs: Mapping[str, Any]) -> EncodeOptions:
    """Return the options.

    Raises:
        InvalidRequestError: One of them is unknown.
    """
    given = {name: value for name, value in encode_kwargs.items() if (name, value) not in _DEFAULT_PRECISIONS}
    if "precision" in given:
        raise InvalidRequestError(
            f"precision must be 'float32', got {given['precision']!r}. Stored vectors are compressed by "
            "IndexedSearch(encoder, bits=…)."
        )
    if unknown := sorted(given.keys() - set(EncodeOptions._fields)):
        raise InvalidRequestError(
            f"encode_kwargs has {', '.join(unknown)}, which IndexedSearch does not pass to an encoder. It takes "
            f"{' and '.join(EncodeOptions._fields)}. Set the others where the model is loaded."
        )
    return EncodeOptions(**given)


def for_task(encoder: Encoder, task_metadata: TaskMetadata) -> Encoder:
    """Return the encoder with the prompts for the task, if its model has any besides those for every task.

    They are chosen as by MTEB's ``MultiVectorWrapper``.
    """
    if isinstance(encoder, ReducedEncoder):
        inner = for_task(encoder.encoder, task_metadata)
        return encoder if inner is encoder.encoder else ReducedEncoder(inner, **encoder.reduction)
    if not isinstance(encoder, TextEncoder):
        return encoder
    from mteb.models.abs_encoder import get_prompt_name
    from mteb.types import PromptType

    prompts = encoder.prompts
    names = {task.value: get_prompt_name(prompts, task_metadata, task) for task in PromptType}
    chosen = {task: prompts[name] for task, name in names.items() if name is not None and name != task}
    return encoder.with_prompts(chosen) if chosen else encoder


def encode_queries(encoder: Encoder, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """Return the token vectors of each query, (query tokens, dim) float32; a blank one has none. Warn of truncation."""
    truncation = Truncation()
    truncation.queries(encoder, [text for text in texts if not is_invisible(text)])
    vectors = encoding.encode_queries(encoder, texts)
    truncation.warn()
    return vectors
