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
from late_interaction.engines.local.storage.segment import tokens_of
from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["Device", "DeviceQuery"]

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
    """A query against a codebook, on a device. See `cpu.CpuQuery`, whose methods return the same scores."""

    def __init__(self, query: NDArray[np.float32], codebook: Codebook, codec: Codec, device: Device) -> None:
        self._codec = codec
        self._codebook = codebook
        self._device = device
        self._rotated = device.tensor(query @ rotation(codec.dim).T)
        self._centroid_scores = device.centroids(codebook) @ self._rotated.T

    def sketched(self, segments: Sequence[tuple[CompressedSegment, NDArray[np.int64]]]) -> NDArray[np.float32]:
        """Return MaxSim of some documents of each segment from the centroids of their tokens alone, (n,)."""
        return np.concatenate([self.approximate(*one) for one in segments])

    def approximate(self, segment: CompressedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of some documents from the centroids of their tokens alone, (n,)."""
        return self._scores(segment, positions, with_residuals=False)

    def refined(self, segment: CompressedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors of some documents, (n,): as fast here as an approximation."""
        return self.exact(segment, positions)

    def exact(self, segment: CompressedSegment, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return MaxSim of the stored vectors of some documents, (n,)."""
        return self._scores(segment, positions, with_residuals=True)

    def _scores(
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
