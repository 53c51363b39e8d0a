"""Writes small PDFs by hand: text, lines and bars on pages of any size and rotation, encrypted ones, damaged ones."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

A4 = (595.0, 842.0)
FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


@dataclass(frozen=True)
class Page:
    """A page: what is drawn on it, in the operators of PDF, with the origin at the lower left."""

    content: str = ""
    size: tuple[float, float] = A4
    rotation: int = 0


def text(words: str, x: float = 72, y: float = 760, size: float = 14) -> str:
    """A line of text in Helvetica."""
    escaped = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    return f"BT /F1 {size} Tf {x} {y} Td ({escaped}) Tj ET\n"


def box(x: float, y: float, width: float, height: float, color: tuple[float, float, float] = (0, 0, 0)) -> str:
    """A filled rectangle."""
    return f"{color[0]} {color[1]} {color[2]} rg {x} {y} {width} {height} re f 0 0 0 rg\n"


def table(rows: list[list[str]], x: float = 72, y: float = 700) -> str:
    """Rows of words with lines around them."""
    drawn = ""
    for number, row in enumerate(rows):
        top = y - 24 * number
        for column, word in enumerate(row):
            drawn += text(word, x + 110 * column + 6, top - 17, 11)
            drawn += f"{x + 110 * column} {top - 24} 110 24 re S\n"
    return drawn


def chart(heights: list[float], x: float = 100, y: float = 300) -> str:
    """Bars."""
    bars = (box(x + 60 * n, y, 40, height, (0.1, 0.3 + 0.1 * n, 0.8)) for n, height in enumerate(heights))
    return f"{x - 10} {y} m {x + 60 * len(heights)} {y} l S\n" + "".join(bars)


def write_pdf(
    path: Path, pages: Iterable[Page], *, damaged: Iterable[int] = (), passwords: tuple[str, str] | None = None
) -> Path:
    """Write a PDF of these pages.

    Args:
        path: Where to.
        pages: The pages.
        damaged: The numbers of pages, from 1, in place of which there is something that is no page.
        passwords: The user's and the owner's, to encrypt it: who gives the first may read it, which may be empty.
    """
    pages, damaged = list(pages), set(damaged)
    key, entry = _encryption(*passwords) if passwords else (None, b"")
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", _tree(len(pages), (4 + 2 * n for n in range(len(pages)))), FONT]
    for number, page in enumerate(pages):
        width, height = page.size
        page_object = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width} {height}] /Rotate {page.rotation} "
            f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * number} 0 R >>"
        )
        objects.append(b"42" if number + 1 in damaged else page_object.encode())
        content = page.content.encode("latin-1")
        if key is not None:
            salt = (5 + 2 * number).to_bytes(3, "little") + b"\0\0"
            content = _rc4(hashlib.md5(key + salt).digest()[:10], content)
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    return write_objects(path, objects, entry)


def write_objects(path: Path, objects: Sequence[bytes], trailer: bytes = b"") -> Path:
    """Write a PDF of these objects, numbered from 1; the first is the catalog."""
    content = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(content)
    content += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    content += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    content += b"trailer\n<< /Size %d /Root 1 0 R %b >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    path.write_bytes(content)
    return path


def write_circle(path: Path) -> Path:
    """A PDF whose page tree is its own child, and claims a hundred pages."""
    return write_objects(path, [b"<< /Type /Catalog /Pages 2 0 R >>", _tree(100, [3]), _tree(100, [2, 2])])


def write_claim(path: Path, count: int) -> Path:
    """A PDF of one page that says it has so many."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>"
    return write_objects(path, [b"<< /Type /Catalog /Pages 2 0 R >>", _tree(count, [3]), page])


def write_nested(path: Path, depth: int) -> Path:
    """A PDF of one page below so many trees."""
    page = b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 200 200] >>" % (depth + 1)
    trees = [_tree(1, [number + 1]) for number in range(2, depth + 2)]
    return write_objects(path, [b"<< /Type /Catalog /Pages 2 0 R >>", *trees, page])


def _tree(count: int, kids: Iterable[int]) -> bytes:
    return b"<< /Type /Pages /Count %d /Kids [%b] >>" % (count, b" ".join(b"%d 0 R" % kid for kid in kids))


_PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def _encryption(user: str, owner: str) -> tuple[bytes, bytes]:
    """The key of the standard security handler, RC4 of 40 bits, and what goes into the trailer."""
    padded = (user.encode() + _PADDING)[:32]
    secret = _rc4(hashlib.md5((owner.encode() + _PADDING)[:32]).digest()[:5], padded)
    permissions, identity = -4, b"0123456789abcdef"
    key = hashlib.md5(padded + secret + permissions.to_bytes(4, "little", signed=True) + identity).digest()[:5]
    check = _rc4(key, _PADDING).hex().encode()
    entry = b"/ID [<%b> <%b>] /Encrypt << /Filter /Standard /V 1 /R 2 /O <%b> /U <%b> /P %d >>"
    return key, entry % (identity.hex().encode(), identity.hex().encode(), secret.hex().encode(), check, permissions)


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    out = bytearray()
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
