"""Scores of compressed documents for one query: cheap ones from centroids alone, and those of their residuals too."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from late_interaction.engines.local import threads
from late_interaction.engines.local.codec import rotation
from late_interaction.engines.local.kernels import compiled
from late_interaction.engines.local.kernels.exact import torch_module
from late_interaction.engines.local.segment import tokens_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.local.codebook import Codebook
    from late_interaction.engines.local.codec import ResidualCodec
    from late_interaction.engines.local.segment import CodedSegment

__all__ = ["CodedQuery"]

_REACH = 0.35
"""How much of its norm a residual is expected to add to the score of its centroid, at most: tokens whose centroids lose
by more are not looked at. Measured by `benchmarks.recall`."""

_BLOCK_TOKENS = 1024  # unpacked at a time: half a megabyte at 128 dimensions, which stays in the cache


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
        rotated = torch.from_numpy(self._rotated[:, : codec.dim])
        # Few rows times many is what BLAS is quick at, a row per centroid what the kernels want.
        self._centroid_scores = (rotated @ torch.from_numpy(codebook.centroids).T).T.contiguous().numpy()
        self._reach = np.float32(_REACH) * np.linalg.norm(query, axis=1).astype(np.float32)

    def approximate(self, segments: Sequence[tuple[CodedSegment, NDArray[np.int64]]]) -> NDArray[np.float32]:
        """Approximate MaxSim of some documents of each segment, from the centroids of their tokens alone, (n,)."""
        steps = [np.zeros(len(positions), np.int32) for _, positions in segments]
        pieces = [
            (segment, positions[start:end], out[start:end])
            for (segment, positions), out in zip(segments, steps, strict=True)
            for start, end in threads.pieces(segment.offsets, positions)
        ]
        tables = self._tables
        threads.run([partial(self._scan, tables, *piece) for piece in pieces])
        return np.asarray(np.concatenate(steps) * self._unit + self._floor.sum(), np.float32)

    def refined(self, segment: CodedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """MaxSim of some documents, counting the residual of one token for each query token, (n,).

        It is the token of the best centroid: a little less than the exact score, and nearly in its order.
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
        scores[segment.offsets[positions] == segment.offsets[positions + 1]] = 0
        return scores

    def exact(self, segment: CodedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """MaxSim of some documents from all that is stored of them, (n,)."""
        torch = torch_module()
        starts = segment.offsets[positions]
        lengths = segment.offsets[positions + 1] - starts
        bounds = np.concatenate([[0], np.cumsum(lengths)])
        tokens = tokens_of(starts, lengths)
        codes, scales = segment.codes[tokens], segment.scales[tokens].astype(np.float32)
        keep = np.empty(len(tokens), np.bool_)
        norms = self._codec.norms(scales)
        compiled.promising_tokens(codes, norms, bounds, self._centroid_scores, self._reach, keep)
        bounds = np.concatenate([[0], np.cumsum(keep)])[bounds]
        tokens, codes, scales = tokens[keep], codes[keep], scales[keep]
        dots = np.empty((len(self._rotated), len(tokens)), np.float32)
        query = torch.from_numpy(self._rotated)
        for start in range(0, len(tokens), _BLOCK_TOKENS):
            points = self._codec.points(segment.residuals, tokens[start : start + _BLOCK_TOKENS])
            dots[:, start : start + _BLOCK_TOKENS] = torch.mm(query, torch.from_numpy(points).T).numpy()
        sums = np.empty(len(positions), np.float32)
        compiled.best_sums(codes, scales, dots, bounds, self._centroid_scores, sums)
        return sums

    def _scan(
        self,
        tables: Sequence[NDArray[np.uint8]],
        segment: CodedSegment,
        positions: NDArray[np.int64],
        steps: NDArray[np.int32],
    ) -> None:
        for table in tables:
            compiled.scan[table.shape[1]](segment.codes, segment.offsets, positions, table, steps)
        empty = segment.offsets[positions] == segment.offsets[positions + 1]
        steps[empty] = np.clip(-self._floor.sum() / self._unit, -(2**30), 2**30)  # what stands for a score of 0

    @cached_property
    def _floor(self) -> NDArray[np.float32]:
        """The score, by query token, that the tables call 0: one that the best match in a document rarely misses."""
        return np.asarray(self._centroid_scores.mean(axis=0) - 2 * self._centroid_scores.std(axis=0))

    @cached_property
    def _unit(self) -> np.float32:
        """What a step of the tables is worth."""
        highest = (self._centroid_scores.max(axis=0) - self._floor).max()
        return np.float32(max(highest / 255, np.finfo(np.float32).tiny))

    @cached_property
    def _tables(self) -> list[NDArray[np.uint8]]:
        """The centroid scores in bytes, (centroids, lanes), for as many query tokens as `scan` takes at a time."""
        tables = []
        for first in range(0, len(self._rotated), compiled.LANES[-1]):
            chosen = slice(first, first + compiled.LANES[-1])
            scores, floor = self._centroid_scores[:, chosen], self._floor[chosen]
            lanes = next(lanes for lanes in compiled.LANES if lanes >= len(floor))
            table = np.empty((len(scores), lanes), np.uint8)
            compiled.fill_table(scores, floor, np.float32(1) / self._unit, table)
            tables.append(table)
        return tables
