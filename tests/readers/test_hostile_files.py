"""Damaged files and files made to harm: each is told, and the rest of the folder is read."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from late_interaction import optional
from late_interaction.errors import InvalidDocumentError, LateInteractionError
from late_interaction.readers import read_paths
from tests import pdfs
from tests.engines.helpers import CHILD_ENVIRONMENT
from tests.pdfs import Page, write_pdf
from tests.pictures import claimed_png, two_colours, write_picture

PAGES = [Page(pdfs.text(f"page {n}")) for n in (1, 2, 3)]
IMAGES = ["image"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder ``a`` with a sound file at either end."""
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    write_pdf(Path("a/1.pdf"), PAGES[:1])
    write_picture(Path("a/9.png"))
    return tmp_path


def noise(size=(300, 300), seed=1):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * share)])


def write(content):
    return lambda path: path.write_bytes(content)


def write_as(suffix, image=None, share=1.0, **options):
    def make(path):
        written = write_picture(path.with_suffix(suffix), image, **options)
        cut(written, share)
        written.rename(path)

    return make


def write_large(path):
    Image.new("1", (20_000, 20_000)).save(path)
    assert path.stat().st_size < 1_000_000


NO_PDF = r"^it is not a PDF, or is damaged$"
NO_IMAGE = r"^it is not one of PNG, JPEG, TIFF, WEBP, GIF, BMP, or is damaged$"
CUT_OFF = r"^it is damaged or cannot be read \(.+\)$"
HOSTILE = {
    "empty PDF": ("5.pdf", write(b""), NO_PDF),
    "PDF of nothing but a header": ("5.pdf", write(b"%PDF-1.7\n"), NO_PDF),
    "PDF of noise": ("5.pdf", write(b"%PDF-1.7\n" + random.Random(1).randbytes(20_000)), NO_PDF),
    "encrypted PDF": ("5.pdf", lambda path: write_pdf(path, PAGES, passwords=("user", "owner")), "^it is encrypted; "),
    "PDF without pages": ("5.pdf", lambda path: write_pdf(path, []), r"^(?!.*encrypted)it "),
    "PDF without a tree": ("5.pdf", lambda path: pdfs.write_objects(path, [b"<< >>"]), r"^(?!.*encrypted)it "),
    "PNG named PDF": ("5.pdf", write_as(".png"), NO_PDF),
    "text named PDF": ("5.pdf", write(b"# A text\n" * 100), NO_PDF),
    "PDF whose one page is damaged": ("5.pdf", lambda path: write_pdf(path, PAGES[:1], damaged=[1]), "^page 1 is dam"),
    "PDF named PNG": ("5.png", lambda path: write_pdf(path, PAGES), NO_IMAGE),
    "text named JPEG": ("5.jpg", write(b"a text"), NO_IMAGE),
    "empty image": ("5.webp", write(b""), NO_IMAGE),
    "cut off PNG": ("5.png", write_as(".png", noise(), 0.5), CUT_OFF),
    "PNG of a header": ("5.png", write_as(".png", noise(), 0.0003), r"^it is (no image|damaged)"),
    "cut off JPEG": ("5.jpg", write_as(".jpg", noise(), 0.5), CUT_OFF),
    "cut off WebP": ("5.webp", write_as(".webp", noise(), 0.5), r"^it is (no image|damaged)"),
    "cut off TIFF": ("5.tif", write_as(".tif", noise(), 0.5), r"^it is (no image|damaged)"),
    "400 million pixels": ("5.png", write_large, "^it is too large"),
    "a bomb of 3.6 billion pixels": ("5.png", lambda path: claimed_png(path, (60_000, 60_000)), "^it is too large"),
    "an image that is just too large": ("5.png", lambda path: claimed_png(path, (9_500, 9_500)), "^it is too large"),
    "a link to itself": ("5.pdf", lambda path: path.symlink_to(path.name), "symbolic links"),
    "a link to itself named PNG": ("5.png", lambda path: path.symlink_to(path.name), "symbolic links"),
    "a link to nothing": ("5.pdf", lambda path: path.symlink_to("gone.pdf"), "does not exist|No such file"),
    "a link to nothing named PNG": ("5.png", lambda path: path.symlink_to("gone.png"), "does not exist|No such file"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_it_is_told_and_the_rest_is_read(kind):
    name, make, reason = HOSTILE[kind]
    path = Path("a") / name
    make(path)
    skipped = []

    documents = list(read_paths(["a"], modalities=IMAGES, on_skip=lambda *args: skipped.append(args)))

    assert [document.id for document in documents] == ["a/1.pdf#page=1", "a/9.png#page=1"]
    assert [place for place, _ in skipped] == [path]
    assert re.search(reason, skipped[0][1]), skipped[0][1]
    reading = read_paths(["a"], modalities=IMAGES)
    next(reading)
    with pytest.raises(InvalidDocumentError) as caught:
        next(reading)
    assert str(caught.value).startswith(f"a/{name} cannot be read: {skipped[0][1]}")
    assert "on_skip" in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind, (name, *_) in HOSTILE.items() if name.endswith(".pdf")])
