"""Scores of compressed documents for one query, in stages: each is more accurate and more expensive than the last."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local.kernels import compiled
from late_interaction.engines.local.quantization.residual import rotation
from late_interaction.engines.local.search import threads
from late_interaction.engines.local.search.exact import torch_module
from late_interaction.engines.local.storage.segment import in_blocks, tokens_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.residual import ResidualCodec
    from late_interaction.engines.local.storage.segment import CodedSegment

__all__ = ["CodedQuery"]

_FEW = 16  # query tokens
_LANES = 32
"""Query tokens that share a mask of 64 bits, at most. Fewer have more levels each, up to `_MAX_LEVELS`."""
_MAX_LEVELS = 8

_FLOOR_DEVIATIONS = 2.5
"""Standard deviations above the mean of all centroids from which a score counts: the best match of a query token in a
relevant document is that high. Where hardly any centroid is, the midpoint between mean and maximum is used."""
_EVERY = 8  # a sample of the centroids is enough to know their mean

_BLOCK_TOKENS = 1024  # unpacked at a time: half a megabyte at 128 dimensions, which stays in the cache
_BLOCK_DOCUMENT_TOKENS = 2**18  # tokens of the documents scored exactly at a time: 32 MB for 32 query tokens


class CodedQuery:
    """A query against a codebook.

    Args:
        query: Token vectors, (query tokens, dim).
        codebook: The centroids.
        codec: Of the residuals.
    """

    def __init__(self, query: NDArray[np.float32], codebook: Codebook, codec: ResidualCodec) -> None:
        torch = torch_module()
        self._codec = codec
        self._rotated = np.zeros((len(query), codec.padded_dim), np.float32)
        self._rotated[:, : codec.dim] = query @ rotation(codec.dim).T
        rotated, centroids = torch.from_numpy(self._rotated[:, : codec.dim]), torch.from_numpy(codebook.centroids)
        if len(query) <= _FEW:  # BLAS is faster with few rows, but transposing the result costs as much
            scores = rotated @ centroids.T
            highest, scores = scores.amax(dim=1), scores.T.contiguous()
        else:
            scores = centroids @ rotated.T
            highest = scores.amax(dim=0)
        self._highest, self._centroid_scores = highest.numpy(), scores.numpy()

    def sketched(self, segments: Sequence[tuple[CodedSegment, NDArray[np.int64]]]) -> NDArray[np.float32]:
        """Coarse MaxSim of some documents of each segment, from a few levels of their centroids' scores, (n,)."""
        counts = [np.zeros(len(positions), np.int32) for _, positions in segments]
        pieces = [
            (segment, positions[start:end], out[start:end])
            for (segment, positions), out in zip(segments, counts, strict=True)
            for start, end in threads.pieces(segment.offsets, positions)
        ]
        floor, step, masks = self._sketch()
        threads.run([partial(_scan, masks, *piece) for piece in pieces])
        scores = np.asarray(np.concatenate(counts) * step + floor, np.float32)
        scores[np.concatenate([segment.lengths(positions) == 0 for segment, positions in segments])] = 0
        return scores

    def approximate(self, segment: CodedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """MaxSim of some documents from the centroids of their tokens alone, (n,)."""
        sums = np.empty(len(positions), np.float32)
        compiled.centroid_sums(segment.codes, segment.offsets, positions, self._centroid_scores, sums)
        return sums

    def refined(self, segment: CodedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """MaxSim of some documents from the residual of one token for each query token, (n,).

        It is the token of the best centroid. A little less than the exact score, and nearly in its order.
        """
        if not segment.entry.tokens:
            return np.zeros(len(positions), np.float32)
        nearest = np.zeros((len(positions), len(self._rotated)), np.int64)
        dots = np.zeros((len(positions), len(self._rotated)), np.float32)
        compiled.nearest_dots(
            segment.codes,
            segment.residuals,
            segment.offsets,
            positions,
            self._centroid_scores,
            self._rotated,
            self._codec.bits,
            nearest,
            dots,
        )
        dots *= segment.scales[nearest]
        dots += self._centroid_scores[segment.codes[nearest], np.arange(len(self._rotated))]
        scores = np.asarray(dots.sum(axis=1))
        scores[segment.lengths(positions) == 0] = 0
        return scores

    def exact(self, segment: CodedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """MaxSim of some documents, given by ascending positions, from all that is stored of them, (n,)."""
        blocks = in_blocks(segment, positions, _BLOCK_DOCUMENT_TOKENS)
        sums = [self._exact(segment, block) for block in blocks]
        return np.concatenate(sums) if sums else np.empty(0, np.float32)

    def _exact(self, segment: CodedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        torch = torch_module()
        starts = segment.offsets[positions]
        lengths = segment.offsets[positions + 1] - starts
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        tokens = tokens_of(starts, lengths)
        dots = np.empty((len(self._rotated), len(tokens)), np.float32)
        query = torch.from_numpy(self._rotated)
        for start in range(0, len(tokens), _BLOCK_TOKENS):
            points = self._codec.points(segment.residuals, tokens[start : start + _BLOCK_TOKENS])
            dots[:, start : start + _BLOCK_TOKENS] = torch.mm(query, torch.from_numpy(points).T).numpy()
        codes, scales = segment.codes[tokens], segment.scales[tokens].astype(np.float32)
        sums = np.empty(len(positions), np.float32)
        compiled.best_sums(codes, scales, dots, bounds, self._centroid_scores, sums)
        return sums

    def _sketch(self) -> tuple[np.float32, np.float32, list[NDArray[np.uint64]]]:
        """Return the score of no levels, what a level adds to it, and masks, each for up to `_LANES` query tokens."""
        scores = self._centroid_scores
        some = scores[::_EVERY]
        mean, deviation = some.mean(axis=0), some.std(axis=0)
        floor = np.minimum(mean + np.float32(_FLOOR_DEVIATIONS) * deviation, (mean + self._highest) / 2)
        words = -(-scores.shape[1] // _LANES)
        lanes = -(-scores.shape[1] // words)
        levels = min(64 // lanes, _MAX_LEVELS)
        step = max(np.float32((self._highest - floor).max() / levels), np.finfo(np.float32).tiny)
        masks = []
        for first in range(0, scores.shape[1], lanes):
            part = np.ascontiguousarray(scores[:, first : first + lanes])
            mask = np.empty(len(scores), np.uint64)
            compiled.fill_masks(part, floor[first : first + lanes], np.float32(1) / step, levels, mask)
            masks.append(mask)
        return floor.sum(), np.float32(step), masks


def _scan(
    masks: Sequence[NDArray[np.uint64]],
    segment: CodedSegment,
    positions: NDArray[np.int64],
    counts: NDArray[np.int32],
) -> None:
    for mask in masks:
        compiled.scan(segment.codes, segment.offsets, positions, mask, counts)
