"""How many tokens a text model reads of a query and of a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from sentence_transformers import MultiVectorEncoder

    from late_interaction.encoders.protocol import Task

__all__ = ["NO_LIMIT", "check_length", "max_tokens", "set_lengths"]

NO_LIMIT = 2**31 - 1
"""Tokens of a model without a limit: some checkpoints set 1e30, which overflows in tokenizers."""

_MIN_LENGTH = 4  # the markers at both ends, the one of the task, and one token of text


def check_length(name: str, length: object) -> None:
    """Raise `InvalidRequestError` unless this may be a number of tokens."""
    if type(length) is not int or not _MIN_LENGTH <= length <= NO_LIMIT:
        raise InvalidRequestError(f"{name} must be a number of tokens, at least {_MIN_LENGTH}, got {length!r}.")


def set_lengths(
    model: MultiVectorEncoder, name: str, *, query_length: int | None = None, document_length: int | None = None
) -> None:
    """Change how many tokens a model reads, markers and prompt included; None leaves a length as it is.

    Args:
        model: The model.
        name: Its name, for errors.
        query_length: Tokens of a query. If the checkpoint pads each query to a fixed length with expansion tokens,
            shorter queries are still padded to that length, and longer ones are now read up to this one. A smaller
            ``query_length`` becomes the fixed length.
        document_length: Tokens of a document.

    Raises:
        InvalidRequestError: A length is too small, or the model has fewer positions.
    """
    transformer: Any = model[0]
    for option, length in {"query_length": query_length, "document_length": document_length}.items():
        if length is not None:
            check_length(option, length)
            most = _positions(transformer)
            if length > most:
                raise InvalidRequestError(f"{option} must be at most {most} for {name}, got {length}.")
    if document_length is not None:
        transformer.document_length = document_length
    if query_length is not None:
        expansion = transformer.query_expansion
        transformer.query_expansion = None  # which must never be longer than the length
        transformer.query_length = query_length
        if expansion is not None and expansion["length"] > query_length:
            transformer.query_expansion = {**expansion, "length": query_length}
        elif expansion is not None:
            transformer.query_expansion = {**expansion, "strategy": "min"}


def max_tokens(model: MultiVectorEncoder, task: Task) -> int:
    """Return how many tokens the model reads of a text, markers and prompt included."""
    transformer: Any = model[0]
    expansion = transformer.query_expansion if task == "query" else None
    if expansion is not None and expansion["strategy"] == "fixed":
        return int(expansion["length"])
    own = transformer.query_length if task == "query" else transformer.document_length
    override = (transformer.processing_kwargs.get("text") or {}).get("max_length")
    if override is None and own is not None and expansion is not None:
        own = max(own, expansion["length"])
    return int(min(override or own or transformer.max_seq_length or NO_LIMIT, NO_LIMIT))


def _positions(transformer: Any) -> int:
    """Return the number of positions that the model has for tokens."""
    import torch

    config = transformer.model.config
    config = config.get_text_config() if hasattr(config, "get_text_config") else config
    positions = getattr(config, "max_position_embeddings", None)
    if type(positions) is not int or positions <= 0:
        return NO_LIMIT
    for module in transformer.model.modules():
        padding = getattr(module, "padding_idx", None)
        if type(padding) is int and isinstance(getattr(module, "position_embeddings", None), torch.nn.Embedding):
            return positions - padding - 1  # RoBERTa and its kind begin to count after the padding token
    return positions
