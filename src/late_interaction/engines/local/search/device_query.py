"""Search compressed documents on a device of torch.

All documents are scored from the centroids of their tokens: a device reads all codes in the time in which it could
choose among them. Those that may be among the best are then scored from all residuals. The device works ahead of the
processor, which waits for it five times in a search: for what is scored first, its scores, the other candidates, their
scores, and those of the hits.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.engines.libraries import torch_module
from late_interaction.engines.local.quantization.rotation import rotation
from late_interaction.engines.local.storage.segment import in_blocks
from late_interaction.profiling import stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.search.device import Columns, Device
    from late_interaction.engines.local.search.selection import Part, Selection
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["DeviceQuery"]

_FIRST_DOCUMENTS, _FIRST_DOCUMENTS_PER_HIT = 1024, 4
"""Documents scored first: at least this many, or this many for each of the k hits."""

_MAX_RESCORED_DOCUMENTS, _MAX_RESCORED_DOCUMENTS_PER_HIT = 16_384, 8
"""Maximum number of further documents that are scored."""

_MARGIN_DEVIATIONS = 6.0
"""Margin for scoring a candidate, in standard deviations of what residuals add to the scores of centroids."""

_RESCORED_PER_HIT = 1.1
"""Documents whose scores are computed again, for each of the k hits: products of matrices may be in TF32."""

_BLOCK_SCORES = 2**26
"""Scores of tokens, and coordinates of points, kept at a time: a search takes up to 1 GB beside the columns."""

_MAX_GATHERED_SHARE = 0.25
"""A larger share of a segment is not gathered: all its documents are scored, and others are left out afterwards."""


class DeviceQuery:
    """A query and the compressed documents that it is searched in, on a device.

    Documents are numbers of the selection, ascending, (n,). Scores are float32, (n,); a document without tokens scores
    0.

    Args:
        query: Token vectors, (query tokens, dim), at least one.
        selection: The documents.
        codebook: The centroids.
        codec: The codec of the index.
        device: Where they are scored.
    """

    def __init__(
        self, query: NDArray[np.float32], selection: Selection, codebook: Codebook, codec: Codec, device: Device
    ) -> None:
        self._selection, self._codebook, self._codec, self._device = selection, codebook, codec, device
        self._rotated = device.tensor(np.einsum("ij,kj->ik", query, rotation(codec.dim)))
        self._tokens = len(query)

    def best(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return documents that have tokens, among them the k best, and their scores."""
        with self._device.memory_errors(sum(part.segment.entry.tokens for part in self._selection.parts)):
            documents = self._selection.documents
            if len(documents) > max(_FIRST_DOCUMENTS, k):
                documents = self._candidates(k)
            with stage("rescore"):
                return documents, self.maxsim(documents)

    def maxsim(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors of some documents.

        It is computed in double precision, since products in single precision may be in TF32: that is a setting of
        torch for the whole process.
        """
        scores = np.asarray(self._exact(documents, torch_module().float64).float().cpu().numpy())
        scores[np.isneginf(scores)] = 0  # documents without tokens
        return scores

    def from_centroids(self) -> Any:
        """Return MaxSim of all compressed documents from the centroids of their tokens, on the device.

        Returns:
            (all compressed documents,) f32. -inf for documents that are not searched, and for those without tokens.
        """
        torch = torch_module()
        scores = torch.full((self._selection.total,), -math.inf, device=self._device.torch_device)
        for part in self._selection.parts:
            if part.tokens > _MAX_GATHERED_SHARE * part.segment.entry.tokens:
                self._score_all(part, scores[part.start : part.end])
            else:
                self._score_some(part, scores[part.start : part.end])
        return scores.masked_fill_(~self._device.allowed(self._selection), -math.inf)

    def _candidates(self, k: int) -> NDArray[np.int64]:
        """Return the documents that may be the k best, a few more than k, ascending."""
        torch = torch_module()
        with stage("scan"):
            estimates = self.from_centroids()
            count = min(max(_FIRST_DOCUMENTS, _FIRST_DOCUMENTS_PER_HIT * k), len(self._selection.documents))
            first = estimates.topk(count, sorted=False).indices.sort().values
            documents = first.cpu().numpy()
        with stage("exact"):
            scores = self._exact(documents, torch.float32)
            # The correction from one stage to the next varies little between the documents of a query.
            corrections = scores - estimates[first]
            margin = _MARGIN_DEVIATIONS / max(1, math.log10(k)) * corrections.std()
            least = scores.topk(k, sorted=False).values.min() - corrections.mean() - margin
            estimates[first] = -math.inf
            others = torch.nonzero(estimates >= least)[:, 0]
            most = max(_MAX_RESCORED_DOCUMENTS, _MAX_RESCORED_DOCUMENTS_PER_HIT * k)
            if len(others) > most:
                others = others[estimates[others].topk(most, sorted=False).indices].sort().values
            more = others.cpu().numpy()
            scores = torch.cat([scores, self._exact(more, torch.float32)])
            best = scores.topk(min(math.ceil(_RESCORED_PER_HIT * k) + 2, len(scores)), sorted=False).indices
            return np.sort(np.concatenate([documents, more])[best.cpu().numpy()])

    def _score_all(self, part: Part, scores: Any) -> None:
        """Write the scores of all documents of a segment from centroids, (documents,), also of those not searched."""
        columns, ends = self._columns(part.segment), part.segment.offsets
        for positions in in_blocks(part.segment, np.arange(len(scores)), self._block_tokens(0)):
            first, last = int(positions[0]), int(positions[-1]) + 1
            codes = columns.codes[int(ends[first]) : int(ends[last])]
            offsets = columns.offsets[first : last + 1] - int(ends[first])
            scores[first:last] = _sums(self._centroid_scores.index_select(0, codes), offsets)

    def _score_some(self, part: Part, scores: Any) -> None:
        """Write the scores of the documents of a segment that are searched, from centroids, (documents,)."""
        columns = self._columns(part.segment)
        for positions in in_blocks(part.segment, part.positions, self._block_tokens(0)):
            tokens, offsets = self._tokens_of(part.segment, positions)
            codes = columns.codes.index_select(0, tokens)
            sums = _sums(self._centroid_scores.index_select(0, codes), offsets)
            scores[self._device.tensor(positions)] = sums

    def _exact(self, documents: NDArray[np.int64], precision: Any) -> Any:
        """Return MaxSim of the stored vectors of some documents, on the device, (n,)."""
        torch, query = torch_module(), self._rotated.to(precision)
        scores = [torch.empty(0, dtype=precision, device=self._device.torch_device)]
        for part, some in self._selection.split(documents):
            columns = self._columns(part.segment)
            block = self._block_tokens(self._codec.dim)
            for positions in in_blocks(part.segment, documents[some] - part.start, block):
                tokens, offsets = self._tokens_of(part.segment, positions)
                codes = columns.codes.index_select(0, tokens)
                if precision == torch.float32:
                    similarities = self._centroid_scores.index_select(0, codes)
                else:
                    centroids = self._device.centroids(self._codebook).index_select(0, codes)
                    similarities = centroids.to(precision) @ query.T
                similarities = self._codec.similarities_on_device(columns.held, tokens, similarities, query)
                scores.append(_sums(similarities, offsets))
        return torch.cat(scores)

    def _tokens_of(self, segment: CompressedSegment, positions: NDArray[np.int64]) -> tuple[Any, Any]:
        """Return the tokens of some documents, and where those of each begin among them and the last end."""
        torch = torch_module()
        starts = segment.offsets[positions]
        lengths = segment.offsets[positions + 1] - starts
        ends = np.cumsum(lengths)
        offsets = self._device.tensor(np.concatenate([[0], ends]))
        shifts, lengths = self._device.tensor(starts - (ends - lengths)), self._device.tensor(lengths)
        shifts = torch.repeat_interleave(shifts, lengths, output_size=int(ends[-1]))
        return shifts + torch.arange(len(shifts), device=shifts.device), offsets

    def _block_tokens(self, coordinates: int) -> int:
        """Return how many tokens are scored at a time, if so many coordinates of each are unpacked."""
        return max(1, _BLOCK_SCORES // (self._tokens + coordinates))

    @cached_property
    def _centroid_scores(self) -> Any:
        """The dot products of centroids with query tokens, (centroids, query tokens)."""
        return self._device.centroids(self._codebook) @ self._rotated.T

    def _columns(self, segment: CompressedSegment) -> Columns:
        return self._device.columns(segment, self._codec, self._codebook)


def _sums(similarities: Any, offsets: Any) -> Any:
    """Return the sums of the highest similarities of each document, (documents,).

    Args:
        similarities: Of tokens with query tokens, (tokens, query tokens).
        offsets: Where the tokens of each document begin, and where the last end, (documents + 1,).
    """
    # Unchecked, since the device would be waited for; the offsets of a segment are checked when it is opened.
    best = torch_module().segment_reduce(similarities, "max", offsets=offsets, axis=0, unsafe=True)
    return best.sum(dim=1)
