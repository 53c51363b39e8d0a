"""How image processors prepare an image: the size they resize it to, and the patches its tokens stand for.

Three kinds are known, one row each in `_KINDS`:

* one square (ColPali): every image is resized to the same square, divided into a grid of patches;
* the shape of the image (Qwen-VL): each side is a multiple of a token's side, within a maximum number of pixels;
* tiles (Idefics3, ModernVBert): the image is divided into square tiles, row by row, followed by the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from late_interaction.encoders.protocol import Box

    _Shape: TypeAlias = tuple[float, float]
    _Size: TypeAlias = tuple[int, int]

__all__ = ["batch_costs", "boxes_of_tokens", "image_boxes", "processed_pixels", "viewed_size"]

_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
_BLANK_SIDE = 1024  # pixels; large enough for processors that never enlarge an image


def viewed_size(image_processor: Any, width: float, height: float) -> tuple[int, int]:
    """Return the width and height in pixels that an image of this shape is resized to, if it is at least that large.

    Args:
        image_processor: The image processor.
        width: Width of the image, in any unit.
        height: Height of the image, in the same unit.

    Raises:
        InvalidRequestError: A side is not positive, or the image is too long and thin for the processor.
    """
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise InvalidRequestError(f"The width and height of an image must be positive, got {width!r} x {height!r}.")
    scale = _BLANK_SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    processed_pixels(image_processor, size)  # raises if the shape is refused
    return _kind(image_processor).viewed_size(image_processor, (width, height), size)


def batch_costs(image_processor: Any, sizes: Iterable[tuple[int, int]]) -> list[int]:
    """Return the cost of each image in a batch, in pixels: those the model reads, or a quarter of its own if more.

    Its own count too, because an image is kept as RGB until its batch is encoded, in a quarter of a tensor's memory.

    Raises:
        InvalidRequestError: An image is too long and thin for the processor.
    """
    return [max(processed_pixels(image_processor, size), size[0] * size[1] // 4) for size in sizes]


def processed_pixels(image_processor: Any, size: tuple[int, int]) -> int:
    """Return how many pixels the model reads of an image of this size (width, height; pixels).

    Raises:
        InvalidRequestError: The image is too long and thin for the processor.
    """
    try:
        return _kind(image_processor).pixels(image_processor, size)
    except ValueError as error:
        raise InvalidRequestError(
            f"The model cannot encode an image of {size[0]} x {size[1]} pixels: {error}."
        ) from None


def image_boxes(processor: Any, size: tuple[int, int]) -> list[Box] | None:
    """Return the box of each image token of an image of this size (width, height; pixels), in the order of the tokens.

    Returns:
        None if the processor is not of a known kind.
    """
    return _kind(processor.image_processor).boxes(processor, size)


def boxes_of_tokens(are_image: Iterable[bool], boxes: list[Box] | None) -> list[Box | None]:
    """Return the box of each token: for image tokens the boxes in order, for other tokens None.

    None for all tokens unless there are as many boxes as image tokens, because then no box can be trusted.
    """
    marks = list(are_image)
    if boxes is None or sum(marks) != len(boxes):
        return [None] * len(marks)
    remaining = iter(boxes)
    return [next(remaining) if is_image else None for is_image in marks]


@dataclass(frozen=True)
class _Kind:
    """One kind of image processor.

    Attributes:
        attribute: The setting by which the kind is recognized.
        viewed_size: Return `viewed_size`, given a width and height in any unit, and a size in pixels of that shape.
        pixels: Return `processed_pixels`.
        boxes: Return `image_boxes`, given the processor that has the image processor.
    """

    attribute: str
    viewed_size: Callable[[Any, _Shape, _Size], _Size]
    pixels: Callable[[Any, _Size], int]
    boxes: Callable[[Any, _Size], list[Box] | None]


def _kind(image_processor: Any) -> _Kind:
    if not hasattr(image_processor, "get_number_of_image_patches"):
        return _ONE_SQUARE
    return next((kind for kind in _KINDS if hasattr(image_processor, kind.attribute)), _ONE_SQUARE)


# The shape of the image.


def _shaped_viewed_size(image_processor: Any, shape: _Shape, _: _Size) -> _Size:
    width, height = shape
    token = image_processor.patch_size * image_processor.merge_size
    max_pixels = image_processor.size["longest_edge"]  # pixels of the whole image, in spite of its name
    return (
        max(token, int(math.sqrt(max_pixels * width / height) / token) * token),
        max(token, int(math.sqrt(max_pixels * height / width) / token) * token),
    )


def _shaped_pixels(image_processor: Any, size: _Size) -> int:
    patches = image_processor.get_number_of_image_patches(size[1], size[0], {})
    return int(patches * image_processor.patch_size**2)


def _shaped_boxes(processor: Any, size: _Size) -> list[Box]:
    _, rows, columns = _processed_blank(processor.image_processor, size)["image_grid_thw"][0].tolist()
    merge = processor.image_processor.merge_size
    return _grid(rows // merge, columns // merge)


# Tiles.


def _tiled_viewed_size(image_processor: Any, _: _Shape, size: _Size) -> _Size:
    side = image_processor.max_image_size["longest_edge"]
    _, rows, columns = image_processor.get_number_of_image_patches(size[1], size[0], {})
    return max(columns, 1) * side, max(rows, 1) * side


def _tiled_pixels(image_processor: Any, size: _Size) -> int:
    tiles, _, _ = image_processor.get_number_of_image_patches(size[1], size[0], {})
    return int(max(tiles, 1) * image_processor.max_image_size["longest_edge"] ** 2)


def _tiled_boxes(processor: Any, size: _Size) -> list[Box]:
    side = math.isqrt(processor.image_seq_len)
    features = _processed_blank(processor.image_processor, size, return_row_col_info=True)
    tiles = _grid(features["rows"][0][0], features["cols"][0][0])
    return [box for tile in [*tiles, _WHOLE] for box in _grid(side, side, tile)]


# One square, and processors of an unknown kind.


def _square_viewed_size(image_processor: Any, _: _Shape, size: _Size) -> _Size:
    sides = image_processor.size
    if "height" in sides:
        return int(sides["width"]), int(sides["height"])
    shape = _processed_blank(image_processor, size)["pixel_values"].shape
    return int(shape[-1]), int(shape[-2])


def _square_pixels(image_processor: Any, size: _Size) -> int:
    sides = image_processor.size
    return int(sides["height"] * sides["width"]) if "height" in sides else size[0] * size[1]


def _square_boxes(processor: Any, _: _Size) -> list[Box] | None:
    tokens = getattr(processor, "image_seq_length", None)
    tokens = tokens or getattr(processor.image_processor, "image_seq_length", None)
    if not tokens or math.isqrt(tokens) ** 2 != tokens:
        return None
    return _grid(math.isqrt(tokens), math.isqrt(tokens))


_ONE_SQUARE = _Kind("size", _square_viewed_size, _square_pixels, _square_boxes)
_KINDS = (
    _Kind("merge_size", _shaped_viewed_size, _shaped_pixels, _shaped_boxes),
    _Kind("max_image_size", _tiled_viewed_size, _tiled_pixels, _tiled_boxes),
)


def _grid(rows: int, columns: int, within: Box = _WHOLE) -> list[Box]:
    """Return the cells of a grid over a part of the image, row by row."""
    left, top, right, bottom = within
    wide, high = (right - left) / max(columns, 1), (bottom - top) / max(rows, 1)
    return [
        (left + column * wide, top + row * high, left + (column + 1) * wide, top + (row + 1) * high)
        for row in range(rows)
        for column in range(columns)
    ]


def _processed_blank(image_processor: Any, size: _Size, **options: bool) -> Any:
    """Return what the image processor makes of a blank image of this size."""
    from PIL import Image

    return image_processor(images=[Image.new("RGB", size, "white")], return_tensors="pt", **options)
