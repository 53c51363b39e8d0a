"""Fold equal pages of a file into one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from PIL.Image import Image

__all__ = ["Page", "folded"]


class Page(NamedTuple):
    """A page of a file.

    Attributes:
        number: From 1.
        size: Width and height.
        text: The text on it.
        equal: The numbers of all pages that are equal to it, with its own.
    """

    number: int
    size: tuple[float, float]
    text: str
    equal: list[int]


def folded(pages: Iterable[Page], render: Callable[[int], Image]) -> list[Page]:
    """Return the first of each group of pages with equal size, text and image.

    Args:
        pages: The pages of a file.
        render: Returns the image of a page.
    """
    first: dict[tuple[object, ...], Page] = {}
    for page in pages:
        image = render(page.number)
        key = page.size, page.text, image.size, hashlib.sha256(image.tobytes()).digest()
        first.setdefault(key, page._replace(equal=[])).equal.append(page.number)
    return list(first.values())
