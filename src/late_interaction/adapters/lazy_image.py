"""The image of a page as a field of a pydantic model, rendered when it is first read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.adapters.pages import IMAGE_ERROR, jpeg
from late_interaction.errors import ImageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Generator

    from typing_extensions import Self

    from late_interaction.images import PageImage

__all__ = ["LazyImage"]


class LazyImage:
    """Mixin for a pydantic model with the fields ``image``, JPEG in base64, and ``metadata``, and a private ``_page``.

    pydantic keeps the fields of a model in its ``__dict__``. There ``image`` is missing until it is read, which calls
    `__getattr__`. Code that reads all fields without their names must call `read_image` first: iteration does, and the
    model's own class must in its serializer.

    If the image is unavailable when it is read, it is None, and ``metadata["image_error"]`` says why.

    **Thread safety.** Any thread may read. Two that read at once may both render.
    """

    @classmethod
    def of(cls, page: PageImage, **fields: Any) -> Self:
        """Return the model of a page image, with its other fields. Nothing is rendered."""
        model: Any = cls(image=None, **fields)  # type: ignore[call-arg]  # the fields of the model
        model._page = page
        del model.__dict__["image"]
        made: Self = model
        return made

    @property
    def page(self: Any) -> PageImage | None:
        """The page image; None for a model that was made with its ``image``."""
        page: PageImage | None = self._page
        return page

    def read_image(self: Any) -> str | None:
        """Return the image, rendered at the first call; None if it is unavailable."""
        if "image" not in self.__dict__:
            rendered = None
            try:
                rendered = None if self._page is None else jpeg(self._page)
            except ImageUnavailableError as error:
                self.metadata = {**self.metadata, IMAGE_ERROR: str(error)}
            self.__dict__["image"] = rendered
        image: str | None = self.__dict__["image"]
        return image

    def __getattr__(self, name: str) -> Any:
        if name == "image":
            return self.read_image()
        return super().__getattr__(name)  # type: ignore[misc]  # pydantic hides it from type checkers

    def __iter__(self) -> Generator[tuple[str, Any], None, None]:
        self.read_image()
        yield from super().__iter__()  # type: ignore[misc]
