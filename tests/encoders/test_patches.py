"""`patch_boxes` and `viewed_size`, against what models and image processors do."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from late_interaction.encoders import ColVisionEncoder, TextImageEncoder
from late_interaction.encoders.patches import boxes_of_tokens
from late_interaction.errors import InvalidRequestError
from tests.encoders.pictures import SIZES, noise
from tests.page_checkpoints import colmodernvbert, colpali, colqwen2

MORE_SIZES = [*SIZES, (1240, 1754), (64, 64), (65, 64), (128, 40), (28, 560), (2000, 90), (17, 91)]


def area(box):
    left, top, right, bottom = box
    return (right - left) * (bottom - top)


def overlap(one, other):
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)


@pytest.mark.parametrize("size", MORE_SIZES)
def test_a_box_for_each_vector(page_case, size):
    boxes = page_case.encoder.patch_boxes(size)
    [vectors] = page_case.encoder.encode_images([noise(size)])
    assert len(boxes) == len(vectors)
    assert [box is not None for box in boxes] == page_case.oracle.image_tokens(noise(size)).tolist()
    patches = [box for box in boxes if box is not None]
    assert all(0 <= left < right <= 1 + 1e-9 and 0 <= top < bottom <= 1 + 1e-9 for left, top, right, bottom in patches)


@pytest.mark.parametrize("size", MORE_SIZES)
def test_boxes_cover_the_image_without_overlap(page_case, size):
    patches = [box for box in page_case.encoder.patch_boxes(size) if box is not None]
    layers = [patches]
    if "modernvbert" in page_case.folder.name or page_case.folder.name == "packaged":
        layers = [patches[:-4], patches[-4:]]  # the tiles, four tokens each, and the whole image in four
        assert layers[1] == [(0, 0, 0.5, 0.5), (0.5, 0, 1, 0.5), (0, 0.5, 0.5, 1), (0.5, 0.5, 1, 1)]
    for layer in layers:
        assert sum(map(area, layer)) == pytest.approx(1)
        some = layer[:: max(len(layer) // 12, 1)]
        assert sum(overlap(one, other) for one in some for other in some) == pytest.approx(sum(map(area, some)))


@pytest.mark.parametrize("size", [(500, 333), (128, 64)])
def test_the_patches_of_a_tile_lie_in_it(packaged_case, size):
    """Two tiles a row and two tokens a side: the first four tokens are the upper left quarter or half."""
    patches = [box for box in packaged_case.encoder.patch_boxes(size) if box is not None]
    rows = (len(patches) - 4) // 8
    for at in range(2 * rows):
        left, top = (at % 2) / 2, (at // 2) / rows
        tile = (left, top, left + 1 / 2, top + 1 / rows)
        of_tile = patches[4 * at : 4 * at + 4]
        assert sum(overlap(box, tile) for box in of_tile) == pytest.approx(area(tile))


def without_attention(case):
    """The encoder with attention that adds nothing, so that a vector tells of the pixels of its own patch alone."""
    model = copy.deepcopy(case.encoder._model)
    silenced = 0
    with torch.no_grad():
        for name, module in model.named_modules():
            if name.endswith(("self_attn.out_proj", "self_attn.o_proj", "attn.proj", "attn.Wo")):
                for parameter in module.parameters():
                    parameter.zero_()
                silenced += 1
    assert silenced >= 2  # of the vision tower and of the language model
    if isinstance(case.encoder, TextImageEncoder):
        return TextImageEncoder(model)
    return ColVisionEncoder(model, case.encoder._processor)


@pytest.mark.parametrize("size", [(168, 168), (256, 128), (120, 300), (420, 280)])
def test_a_vector_changes_when_its_box_is_painted(page_case, size):
    """Rows and columns are in the right order: the patches that see a dot are those whose boxes it lies in."""
    encoder = without_attention(page_case)
    boxes = encoder.patch_boxes(size)
    white = Image.new("RGB", size, "white")
    [before] = encoder.encode_images([white])
    smallest = [box for box in boxes if box is not None and area(box) == min(area(box) for box in boxes if box)]
    for box in smallest:
        left, top, right, bottom = (edge * side for edge, side in zip(box, size * 2, strict=True))
        # A third of the patch in its middle, since resizing smears the dot over its surroundings.
        dot = ((2 * left + right) / 3, (2 * top + bottom) / 3, (left + 2 * right) / 3, (top + 2 * bottom) / 3)
        painted = white.copy()
        ImageDraw.Draw(painted).rectangle([round(edge) for edge in dot], fill="black")
        [after] = encoder.encode_images([painted])
        changed = np.abs(after - before).max(axis=1)
        expected = [
            other is not None
            and overlap(tuple(edge / side for edge, side in zip(dot, size * 2, strict=True)), other) > 0
            for other in boxes
        ]
        assert any(expected)
        assert changed[expected].min() > 20 * np.delete(changed, np.flatnonzero(expected)).max(initial=0)


def test_boxes_that_are_not_as_many_as_the_tokens_are_not_trusted():
    box = (0.0, 0.0, 1.0, 1.0)
    assert boxes_of_tokens([False, True, True], [box, box]) == [None, box, box]
    assert boxes_of_tokens([False, True, True], [box]) == [None] * 3
    assert boxes_of_tokens([False, True], None) == [None] * 2


def test_the_caller_may_change_the_list(page_case):
    boxes = page_case.encoder.patch_boxes((60, 60))
    expected = list(boxes)
    boxes.clear()
    assert page_case.encoder.patch_boxes((60, 60)) == expected


# The size that is seen


A4 = (595.3, 841.9)
SHAPES = [A4, A4[::-1], (1, 1), (1.5, 1), (3, 1), (1, 4), (960, 540), (612, 792), (7, 100)]


def seen_by(image_processor, size):
    """Width and height of what is left of an image, from the tensors."""
    seen = image_processor([[noise(size)]], return_tensors="pt", **ROWS.get(type(image_processor).__name__, {}))
    if "image_grid_thw" in seen:
        _, rows, columns = seen["image_grid_thw"][0].tolist()
        return columns * 14, rows * 14
    side = seen["pixel_values"].shape[-1]
    if "rows" in seen:
        return side * max(seen["cols"][0][0], 1), side * max(seen["rows"][0][0], 1)
    return side, side


ROWS = {"Idefics3ImageProcessorPil": {"return_row_col_info": True}}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_size_that_is_seen(page_case, shape):
    scale = 1500 / max(shape)
    large = round(shape[0] * scale), round(shape[1] * scale)
    width, height = page_case.encoder.viewed_size(*shape)
    assert isinstance(width, int)
    assert (width, height) == seen_by(page_case.oracle.image_processor, large)
    assert page_case.encoder.viewed_size(shape[0] * 3, shape[1] * 3) == (width, height)


def test_the_sizes_of_published_models(tmp_path):
    """ColPali sees 448 x 448; ColQwen2, of an A4 page, at most 768 tokens of 28 x 28."""
    from late_interaction import load_encoder

    assert load_encoder(colpali(tmp_path / "colpali", side=448)).viewed_size(*A4) == (448, 448)
    width, height = load_encoder(colqwen2(tmp_path / "colqwen2", most=768)).viewed_size(*A4)
    assert (width / 28, height / 28) == (23, 32)
    assert load_encoder(colmodernvbert(tmp_path / "modern", longest=512)).viewed_size(*A4) == (384, 512)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (float("nan"), 5), (5, float("inf"))])
def test_a_size_that_is_none(page_case, size):
    with pytest.raises(InvalidRequestError, match="positive"):
        page_case.encoder.viewed_size(*size)
