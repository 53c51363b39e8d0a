"""Large collections of token vectors: documents that recombine sentences of encoded documents.

A new document is about the subject of a random encoded one: it has as many sentences, each from one of the documents
with the nearest mean vectors. 10,000 documents recombined like this are about as hard as 10,000 real ones: recall@10
within 200 candidates by the mean is .920 and .926, by sparse centroids .958 and .958, by half of each .979 and .979.
With sentences of 64 neighbors it is .824, .962 and .962: documents about nothing in particular have mean vectors that
are all alike.

Encoding 100,000 documents takes hours on two cores. Here a sentence keeps the vectors that it has in its own document,
adapted to the new one: .84 v + .70 m - .51 M, of length 1, with the mean vector m of the new document and M of its own.
These coefficients are a least-squares fit to 80 documents that were recombined and encoded. The vectors' mean cosine
with those of the encoder is .82, that of the unadapted vectors .79.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import texts_of
from benchmarks.peers.protocol import Columns
from late_interaction import load_encoder

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.data import Vectors

__all__ = ["Collection", "collect"]

_KEPT, _NEW, _OWN = 0.84, 0.70, 0.51
_NEIGHBORS = 4
_BLOCK_DOCUMENTS = 1_000


@dataclass(frozen=True)
class Collection:
    """Documents and queries.

    Attributes:
        columns: Their token vectors; those of the documents are in a file.
        texts: The texts of the documents.
        encoded: How many documents were encoded; they come first. The others are recombined.
    """

    columns: Columns
    texts: list[str]
    encoded: int


class _Sentences:
    """Sentences of encoded documents: which tokens, of which document."""

    def __init__(self, vectors: Vectors, texts: list[str]) -> None:
        encoder = load_encoder("minilm")
        self.vectors = vectors
        self.texts: list[str] = []
        self.owners: list[int] = []
        self.ranges: list[tuple[int, int]] = []
        firsts = [0]
        for owner, text in enumerate(texts):
            spans = encoder.token_spans(text, "document")
            begin = int(vectors.offsets[owner])
            for start, end in _sentences(text):
                inside = [at for at, span in enumerate(spans) if span and start <= span[0] and span[1] <= end]
                if inside:
                    self.texts.append(text[start:end])
                    self.owners.append(owner)
                    self.ranges.append((begin + inside[0], begin + inside[-1] + 1))
            if firsts[-1] == len(self.texts):
                raise ValueError(f"The document has no sentence: {text!r:.80}.")
            firsts.append(len(self.texts))
        self.of_document = [range(*both) for both in pairwise(firsts)]
        sums = np.add.reduceat(vectors.tokens, vectors.offsets[:-1], axis=0, dtype=np.float32)
        self.means = sums / np.diff(vectors.offsets)[:, None]
        self.neighbors = _neighbors(self.means)

    def draw(self, rng: np.random.Generator) -> list[int]:
        """Return the sentences of a new document."""
        subject = int(rng.integers(len(self.of_document)))
        sources = [self.of_document[at] for at in rng.choice(self.neighbors[subject], len(self.of_document[subject]))]
        return [sentences[rng.integers(len(sentences))] for sentences in sources]

    def tokens(self, sentences: list[int]) -> int:
        """Return the number of tokens of a document of these sentences, with the markers at both ends."""
        return 2 + sum(end - start for start, end in (self.ranges[one] for one in sentences))

    def vectors_of(self, sentences: list[int]) -> np.ndarray:
        """Return the vectors of a document of these sentences, (tokens, dim) float32."""
        offsets, tokens = self.vectors.offsets, self.vectors.tokens
        owners = [self.owners[one] for one in sentences]
        ranges = [self.ranges[one] for one in sentences]
        first, last = int(offsets[owners[0]]), int(offsets[owners[-1] + 1]) - 1
        ranges = [(first, first + 1), *ranges, (last, last + 1)]
        owners = np.repeat([owners[0], *owners, owners[-1]], [end - start for start, end in ranges])
        given = np.concatenate([tokens[start:end] for start, end in ranges]).astype(np.float32)
        found = _KEPT * given + _NEW * given.mean(axis=0) - _OWN * self.means[owners]
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def collect(
    vectors: Vectors, real_texts: list[str], *, documents: int, joined: int, queries: int, folder: Path
) -> Collection:
    """Return a collection of this many documents, each of some joined ones: encoded ones first, then recombined ones.

    Args:
        vectors: Encoded documents, the output of `benchmarks.data`.
        real_texts: Texts of the real documents among them.
        documents: The number of documents.
        joined: The number of documents that one document is joined of.
        queries: The number of queries.
        folder: Where the token vectors are written.
    """
    texts = texts_of(vectors, real_texts)
    short = documents * joined
    encoded = min(short, vectors.documents)
    chosen: list[list[int]] = []
    lengths = np.diff(vectors.offsets)[:encoded].tolist()
    if short > encoded:
        sentences = _Sentences(vectors, texts)
        rng = np.random.default_rng(0)
        chosen = [sentences.draw(rng) for _ in range(short - encoded)]
        lengths += [sentences.tokens(one) for one in chosen]
    texts = texts[:encoded] + [" ".join(sentences.texts[one] for one in document) for document in chosen]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    tokens = np.memmap(folder / "tokens.f16", np.float16, mode="w+", shape=(offsets[-1], vectors.tokens.shape[1]))
    tokens[: offsets[encoded]] = vectors.tokens[: offsets[encoded]]
    for document, start, end in zip(chosen, offsets[encoded:-1], offsets[encoded + 1 :], strict=True):
        tokens[start:end] = sentences.vectors_of(document)
    return Collection(
        Columns(tokens, offsets[::joined], vectors.queries[:queries]),
        ["\n\n".join(texts[at : at + joined]) for at in range(0, short, joined)],
        encoded // joined,
    )


def _neighbors(means: np.ndarray) -> np.ndarray:
    """Return the documents with the nearest mean vectors of each, itself among them, (documents, neighbors)."""
    directions = means / np.linalg.norm(means, axis=1, keepdims=True)
    count = min(_NEIGHBORS, len(means))
    blocks = range(0, len(means), _BLOCK_DOCUMENTS)
    products = (directions[start : start + _BLOCK_DOCUMENTS] @ directions.T for start in blocks)
    return np.concatenate([np.argpartition(-block, count - 1, axis=1)[:, :count] for block in products])


def _sentences(text: str) -> list[tuple[int, int]]:
    """Return start and end of each sentence of a text, as `benchmarks.data.recombined` divides it."""
    breaks = [match.span() for match in re.finditer(r"(?<=[.!?])\s+|\n+", text)]
    starts, ends = [0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(text)]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if text[start:end].strip()]
