"""Text and page images with one sentence-transformers model: ColQwen2.5, ColQwen3 and their kin, packaged for it."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.batching import batches
from late_interaction.encoders.fingerprint import image_settings, probe
from late_interaction.encoders.images import as_rgb, checked_images, probe_image
from late_interaction.encoders.patches import (
    BOXES_KEPT,
    batch_costs,
    boxes_of_tokens,
    image_boxes,
    processed_pixels,
    viewed_size,
)
from late_interaction.encoders.text import TextEncoder
from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image
    from sentence_transformers import MultiVectorEncoder

    from late_interaction.encoders.protocol import Box, Task

__all__ = ["TextImageEncoder"]

_BATCH_PIXELS = 4_194_304  # about 7 pages of ColQwen2.5
_PLACEHOLDER = "\ue000"  # of the private use area: no chat template has it


class TextImageEncoder(TextEncoder):
    """Encodes text and images of pages with a `sentence_transformers.MultiVectorEncoder` that reads both.

    `load_encoder` makes one from a name; wrap a model yourself to use one you have already loaded. All that
    `TextEncoder` promises holds. Images are brought to RGB as they are shown: EXIF orientation applied, transparency on
    white; their batches are bounded by the pixels the model sees.

    Args:
        model: The model. It must not be used by others at the same time.
        source: The name or path `load_encoder` can load it from again; an index remembers it.
        revision: Branch, tag or commit of ``source``.
        image_tokens_only: Of images, keep the vectors of patches alone, not those of the prompt and the markers.
        batch_pixels: Pixels of a batch of images, as the model sees them; images far larger count more. Bounds memory.

    Raises:
        InvalidRequestError: The model reads no images, or pools tokens and so cannot keep image tokens only.
    """

    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        source: str | None = None,
        revision: str | None = None,
        image_tokens_only: bool = False,
        batch_pixels: int = _BATCH_PIXELS,
    ) -> None:
        super().__init__(model, source=source, revision=revision)
        if not model.supports("image"):
            raise InvalidRequestError(f"{source or model} reads no images. TextEncoder(model) is for models of text.")
        if image_tokens_only and self._pools("document"):
            raise InvalidRequestError(f"{source or model} pools tokens: image_tokens_only cannot tell them apart.")
        self.modalities = frozenset({"text", "image"}.intersection(map(str, model.modalities)))
        self._image_tokens_only = image_tokens_only
        self._batch_pixels = batch_pixels
        self._boxes = lru_cache(maxsize=BOXES_KEPT)(self._computed_boxes)

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments with which `load_encoder` makes this encoder of its source."""
        return {"image_tokens_only": True} if self._image_tokens_only else {}

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """As for text, with the settings of the image processor; the probe has an image too."""
        text = super().fingerprint
        return {
            **text,
            "image_tokens_only": self._image_tokens_only,
            "image_processor": image_settings(self._image_processor),
            "libraries": {**text["libraries"], "image_processor": type(self._image_processor).__name__},
            "probe": [*text["probe"], *probe(*self.encode_images([probe_image()]))],
        }

    def encode_images(self, images: list[Image.Image]) -> list[NDArray[np.float32]]:
        """Vectors of each image, (vectors, dim), L2-normalised.

        Raises:
            InvalidRequestError: Something that is no PIL image, cannot be read or is too long and thin for the model.
        """
        given = checked_images(images)
        encoded = [np.empty((0, self.dim), np.float32)] * len(given)
        costs = batch_costs(self._image_processor, [image.size for image in given])
        for batch in batches(costs, self._batch_pixels):
            inputs: Any = [{"image": as_rgb(given[position])} for position in batch]
            with self._lock:
                outputs = self._model.encode_document(
                    inputs, batch_size=len(batch), output_value=None, show_progress_bar=False
                )
            for position, output in zip(batch, outputs, strict=True):
                encoded[position] = self._kept_vectors(output)
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
        return list(self._boxes((width, height)))

    @property
    def _image_processor(self) -> Any:
        return self._model.processor.image_processor

    @property
    def _image_token_id(self) -> int | None:
        found: int | None = getattr(self._model.processor, "image_token_id", None)
        return found

    def _kept_vectors(self, output: Mapping[str, Any]) -> NDArray[np.float32]:
        kept = output["attention_mask"].bool()
        if self._image_tokens_only:
            kept = kept & (output["input_ids"] == self._image_token_id)
        vectors: NDArray[np.float32] = output["token_embeddings"][kept].float().cpu().numpy()
        return vectors

    def _computed_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        from PIL import Image

        blank = Image.new("RGB", size, "white")
        if self._pools("document"):
            return [None] * len(self.encode_images([blank])[0])
        processed_pixels(self._image_processor, size)  # raises if the shape is refused
        with self._lock:
            features = self._preprocessed({"image": blank}, "document")
            boxes = image_boxes(self._model.processor, size)
        are_image = (features["input_ids"][0] == self._image_token_id).tolist()
        kept = self._masked(features, "document")
        found = boxes_of_tokens(are_image, boxes)
        return [
            box
            for box, is_image, keep in zip(found, are_image, kept, strict=True)
            if keep and (is_image or not self._image_tokens_only)
        ]

    def _read(self, text: str) -> str:
        """The text without the marker that stands for an image, for which the processor would look for one.

        As long as before, so that spans stay where they are.
        """
        stripped = super()._read(text)
        marker = str(getattr(self._model.processor, "image_token", None) or "")
        return stripped.replace(marker, f"({marker[1:-1]})") if marker else stripped

    def _before(self, task: Task) -> int:
        transformer: Any = self._model[0]
        if "message" not in transformer.modality_config:
            return super()._before(task)
        messages = transformer.input_formatter.to_message({"text": _PLACEHOLDER})
        if prompt := self._model.prompts.get(task):
            [messages] = transformer.input_formatter.prepend_prompt_to_messages([messages], prompt)
        rendered: str = self._model.processor.apply_chat_template(messages, tokenize=False, task=task)
        return rendered.index(_PLACEHOLDER)
