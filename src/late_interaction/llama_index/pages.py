"""The node of a page that was found: its image is rendered when it is first read."""

from __future__ import annotations

from collections.abc import Callable, Generator
from hashlib import sha256
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr, model_serializer
from llama_index.core.schema import ImageNode, MetadataMode, TextNode

from late_interaction.adapters.pages import IMAGE_ERROR, jpeg
from late_interaction.errors import ImageUnavailableError
from late_interaction.images import PageImage

__all__ = ["PageNode"]


class PageNode(ImageNode):
    """An `ImageNode` whose ``image``, JPEG in base64, is rendered when it is first read.

    It is equal to the plain `ImageNode` that serializing and pickling give. Should the image be unavailable when it is
    read, it is None, ``metadata["image_error"]`` says why, and models are shown the text.

    **Thread safety.** Any thread may read. Two that read at once may both render.
    """

    _page: PageImage | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, page: PageImage, **fields: Any) -> PageNode:
        """Return the node of a page image, with other fields of an `ImageNode`."""
        node = cls(image=None, image_mimetype="image/jpeg", **fields)
        node._page = page
        del node.__dict__["image"]  # where pydantic keeps fields, so that reading this one calls `__getattr__`
        return node

    @property
    def page(self) -> PageImage | None:
        """The page image; None for a node that was made with its ``image``."""
        return self._page

    @property
    def hash(self) -> str:
        """A hash of the page and its text, for which nothing is rendered."""
        if self._page is None:
            return super().hash
        content = f"{self._page.digest}-{self._page.page}-{self.text}"
        return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()

    def __getattr__(self, name: str) -> Any:
        if name == "image":
            return self._read_image()
        return super().__getattr__(name)  # type: ignore[misc]  # pydantic hides it from type checkers

    def _read_image(self) -> str | None:
        if "image" not in self.__dict__:
            image = None
            try:
                image = None if self._page is None else jpeg(self._page)
            except ImageUnavailableError as error:
                self.metadata = {**self.metadata, IMAGE_ERROR: str(error)}
            self.__dict__["image"] = image
        return self.image

    def get_content_blocks(self, metadata_mode: MetadataMode = MetadataMode.NONE) -> list[Any]:
        """Return what models are shown: the image, or the text where the image is unavailable."""
        kind = TextNode if self.image is None else ImageNode
        return kind.get_content_blocks(self, metadata_mode)

    # What reads the fields without their names reads the image first.

    @model_serializer(mode="wrap")
    def custom_model_dump(self, handler: Any, info: Any) -> dict[str, Any]:
        """Return the fields. Extends LlamaIndex's own, whose name it has."""
        self._read_image()
        return super().custom_model_dump(handler, info)

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        self._read_image()
        yield from super().__iter__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageNode) and self.model_dump() == other.model_dump()

    def __reduce__(self) -> tuple[Callable[..., ImageNode], tuple[dict[str, Any]]]:
        return ImageNode.from_dict, (self.to_dict(),)
