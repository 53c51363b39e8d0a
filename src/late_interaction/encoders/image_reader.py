"""`ImageReader`: the common base of encoders that read page images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.batching import batches
from late_interaction.encoders.images import as_rgb, checked_images
from late_interaction.encoders.patches import batch_costs, viewed_size

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from late_interaction.encoders.protocol import Box

__all__ = ["BATCH_PIXELS", "ImageReader"]

BATCH_PIXELS = 4_194_304  # about 7 pages of ColQwen2, 20 of ColPali, one of ColModernVBert
_MAX_CACHED_SIZES = 64  # image sizes whose boxes are cached; the pages of a file mostly have one size


class ImageReader(ABC):
    """Encodes images in batches bounded by pixels, and finds the part of an image that each vector stands for.

    A subclass sets the attributes and defines how one batch is encoded.
    """

    _image_tokens_only: bool
    _batch_pixels: int
    _boxes: dict[tuple[int, int], list[Box | None]]

    @property
    @abstractmethod
    def dim(self) -> int:
        """Return the dimension of the vectors."""

    @property
    def options(self) -> dict[str, Any]:
        """Return the keyword arguments with which `load_encoder` loads this encoder from its source."""
        return {"image_tokens_only": True} if self._image_tokens_only else {}

    def encode_images(self, images: list[Image.Image]) -> list[NDArray[np.float32]]:
        """Return the vectors of each image, (vectors, dim) float32, L2-normalized, in the order of the images.

        Raises:
            InvalidRequestError: An input is not a PIL image, cannot be read, or is too long and thin for the model.
        """
        given = checked_images(images)
        encoded = [np.empty((0, self.dim), np.float32)] * len(given)
        costs = batch_costs(self._image_processor, [image.size for image in given])
        for batch in batches(costs, self._batch_pixels):
            vectors = self._encode_batch([as_rgb(given[position]) for position in batch])
            for position, array in zip(batch, vectors, strict=True):
                encoded[position] = array
        return encoded

    def viewed_size(self, width: float, height: float) -> tuple[int, int]:
        """Return the width and height in pixels that an image of this shape is resized to, if at least that large.

        Raises:
            InvalidRequestError: A side is not positive, or the image is too long and thin for the model.
        """
        return viewed_size(self._image_processor, width, height)

    def patch_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        """Return the box of each vector of an image of this size (width, height; pixels), in order.

        None for the prompt and for markers. None for all vectors if the model pools tokens, or if its image processor
        is of an unknown kind.

        Raises:
            InvalidRequestError: The image is too long and thin for the model.
        """
        width, height = size
        found = self._boxes.get((width, height))
        if found is None:
            found = self._find_boxes((width, height))
            if len(self._boxes) >= _MAX_CACHED_SIZES:
                self._boxes.clear()
            self._boxes[width, height] = found
        return list(found)

    @property
    @abstractmethod
    def _image_processor(self) -> Any:
        """Return the image processor of the model."""

    @abstractmethod
    def _encode_batch(self, images: list[Image.Image]) -> list[NDArray[np.float32]]:
        """Return the vectors of RGB images, encoded in one forward pass."""

    @abstractmethod
    def _find_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        """Return what `patch_boxes` returns and caches."""
