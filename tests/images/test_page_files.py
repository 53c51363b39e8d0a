"""Consecutive pages of a file are loaded with one opening, and nothing stays open."""

from __future__ import annotations

import os

import numpy as np
import pypdfium2
import pytest
from PIL import Image

from late_interaction import Index
from late_interaction.errors import ImageUnavailableError
from late_interaction.images import pictures
from late_interaction.images.page_image import PageImage, load_pages
from late_interaction.readers import read_paths
from tests import pdfs
from tests.engines.forked import descriptors
from tests.fakes import ColourEncoder
from tests.pdfs import Page, write_pdf
from tests.pictures import write_picture

COLORS = [(1, 0, 0), (0, 0, 1), (0, 0.6, 0)]
has_descriptors = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")  # noqa: PTH112


def viewed_size(width, height):
    return 60, round(60 * height / width)


def write_pages(path, count=3, first=0):
    """A PDF whose pages are full of one color each."""
    colors = [COLORS[(first + n) % 3] for n in range(count)]
    return write_pdf(path, [Page(pdfs.box(0, 0, 60, 80, color), size=(60, 80)) for color in colors])


def write_frames(path, count=3):
    colors = [tuple(round(255 * part) for part in COLORS[n % 3]) for n in range(count)]
    pages = [Image.new("RGB", (30, 40), color) for color in colors]
    return write_picture(path, pages[0], save_all=True, append_images=pages[1:])


def pages_of(path, count=3):
    return [PageImage.from_file(path, number + 1) for number in range(count)]


def seen(image):
    """Which of the colors an image is full of."""
    pixel = np.asarray(image, float)[image.height // 2, image.width // 2] / 255
    return min(range(3), key=lambda n: float(np.abs(pixel - np.array(COLORS[n])).sum()))


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that PDFium and Pillow open, in order. Both do so as before."""
    names = []
    real_pdf, real_image = pypdfium2.PdfDocument, Image.open

    def open_document(file, *arguments, **options):
        names.append(os.path.basename(file))  # noqa: PTH119
        return real_pdf(file, *arguments, **options)

    def open_picture(file, *arguments, **options):
        names.append(os.path.basename(getattr(file, "name", "bytes")))  # noqa: PTH119
        return real_image(file, *arguments, **options)

    monkeypatch.setattr(pypdfium2, "PdfDocument", open_document)
    monkeypatch.setattr(Image, "open", open_picture)
    return names


@pytest.mark.parametrize(("name", "write"), [("a.pdf", write_pages), ("a.tif", write_frames)])
def test_one_opening_for_consecutive_pages(tmp_path, opened, name, write):
    pages = pages_of(write(tmp_path / name))
    opened.clear()
    assert [seen(image) for image in load_pages(pages, viewed_size)] == [0, 1, 2]
    assert opened == [name]


def test_another_file_in_between(tmp_path, opened):
    first, second = pages_of(write_pages(tmp_path / "a.pdf")), pages_of(write_frames(tmp_path / "b.tif"))
    opened.clear()
    images = load_pages([first[0], first[2], second[1], second[0], first[1]], viewed_size)
    assert [seen(image) for image in images] == [0, 2, 1, 0, 1]
    assert opened == ["a.pdf", "b.tif", "a.pdf"]


def test_thumbnails_are_made_at_the_same_opening(tmp_path, opened):
    pages = [page.with_thumbnail() for page in pages_of(write_pages(tmp_path / "a.pdf"))]
    opened.clear()
    load_pages(pages, viewed_size)
    assert [seen(pictures.from_bytes(page.thumbnail)) for page in pages] == [0, 1, 2]
    assert opened.count("a.pdf") == 1


@pytest.mark.parametrize("keep_images", [False, True])
def test_adding_a_long_file_opens_it_a_few_times(tmp_path, opened, keep_images):
    path = write_pages(tmp_path / "long.pdf", 40)
    with Index.open(tmp_path / "index", encoder=ColourEncoder()) as index:
        index.add(read_paths([path], modalities=["image"], keep_images=keep_images))
        assert len(index) == 40
    assert opened.count("long.pdf") <= 2  # once to read its text, once for each window of pages


def test_a_file_that_changes_in_between(tmp_path):
    path = write_pages(tmp_path / "a.pdf")
    old = pages_of(path)
    write_pages(tmp_path / "b.pdf", first=1).replace(tmp_path / "a.pdf")
    new = pages_of(path)
    write_pages(path)

    def pages():
        yield old[0]
        write_pages(tmp_path / "b.pdf", first=1).replace(path)
        yield new[1]

    assert [seen(image) for image in load_pages(pages(), viewed_size)] == [0, 2]  # not what it was when it was opened
    with pytest.raises(ImageUnavailableError, match="has changed"):
        load_pages(new[:1] + old[1:], viewed_size)
    path.unlink()
    with pytest.raises(ImageUnavailableError, match="does not exist"):
        load_pages(new, viewed_size)


@has_descriptors
@pytest.mark.parametrize(("name", "write"), [("a.pdf", write_pages), ("a.tif", write_frames)])
def test_nothing_stays_open(tmp_path, name, write):
    pages = pages_of(write(tmp_path / name))
    before = descriptors()
    load_pages(pages, viewed_size)
    damaged = PageImage(pages[0].digest, pages[0].path, 9, 30, 40)
    with pytest.raises(ImageUnavailableError, match="page 9 is out of range"):
        load_pages([pages[0], damaged], viewed_size)
    pages[1].load()
    assert descriptors() == before
