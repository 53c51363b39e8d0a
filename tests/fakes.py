"""A fast encoder with real behaviour, for the tests of everything above encoders."""

from __future__ import annotations

import hashlib
import re
import threading
from functools import cache

import numpy as np

from late_interaction.errors import InvalidRequestError

_WORD = re.compile(r"\w+")


class WordEncoder:
    """One unit vector per word, made of nothing but the lower-cased word: equal words match with 1, others by chance.

    Queries and documents are encoded alike; a text without words has no vectors. Any thread may call.

    Args:
        dim: Dimension of the vectors.
        name: Encoders of another name give other vectors, and their fingerprints differ.

    Attributes:
        queries_encoded: Number of texts given to `encode_queries` so far.
        documents_encoded: Number of texts given to `encode_documents` so far.
    """

    def __init__(self, dim=16, name="words"):
        self.dim = dim
        self.name = name
        self.queries_encoded = 0
        self.documents_encoded = 0
        self._lock = threading.Lock()

    @property
    def fingerprint(self):
        return {"model": self.name, "dim": self.dim}

    @property
    def texts_encoded(self):
        """Number of texts encoded so far, queries and documents."""
        return self.queries_encoded + self.documents_encoded

    def encode_queries(self, texts):
        encoded = [self._encode(text) for text in texts]
        with self._lock:
            self.queries_encoded += len(texts)
        return encoded

    def encode_documents(self, texts):
        encoded = [self._encode(text) for text in texts]
        with self._lock:
            self.documents_encoded += len(texts)
        return encoded

    def token_spans(self, text, task):
        del task  # both alike
        return [match.span() for match in _WORD.finditer(text)]

    def vector(self, word):
        """The vector of one word, (dim,)."""
        return _vector(self.name, self.dim, word.lower())

    def _encode(self, text):
        if not isinstance(text, str):
            raise InvalidRequestError(f"Only strings can be encoded as text, not {type(text).__name__}.")
        vectors = [self.vector(word) for word in _WORD.findall(text)]
        return np.array(vectors, np.float32).reshape(len(vectors), self.dim)


@cache
def _vector(name, dim, word):
    drawn = np.frombuffer(hashlib.shake_256(f"{name}\0{word}".encode()).digest(2 * dim), "<u2")
    centred = drawn - np.float64(2**16 - 1) / 2
    return centred / np.linalg.norm(centred)
