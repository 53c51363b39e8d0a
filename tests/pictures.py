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


def raw_png(path, depth, color, rows, transparent=None):
    """A PNG of these rows of bytes, of any bit depth and color type, which Pillow does not write.

    Args:
        path: Where to.
        depth: Bits of a sample.
        color: 0 for gray, 2 for RGB.
        rows: The bytes of each row, and how many pixels it has.
        transparent: The gray value that is transparent.
    """

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    lines, width = rows
    content = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(lines), depth, color, 0, 0, 0))
    if transparent is not None:
        content += chunk(b"tRNS", struct.pack(">H", transparent))
    body = zlib.compress(b"".join(b"\0" + line for line in lines))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IDAT", body) + chunk(b"IEND", b""))
    return path


def raw_tiff(path, pages):
    """An uncompressed TIFF of these arrays, with the tags that Pillow does not write.

    Args:
        path: Where to.
        pages: For each page an array, (height, width) or (height, width, samples), and more tags: numbers and values.
    """
    content = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for array, more in pages:
        samples = 1 if array.ndim == 2 else array.shape[2]
        kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
        tags = {256: array.shape[1], 257: array.shape[0], 258: [8 * array.dtype.itemsize] * samples, 259: 1}
        tags |= {262: 1 if samples == 1 else 2, 273: 0, 277: samples, 278: array.shape[0], 279: array.nbytes}
        tags |= {339: [kind] * samples, **more}
        tags[273] = len(content)
        content += array.astype(array.dtype.newbyteorder("<")).tobytes()
        entries = b""
        for tag, value in sorted(tags.items()):
            values = value if isinstance(value, list) else [value]
            large = tag in (256, 257, 273, 278, 279)
            data = struct.pack(f"<{len(values)}{'I' if large else 'H'}", *values)
            if len(data) > 4:
                data, place = struct.pack("<I", len(content)), data
                content += place
            entries += struct.pack("<HHI", tag, 4 if large else 3, len(values)) + data.ljust(4, b"\0")
        struct.pack_into("<I", content, link, len(content))
        content += struct.pack("<H", len(tags)) + entries
        link = len(content)
        content += b"\0\0\0\0"
    path.write_bytes(content)
    return path
