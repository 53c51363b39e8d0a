"""Page images in the metadata of other frameworks' documents, which have no field for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidDocumentError
from late_interaction.images.page_image import PageImage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PAGE_IMAGE", "from_metadata", "to_metadata"]

PAGE_IMAGE = "_page_image"
"""The key. What is under it names a file and the hash of its bytes: nothing of a file comes back without its hash."""


def to_metadata(image: PageImage) -> dict[str, Any]:
    """What goes into metadata: everything but the pixels."""
    return {PAGE_IMAGE: image.to_json()}


def from_metadata(metadata: Mapping[str, Any]) -> PageImage | None:
    """The page image that the metadata refers to, if any. Pixels that only an index keeps are not in it.

    Raises:
        InvalidDocumentError: There is something else under the key.
    """
    values = metadata.get(PAGE_IMAGE)
    if values is None:
        return None
    try:
        return PageImage.from_json(values)
    except ValueError as error:
        raise InvalidDocumentError(
            f"metadata[{PAGE_IMAGE!r}] must be what PageImage.to_json gives ({error}). Make one with "
            "PageImage.from_file(path, page=1).to_json(), or use another key for your own."
        ) from None
