"""`TextImageEncoder`: text and page images with one sentence-transformers model (ColQwen2.5, ColQwen3 and similar)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from late_interaction.encoders.fingerprint import image_settings, probe
from late_interaction.encoders.image_reader import BATCH_PIXELS, ImageReader
from late_interaction.encoders.images import probe_image
from late_interaction.encoders.patches import boxes_of_tokens, image_boxes, processed_pixels
from late_interaction.encoders.strings import without_marker
from late_interaction.encoders.text import TextEncoder
from late_interaction.errors import InvalidRequestError
from late_interaction.forking import openmp_is_used

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from sentence_transformers import MultiVectorEncoder
    from typing_extensions import Self

    from late_interaction.encoders.protocol import Box, Task

__all__ = ["TextImageEncoder"]

_PLACEHOLDER = "\ue000"  # in the private use area: no chat template contains it


class TextImageEncoder(TextEncoder, ImageReader):
    """Encodes text and page images with a `sentence_transformers.MultiVectorEncoder` that reads both.

    `load_encoder` creates one from a name. Construct one yourself to use a model that is already loaded. Text is
    encoded as by `TextEncoder`. Images are converted to RGB as displayed: EXIF orientation applied, transparency on
    white. Batches of images are bounded by the pixels the model reads.

    Args:
        model: The model. Nothing else may use it at the same time.
        source: The name or path `load_encoder` can load the model from again; an index remembers it.
        revision: Branch, tag or commit of ``source``.
        image_tokens_only: Of an image, keep only the vectors of patches, not those of the prompt and the markers.
        batch_pixels: Maximum pixels of a batch, as the model reads them. Much larger images count more. Bounds memory.
        query_length: Tokens that are read of a query, as for `TextEncoder`.
        document_length: Tokens that are read of a text document, as for `TextEncoder`.
        dtype: Precision of matrix products, as for `TextEncoder`.

    Raises:
        InvalidRequestError: The model does not read images, or ``image_tokens_only`` is set and the model pools tokens,
            a length is not one that the model can have, or ``dtype`` is unknown.
    """

    def __init__(
        self,
        model: MultiVectorEncoder,
        *,
        source: str | None = None,
        revision: str | None = None,
        image_tokens_only: bool = False,
        batch_pixels: int = BATCH_PIXELS,
        query_length: int | None = None,
        document_length: int | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(
            model,
            source=source,
            revision=revision,
            query_length=query_length,
            document_length=document_length,
            dtype=dtype,
        )
        if not model.supports("image"):
            raise InvalidRequestError(f"{source or model} reads no images. Use TextEncoder(model) for a text model.")
        if image_tokens_only and self._pools("document"):
            raise InvalidRequestError(f"{source or model} pools tokens, so image_tokens_only must be False.")
        self.modalities = frozenset({"text", "image"}.intersection(map(str, model.modalities)))
        self._image_tokens_only = image_tokens_only
        self._batch_pixels = batch_pixels
        self._boxes = {}

    def with_prompts(self, prompts: Mapping[str, str]) -> Self:
        """Return this encoder with other prompts, as for `TextEncoder`."""
        other = super().with_prompts(prompts)
        other._boxes = {}  # a prompt has tokens too
        return other

    @property
    def options(self) -> dict[str, Any]:
        """Return the keyword arguments with which `load_encoder` loads this encoder from its source."""
        return {**TextEncoder.options.fget(self), **ImageReader.options.fget(self)}  # type: ignore[attr-defined]

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return the fingerprint for text, with the settings of the image processor and a probe of an image too."""
        text = super().fingerprint
        return {
            **text,
            "image_tokens_only": self._image_tokens_only,
            "image_processor": image_settings(self._image_processor),
            "libraries": {**text["libraries"], "image_processor": type(self._image_processor).__name__},
            "probe": [*text["probe"], *probe(*self.encode_images([probe_image()]))],
        }

    @property
    def _image_processor(self) -> Any:
        return self._model.processor.image_processor

    def _encode_batch(self, images: list[Image.Image]) -> list[NDArray[np.float32]]:
        openmp_is_used("torch")
        outputs = self._run([{"image": image} for image in images], "document")
        kept = outputs["attention_mask"].bool()
        if self._image_tokens_only:
            kept = kept & (outputs["input_ids"] == self._image_token_id)
        return self._kept_vectors(outputs["token_embeddings"], kept)

    @property
    def _image_token_id(self) -> int | None:
        found: int | None = getattr(self._model.processor, "image_token_id", None)
        return found

    def _find_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        from PIL import Image

        blank = Image.new("RGB", size, "white")
        if self._pools("document"):
            return [None] * len(self.encode_images([blank])[0])
        processed_pixels(self._image_processor, size)  # raises if the shape is refused
        with self._lock:
            features = self._preprocessed([{"image": blank}], "document")
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
        """Return what the model reads of the text: stripped, without the marker of an image."""
        return without_marker(super()._read(text), str(getattr(self._model.processor, "image_token", None) or ""))

    def _before(self, task: Task) -> int:
        rendered = self._template(task)
        return super()._before(task) if rendered is None else rendered.index(_PLACEHOLDER)

    def _inputs(self, texts: Sequence[str], task: Task) -> tuple[list[str], bool]:
        rendered = self._template(task)
        if rendered is None:
            return super()._inputs(texts, task)
        return [rendered.replace(_PLACEHOLDER, text) for text in texts], True

    def _template(self, task: Task) -> str | None:
        """Return the chat template of the model with `_PLACEHOLDER` for the text; None if it has no template."""
        transformer: Any = self._model[0]
        if "message" not in transformer.modality_config:
            return None
        messages = transformer.input_formatter.to_message({"text": _PLACEHOLDER})
        if prompt := self._model.prompts.get(task):
            [messages] = transformer.input_formatter.prepend_prompt_to_messages([messages], prompt)
        rendered: str = self._model.processor.apply_chat_template(messages, tokenize=False, task=task)
        return rendered
