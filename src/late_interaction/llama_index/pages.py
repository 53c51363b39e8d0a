"""The nodes of pages that were found: with their image, or without one that is unavailable."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from llama_index.core.base.llms.types import TextBlock
from llama_index.core.bridge.pydantic import PrivateAttr, model_serializer
from llama_index.core.schema import ImageNode, MetadataMode, TextNode

from late_interaction.adapters.lazy_image import LazyImage
from late_interaction.adapters.pages import IMAGE_ERROR
from late_interaction.images import PageImage
from late_interaction.validation import is_invisible

__all__ = ["PageNode", "PageWithoutImage"]

_NOT_SHOWN = "[A page without text, whose image cannot be shown here.]"


class _Page:
    """Mixin for a node with a text: what models are shown where they cannot be shown its image."""

    def get_content(self: Any, metadata_mode: MetadataMode = MetadataMode.NONE) -> str:
        """Return the text, with metadata; for models also that there is a page, if it has no text.

        A warning tells whoever asks for a model that the image is unavailable.
        """
        content: str = super().get_content(metadata_mode)  # type: ignore[misc]  # of the node
        if metadata_mode is not MetadataMode.LLM:
            return content
        if problem := self.metadata.get(IMAGE_ERROR):
            warnings.warn(f"A model is shown the page {self.node_id!r} without its image: {problem}", stacklevel=2)
        return f"{content}\n\n{_NOT_SHOWN}".strip() if is_invisible(self.text) else content


class PageNode(_Page, LazyImage, ImageNode):
    """An `ImageNode` whose ``image``, JPEG in base64, is rendered when it is first read.

    It is equal to the plain `ImageNode` that serializing and pickling give. If the image is unavailable when it is
    read, it is None, ``metadata["image_error"]`` says why, and models are shown the text, with a warning. Of a page
    without text, a model that is not shown the image is told that there is a page, so that its context is not empty.
    """

    _page: PageImage | None = PrivateAttr(default=None)

    @property
    def hash(self) -> str:
        """A hash of the page and its text, for which nothing is rendered."""
        if self._page is None:
            return super().hash
        content = f"{self._page.digest}-{self._page.page}-{self.text}"
        return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> list[Any]:
        """Return what models are shown: the image, or the text where the image is unavailable."""
        if self.read_image() is None:
            return [TextBlock(text=self.get_content(metadata_mode))]
        return super().get_content_blocks(metadata_mode)

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: Any, info: Any) -> dict[str, Any]:
        """Return the fields. It extends LlamaIndex's own, whose name it has."""
        self.read_image()
        return super().custom_model_dump(handler, info)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageNode) and self.model_dump() == other.model_dump()

    def __reduce__(self) -> tuple[Callable[..., ImageNode], tuple[dict[str, Any]]]:
        return ImageNode.from_dict, (self.to_dict(),)


class PageWithoutImage(_Page, TextNode):
    """A `TextNode` of a page whose image was unavailable when it was found: ``metadata["image_error"]`` says why.

    Models are shown the text, with a warning, or that there is a page, as of a `PageNode`. It is equal to the plain
    `TextNode` that serializing and pickling give.
    """

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> list[Any]:
        """Return what models are shown: the text."""
        return [TextBlock(text=self.get_content(metadata_mode))]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextNode) and self.model_dump() == other.model_dump()

    def __reduce__(self) -> tuple[Callable[..., TextNode], tuple[dict[str, Any]]]:
        return TextNode.from_dict, (self.to_dict(),)
