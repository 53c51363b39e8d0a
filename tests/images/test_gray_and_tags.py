"""Gray of more than 8 bits, of 32 bits and of floating-point numbers, and what the tags of a file say of it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from late_interaction.images.page_image import PageImage
from late_interaction.images.rgb import to_rgb
from late_interaction.readers import read_paths
from tests.pictures import raw_png, raw_tiff

RAMP = np.linspace(0, 1, 16)[None].repeat(4, axis=0)
SEEN = RAMP * 255
"""What a ramp from black to white looks like."""

TURNED = {5: lambda a: a.T, 6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90, 3: np.flip}


def gray(image):
    pixels = np.asarray(image, np.int16)
    assert image.mode == "RGB"
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


def loaded(path, page=1):
    """The page as loaded, whose size is known before."""
    reference = PageImage.from_file(path, page)
    image = reference.load()
    assert image.size == (reference.width, reference.height)
    return gray(image)


RANGES = {
    "8 bits in 16": (RAMP * 255, np.uint16),
    "12 bits in 16": (RAMP * 4095, np.uint16),
    "16 bits": (RAMP * 65535, np.uint16),
    "32 bits": (RAMP * (2**32 - 1), np.uint32),
    "signed": (RAMP * 2000 - 1000, np.int16),
    "signed, of 32 bits": (RAMP * (2**31 - 1), np.int32),
    "up to 1": (RAMP, np.float32),
    "up to 255": (RAMP * 255, np.float32),
    "heights": (RAMP * 8849 - 431, np.float32),
    "small differences": (RAMP * 1e-3 - 5e-4, np.float32),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("zero", ["black", "white"])
def test_a_ramp_in_a_tiff(tmp_path, name, zero):
    values, dtype = RANGES[name]
    if zero == "white" and dtype not in (np.uint16, np.float32):
        pytest.skip("Pillow opens no such file")
    values = values if dtype == np.float32 else np.floor(values)
    path = raw_tiff(tmp_path / "a.tif", [(values.astype(dtype), {262: int(zero == "black")})])
    assert np.abs(loaded(path) - (SEEN if zero == "black" else 255 - SEEN)).max() <= 1.5


@pytest.mark.parametrize("name", ["up to 1", "up to 255", "heights"])
def test_a_ramp_in_memory(name):
    values, dtype = RANGES[name]
    assert np.abs(gray(to_rgb(Image.fromarray(values.astype(dtype)))) - SEEN).max() <= 1


def test_numbers_that_are_none():
    values = RAMP.astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    seen = gray(to_rgb(Image.fromarray(values)))
    assert seen[0, :3].tolist() == [255, 255, 0]
    assert np.abs(seen[1:] - SEEN[1:]).max() <= 1
    assert (gray(to_rgb(Image.fromarray(np.full((3, 3), np.nan, np.float32)))) == 255).all()


@pytest.mark.parametrize("value", [0, 255, 4095, 65535])
def test_one_value(value):
    """White stays white, and black black, however few values there are."""
    seen = gray(to_rgb(Image.fromarray(np.full((3, 3), value, np.uint16))))
    assert (seen == (0 if value == 0 else 255)).all()


def test_a_large_image_takes_little_memory_more():
    image = Image.fromarray(np.tile((RAMP * 65535).astype(np.uint16), (500, 64)))
    assert np.abs(gray(to_rgb(image))[::400] - np.tile(SEEN, (500, 64))[::400]).max() <= 1


@pytest.mark.parametrize(
    ("depth", "packed", "seen"), [(4, 0x3F, [255, 255]), (4, 0x5A, [85, 170]), (2, 0b01110000, [255, 255])]
)
def test_a_transparent_gray_value_of_few_bits(tmp_path, depth, packed, seen):
    path = raw_png(tmp_path / "a.png", depth, 0, ([bytes([packed])], 2), transparent=1 if depth == 2 else 3)
    assert loaded(path)[0].tolist() == seen


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_scans_that_lie_on_their_side(tmp_path, orientation, dtype):
    stored = np.arange(1, 7, dtype=dtype).reshape(2, 3) * (40 if dtype == np.uint8 else 40 * 257)
    path = raw_tiff(tmp_path / "a.tif", [(stored, {274: orientation})])
    assert np.array_equal(loaded(path), TURNED[orientation](np.arange(1, 7).reshape(2, 3) * 40))


def test_each_page_of_a_tiff_in_its_own_way(tmp_path):
    small = np.array([[0, 100, 200]], np.uint8)
    pages = [
        (small, {}),
        (small, {274: 6}),
        (small.astype(np.uint16) * 257, {262: 0}),
        (small.astype(np.float32) / 255, {274: 3}),
        (np.array([[[200, 0, 0]]], np.uint8), {}),
    ]
    path = raw_tiff(tmp_path / "a.tif", pages)
    assert loaded(path, 1).tolist() == [[0, 100, 200]]
    assert loaded(path, 2).tolist() == [[0], [100], [200]]
    assert loaded(path, 3).tolist() == [[255, 155, 55]]
    assert np.abs(loaded(path, 4) - [[200, 100, 0]]).max() <= 1
    assert PageImage.from_file(path, 5).load().getpixel((0, 0)) == (200, 0, 0)
    read = list(read_paths([path], modalities=["image"]))
    assert [(page.metadata["page"], page.image.width, page.image.height) for page in read] == [
        (1, 3, 1),
        (2, 1, 3),
        (3, 3, 1),
        (4, 3, 1),
        (5, 1, 1),
    ]


@pytest.mark.parametrize(
    ("pixel", "tags", "seen"),
    [
        ([100, 0, 0, 128], {338: 1}, (227, 127, 127)),  # multiplied by the alpha already
        ([200, 0, 0, 128], {338: 2}, (227, 127, 127)),
        ([200, 0, 0, 128], {338: 0}, (200, 0, 0)),  # the fourth sample is no alpha
        ([0, 255, 255, 0], {262: 5}, (255, 0, 0)),  # CMYK
        ([136, 80, 67], {262: 8}, (255, 0, 0)),  # CIELAB
    ],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_colors_of_a_tiff(tmp_path, pixel, tags, seen, bits):
    if bits == 16 and tags.get(262) == 8:
        pytest.skip("Pillow does not open CIELAB of 16 bits")
    array = np.array([[pixel]], np.uint8) if bits == 8 else np.array([[pixel]], np.uint16) * 257
    path = raw_tiff(tmp_path / "a.tif", [(array, tags)])
    assert np.abs(np.array(PageImage.from_file(path).load().getpixel((0, 0))) - seen).max() <= 12
