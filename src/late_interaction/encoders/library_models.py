"""What models of sentence-transformers have in common: their class, how they take texts, and how much they read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from late_interaction.encoders.batching import batches
from late_interaction.encoders.lengths import NO_LIMIT, max_tokens
from late_interaction.encoders.strings import checked, fits_in_bytes
from late_interaction.encoders.turns import lock_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from late_interaction.encoders.protocol import Task

__all__ = ["LimitedModel", "inputs_of", "is_model", "read_length", "text_batches", "truncated_positions"]

_BATCH_BYTES = 32_768  # of text, including padding: about 8,192 tokens
_BYTES_PER_TOKEN = 4  # of English; a wrong estimate only makes batches of less similar lengths
_SPECIAL_TOKENS = 8  # more than a tokenizer adds around a text, or around a pair of texts
_PROMPT_NAMES = {"query": ("query",), "document": ("document", "passage", "corpus")}  # the first that a model has


class LimitedModel:
    """The part of a `LimitedEncoder` that encoders over one model share. It asks the model how much it reads.

    Args:
        model: The model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._lock = lock_of(model)

    @property
    def query_length(self) -> int | None:
        """Return how many tokens are read of a query, prompt and markers included; None for all."""
        return read_length(self._model, "query")

    @property
    def document_length(self) -> int | None:
        """Return how many tokens are read of a document, prompt and markers included; None for all."""
        return read_length(self._model, "document")

    def truncated(self, texts: list[str], task: Task) -> list[int]:
        """Return the positions of the texts that are longer than the model reads, in order."""
        return truncated_positions(self._model, task, [(checked(text),) for text in texts])


def is_model(value: object, name: str) -> bool:
    """Return whether a value is a model of sentence-transformers of this class, without importing the package."""
    classes = {f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in type(value).__mro__}
    return f"sentence_transformers.{name}" in classes


def inputs_of(model: Any, texts: Sequence[str]) -> list[Any]:
    """Return texts as a model takes them.

    Models that read images open a plain string that looks like a file name or URL, but not the text in a dict.
    """
    return [{"text": text} for text in texts] if model.supports("image") else list(texts)


def read_length(model: Any, task: Task) -> int | None:
    """Return how many tokens a model reads of a text, prompt and markers included; None for all."""
    if hasattr(model[0], "query_expansion"):  # a transformer, which may have a length for each task
        length: float = max_tokens(model, task)
    else:
        length = getattr(model[0], "max_seq_length", None) or math.inf
    return int(length) if length < NO_LIMIT else None


def text_batches(
    model: Any, task: Task, texts: Sequence[str], *, batch_bytes: int = _BATCH_BYTES
) -> Iterator[list[int]]:
    """Yield the positions of the texts of each batch, which are of similar length, longest first.

    Args:
        model: The model that reads them.
        task: What the texts are.
        texts: The texts; of a pair, both as one string.
        batch_bytes: Maximum size of a batch in UTF-8, including padding, without what the model does not read.
    """
    most = _BYTES_PER_TOKEN * (read_length(model, task) or NO_LIMIT)
    return batches([min(len(text.encode()), most) for text in texts], batch_bytes)


def truncated_positions(model: Any, task: Task, inputs: Sequence[tuple[str, ...]]) -> list[int]:
    """Return the positions of the inputs that are longer than a model reads, in order.

    Args:
        model: The model.
        task: What the inputs are.
        inputs: Texts, or pairs of texts which the model reads together, as tuples.
    """
    limit = read_length(model, task)
    if limit is None:
        return []
    before = _prompt(model, task)
    surely_read = limit - len(before.encode()) - _SPECIAL_TOKENS
    stripped = [tuple(text.strip() for text in given) for given in inputs]
    long = [at for at, given in enumerate(stripped) if not fits_in_bytes("".join(given), surely_read)]
    if not long:
        return []  # a token has at least one byte
    counted = [(before + stripped[at][0], *stripped[at][1:]) for at in long]
    with lock_of(model):
        ids = model.tokenizer(
            [given[0] if len(given) == 1 else given for given in counted],
            truncation=False,
            padding=False,
            verbose=False,
        )["input_ids"]
    return [at for at, tokens in zip(long, ids, strict=True) if len(tokens) > limit]


def _prompt(model: Any, task: Task) -> str:
    """Return the prompt that a model puts in front of a text."""
    prompts: dict[str, str | None] = model.prompts
    known = (name for name in _PROMPT_NAMES[task] if prompts.get(name) is not None)
    found = next(known, model.default_prompt_name)
    return (prompts.get(found) if found else None) or ""
