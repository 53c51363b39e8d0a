"""The page encoder: transformers' ColPali, ColQwen2 and ColModernVBert, which read images of pages.

`sentence_transformers.MultiVectorEncoder` loads these checkpoints too, but with transformers 5 it gives other vectors
than they were trained for: ColQwen2 loses the two-dimensional positions of its patches, and ColModernVBert its prompts.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from late_interaction.encoders.batching import batches
from late_interaction.encoders.fingerprint import PROBE_TEXT, image_settings, library_versions, probe
from late_interaction.encoders.image_reader import BATCH_PIXELS, ImageReader
from late_interaction.encoders.images import probe_image
from late_interaction.encoders.page_models import PAGE_MODELS
from late_interaction.encoders.patches import boxes_of_tokens, image_boxes, processed_pixels
from late_interaction.encoders.strings import checked, spans
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
_AROUND_A_QUERY = 32  # characters, about: the prompt and the query augmentation


class ColVisionEncoder(ImageReader):
    """Encodes images of pages, and queries for them, with a ``*ForRetrieval`` model of transformers.

    `load_encoder` makes one from a name; wrap a model yourself to use one you have already loaded.

    * Images are brought to RGB as they are shown: EXIF orientation applied, transparency on white.
    * Batches are bounded by the pixels the model sees, so mixed sizes and long runs need no more memory than one batch.
    * A query is always text: one that looks like a URL or a file name is never fetched or opened.
    * Any thread may call. The lock is given up between batches, so a query waits for one batch of a long indexing run.

    Documents that are text are refused: these models were trained to find images of pages by their queries.

    Args:
        model: A model of an architecture in `page_models.PAGE_MODELS`. It must not be used by others at the same time.
        processor: Its processor.
        source: The name or path `load_encoder` can load it from again; an index remembers it.
        revision: Branch, tag or commit of ``source``.
        image_tokens_only: Keep the vectors of patches alone, not those of the prompt and the markers around them.
        batch_pixels: Pixels of a batch, as the model sees them; images far larger than that count more. Bounds memory.

    Raises:
        UnsupportedCheckpointError: The model is of another architecture.
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
        """Dimension of the vectors."""
        return int(self._model.config.embedding_dim)

    @cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """Everything that shapes the vectors, as JSON values, with a probe embedding. Costs two small encodes."""
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
        """Vectors of each query, (query tokens, dim), L2-normalised."""
        stripped = [checked(text).strip() for text in texts]
        encoded = [np.empty((0, self.dim), np.float32)] * len(stripped)
        for batch in batches([len(text) + _AROUND_A_QUERY for text in stripped], _BATCH_CHARACTERS):
            with self._lock:
                inputs = self._processor.process_queries([self._plain(stripped[position]) for position in batch])
                vectors = self._vectors(inputs)
            for position, array in zip(batch, vectors, strict=True):
                encoded[position] = array
        return encoded

    def encode_documents(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Refuses texts: documents of this encoder are images.

        Raises:
            InvalidRequestError: Always, unless there are no texts.
        """
        if texts:
            raise InvalidRequestError(self._no_text)
        return []

    def token_spans(self, text: str, task: Task) -> list[Span | None]:
        """For each vector of a query, in order, its span in the query; None for the prompt and query augmentation.

        Raises:
            InvalidRequestError: The task is ``"document"``: documents of this encoder are images.
        """
        if task == "document":
            raise InvalidRequestError(self._no_text)
        stripped = checked(text).strip()
        with self._lock:
            inputs = self._processor.process_queries(
                [self._plain(stripped)], text_kwargs={"return_offsets_mapping": True}
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
        """What the processor puts in front of a query."""
        begin = self._processor.tokenizer.bos_token if self._kind.query_starts_with_bos else ""
        return f"{begin}{self._processor.query_prefix}"

    @property
    def _no_text(self) -> str:
        return (
            f"{self.source or self._architecture} encodes images of pages, not text: its documents are "
            "Document(image=…). For documents that are text, use a text model in an index of its own."
        )

    def _plain(self, query: str) -> str:
        """The query without the marker that stands for an image, for which the processor would look for one.

        As long as before, so that spans stay where they are.
        """
        token = self._processor.image_token
        return query.replace(token, f"({token[1:-1]})")

    def _vectors(self, inputs: Mapping[str, Any]) -> list[NDArray[np.float32]]:
        """The vectors of what the processor made of a batch. The lock must be held."""
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
        """Qwen2-VL's positions (M-RoPE): each patch has a row and a column, which transformers 5 forgets to compute.

        Of queries too, so that the padding in front of a short one, in a batch with a long one, moves nothing.
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
