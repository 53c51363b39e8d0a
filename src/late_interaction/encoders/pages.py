"""`ColVisionEncoder`: the page-image models of transformers, ColPali, ColQwen2 and ColModernVBert.

`sentence_transformers.MultiVectorEncoder` loads these checkpoints too, but with transformers 5 its vectors differ from
those of training: it drops the two-dimensional patch positions of ColQwen2 and the prompts of ColModernVBert.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.batching import batches
from late_interaction.encoders.by_name import NamedEncoder
from late_interaction.encoders.fingerprint import PROBE_TEXT, image_settings, library_versions, probe
from late_interaction.encoders.image_reader import BATCH_PIXELS, ImageReader
from late_interaction.encoders.images import probe_image
from late_interaction.encoders.page_models import PAGE_MODELS
from late_interaction.encoders.patches import boxes_of_tokens, image_boxes, processed_pixels
from late_interaction.encoders.strings import checked, spans, without_marker
from late_interaction.encoders.turns import FairLock
from late_interaction.errors import InvalidRequestError, UnsupportedCheckpointError
from late_interaction.forking import openmp_is_used

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from late_interaction.encoders.protocol import Box, Span, Task

__all__ = ["ColVisionEncoder"]

_BATCH_CHARACTERS = 16_384
_PROMPT_CHARACTERS = 32  # about, with the query augmentation


class ColVisionEncoder(NamedEncoder, ImageReader):
    """Encodes page images, and text queries for them, with a ``*ForRetrieval`` model of transformers.

    `load_encoder` creates one from a name. Construct one yourself to use a model that is already loaded.

    * Images are converted to RGB as displayed: EXIF orientation applied, transparency on white.
    * Batches are bounded by the pixels the model reads, so memory does not grow with the number of images.
    * A query is always text: one that looks like a URL or a file name is never fetched or opened.
    * Any thread may call. The mutex is released between batches, so a query waits for one batch of a long indexing run.

    Text documents are refused, because these models were trained to retrieve page images.

    Args:
        model: A model of an architecture in `page_models.PAGE_MODELS`. Nothing else may use it at the same time.
        processor: The processor of the model.
        source: The name or path `load_encoder` can load the model from again; an index remembers it.
        revision: Branch, tag or commit of ``source``.
        image_tokens_only: Keep only the vectors of patches, not those of the prompt and the markers around them.
        batch_pixels: Maximum pixels of a batch, as the model reads them. Much larger images count more. Bounds memory.

    Raises:
        UnsupportedCheckpointError: The model has another architecture.
    """

    modalities: frozenset[str] = frozenset({"image"})

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        source: str | None = None,
        revision: str | None = None,
        image_tokens_only: bool = False,
        batch_pixels: int = BATCH_PIXELS,
    ) -> None:
        self._architecture = type(model).__name__
        if self._architecture not in PAGE_MODELS:
            raise UnsupportedCheckpointError(
                f"The model must be one of {', '.join(PAGE_MODELS)}, got {self._architecture}."
            )
        self._kind = PAGE_MODELS[self._architecture]
        self.source = source
        self.revision = revision
        self._model = model
        self._processor = processor
        self._image_tokens_only = image_tokens_only
        self._batch_pixels = batch_pixels
        self._lock = FairLock()
        self._boxes = {}

    @property
    def dim(self) -> int:
        """Return the dimension of the vectors."""
        return int(self._model.config.embedding_dim)

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return everything that determines the vectors, as JSON values, with a probe. Encodes two small inputs."""
        return {
            "model": self.source,
            "revision": self.revision,
            "dim": self.dim,
            "architecture": self._architecture,
            "image_tokens_only": self._image_tokens_only,
            "prompts": {"query": self._before_query, "image": self._processor.visual_prompt_prefix},
            "query_augmentation": self._processor.query_augmentation_token,
            "image_processor": image_settings(self._image_processor),
            "libraries": {**library_versions(), "image_processor": type(self._image_processor).__name__},
            "probe": probe(self.encode_queries([PROBE_TEXT])[0], self.encode_images([probe_image()])[0]),
        }

    def encode_queries(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Return the vectors of each query, (query tokens, dim) float32, L2-normalized, in the order of the texts."""
        stripped = [checked(text).strip() for text in texts]
        encoded = [np.empty((0, self.dim), np.float32)] * len(stripped)
        for batch in batches([len(text) + _PROMPT_CHARACTERS for text in stripped], _BATCH_CHARACTERS):
            with self._lock:
                inputs = self._processor.process_queries(
                    [without_marker(stripped[position], self._processor.image_token) for position in batch]
                )
                vectors = self._vectors(inputs)
            for position, array in zip(batch, vectors, strict=True):
                encoded[position] = array
        return encoded

    def encode_documents(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Refuse texts: the documents of this encoder are images.

        Raises:
            InvalidRequestError: Always, unless there are no texts.
        """
        if texts:
            raise InvalidRequestError(self._no_text)
        return []

    def truncated(self, texts: list[str], task: Task) -> list[int]:
        """Return nothing: a query is read whole, whatever its length."""
        return []

    def token_spans(self, text: str, task: Task) -> list[Span | None]:
        """Return the span of each vector of a query, in order; None for the prompt and query augmentation.

        Raises:
            InvalidRequestError: The task is ``"document"``: the documents of this encoder are images.
        """
        if task == "document":
            raise InvalidRequestError(self._no_text)
        stripped = checked(text).strip()
        with self._lock:
            inputs = self._processor.process_queries(
                [without_marker(stripped, self._processor.image_token)], text_kwargs={"return_offsets_mapping": True}
            )
        return spans(text, inputs["offset_mapping"][0].tolist(), before=len(self._before_query))

    @cached_property
    def _image_token_id(self) -> int:
        return int(self._processor.tokenizer.convert_tokens_to_ids(self._processor.image_token))

    @property
    def _image_processor(self) -> Any:
        return self._processor.image_processor

    def _encode_batch(self, images: list[Image.Image]) -> list[NDArray[np.float32]]:
        with self._lock:
            return self._vectors(self._processor.process_images(images))

    @property
    def _before_query(self) -> str:
        """Return what the processor puts in front of a query."""
        begin = self._processor.tokenizer.bos_token if self._kind.query_starts_with_bos else ""
        return f"{begin}{self._processor.query_prefix}"

    @property
    def _no_text(self) -> str:
        return (
            f"{self.source or self._architecture} encodes page images, not text. Index Document(image=…), or use a "
            "text model in a separate index for text documents."
        )

    def _vectors(self, inputs: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """Return the vectors of a preprocessed batch. The mutex must be held."""
        import torch

        openmp_is_used("torch")
        tensors = {name: tensor.to(self._model.device) for name, tensor in inputs.items() if name != "labels"}
        kept = tensors["attention_mask"].bool()
        if self._image_tokens_only and "pixel_values" in tensors:
            kept = kept & (tensors["input_ids"] == self._image_token_id)
        if self._kind.needs_patch_positions:
            tensors["position_ids"] = self._positions(tensors)
        with torch.inference_mode():
            embeddings = self._model(**tensors).embeddings.float()
            embeddings = torch.nn.functional.normalize(embeddings, dim=-1)
        return [rows[keep].cpu().numpy() for rows, keep in zip(embeddings, kept, strict=True)]

    def _positions(self, tensors: Mapping[str, Any]) -> Any:
        """Return the positions of Qwen2-VL (M-RoPE), with the row and column of each patch.

        They are computed for queries too, so that the padding in front of a short query changes nothing.
        """
        is_image = (tensors["input_ids"] == self._image_token_id).int()
        positions, _ = self._model.vlm.get_rope_index(
            input_ids=tensors["input_ids"],
            mm_token_type_ids=is_image,
            image_grid_thw=tensors.get("image_grid_thw"),
            attention_mask=tensors["attention_mask"],
        )
        return positions

    def _find_boxes(self, size: tuple[int, int]) -> list[Box | None]:
        from PIL import Image

        processed_pixels(self._image_processor, size)  # raises if the shape is refused
        with self._lock:
            ids = self._processor.process_images([Image.new("RGB", size, "white")])["input_ids"][0].tolist()
            boxes = image_boxes(self._processor, size)
        found = boxes_of_tokens([token == self._image_token_id for token in ids], boxes)
        return [box for box in found if box is not None] if self._image_tokens_only else found