def test_as_text_too(kind):
    name, make, _ = HOSTILE[kind]
    make(Path("a") / name)
    Path("a/7.txt").write_text("seven")
    skipped = []

    documents = list(read_paths(["a"], on_skip=lambda *args: skipped.append(args)))

    assert [document.id for document in documents] == ["a/1.pdf#0", "a/7.txt#0"]
    assert {place for place, _ in skipped} == {Path("a") / name}
    with pytest.raises(InvalidDocumentError, match=rf"^a/{name} cannot be read"):
        list(read_paths(["a"]))


@pytest.mark.parametrize("modality", ["text", "image"])
def test_a_pdf_cut_off_anywhere(modality):
    """PDFium finds what it can; whatever comes of it is no crash, and the files beside it are read."""
    content = write_pdf(Path("whole.pdf"), PAGES).read_bytes()
    for length in [*range(0, len(content), 97), len(content) - 1]:
        Path("a/5.pdf").write_bytes(content[:length])
        skipped = {}
        documents = list(read_paths(["a"], modalities=[modality], on_skip=skipped.__setitem__))
        assert documents[0].metadata["source"] == "a/1.pdf"
        found = [document for document in documents if document.metadata["source"] == "a/5.pdf"]
        assert found or skipped
        for document in found:
            if modality == "image":
                document.image.load(lambda width, height: (50, 50))


@pytest.mark.parametrize("seed", range(15))
def test_files_with_wrong_bytes(seed):
    draw = random.Random(seed)
    write_pdf(Path("a/5.pdf"), [*PAGES, Page(pdfs.chart([10, 20]))])
    write_picture(Path("a/6.tif"), noise((20, 20)), save_all=True, append_images=[noise((20, 20), 2)])
    write_picture(Path("a/7.png"), noise((20, 20)))
    write_picture(Path("a/8.jpg"), noise((20, 20)))
    for name in ("5.pdf", "6.tif", "7.png", "8.jpg"):
        content = bytearray((Path("a") / name).read_bytes())
        for _ in range(draw.choice([1, 5, 40])):
            content[draw.randrange(len(content))] = draw.randrange(256)
        (Path("a") / name).write_bytes(content)
    skipped = []
    documents = list(read_paths(["a"], modalities=IMAGES, on_skip=lambda *args: skipped.append(args)))

    assert documents[0].id == "a/1.pdf#page=1"
    assert documents[-1].id == "a/9.png#page=1"
    for document in documents:
        try:
            document.image.load(lambda width, height: (50, 50))
        except LateInteractionError:
            assert document.metadata["source"] == "a/5.pdf"  # all others were decoded when they were read


def test_a_damaged_page_of_a_pdf_is_left_out():
    write_pdf(Path("a/5.pdf"), PAGES, damaged=[2])
    skipped = []
    documents = list(read_paths(["a/5.pdf"], modalities=IMAGES, on_skip=lambda *args: skipped.append(args)))

    assert [(document.id, document.text) for document in documents] == [
        ("a/5.pdf#page=1", "page 1"),
        ("a/5.pdf#page=3", "page 3"),
    ]
    assert [place for place, _ in skipped] == [Path("a/5.pdf")]
    assert "page 2 is damaged" in skipped[0][1]


