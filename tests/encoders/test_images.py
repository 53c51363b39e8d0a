"""Images of any kind become what a person sees of them, in RGB."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from late_interaction import load_encoder
from late_interaction.encoders.images import as_rgb, checked_images, probe_image
from late_interaction.errors import InvalidRequestError, OptionalDependencyError
from tests.encoders.pictures import noise

SIZE = (30, 20)
COLOURS = np.asarray(noise(SIZE, seed=3))
GREY = COLOURS[..., 0]
ALPHA = COLOURS[..., 1]


def grey(values):
    return np.repeat(np.asarray(values)[..., None], 3, axis=2)


def on_white(colours, alpha):
    share = alpha[..., None] / 255.0
    return colours * share + 255.0 * (1 - share)


def palette(*, transparent=None):
    """16 colours; the index of one may be transparent."""
    indices = (GREY // 16).astype(np.uint8)
    colours = np.random.default_rng(1).integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(indices, "L")
    image.putpalette(colours.tobytes())
    expected = colours[indices]
    if transparent is not None:
        image.info["transparency"] = transparent
        expected = np.where((indices == transparent)[..., None], 255, expected)
    return image, expected


def with_alpha(mode):
    bands = [*Image.fromarray(COLOURS).split()] if mode == "RGBA" else [Image.fromarray(GREY)]
    expected = on_white(COLOURS if mode == "RGBA" else grey(GREY), ALPHA)
    return Image.merge(mode, [*bands, Image.fromarray(ALPHA)]), expected


def colour_key():
    """A PNG of which one colour is transparent."""
    colours = COLOURS.copy()
    colours[5:10, 5:10] = (1, 2, 3)
    image = Image.fromarray(colours)
    image.info["transparency"] = (1, 2, 3)
    colours[5:10, 5:10] = 255
    return image, colours


def cmyk():
    inks = np.random.default_rng(2).integers(0, 256, (*SIZE[::-1], 4), dtype=np.uint8)
    left = 255.0 - inks
    return Image.fromarray(inks, "CMYK"), left[..., :3] * left[..., 3:] / 255


def sixteen_bits(kind):
    values = np.random.default_rng(4).integers(0, 65536, SIZE[::-1]).astype(kind)
    return Image.fromarray(values), grey(values / 65535 * 255)


KINDS = {
    "RGB": lambda: (Image.fromarray(COLOURS), COLOURS),
    "L": lambda: (Image.fromarray(GREY), grey(GREY)),
    "1": lambda: (Image.fromarray(GREY > 127), grey((GREY > 127) * 255)),
    "P": palette,
    "P with a transparent colour": lambda: palette(transparent=3),
    "RGBA": lambda: with_alpha("RGBA"),
    "LA": lambda: with_alpha("LA"),
    "PA": lambda: (with_alpha("LA")[0].convert("PA"), None),
    "RGB with a transparent colour": colour_key,
    "RGBX": lambda: (Image.fromarray(COLOURS).convert("RGBX"), COLOURS),
    "RGBa": lambda: (with_alpha("RGBA")[0].convert("RGBa"), None),
    "CMYK": cmyk,
    "YCbCr": lambda: (Image.fromarray(COLOURS).convert("YCbCr"), COLOURS),
    "HSV": lambda: (Image.fromarray(COLOURS).convert("HSV"), None),
    "I;16": lambda: sixteen_bits(np.uint16),
    "I with 16 bits": lambda: sixteen_bits(np.int32),
    "I with 8 bits": lambda: (Image.fromarray(GREY.astype(np.int32)), grey(GREY)),
    "F": lambda: (Image.fromarray(GREY.astype(np.float32)), grey(GREY)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_modes(kind):
    image, expected = KINDS[kind]()
    seen = as_rgb(image)
    assert (seen.mode, seen.size) == ("RGB", SIZE)
    if expected is not None:
        np.testing.assert_allclose(np.asarray(seen, float), expected, atol=3 if kind == "YCbCr" else 1.5)


def test_sixteen_bits_from_a_file():
    image, expected = sixteen_bits(np.uint16)
    file = io.BytesIO()
    image.save(file, "PNG")
    np.testing.assert_allclose(np.asarray(as_rgb(Image.open(file)), float), expected, atol=1)


@pytest.mark.parametrize("kind", ["RGBA", "P", "I;16", "1"])
def test_an_encoder_reads_modes_as_they_are_shown(page_case, kind):
    image, _ = KINDS[kind]()
    [vectors] = page_case.encoder.encode_images([image])
    np.testing.assert_allclose(vectors, page_case.oracle.image(as_rgb(image)), atol=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(page_case, orientation):
    """The numbers of the standard: what the file's first row and column are when the image is looked at."""
    upright = np.asarray(noise((40, 28), seed=8))
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(file, "PNG", exif=exif)
    image = Image.open(file)
    np.testing.assert_array_equal(np.asarray(as_rgb(image)), upright)
    [vectors] = page_case.encoder.encode_images([image])
    [expected] = page_case.encoder.encode_images([Image.fromarray(upright)])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_the_image_given_is_left_alone():
    image, _ = KINDS["RGBA"]()
    before = np.asarray(image).copy()
    as_rgb(image).putpixel((0, 0), (1, 2, 3))
    plain = Image.fromarray(COLOURS)
    as_rgb(plain).putpixel((0, 0), (1, 2, 3))
    np.testing.assert_array_equal(np.asarray(image), before)
    np.testing.assert_array_equal(np.asarray(plain), COLOURS)


def test_a_damaged_file():
    file = io.BytesIO()
    noise((200, 200)).save(file, "JPEG")
    image = Image.open(io.BytesIO(file.getvalue()[:2000]))
    with pytest.raises(InvalidRequestError, match="truncated"):
        as_rgb(image)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_an_image_without_pixels(size):
    with pytest.raises(InvalidRequestError, match="The image is empty"):
        checked_images([Image.new("RGB", size)])


def test_the_probe_is_the_same_everywhere():
    assert probe_image().size == (96, 64)
    assert int(np.asarray(probe_image(), np.int64).sum()) == 2246784
    assert probe_image().tobytes() == probe_image().tobytes()


def test_without_pillow(colqwen2_case, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(OptionalDependencyError, match=r"'pillow'.*late-interaction\[pages\]"):
        load_encoder(colqwen2_case.folder)
