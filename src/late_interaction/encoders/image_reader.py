"""What the encoders of page images have in common."""

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
_BOXES_KEPT = 64  # sizes whose boxes are kept; the pages of a file mostly have one size


class ImageReader(ABC):
    """Images to vectors, in batches bounded by pixels; what of an image each vector stands for.

    A class that is one sets the attributes and says how a batch is encoded.
    """

    _image_tokens_only: bool
    _batch_pixels: int
    _boxes: dict[tuple[int, int], list[Box | None]]

    @property
    @abstractmethod
    def dim(self) -> int:
        """Dimension of the vectors."""

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments with which `load_encoder` makes this encoder of its source."""
        return {"image_tokens_only": True} if self._image_tokens_only else {}

    def encode_images(self, images: list[Image.Image]) -> list[NDArray[np.float32]]:
        """Vectors of each image, (vectors, dim), L2-normalised.

        Raises:
            InvalidRequestError: Something that is no PIL image, cannot be read or is too long and thin for the model.
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
        """Width and height in pixels to which the model brings an image of this shape, if it is at least that large.

        Raises:
            InvalidRequestError: A side is not positive, or the model takes no image so long and thin.
        """
        return viewed_size(self._image_processor, width, height)

    def patch_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        """For each vector of an image of this size (width, height; pixels), in order, the part it stands for.

        None for the prompt and for markers; for all vectors where the model pools tokens or cuts images in a way that
        is not known here.

        Raises:
            InvalidRequestError: The model takes no image so long and thin.
        """
        width, height = size
        found = self._boxes.get((width, height))
        if found is None:
            found = self._find_boxes((width, height))
            if len(self._boxes) >= _BOXES_KEPT:
                self._boxes.clear()
            self._boxes[width, height] = found
        return list(found)

    @property
    @abstractmethod
    def _image_processor(self) -> Any:
        """The image processor of the model."""

    @abstractmethod
    def _encode_batch(self, images: list[Image.Image]) -> list[NDArray[np.float32]]:
        """Vectors of RGB images, in one forward pass."""

    @abstractmethod
    def _find_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        """What `patch_boxes` gives, and remembers."""
