"""Decompression of ColBERTv2's residuals, compared with colbert-ai's own and with its compression restated."""

from __future__ import annotations

import numpy as np
import pytest

from late_interaction.errors import CorruptIndexError
from late_interaction.importers.residuals import check_codec, check_tokens, decompress

# What ResidualCodec of colbert-ai 0.2.22 made of linspace(-1, 1, dim) with two constant centroids (.5 and -.25) and
# evenly spaced buckets: the code, the packed bytes, and the first eight decompressed values.
RECORDED = [
    (1, 8, 0, "03", [-0.204124] * 6 + [0.612372] * 2),
    (2, 16, 0, "0002aa55", [-0.231455] * 7 + [0.077152]),
    (
        4,
        32,
        1,
        "44cc22aa66ee119955dd33bbb77fffff",
        [-0.305049, -0.305049, -0.263687, -0.263687, -0.222324, -0.222324, -0.180961, -0.180961],
    ),
    (
        8,
        64,
        1,
        "042414340c2c1c3c022212320a2a9aba86a696b68eae9ebe81a191b189a999b985a595754d6d5d7d436353734b6b5b7b476757774f6f5f7f"
        + "ff" * 8,
        [-0.222628, -0.215637, -0.208646, -0.201654, -0.194663, -0.187672, -0.180681, -0.173689],
    ),
]


def packed(buckets: np.ndarray, nbits: int) -> np.ndarray:
    """Pack as ``ResidualCodec.binarize`` does: the lowest bit of each dimension first."""
    bits = buckets[..., None] >> np.arange(nbits) & 1
    return np.packbits(bits.astype(np.uint8).reshape(len(buckets), -1), axis=1)


@pytest.mark.parametrize(("nbits", "dim", "code", "residuals", "expected"), RECORDED, ids=["1", "2", "4", "8"])
def test_values_that_colbert_decompressed(nbits, dim, code, residuals, expected) -> None:
    centroids = np.array([[0.5] * dim, [-0.25] * dim], np.float16)
    weights = np.linspace(-1, 1, 2**nbits, dtype=np.float32)
    one = np.frombuffer(bytes.fromhex(residuals), np.uint8)[None]
    vectors = decompress(np.array([code], np.int32), one, centroids, weights, nbits)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[0, :8], expected, atol=1e-6)


@pytest.mark.parametrize("nbits", [1, 2, 4, 8])
def test_buckets_of_every_width(nbits) -> None:
    rng = np.random.default_rng(nbits)
    tokens, dim = 20_000, 24  # more than one block
    centroids = rng.normal(size=(50, dim)).astype(np.float16)
    weights = rng.normal(size=2**nbits).astype(np.float32)
    codes = rng.integers(0, 50, tokens, dtype=np.int32)
    buckets = rng.integers(0, 2**nbits, (tokens, dim))
    expected = centroids.astype(np.float64)[codes] + weights[buckets]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = decompress(codes, packed(buckets, nbits), centroids, weights, nbits)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_a_vector_of_zeros_stays() -> None:
    vectors = decompress(
        np.zeros(2, np.int64), np.zeros((2, 1), np.uint8), np.zeros((1, 8), np.float16), np.zeros(2, np.float32), 1
    )
    assert (vectors == 0).all()


def test_no_tokens() -> None:
    none = decompress(np.zeros(0, np.int32), np.zeros((0, 2), np.uint8), np.ones((1, 8)), np.ones(4), 2)
    assert none.shape == (0, 8)


@pytest.mark.parametrize(
    ("centroids", "weights", "nbits", "message"),
    [
        (np.ones((2, 8)), np.ones(8), 3, "nbits must be one of 1, 2, 4, 8, got 3"),
        (np.ones((2, 8)), np.ones(4), True, "got True"),
        (np.ones((2, 8)), np.ones(4), "2", "got '2'"),
        (np.ones((2, 9)), np.ones(4), 2, r"centroids.pt: .*\(2, 9\)"),
        (np.ones((0, 8)), np.ones(4), 2, r"centroids.pt: .*\(0, 8\)"),
        (np.ones(8), np.ones(4), 2, r"centroids.pt: .*\(8,\)"),
        (np.ones((2, 8)), np.ones(3), 2, r"buckets.pt: expected 4 bucket weights"),
        (np.full((2, 8), np.nan), np.ones(4), 2, "centroids.pt: expected finite"),
        (np.ones((2, 8)), np.array([0, 0, 0, np.nan]), 2, "buckets.pt: expected finite"),
        (np.ones((2, 8)), np.array([0, 0, 0, 1e30]), 2, "buckets.pt: expected finite"),
        (np.ones((2, 8), int), np.ones(4), 2, "centroids.pt: expected finite"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_codec(centroids, weights, nbits, message) -> None:
    with pytest.raises(CorruptIndexError, match=message):
        check_codec(centroids, weights, nbits, centroids_file="centroids.pt", weights_file="buckets.pt")


@pytest.mark.parametrize(
    ("codes", "residuals", "message"),
    [
        (np.array([0, 2]), np.zeros((2, 2), np.uint8), "0.codes.pt: codes must be from 0 to 1.*got 0 to 2"),
        (np.array([-1, 0]), np.zeros((2, 2), np.uint8), "0.codes.pt: codes must be from 0 to 1.*got -1 to 0"),
        (np.array([0.0]), np.zeros((1, 2), np.uint8), "0.codes.pt: expected .* integers, got float64"),
        (np.array([[0]]), np.zeros((1, 2), np.uint8), "0.codes.pt: expected .* integers"),
        (np.array([0]), np.zeros((1, 3), np.uint8), r"0.residuals.pt: expected uint8 \(1, 2\)"),
        (np.array([0]), np.zeros((2, 2), np.uint8), r"0.residuals.pt: expected uint8 \(1, 2\)"),
        (np.array([0]), np.zeros((1, 2), np.int8), "0.residuals.pt: .* got int8"),
    ],
    ids=["beyond", "negative", "floats", "matrix", "wide", "long", "signed"],
)
def test_damaged_tokens(codes, residuals, message) -> None:
    with pytest.raises(CorruptIndexError, match=message):
        check_tokens(codes, residuals, np.ones((2, 8)), 2, codes_file="0.codes.pt", residuals_file="0.residuals.pt")
