"""Another codec takes a module and a row of the table: everything else works with it as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.quantization import codecs
from tests.engines.helpers import record, small_thresholds, unit_vectors

BITS, DIM, DOCUMENTS = 16, 13, 330


@dataclass(frozen=True)
class HalfPrecision:
    """Keeps a residual as float16, in units of its largest coordinate."""

    dim: int
    bits: int

    @property
    def columns(self):
        return {"scales": (np.float16, ()), "along": (np.uint8, ()), "residuals": (np.float16, (self.dim,))}

    def encode(self, vectors, codes, codebook):
        residuals = vectors - codebook.centroids[codes]
        scales = np.abs(residuals).max(axis=1, initial=0).astype(np.float16)
        units = residuals / np.where(scales > 0, scales, 1).astype(np.float32)[:, None]
        along = np.zeros(len(vectors), np.uint8)  # of no use, but a segment with posting lists has it
        return {"scales": scales, "along": along, "residuals": units.astype(np.float16)}

    def decode(self, columns, codebook):
        residuals = columns["residuals"].astype(np.float32) * columns["scales"].astype(np.float32)[:, None]
        return codebook.centroids[columns["codes"]] + residuals

    def query(self, rotated, _lanes, codebook, _buffers):
        return HalfPrecisionQuery(self, rotated, codebook)

    def tokens_on_device(self, segment, codebook, to_device):
        columns = segment.token_columns
        return to_device(self.decode(columns, codebook) - codebook.centroids[columns["codes"]])

    def similarities_on_device(self, held, tokens, centroid_scores, rotated):
        return centroid_scores + held[tokens].to(rotated.dtype) @ rotated.T


@dataclass(frozen=True)
class HalfPrecisionQuery:
    codec: HalfPrecision
    rotated: np.ndarray
    codebook: Any

    def refined(self, segment, positions, _centroid_scores):
        return self.maxsim(segment, positions)

    approximate = refined

    def maxsim(self, segment, positions):
        return np.array([self.score(segment, at) for at in positions], np.float32)

    def score(self, segment, position):
        own = slice(*segment.offsets[position : position + 2])
        columns = {name: column[own] for name, column in segment.token_columns.items()}
        scores = self.codec.decode(columns, self.codebook) @ self.rotated.T
        return scores.max(axis=0).sum() if len(scores) else 0


@pytest.fixture
def _a_row_of_the_table(monkeypatch):
    monkeypatch.setitem(codecs._CODECS, BITS, HalfPrecision)


@pytest.mark.usefixtures("_a_row_of_the_table")
@pytest.mark.parametrize("device", [None, "cpu:0"])
def test_an_index_of_another_codec(root, device):
    rng = np.random.default_rng(0)
    topics = unit_vectors(99, 40, DIM)
    documents = []
    for number in range(DOCUMENTS):
        vectors = topics[rng.integers(0, 40, number % 12)] + 0.2 * rng.normal(size=(number % 12, DIM))
        documents.append(record(f"d{number}", vectors=vectors.astype(np.float32), dim=DIM))
    with small_thresholds(1000, 450), LocalEngine.open(root, dim=DIM, bits=BITS) as engine:
        for start in range(0, DOCUMENTS, 30):
            engine.upsert(documents[start : start + 30])
        engine.delete(ids=[f"d{number}" for number in range(0, DOCUMENTS, 11)])
        engine.compact()
        info = engine.info()
    assert (info["bits"], info["exact_tokens"], info["segments"]) == (BITS, 0, 1)
    with LocalEngine.open(root, device=device, read_only=True) as engine:
        stored = engine.vectors([f"d{number}" for number in range(DOCUMENTS)])
        assert len(stored) == DOCUMENTS - len(range(0, DOCUMENTS, 11))
        for name, vectors in stored.items():
            np.testing.assert_allclose(vectors, documents[int(name[1:])].vectors, atol=2e-3)
        for tokens in (1, 7, 40):
            query = unit_vectors(tokens, tokens, DIM)
            expected = {
                name: float((query @ own.T).max(axis=1).sum()) if len(own) else 0.0 for name, own in stored.items()
            }
            found = engine.search(query, 10)
            best = sorted(expected.values(), reverse=True)[:10]
            np.testing.assert_allclose([match.score for match in found], best, rtol=1e-4)
            np.testing.assert_allclose([expected[match.id] for match in found], best, rtol=1e-4)
        assert engine.verify()
