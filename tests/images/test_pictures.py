"""Image files and images in memory: every mode and kind becomes plain RGB, upright, on white."""

from __future__ import annotations

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from late_interaction.errors import ImageUnavailableError
from late_interaction.images.page_image import PageImage
from late_interaction.images.pictures import (
    from_base64,
    from_bytes,
    open_frames,
    pixel_digest,
    to_jpeg,
    to_thumbnail,
)
from late_interaction.images.rgb import to_rgb
from tests.pictures import claimed_png, two_colours, write_picture

GREY = (128, 128, 128)


def read_frame(path, page):
    with open_frames(path) as frames:
        return frames.load(page)


def frame_size(path, page):
    image = PageImage.from_file(path, page)
    return image.width, image.height


def count_frames(path):
    with open_frames(path) as frames:
        return frames.count


MODES = {
    "1": (1, (255, 255, 255)),
    "L": (128, GREY),
    "I": (128 * 257, GREY),
    "I;16": (128 * 257, GREY),
    "I;16L": (128 * 257, GREY),
    "I;16B": (128 * 257, GREY),
    "F": (128.0, GREY),
    "RGB": ((1, 2, 3), (1, 2, 3)),
    "RGBX": ((1, 2, 3, 0), (1, 2, 3)),
    "RGBA": ((200, 0, 0, 128), (227, 127, 127)),
    "RGBa": ((100, 0, 0, 128), (227, 127, 127)),  # multiplied by the alpha already
    "LA": ((100, 128), (177, 177, 177)),
    "La": ((50, 128), (177, 177, 177)),
    "CMYK": ((0, 255, 255, 0), (255, 0, 0)),
    "YCbCr": ((76, 85, 255), (254, 0, 0)),
    "HSV": ((0, 255, 255), (255, 0, 0)),
}


def assert_colour(image, colour, tolerance=1):
    assert image.mode == "RGB"
    pixels = np.asarray(image, np.int16)
    assert np.abs(pixels - np.array(colour)).max() <= tolerance, pixels[0, 0]


@pytest.mark.parametrize("mode", MODES)
def test_an_image_of_any_mode(mode):
    value, colour = MODES[mode]
    image = Image.new(mode, (5, 3), value)

    assert to_rgb(image).size == (5, 3)
    assert_colour(to_rgb(image), colour)
    page = PageImage.from_pixels(image)
    assert_colour(page.load(), colour)
    assert (page.width, page.height, page.path, page.has_thumbnail) == (5, 3, None, True)
    assert image.mode == mode  # what was given is left alone


def test_an_image_with_a_palette():
    image = Image.new("P", (5, 3), 3)
    image.putpalette([0, 0, 0] * 3 + [10, 20, 30])
    assert_colour(to_rgb(image), (10, 20, 30), 0)
    image.info["transparency"] = 3
    assert_colour(to_rgb(image), (255, 255, 255), 0)


def test_an_image_with_a_palette_and_alpha():
    image = Image.new("P", (5, 3), 3)
    image.putpalette([0, 0, 0] * 3 + [100, 100, 100])
    image = image.convert("PA")
    image.putalpha(128)
    assert_colour(to_rgb(image), (177, 177, 177), 2)


def test_an_image_of_device_independent_colours():
    image = Image.new("RGB", (5, 3), (200, 30, 60)).convert("LAB")
    assert_colour(to_rgb(image), (200, 30, 60), 4)


def test_a_transparent_png_lies_on_white(tmp_path):
    image = Image.new("RGBA", (4, 2), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (2, 0, 4, 2))
    pixels = np.asarray(read_frame(write_picture(tmp_path / "a.png", image), 1))
    assert (pixels[:, :2] == 255).all()
    assert (pixels[:, 2:] == (0, 0, 255)).all()


@pytest.mark.parametrize(
    ("mode", "clear", "seen", "expected"), [("L", 7, 90, 90), ("RGB", (7, 8, 9), (90, 91, 92), (90, 91, 92))]
)
def test_one_colour_of_a_png_may_be_transparent(tmp_path, mode, clear, seen, expected):
    image = Image.new(mode, (4, 2), clear)
    image.paste(seen, (2, 0, 4, 2))
    path = write_picture(tmp_path / "a.png", image, transparency=clear)
    pixels = np.asarray(read_frame(path, 1))
    assert (pixels[:, :2] == 255).all()
    assert (pixels[:, 2:] == expected).all()


