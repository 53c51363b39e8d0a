"""Score compressed documents on a device of torch, for indexes opened with ``device="cuda"``.

The compressed columns of a segment are copied to the device when it is first searched, and stay there. The stages that
save memory traffic on the processor (bits instead of scores, one token before all tokens) are not needed there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from late_interaction.engines.libraries import torch_module
from late_interaction.engines.local.quantization.rotation import rotation
from late_interaction.engines.local.search.exact import top_k
from late_interaction.engines.local.storage.segment import tokens_of
from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.search.selection import Selection
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["Device", "DeviceQuery", "DeviceScan"]

_BLOCK_TOKENS = 2**20  # tokens whose centroid scores are gathered at a time: 128 MB for 32 query tokens
_TOKENS_PER_RESIDUAL = 8  # an unpacked residual takes the memory of the centroid scores of this many tokens


class Device:
    """A device of torch, and the columns and centroids that were copied to it.

    Args:
        name: The name of the device in torch.

    Raises:
        InvalidRequestError: Torch cannot use this device.
    """

    def __init__(self, name: str) -> None:
        torch = torch_module()
        try:
            self.torch_device = torch.device(name)
            torch.zeros(1, device=self.torch_device).cpu()  # the "meta" device holds no data
        except (RuntimeError, AssertionError, TypeError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise InvalidRequestError(f"Torch cannot use device={name!r}: {reason}") from None
        self._columns: WeakKeyDictionary[CompressedSegment, tuple[Any, Any]] = WeakKeyDictionary()
        self._centroids: tuple[Codebook, Any] | None = None

    def columns(self, segment: CompressedSegment, codec: Codec, codebook: Codebook) -> tuple[Any, Any]:
        """Return the codes of a segment as a tensor (i32) on the device, and what the codec keeps there."""
        if segment not in self._columns:
            self._columns[segment] = (
                self.tensor(segment.codes.astype(np.int32)),
                codec.tokens_on_device(segment, codebook, self.tensor),
            )
        return self._columns[segment]

    def centroids(self, codebook: Codebook) -> Any:
        """Return the centroids, (centroids, dim) f32, as a tensor on the device."""
        held = self._centroids  # read once: another thread may replace it
        if held is None or held[0] is not codebook:
            held = self._centroids = codebook, self.tensor(codebook.centroids)
        return held[1]

    def tensor(self, array: NDArray[Any]) -> Any:
        """Return an array as a tensor on the device."""
        return torch_module().from_numpy(np.ascontiguousarray(array)).to(self.torch_device)


class DeviceQuery:
    """A query and the compressed documents that it is searched in, on a device. See `cpu.CpuQuery`."""

    def __init__(
        self, query: NDArray[np.float32], selection: Selection, codebook: Codebook, codec: Codec, device: Device
    ) -> None:
        self._codec = codec
        self._codebook = codebook
        self._device = device
        self._selection = selection
        self._rotated = device.tensor(query @ rotation(codec.dim).T)
        self._centroid_scores = device.centroids(codebook) @ self._rotated.T

    def scan(self) -> DeviceScan:
        """Score all documents from the centroids of their tokens alone: a device needs nothing coarser."""
        documents = self._selection.documents
        return DeviceScan(documents, self.approximate(documents))

    def approximate(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of some documents from the centroids of their tokens alone, (n,)."""
        return self._scores(documents, with_residuals=False)

    def refined(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors of some documents, (n,): as fast here as an approximation."""
        return self.maxsim(documents)

    def exact(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors of some documents, (n,)."""
        return self.maxsim(documents)

    def maxsim(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors of some documents, (n,)."""
        return self._scores(documents, with_residuals=True)

    def _scores(self, documents: NDArray[np.int64], *, with_residuals: bool) -> NDArray[np.float32]:
        scores = np.empty(len(documents), np.float32)
        for part, some in self._selection.split(documents):
            scores[some] = self._of(part.segment, documents[some] - part.start, with_residuals=with_residuals)
        return scores

    def _of(
        self, segment: CompressedSegment, positions: NDArray[np.int64], *, with_residuals: bool
    ) -> NDArray[np.float32]:
        torch = torch_module()
        codes, held = self._device.columns(segment, self._codec, self._codebook)
        starts = segment.offsets[positions]
        lengths = segment.offsets[positions + 1] - starts
        scores = np.zeros(len(positions), np.float32)
        filled = np.flatnonzero(lengths)
        block = _BLOCK_TOKENS // (_TOKENS_PER_RESIDUAL if with_residuals else 1)
        for chosen in np.split(filled, np.flatnonzero(np.diff(np.cumsum(lengths[filled]) // block)) + 1):
            if not len(chosen):
                continue
            tokens = self._device.tensor(tokens_of(starts[chosen], lengths[chosen]))
            similarities = self._centroid_scores[codes[tokens]]
            if with_residuals:
                similarities = self._codec.similarities_on_device(held, tokens, similarities, self._rotated)
            best = torch.segment_reduce(similarities, "max", lengths=self._device.tensor(lengths[chosen]), axis=0)
            scores[chosen] = best.sum(dim=1).cpu().numpy()
        return scores


class DeviceScan:
    """Scores of all documents of a selection. Documents are taken from it, the best first. See `scan.Scan`.

    Args:
        documents: Their numbers, ascending, (n,).
        scores: Their scores, (n,).
    """

    def __init__(self, documents: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        self._documents, self._scores = documents, scores

    def best(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Take the documents with the best scores; return them, ascending, and their scores."""
        chosen = np.sort(top_k(self._scores, most))
        taken = self._documents[chosen], self._scores[chosen]
        self._documents, self._scores = np.delete(self._documents, chosen), np.delete(self._scores, chosen)
        return taken

    def others(self, least: float, most: int) -> NDArray[np.int64]:
        """Take the best of the documents that are left with at least this score; return them, ascending."""
        kept = self._scores >= least
        self._documents, self._scores = self._documents[kept], self._scores[kept]
        return self.best(most)[0]
