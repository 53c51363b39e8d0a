"""An `Index` of documents with texts, for the worker process of one version of the package."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmarks.peers.protocol import BUCKETS, Columns, Peer
from late_interaction import Document, Index

if TYPE_CHECKING:
    import numpy as np


FIRST_DOCUMENTS = 1_500  # enough to be compressed, so that all kernels are compiled


class Encoded:
    """An encoder that returns the stored vectors of known queries, so that encoding takes no time."""

    fingerprint: ClassVar = {"model": "stored queries"}

    def __init__(self, columns: Columns) -> None:
        self.dim = columns.tokens.shape[1]
        self._vectors = dict(zip(columns.words, columns.queries, strict=False))

    def encode_queries(self, texts: list[str]) -> list[np.ndarray]:
        """Return the stored vectors of each query."""
        return [self._vectors[text] for text in texts]

    def encode_documents(self, texts: list[str]) -> list[np.ndarray]:
        """Documents are added with their vectors."""
        raise NotImplementedError


class IndexOfTexts(Peer):
    """4 bits per dimension. Documents have the metadata ``bucket``, a number below 100."""

    settings: ClassVar[dict[str, dict[str, Any]]] = {
        "late": {},
        "late, k = 100": {"k": 100},
        "late, k = 1,000": {"k": 1_000},
        "lexical": {"mode": "lexical"},
        "hybrid": {"mode": "hybrid"},
        "late, 50% pass": {"where": {"bucket": {"$lt": 50}}},
        "late, 10% pass": {"where": {"bucket": {"$lt": 10}}},
        "late, 1% pass": {"where": {"bucket": {"$lt": 1}}},
    }

    def prepare(self, columns: Columns) -> None:
        part = Columns(columns.tokens, columns.offsets[:FIRST_DOCUMENTS], columns.queries)
        with tempfile.TemporaryDirectory() as folder:
            self.build(part, Path(folder))

    def build(self, columns: Columns, folder):
        texts = columns.texts or [f"document {at}" for at in range(columns.documents)]
        documents = (Document(text, id=str(at), metadata={"bucket": at % BUCKETS}) for at, text in enumerate(texts))
        with Index.open(folder, encoder=Encoded(columns), bits=4) as index:
            index.add(documents, vectors=(columns.document(at) for at in range(columns.documents)))
            return index.info()["vector_bytes"]

    def open(self, columns: Columns, folder) -> None:
        self.words = {id(vectors): words for vectors, words in zip(columns.queries, columns.words, strict=False)}
        self.index = Index.open(folder, encoder=Encoded(columns), read_only=True)

    def search(self, query: np.ndarray, k: int = 10, **options: Any) -> list[int]:
        asked = self.words[id(query)] if "mode" in options else query
        return [int(hit.id) for hit in self.index.search(asked, k, **options)]


PEER = IndexOfTexts()
