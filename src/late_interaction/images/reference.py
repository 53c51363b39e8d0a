"""Page images in the metadata of framework documents, which have no field for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidDocumentError
from late_interaction.images.page_image import PageImage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PAGE_IMAGE", "from_metadata", "to_metadata"]

PAGE_IMAGE = "_page_image"
"""The key. Its value has the path and the hash of a file, because untrusted metadata must not expose other files."""


def to_metadata(image: PageImage) -> dict[str, Any]:
    """Return the metadata of a page image: all fields except the pixels."""
    return {PAGE_IMAGE: image.to_json()}


def from_metadata(metadata: Mapping[str, Any]) -> PageImage | None:
    """Return the page image in the metadata, or None. It has no pixels, even if an index stores its thumbnail.

    Raises:
        InvalidDocumentError: The value of the key is not a page image.
    """
    values = metadata.get(PAGE_IMAGE)
    if values is None:
        return None
    try:
        return PageImage.from_json(values)
    except ValueError as error:
        raise InvalidDocumentError(
            f"metadata[{PAGE_IMAGE!r}] must be what PageImage.to_json returns ({error}). Create it with "
            "PageImage.from_file(path, page=1).to_json(), or use another key for other values."
        ) from None
