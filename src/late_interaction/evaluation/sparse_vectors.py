"""Learned sparse vectors of a `sentence_transformers.SparseEncoder`, searched by exact dot products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scipy.sparse import csr_matrix

    from late_interaction.documents import Document

__all__ = ["SparseVectors"]

_BATCH_DOCUMENTS = 32
_BYTES_PER_NONZERO = 8  # a 4-byte number of the word, and its float32


class SparseVectors:
    """The sparse vectors of documents, in memory.

    Args:
        model: The `sentence_transformers.SparseEncoder`.
        documents: The documents. A page is encoded by the text on it.
    """

    def __init__(self, model: Any, documents: Iterable[Document]) -> None:
        from scipy.sparse import vstack

        self._model = model
        self._ids: list[str] = []
        self._matrix: csr_matrix = vstack(list(self._encoded(documents)), format="csr")

    @property
    def bytes(self) -> int:
        """What the vectors take: 8 bytes for each nonzero, a 4-byte number of the word and a float32."""
        return _BYTES_PER_NONZERO * int(self._matrix.nnz)

    def search(self, query: str, k: int) -> list[str]:
        """Return the ids of the k best documents by dot product, best first, without those that share no word."""
        vector = _rows(self._model.encode_query([query], convert_to_tensor=True, show_progress_bar=False))
        scores = np.asarray((self._matrix @ vector.T).todense()).ravel()
        matching = int(np.count_nonzero(scores > 0))
        best = np.argsort(-scores, kind="stable")[: min(k, matching)]
        return [self._ids[position] for position in best]

    def _encoded(self, documents: Iterable[Document]) -> Iterator[csr_matrix]:
        batch: list[Document] = []
        for document in documents:
            batch.append(document)
            if len(batch) == _BATCH_DOCUMENTS:
                yield self._rows_of(batch)
                batch = []
        if batch:
            yield self._rows_of(batch)
        if not self._ids:
            raise InvalidRequestError("There are no documents to search.")

    def _rows_of(self, documents: list[Document]) -> Any:
        self._ids += [document.id for document in documents]
        texts = [document.text_to_encode for document in documents]
        encode: Any = self._model.encode_document
        return _rows(encode(texts, batch_size=len(texts), convert_to_tensor=True, show_progress_bar=False))


def _rows(tensor: Any) -> Any:
    """Return a tensor of torch, sparse or not, as a matrix of float32."""
    from scipy.sparse import csr_matrix

    dense = tensor if tensor.is_sparse else tensor.to_sparse()
    coo = dense.coalesce().cpu()
    rows, columns = coo.indices().numpy()
    return csr_matrix((coo.values().float().numpy(), (rows, columns)), shape=tuple(coo.shape))
