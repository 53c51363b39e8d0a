"""Score compressed documents on the processor, in stages, each more accurate and more expensive than the one before."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.libraries import torch_module
from late_interaction.engines.local.kernels import compiled
from late_interaction.engines.local.quantization.rotation import rotation
from late_interaction.engines.local.search import threads
from late_interaction.engines.local.storage.segment import in_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["CpuQuery"]

_MAX_TRANSPOSED_TOKENS = 16
"""Up to this many query tokens, centroid scores are computed as (query tokens, centroids) and then transposed."""

_LANES = 32
"""Query tokens that share a mask of 64 bits, at most. Fewer have more levels each, up to `_MAX_LEVELS`."""

_MAX_LEVELS = 8

_FLOOR_DEVIATIONS = 2.5
"""Standard deviations above the mean of all centroids from which a score counts.

In a relevant document, the best match of a query token is that high. Where hardly any centroid is, the midpoint between
mean and maximum is used.
"""

_SAMPLED_EVERY = 8  # the mean and the deviation are estimated from every eighth centroid

_BLOCK_DOCUMENT_TOKENS = 2**18  # tokens of the documents scored exactly at a time: 32 MB for 32 query tokens


class CpuQuery:
    """A query against a codebook.

    Positions of documents are ascending, (n,). Scores are float32, (n,); a document without tokens scores 0.

    Args:
        query: Token vectors, (query tokens, dim).
        codebook: The centroids.
        codec: The codec of the index.
    """

    def __init__(self, query: NDArray[np.float32], codebook: Codebook, codec: Codec) -> None:
        torch = torch_module()
        rotated = np.asarray(query @ rotation(codec.dim).T)
        self._codec_query = codec.query(rotated, codebook)
        tokens, centroids = torch.from_numpy(rotated), torch.from_numpy(codebook.centroids)
        if len(query) <= _MAX_TRANSPOSED_TOKENS:  # BLAS is faster with few rows, and transposing few columns is cheap
            scores = tokens @ centroids.T
            highest, scores = scores.amax(dim=1), scores.T.contiguous()
        else:
            scores = centroids @ tokens.T
            highest = scores.amax(dim=0)
        self._highest, self._centroid_scores = highest.numpy(), scores.numpy()

    def sketched(self, segments: Sequence[tuple[CompressedSegment, NDArray[np.int64]]]) -> NDArray[np.float32]:
        """Return coarse MaxSim of some documents of each segment, from a few levels of their centroids' scores."""
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

    def approximate(self, segment: CompressedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of some documents without the residuals of their tokens."""
        return self._codec_query.approximate(segment, positions, self._centroid_scores)

    def refined(self, segment: CompressedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of some documents from the residual of one token for each query token.

        It is the best token without residuals. The score is a little lower than the exact one, and orders documents
        nearly as that does.
        """
        if not segment.entry.tokens:
            return np.zeros(len(positions), np.float32)
        return self._codec_query.refined(segment, positions, self._centroid_scores)

    def exact(self, segment: CompressedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors of some documents."""
        blocks = in_blocks(segment, positions, _BLOCK_DOCUMENT_TOKENS)
        sums = [self._codec_query.exact(segment, block, self._centroid_scores) for block in blocks]
        return np.concatenate(sums) if sums else np.empty(0, np.float32)

    def _sketch(self) -> tuple[np.float32, np.float32, list[NDArray[np.uint64]]]:
        """Return the score of level 0, what a level adds to it, and masks, each for up to `_LANES` query tokens."""
        scores = self._centroid_scores
        some = scores[::_SAMPLED_EVERY]
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
    segment: CompressedSegment,
    positions: NDArray[np.int64],
    counts: NDArray[np.int32],
) -> None:
    for mask in masks:
        compiled.scan(segment.codes, segment.offsets, positions, mask, counts)
