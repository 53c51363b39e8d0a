"""What a vision model sees of an image: the size it brings it to, and the patches it cuts it into.

Three kinds of image processors are known:

* square grids (ColPali): every image becomes one square;
* grids of the image's shape (Qwen-VL): the sides are multiples of a token's, within a number of pixels;
* tiles (Idefics3, ModernVBert): the image is cut into square tiles, row by row, and seen once more as a whole.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from late_interaction.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from late_interaction.encoders.protocol import Box

__all__ = ["batch_costs", "boxes_of_tokens", "image_boxes", "processed_pixels", "viewed_size"]

_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
_BLANK_SIDE = 1024  # pixels; large enough for processors that never enlarge


def viewed_size(image_processor: Any, width: float, height: float) -> tuple[int, int]:
    """Width and height in pixels to which the processor brings an image of this shape, if it is at least that large.

    Raises:
        InvalidRequestError: A side is not positive, or the processor takes no image so long and thin.
    """
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise InvalidRequestError(f"An image has a positive width and height, not {width!r} x {height!r}.")
    scale = _BLANK_SIDE / max(width, height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    processed_pixels(image_processor, size)  # raises if the shape is refused
    if _is_shaped(image_processor):
        token = image_processor.patch_size * image_processor.merge_size
        most = image_processor.size["longest_edge"]  # pixels of the whole image, in spite of its name
        return (
            max(token, int(math.sqrt(most * width / height) / token) * token),
            max(token, int(math.sqrt(most * height / width) / token) * token),
        )
    if _is_tiled(image_processor):
        side = image_processor.max_image_size["longest_edge"]
        _, rows, columns = image_processor.get_number_of_image_patches(size[1], size[0], {})
        return max(columns, 1) * side, max(rows, 1) * side
    sides = image_processor.size
    if "height" in sides:
        return int(sides["width"]), int(sides["height"])
    seen = image_processor(images=[_blank(size)], return_tensors="pt")["pixel_values"].shape
    return int(seen[-1]), int(seen[-2])


def batch_costs(image_processor: Any, sizes: Iterable[tuple[int, int]]) -> list[int]:
    """What each image adds to a batch, in pixels: those the model sees, or a quarter of its own if that is more.

    Its own, because an image is held in RGB until its batch is done, in a quarter of the memory of tensors.

    Raises:
        InvalidRequestError: The processor takes no image so long and thin.
    """
    return [max(processed_pixels(image_processor, size), size[0] * size[1] // 4) for size in sizes]


def processed_pixels(image_processor: Any, size: tuple[int, int]) -> int:
    """How many pixels of an image of this size the model sees.

    Raises:
        InvalidRequestError: The processor takes no image so long and thin.
    """
    width, height = size
    try:
        if _is_shaped(image_processor):
            patches = image_processor.get_number_of_image_patches(height, width, {})
            return int(patches * image_processor.patch_size**2)
        if _is_tiled(image_processor):
            tiles, _, _ = image_processor.get_number_of_image_patches(height, width, {})
            return int(max(tiles, 1) * image_processor.max_image_size["longest_edge"] ** 2)
    except ValueError as error:
        raise InvalidRequestError(f"The model takes no image of {width} x {height} pixels: {error}.") from None
    sides = image_processor.size
    return int(sides["height"] * sides["width"]) if "height" in sides else width * height


def image_boxes(processor: Any, size: tuple[int, int]) -> list[Box] | None:
    """The box of each image token of an image of this size, in the order of the tokens.

    Found by giving the image processor a blank image of that size.

    Returns:
        None if the processor is of no known kind.
    """
    image_processor = processor.image_processor
    if _is_shaped(image_processor):
        _, rows, columns = image_processor(images=[_blank(size)], return_tensors="pt")["image_grid_thw"][0].tolist()
        merge = image_processor.merge_size
        return _grid(rows // merge, columns // merge)
    if _is_tiled(image_processor):
        side = math.isqrt(processor.image_seq_len)
        seen = image_processor(images=[_blank(size)], return_tensors="pt", return_row_col_info=True)
        tiles = _grid(seen["rows"][0][0], seen["cols"][0][0])
        return [box for tile in [*tiles, _WHOLE] for box in _grid(side, side, tile)]
    tokens = getattr(processor, "image_seq_length", None) or getattr(image_processor, "image_seq_length", None)
    if not tokens or math.isqrt(tokens) ** 2 != tokens:
        return None
    return _grid(math.isqrt(tokens), math.isqrt(tokens))


def boxes_of_tokens(are_image: Iterable[bool], boxes: list[Box] | None) -> list[Box | None]:
    """The box of each token: those of the image in order, None for the others.

    None for all if there are not as many boxes as image tokens, since none could be trusted.
    """
    marks = list(are_image)
    if boxes is None or sum(marks) != len(boxes):
        return [None] * len(marks)
    remaining = iter(boxes)
    return [next(remaining) if is_image else None for is_image in marks]


def _is_shaped(image_processor: Any) -> bool:
    return hasattr(image_processor, "merge_size") and hasattr(image_processor, "get_number_of_image_patches")


def _is_tiled(image_processor: Any) -> bool:
    return hasattr(image_processor, "max_image_size") and hasattr(image_processor, "get_number_of_image_patches")


def _grid(rows: int, columns: int, within: Box = _WHOLE) -> list[Box]:
    """The cells of a grid over a part of the image, row by row."""
    left, top, right, bottom = within
    wide, high = (right - left) / max(columns, 1), (bottom - top) / max(rows, 1)
    return [
        (left + column * wide, top + row * high, left + (column + 1) * wide, top + (row + 1) * high)
        for row in range(rows)
        for column in range(columns)
    ]


def _blank(size: tuple[int, int]) -> Any:
    from PIL import Image

    return Image.new("RGB", size, "white")
