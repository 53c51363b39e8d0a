"""Image files for tests, sound ones and harmful ones."""

from __future__ import annotations

import struct
import zlib

from PIL import Image


def two_colours(left, right, size=(40, 20)):
    """An image whose halves have these colours."""
    image = Image.new("RGB", size, right)
    image.paste(left, (0, 0, size[0] // 2, size[1]))
    return image


def write_picture(path, image=None, **options):
    """Write an image, by default red and blue, in the format that the name says."""
    image = two_colours("red", "blue") if image is None else image
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def claimed_png(path, size):
    """A PNG of a few bytes that says it has this size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *size, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path
