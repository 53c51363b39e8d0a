"""Models that make one vector of a text, dense or sparse, of queries and documents alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.library_models import LimitedModel, inputs_of, text_batches
from late_interaction.encoders.strings import checked
from late_interaction.errors import InvalidRequestError
from late_interaction.forking import openmp_is_used
from late_interaction.retrieval.encoding import encode_documents
from late_interaction.retrieval.recent_queries import query_vectors
from late_interaction.validation import is_invisible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.documents import Document
    from late_interaction.encoders import Encoder
    from late_interaction.encoders.protocol import Task
    from late_interaction.retrieval.truncation import Truncation

__all__ = ["DenseModel", "SparseModel", "TextModel"]

_BATCH_BYTES = 8192  # of text: the output of a sparse model has the whole vocabulary for each token
_SIMILARITIES = ("dot", "cosine")


class TextModel(ABC):
    """A model with one vector for each text. Any thread may call.

    Attributes:
        name: What reports call its stage.
    """

    name: str

    @abstractmethod
    def queries(self, texts: Sequence[str], truncation: Truncation) -> Sequence[Any]:
        """Return the vector of each query, as `scores` takes it."""
        ...

    @abstractmethod
    def documents(self, documents: Sequence[Document], truncation: Truncation) -> Any:
        """Return the vectors of documents without images, one row each; a blank text has zeros."""
        ...

    @abstractmethod
    def scores(self, query: Any, vectors: Any) -> NDArray[np.float32]:
        """Return the score of each row for a query, (rows,)."""
        ...

    @abstractmethod
    def relevance(self, score: float) -> float:
        """Return the relevance for a score, in [0, 1]."""
        ...

    @abstractmethod
    def stacked(self, parts: Sequence[Any]) -> Any:
        """Return the rows of several results of `documents` or `none`."""
        ...

    @abstractmethod
    def none(self) -> Any:
        """Return no rows."""
        ...


class DenseModel(TextModel):
    """An encoder with one vector for each text, compared by cosine.

    Args:
        encoder: A `SingleVectorEncoder` or `PooledEncoder`.
    """

    name = "sentence-transformer"

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def queries(self, texts: Sequence[str], truncation: Truncation) -> list[NDArray[np.float32]]:
        """Return the vector of each query, (dim,)."""
        truncation.queries(self._encoder, list(texts))
        return [self._one(vectors) for vectors in query_vectors(self._encoder, list(texts))]

    def documents(self, documents: Sequence[Document], truncation: Truncation) -> NDArray[np.float32]:
        """Return the vectors of the texts, (documents, dim) float32."""
        encoded = encode_documents(self._encoder, documents, truncation=truncation)
        return self.stacked([self.none(), *(self._one(record.vectors)[None] for record in encoded)])

    def scores(self, query: Any, vectors: Any) -> NDArray[np.float32]:
        """Return the cosine of each row with the query, (rows,)."""
        return np.asarray(vectors @ query, np.float32)

    def relevance(self, score: float) -> float:
        """Return the cosine, at least 0."""
        return min(1.0, max(0.0, score))

    def stacked(self, parts: Sequence[Any]) -> NDArray[np.float32]:
        """Return the rows of several arrays."""
        return np.concatenate(parts)

    def none(self) -> NDArray[np.float32]:
        """Return no rows, (0, dim)."""
        return np.empty((0, self._encoder.dim), np.float32)

    def _one(self, vectors: Any) -> NDArray[np.float32]:
        return np.asarray(vectors[0], np.float32) if len(vectors) else np.zeros(self._encoder.dim, np.float32)


class SparseModel(LimitedModel, TextModel):
    """A `sentence_transformers.SparseEncoder`, compared by its dot product or cosine.

    Vectors are rows of scipy's CSR arrays: 8 bytes for each weight that is not 0.

    Args:
        model: The model.

    Raises:
        InvalidRequestError: It declares another similarity.
    """

    name = "sparse-encoder"

    def __init__(self, model: Any) -> None:
        if model.similarity_fn_name not in _SIMILARITIES:
            raise InvalidRequestError(
                f"A SparseEncoder of a cascade must compare by {' or '.join(_SIMILARITIES)}, got "
                f"{model.similarity_fn_name!r}."
            )
        super().__init__(model)

    @cached_property
    def _dim(self) -> int:
        """The dimension of the vectors. A model may declare another before it has encoded something."""
        with self._lock:
            return int(self._model.encode_query(["a"], show_progress_bar=False).shape[-1])

    def queries(self, texts: Sequence[str], truncation: Truncation) -> list[Any]:
        """Return the vector of each query, a CSR array of shape (1, dim)."""
        truncation.queries(self, texts)
        encoded = self._encode(texts, "query")
        return [encoded[[at]] for at in range(len(texts))]

    def documents(self, documents: Sequence[Document], truncation: Truncation) -> Any:
        """Return the vectors of the texts, a CSR array of shape (documents, dim)."""
        truncation.documents(self, documents)
        return self._encode([document.text_to_encode for document in documents], "document")

    def scores(self, query: Any, vectors: Any) -> NDArray[np.float32]:
        """Return the similarity of each row with the query, (rows,)."""
        return np.asarray(vectors @ query.toarray()[0], np.float32)

    def relevance(self, score: float) -> float:
        """Return ``score / (1 + score)``; of a cosine, the cosine."""
        score = max(0.0, score)
        return min(1.0, score) if self._model.similarity_fn_name == "cosine" else score / (1 + score)

    def stacked(self, parts: Sequence[Any]) -> Any:
        """Return the rows of several CSR arrays."""
        from scipy.sparse import vstack

        return vstack(parts, format="csr")

    def none(self) -> Any:
        """Return no rows."""
        from scipy.sparse import csr_array

        return csr_array((0, self._dim), dtype=np.float32)

    def _encode(self, texts: Sequence[str], task: Task) -> Any:
        """Return the vectors of texts, a CSR array of shape (texts, dim); those of blank texts have no weights."""
        from scipy.sparse import csr_array

        empty = np.empty(0, np.int32), np.empty(0, np.float32)
        rows = [empty] * len(texts)
        visible = [at for at, text in enumerate(texts) if not is_invisible(checked(text))]
        openmp_is_used("torch")
        encode = self._model.encode_query if task == "query" else self._model.encode_document
        for batch in text_batches(self._model, task, [texts[at] for at in visible], batch_bytes=_BATCH_BYTES):
            positions = [visible[at] for at in batch]
            with self._lock:
                tensors: Any = encode(
                    inputs_of(self._model, [texts[at] for at in positions]),
                    batch_size=len(positions),
                    convert_to_tensor=False,
                    save_to_cpu=True,
                    show_progress_bar=False,
                )
            for at, tensor in zip(positions, tensors, strict=True):
                rows[at] = self._row(tensor)
        ends = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        columns = np.concatenate([empty[0], *(columns for columns, _ in rows)])
        weights = np.concatenate([empty[1], *(weights for _, weights in rows)])
        return csr_array((weights, columns, ends), shape=(len(texts), self._dim))

    def _row(self, tensor: Any) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the dimensions and weights of one sparse vector."""
        tensor = tensor.coalesce()
        columns = np.array(tensor.indices()[-1].numpy(), np.int32)
        weights = np.array(tensor.values().float().numpy(), np.float32)
        if self._model.similarity_fn_name == "cosine":
            weights /= max(float(np.linalg.norm(weights)), 1e-12)
        return columns, weights