def test_a_damaged_page_of_a_tiff_is_left_out():
    frames = [two_colours("red", "blue", (50 + n, 30)) for n in range(3)]
    path = write_picture(Path("a/5.tif"), frames[0], save_all=True, append_images=frames[1:], compression="tiff_lzw")
    with Image.open(path) as image:
        image.seek(1)
        place, size = image.tag_v2[273][0], image.tag_v2[279][0]
    content = bytearray(path.read_bytes())
    content[place : place + size] = b"\xff" * size
    path.write_bytes(content)
    skipped = []
    documents = list(read_paths([path], modalities=IMAGES, on_skip=lambda *args: skipped.append(args)))

    assert [document.id for document in documents] == ["a/5.tif#page=1", "a/5.tif#page=3"]
    assert len(skipped) == 1
    assert "2" in skipped[0][1]  # which page it is


def test_a_huge_page_of_a_tiff_is_left_out():
    frames = [Image.new("1", size) for size in [(40, 20), (12_000, 12_000)]]
    path = write_picture(Path("a/5.tif"), frames[0], save_all=True, append_images=frames[1:], compression="group4")
    skipped = []
    documents = list(read_paths([path], modalities=IMAGES, on_skip=lambda *args: skipped.append(args)))

    assert [document.id for document in documents] == ["a/5.tif#page=1"]
    assert len(skipped) == 1
    assert "too large" in skipped[0][1]


def test_pages_of_any_size_are_read():
    sizes = [(1e6, 1e6), (0.1, 14_000), (14_400, 14_400), (1, 1)]
    write_pdf(Path("a/5.pdf"), [Page(pdfs.text("x"), size=size) for size in sizes])
    documents = list(read_paths(["a"], modalities=IMAGES))

    assert len(documents) == 6
    for document in documents:
        width, height = document.image.loaded_size(lambda width, height: (448, 448))
        assert width * height <= 45_000_000


def test_a_png_with_a_bomb_in_its_comment():
    comment = PngImagePlugin.PngInfo()
    comment.add_text("comment", "x" * 50_000_000, zip=True)
    write_picture(Path("a/5.png"), pnginfo=comment)
    skipped = []
    documents = list(read_paths(["a"], modalities=IMAGES, on_skip=lambda *args: skipped.append(args)))
    assert documents[-1].id == "a/9.png#page=1"
    assert len(documents) + len(skipped) == 3


def in_another_process(code, timeout=20, **environment):
    """What the code prints, as JSON; a hang is an error, and so is a crash."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**CHILD_ENVIRONMENT, **environment},
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


READ = """
    import json
    from late_interaction.readers import read_paths
    skipped = []
    documents = list(read_paths(["a"], modalities=["image"], on_skip=lambda *args: skipped.append(str(args))))
    print(json.dumps([[document.id for document in documents], skipped]))
