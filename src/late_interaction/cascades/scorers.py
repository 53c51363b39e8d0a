"""Stages that score pairs of a query and a document: cross-encoders and functions."""

from __future__ import annotations

import math
import reprlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.cascades.stage import Stage, reordered, text_of
from late_interaction.documents import Hit
from late_interaction.encoders.library_models import inputs_of, read_length, text_batches, truncated_positions
from late_interaction.encoders.turns import lock_of
from late_interaction.errors import InvalidRequestError, TruncationWarning
from late_interaction.forking import openmp_is_used
from late_interaction.retrieval.truncation import stack_depth
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from late_interaction.documents import Document
    from late_interaction.retrieval.queries import Query

__all__ = ["CrossEncoderStage", "FunctionStage"]


class CrossEncoderStage(Stage):
    """A `sentence_transformers.CrossEncoder`, which reads the query and a document together.

    Its score is what ``predict`` gives, with the activation of the model: between 0 and 1 with a sigmoid, the default
    of models with one output. Then it is the relevance, too; of another activation, relevance is the sigmoid of the
    score. The first search in which a pair is longer than the model reads gives a `TruncationWarning`.

    Args:
        model: The model.

    Raises:
        InvalidRequestError: It has more than one output.
    """

    name = "cross-encoder"

    def __init__(self, model: Any) -> None:
        if model.num_labels != 1:
            raise InvalidRequestError(
                f"A CrossEncoder of a cascade must have one output, the score of a pair, got {model.num_labels}. Wrap "
                "it: a stage may be a function (query, documents) -> scores."
            )
        self._model = model
        self._lock = lock_of(model)
        self._has_warned = False

    def rank(self, query: Query, encoded: Any, hits: list[Hit]) -> list[Hit]:
        """Rank by the scores of the model, in batches, between which others may use it."""
        text = text_of(query, self.name)
        pairs = [(text, hit.document.text_to_encode) for hit in hits]
        openmp_is_used("torch")
        if not self._has_warned:
            self._warn_of_truncated(pairs, hits)
        scores = [0.0] * len(pairs)
        for batch in text_batches(self._model, "document", ["".join(pair) for pair in pairs]):
            inputs = [tuple(inputs_of(self._model, pairs[at])) for at in batch]
            with self._lock:
                predicted = self._model.predict(inputs, batch_size=len(inputs), show_progress_bar=False)
            for at, score in zip(batch, _checked_scores(predicted, len(batch), "CrossEncoder.predict"), strict=True):
                scores[at] = score
        is_sigmoid = type(self._model.activation_fn).__name__ == "Sigmoid"
        return _scored(hits, scores, _clipped if is_sigmoid else _logistic)

    def _warn_of_truncated(self, pairs: Sequence[tuple[str, str]], hits: Sequence[Hit]) -> None:
        long = [hits[at].id for at in truncated_positions(self._model, "document", pairs)]
        if long:
            message = (
                f"The CrossEncoder reads {read_length(self._model, 'document')} tokens of a query and a document "
                f"together. Of {counted(len(hits), 'document')}, {len(long)} are longer, first {long[0]!r}; their ends "
                "do not count. Split the texts. Later searches do not warn again."
            )
            warnings.warn(TruncationWarning(message, count=len(long), first=long[0]), stacklevel=stack_depth())
            self._has_warned = True  # not before, where warnings are errors


class FunctionStage(Stage):
    """A function of a query and documents, which returns one score for each, the greater the better.

    Relevance is the score, cut to the range of 0 to 1.

    Args:
        function: Called as ``function(query, documents)``, with the text of the query and a list of `Document`.
    """

    def __init__(self, function: Callable[[str, list[Document]], Any]) -> None:
        self.name: str = getattr(function, "__name__", type(function).__name__)
        self._function = function

    def rank(self, query: Query, encoded: Any, hits: list[Hit]) -> list[Hit]:
        """Rank by the scores of the function.

        Raises:
            InvalidRequestError: It returns anything but one finite number for each document.
        """
        given = self._function(text_of(query, self.name), [hit.document for hit in hits])
        return _scored(hits, _checked_scores(given, len(hits), f"The stage {self.name!r}"), _clipped)


def _logistic(score: float) -> float:
    """Return ``1 / (1 + exp(-score))``, also of great numbers."""
    return 1 / (1 + math.exp(-score)) if score >= 0 else 1 - 1 / (1 + math.exp(score))


def _checked_scores(given: Any, count: int, what: str) -> list[float]:
    """Return scores as a list of floats.

    Raises:
        InvalidRequestError: They are not as many finite numbers as documents.
    """
    try:
        scores = np.asarray(given.tolist() if hasattr(given, "tolist") else list(given), np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequestError(
            f"{what} must return one number for each document, got {reprlib.repr(given)}."
        ) from None
    if scores.shape != (count,):
        raise InvalidRequestError(
            f"{what} must return one number for each of {counted(count, 'document')}, got an array of shape "
            f"{scores.shape}."
        )
    if not np.isfinite(scores).all():
        raise InvalidRequestError(f"{what} must return finite numbers, got {float(scores[~np.isfinite(scores)][0])}.")
    return [float(score) for score in scores]


def _scored(hits: list[Hit], scores: Sequence[float], relevance: Callable[[float], float]) -> list[Hit]:
    scored = {hit.id: Hit(hit.document, score, relevance(score)) for hit, score in zip(hits, scores, strict=True)}
    return reordered(hits, scored)


def _clipped(score: float) -> float:
    return min(1.0, max(0.0, score))