def grey_png(path, rows, bits, transparent=None):
    """A PNG of grey values of 16 bits, which Pillow does not write with a transparent one."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = np.asarray(rows, ">u2")
    body = b"".join(b"\0" + row.tobytes() for row in rows)
    content = chunk(b"IHDR", struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, 0, 0, 0, 0))
    if transparent is not None:
        content += chunk(b"tRNS", struct.pack(">H", transparent))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b""))
    return path


def test_grey_of_sixteen_bits_is_not_clipped(tmp_path):
    values = [0, 257, 1000, 30000, 65535]
    pixels = np.asarray(read_frame(grey_png(tmp_path / "a.png", [values], 16), 1))
    assert np.abs(pixels[0, :, 0] - np.array(values) / 257).max() <= 1
    assert (pixels[..., :1] == pixels).all()


def test_grey_of_sixteen_bits_with_a_transparent_value(tmp_path):
    path = grey_png(tmp_path / "a.png", [[0, 40000]], 16, transparent=0)
    pixels = np.asarray(read_frame(path, 1))
    assert pixels[0, 1].tolist() == [155] * 3
    assert pixels[0, 0].tolist() == [255] * 3


def test_cmyk_jpeg(tmp_path):
    path = write_picture(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=100)
    assert_colour(read_frame(path, 1), (255, 0, 0), 4)


UPRIGHT = {  # what each value of the tag says is to be done to the stored pixels, as numpy does it
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["png", "webp", "tiff"])
def test_photographs_are_turned_upright(tmp_path, kind, orientation):
    stored = np.random.default_rng(1).integers(0, 256, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "webp" else {}
    path = write_picture(tmp_path / f"a.{kind}", Image.fromarray(stored), exif=exif, **options)
    expected = UPRIGHT[orientation](stored)

    assert np.array_equal(np.asarray(read_frame(path, 1)), expected)
    assert frame_size(path, 1) == (expected.shape[1], expected.shape[0])
    page = PageImage.from_file(path)
    assert (page.width, page.height) == page.load().size == (expected.shape[1], expected.shape[0])


def test_photographs_of_a_camera(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = write_picture(tmp_path / "a.jpg", two_colours("red", "blue", (40, 20)), exif=exif)
    assert frame_size(path, 1) == (20, 40)
    image = read_frame(path, 1)
    assert image.size == (20, 40)
    assert image.getpixel((10, 5))[0] > 200  # the red half was on the left, and now is above
    assert image.getpixel((10, 35))[2] > 200


def test_the_pages_of_a_tiff(tmp_path):
    colours = ["red", "green", "blue"]
    pages = [Image.new("RGB", (10 + n, 5), colour) for n, colour in enumerate(colours)]
    path = write_picture(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    assert count_frames(path) == 3
    for number, page in enumerate(pages, 1):
        assert read_frame(path, number).tobytes() == page.tobytes()
        assert frame_size(path, number) == page.size == PageImage.from_file(path, number).load().size
    for number in (0, -1, 4):
        with pytest.raises(ImageUnavailableError, match=f"page {number} is out of range: the file has 3 pages"):
            PageImage.from_file(path, number)
    with pytest.raises(ImageUnavailableError):
        read_frame(path, 4)


def test_an_animation_is_one_page(tmp_path):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name in ("a.webp", "a.png"):
        path = write_picture(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], duration=50)
        assert count_frames(path) == 1
        assert_colour(read_frame(path, 1), (255, 0, 0), 5)


def test_a_tiff_whose_pages_lead_in_a_circle_ends(tmp_path):
    pages = [Image.new("L", (4, 4), n) for n in range(3)]
    path = write_picture(tmp_path / "a.tif", pages[0], save_all=True, append_images=pages[1:])
    content = bytearray(path.read_bytes())
    offsets, place = [], struct.unpack_from("<I", content, 4)[0]
    while place:
        offsets.append(place)
        end = place + 2 + 12 * struct.unpack_from("<H", content, place)[0]
        place = struct.unpack_from("<I", content, end)[0]
    struct.pack_into("<I", content, end, offsets[0])
    path.write_bytes(content)
    assert count_frames(path) <= 4


@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 20_000), (60_000, 60_000), (2**31 - 1, 1)])
def test_what_is_too_large_is_not_decoded(tmp_path, size):
    path = claimed_png(tmp_path / "a.png", size)
    for read in (PageImage.from_file, lambda path: read_frame(path, 1), lambda path: frame_size(path, 1)):
        with pytest.raises(ImageUnavailableError) as caught:
            read(path)
        assert caught.value.reason.startswith("it is too large")
        assert str(caught.value).startswith(str(path))
    with pytest.raises(ImageUnavailableError, match="too large"):
        from_bytes(path.read_bytes())


def test_what_just_fits_is_read(tmp_path):
    path = tmp_path / "a.png"
    Image.new("1", (9_000, 9_000), 1).save(path)
    assert PageImage.from_file(path).load().size == (9_000, 9_000)


def test_bytes_and_base64():
    buffer = io.BytesIO()
    image = two_colours("red", "blue")
    image.save(buffer, "PNG")
    coded = base64.b64encode(buffer.getvalue()).decode()
    for read in (from_bytes(buffer.getvalue()), from_base64(coded), from_base64(f"data:image/png;base64,{coded}")):
        assert read.tobytes() == image.tobytes()


@pytest.mark.parametrize("data", ["", "AAAA", "x", "not base64 at all!", "data:image/png;base64,", "é", "data:"])
def test_what_is_no_image_in_base64(data):
    with pytest.raises(ImageUnavailableError):
        from_base64(data)


def test_digests_tell_pixels_and_shapes_apart():
    images = [Image.new("RGB", size, colour) for size in [(4, 6), (6, 4), (24, 1)] for colour in ("red", "blue")]
    assert len({pixel_digest(image) for image in images}) == 6
    assert pixel_digest(images[0]) == pixel_digest(images[0].copy())


@pytest.mark.parametrize(("size", "small"), [((3000, 1500), (1024, 512)), ((800, 600), (800, 600)), ((9000, 3), None)])
def test_thumbnails(size, small):
    image = two_colours("red", "blue", size)
    data = to_thumbnail(image)
    kept = Image.open(io.BytesIO(data))
    assert kept.format == "WEBP"
    assert max(kept.size) <= 1024
    assert small in (None, kept.size)
    middle = kept.size[1] // 2
    assert kept.convert("RGB").getpixel((2, middle))[0] > 200
    assert kept.convert("RGB").getpixel((kept.size[0] - 3, middle))[2] > 200
    assert image.size == size


def test_jpegs_for_browsers():
    kept = Image.open(io.BytesIO(base64.b64decode(to_jpeg(two_colours("red", "blue", (400, 200)), 100))))
    assert (kept.format, kept.size) == ("JPEG", (100, 50))
