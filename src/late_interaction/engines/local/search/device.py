"""A device of torch that scores compressed documents, for indexes opened with ``device="cuda"``, and what it holds."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from late_interaction.engines.libraries import torch_module
from late_interaction.errors import InvalidRequestError
from late_interaction.forking import renew_in_child

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from late_interaction.engines.local.quantization.codebook import Codebook
    from late_interaction.engines.local.quantization.codecs import Codec
    from late_interaction.engines.local.search.selection import Selection
    from late_interaction.engines.local.storage.segment import CompressedSegment

__all__ = ["Columns", "Device"]


@dataclass(frozen=True)
class Columns:
    """A compressed segment on a device.

    Attributes:
        codes: The centroid of each token, (tokens,) i32.
        offsets: Where the tokens of each document begin, and where the last end, (documents + 1,) i64.
        held: What the codec keeps there.
    """

    codes: Any
    offsets: Any
    held: Any


class Device:
    """A device of torch, and what was copied to it.

    The columns of a segment are copied when it is first searched, and stay there as long as the segment is in use. With
    the residual codec they take the residuals and 16 bytes per token, together 80 at 4 bits and 128 dimensions, and 8
    bytes per document. After a merge, old and new columns are there until the last search of the old ones has ended.

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
        self._columns: WeakKeyDictionary[CompressedSegment, Columns] = WeakKeyDictionary()
        self._allowed: WeakKeyDictionary[Selection, Any] = WeakKeyDictionary()
        self._centroids: tuple[Codebook, Any] | None = None
        self._make_mutex()
        renew_in_child(self._make_mutex)

    def _make_mutex(self) -> None:
        self._copying = threading.RLock()  # reentrant, so that a signal handler may search

    def columns(self, segment: CompressedSegment, codec: Codec, codebook: Codebook) -> Columns:
        """Return the columns of a segment, which are copied once, whatever the number of threads that ask."""
        with self._copying:
            columns = self._columns.get(segment)
            if columns is None:
                columns = self._columns[segment] = Columns(
                    self.tensor(segment.codes.astype(np.int32)),
                    self.tensor(np.array(segment.offsets)),
                    codec.tokens_on_device(segment, codebook, self.tensor),
                )
            return columns

    def allowed(self, selection: Selection) -> Any:
        """Return whether each compressed document is to be scored and has tokens, (documents,) bool."""
        with self._copying:
            allowed = self._allowed.get(selection)
            if allowed is None:
                allowed = self._allowed[selection] = self.tensor(selection.allowed.view(np.bool_))
            return allowed

    def centroids(self, codebook: Codebook) -> Any:
        """Return the centroids, (centroids, dim) f32."""
        held = self._centroids  # read once: another thread may replace it
        if held is None or held[0] is not codebook:
            held = self._centroids = codebook, self.tensor(codebook.centroids)
        return held[1]

    def tensor(self, array: NDArray[Any]) -> Any:
        """Return an array as a tensor on the device."""
        return torch_module().from_numpy(np.ascontiguousarray(array)).to(self.torch_device)

    @contextmanager
    def memory_errors(self, tokens: int) -> Iterator[None]:
        """Raise `InvalidRequestError` if the device has not enough memory for what is done inside the block.

        Args:
            tokens: The number of compressed tokens that are searched.
        """
        try:
            yield
        except torch_module().cuda.OutOfMemoryError:
            raise InvalidRequestError(
                f"device={str(self.torch_device)!r} has too little free memory to search {tokens:,} tokens. Open the "
                "index without a device, or with one that has more free memory."
            ) from None