"""


def test_page_trees_without_end():
    """In another process: these would hang, or exhaust the stack of a C library, which ends the process."""
    pdfs.write_circle(Path("a/3.pdf"))
    for number, depth in enumerate([1_000, 5_000, 100_000], 4):
        pdfs.write_nested(Path(f"a/{number}.pdf"), depth)
    ids, skipped = in_another_process(READ)

    assert ids[0] == "a/1.pdf#page=1"
    assert ids[-1] == "a/9.png#page=1"
    for number in (3, 4, 5, 6):
        assert any(f"/{number}.pdf" in place for place in [*ids, *skipped])


def test_a_pdf_that_claims_pages_it_does_not_have():
    """A file of a few hundred bytes must not be told page by page."""
    pdfs.write_claim(Path("a/5.pdf"), 100_000)
    ids, skipped = in_another_process(READ)

    assert ids == ["a/1.pdf#page=1", "a/5.pdf#page=1", "a/9.png#page=1"]
    assert 0 < len(skipped) < 1_000


def test_no_other_program_is_started(folder):
    """Pillow hands PostScript to Ghostscript, whatever the file is called."""
    fake = folder / "bin" / "gs"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\ntouch {folder}/started\n")
    fake.chmod(0o755)
    Path("a/5.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    ids, skipped = in_another_process(READ, PATH=f"{fake.parent}{os.pathsep}{os.environ['PATH']}")

    assert ids == ["a/1.pdf#page=1", "a/9.png#page=1"]
    assert len(skipped) == 1
    assert not (folder / "started").exists()


def test_links_that_lead_in_circles():
    Path("a/b").mkdir()
    Path("a/b/up").symlink_to(Path("a").absolute())
    Path("a/b/self").symlink_to("self")
    Path("a/b/here.pdf").symlink_to(Path("a/b").absolute())  # a folder, whatever it is called
    ids = [document.id for document in read_paths(["a"], modalities=IMAGES)]
    assert ids == ["a/1.pdf#page=1", "a/9.png#page=1"]


@pytest.mark.parametrize("name", ["5.pdf", "5.png"])
def test_a_file_that_goes_while_the_folder_is_read(name):
    (write_picture if name == "5.png" else lambda path: write_pdf(path, PAGES))(Path("a") / name)
    skipped = []
    reading = read_paths(["a"], modalities=IMAGES, on_skip=lambda *args: skipped.append(args))
    next(reading)
    (Path("a") / name).unlink()

    assert [document.id for document in reading] == ["a/9.png#page=1"]
    assert [place for place, _ in skipped] == [Path("a") / name] or skipped == []


@pytest.mark.parametrize(
    ("missing", "path", "reason"),
    [("pypdfium2", "a/1.pdf", "pypdfium2"), ("PIL", "a/9.png", "pillow"), ("PIL", "a/1.pdf", "pillow")],
)
def test_without_the_packages(monkeypatch, missing, path, reason):
    find = optional.importlib.util.find_spec
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    skipped = []

    documents = list(read_paths(["a"], modalities=IMAGES, on_skip=lambda *args: skipped.append(args)))

    assert len(documents) == (1 if missing == "pypdfium2" else 0)
    assert dict(skipped).keys() == {Path("a/1.pdf")} if missing == "pypdfium2" else len(skipped) == 2
    told = dict(skipped)[Path(path)]
    assert reason in told
    assert "pip install 'late-interaction[pages]'" in told
    with pytest.raises(LateInteractionError, match=r"pip install 'late-interaction\[pages\]'"):
        list(read_paths([path], modalities=IMAGES))


@pytest.mark.parametrize("name", [b"a/caf\xe9.pdf", b"a/caf\xe9.png"])
def test_names_that_are_not_utf_8(name):
    try:
        Path(os.fsdecode(name)).write_bytes(Path("a/1.pdf" if name.endswith(b"pdf") else "a/9.png").read_bytes())
    except (OSError, UnicodeError):
        pytest.skip("the file system has only UTF-8 names")
    skipped = []
    documents = list(read_paths(["a"], modalities=IMAGES, on_skip=lambda *args: skipped.append(args)))

    assert len(documents) == 2
    assert skipped == [(Path(os.fsdecode(name)), "its name is not valid UTF-8")]
    with pytest.raises(InvalidDocumentError, match=r"^a/caf\\udce9"):
        list(read_paths(["a"], modalities=IMAGES))


def test_a_tiff_whose_second_page_is_nonsense():
    """Pillow raises TypeError and KeyError for those."""
    path = Path("a/5.tif")
    pages = [Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8))]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    data = path.read_bytes()
    for at in range(0, len(data), 3):
        path.write_bytes(data[:at] + b"\xff" + data[at + 1 :])
        skipped = []
        documents = list(read_paths(["a"], modalities=IMAGES, on_skip=lambda *args, to=skipped: to.append(args)))
        assert len(documents) >= 2
        assert {told for told, _ in skipped} <= {path}
