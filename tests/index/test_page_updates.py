"""Bringing an index of pages up to date with a folder, as the command line does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from late_interaction import Index
from late_interaction.errors import InvalidDocumentError
from late_interaction.ingestion import Changes, update
from late_interaction.readers import read_paths
from tests import pdfs
from tests.fakes import ColourEncoder
from tests.pdfs import Page, write_pdf
from tests.pictures import two_colours, write_picture

WORDS = ["one", "two", "three", "four"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder ``a`` with a PDF of four pages, an image and a text."""
    monkeypatch.chdir(tmp_path)
    Path("a").mkdir()
    report(WORDS)
    write_picture(Path("a/b.png"))
    Path("a/c.txt").write_text("A text.")


@pytest.fixture
def encoder():
    return ColourEncoder()


@pytest.fixture
def index(tmp_path, encoder):
    with Index.open(tmp_path / "index", encoder=encoder) as index:
        yield index


def report(words, damaged=()):
    return write_pdf(Path("a/a.pdf"), [Page(pdfs.text(word)) for word in words], damaged=damaged)


def run(index, keep_images=False, **options):
    """What the command line does."""
    skipped = set()

    def skip(path, reason):
        del reason
        skipped.add(path.as_posix())

    read = read_paths(["a"], modalities=index.modalities, keep_images=keep_images, on_skip=skip)
    changes = update(index, read, roots=["a"], keep=skipped, **options)
    return changes, skipped


def ids(index):
    return sorted(document.id for document in index.scan())


ALL = [*(f"a/a.pdf#page={number}" for number in (1, 2, 3, 4)), "a/b.png#page=1", "a/c.txt#0"]


def test_the_first_run_adds_everything(index, encoder):
    assert run(index) == (Changes(6, 0, 0), set())
    assert ids(index) == ALL
    assert (encoder.images_encoded, encoder.documents_encoded) == (5, 1)


@pytest.mark.parametrize("keep_images", [False, True])
def test_what_is_unchanged_is_not_encoded_again(index, encoder, keep_images):
    run(index, keep_images)
    before = list(index.scan())
    assert run(index, keep_images) == (Changes(0, 6, 0), set())
    for name in ("a.pdf", "b.png", "c.txt"):
        os.utime(f"a/{name}")  # touched, as by copying
    shutil.copy("a/b.png", "b.png")
    shutil.move("b.png", "a/b.png")
    assert run(index, keep_images) == (Changes(0, 6, 0), set())
    assert (encoder.images_encoded, encoder.documents_encoded) == (5, 1)
    assert list(index.scan()) == before


def test_keeping_images_later_on_encodes_them_again(index, encoder):
    run(index)
    changes, _ = run(index, keep_images=True)
    assert (changes.deleted, len(index)) == (0, 6)
    shutil.rmtree("a")
    assert all(index.get([name])[0].load_image() for name in ALL[:5])


def test_a_changed_pdf_is_encoded_again(index, encoder):
    run(index)
    report(["one", "zwei", "three", "four"])
    assert run(index) == (Changes(4, 2, 0), set())  # another file: its other pages may have changed too
    assert encoder.images_encoded == 9
    assert index.get(["a/a.pdf#page=2"])[0].text == "zwei"
    assert index.get(["a/a.pdf#page=1"])[0].load_image().size == (1190, 1684)


def test_a_changed_image_is_encoded_again(index, encoder):
    run(index)
    write_picture(Path("a/b.png"), two_colours("green", "yellow", (41, 21)))
    assert run(index) == (Changes(1, 5, 0), set())
    assert index.search("green", k=1)[0].id == "a/b.png#page=1"
    assert index.get(["a/b.png#page=1"])[0].load_image().size == (41, 21)


def test_a_pdf_that_became_shorter_loses_its_last_pages(index):
    run(index)
    report(WORDS[:2])
    assert run(index) == (Changes(2, 2, 2), set())
    assert ids(index) == [*ALL[:2], *ALL[4:]]
    assert index.search("four", mode="lexical") == []


def test_a_pdf_that_became_longer(index):
    run(index)
    report([*WORDS, "five"])
    assert run(index)[0].added == 5
    assert len(index) == 7


def test_files_that_are_gone(index):
    run(index)
    Path("a/a.pdf").unlink()
    assert run(index) == (Changes(0, 2, 4), set())
    Path("a/b.png").unlink()
    assert run(index) == (Changes(0, 1, 1), set())
    assert ids(index) == ["a/c.txt#0"]


def test_a_damaged_page_does_not_delete_those_after_it(index):
    report(WORDS, damaged=[2])
    assert run(index) == (Changes(5, 0, 0), {"a/a.pdf"})
    assert ids(index) == [ALL[0], *ALL[2:]]
    assert run(index) == (Changes(0, 5, 0), {"a/a.pdf"})
    assert ids(index) == [ALL[0], *ALL[2:]]


def test_a_page_that_became_damaged(index):
    """What is held of it may stay or go, but its neighbours are of the new file."""
    run(index)
    report(["eins", "zwei", "drei", "vier"], damaged=[2])
    changes, skipped = run(index)
    assert (changes.added, skipped) == (3, {"a/a.pdf"})
    assert [index.get([ALL[n]])[0].text for n in (0, 2, 3)] == ["eins", "drei", "vier"]


def test_a_damaged_last_page_is_kept_as_it_was(index):
    run(index)
    report(WORDS, damaged=[4])
    changes, skipped = run(index)
    assert skipped == {"a/a.pdf"}
    assert changes.deleted == 0  # nothing says that it is gone
    assert ids(index) == ALL


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7\nnoise"])
def test_a_skipped_file_is_kept(index, encoder, content):
    run(index)
    before = list(index.scan())
    Path("a/a.pdf").write_bytes(content)
    Path("a/b.png").write_bytes(content)
    assert run(index) == (Changes(0, 1, 0), {"a/a.pdf", "a/b.png"})
    assert list(index.scan()) == before
    assert encoder.images_encoded == 5


def test_a_damaged_page_of_a_tiff(index, encoder):
    frames = [two_colours("red", "blue", (50 + n, 30)) for n in range(3)]
    path = write_picture(Path("a/d.tif"), frames[0], save_all=True, append_images=frames[1:], compression="tiff_lzw")
    with Image.open(path) as image:
        image.seek(1)
        place, size = image.tag_v2[273][0], image.tag_v2[279][0]
    content = path.read_bytes()
    path.write_bytes(content[:place] + b"\xff" * size + content[place + size :])
    assert run(index) == (Changes(8, 0, 0), {"a/d.tif"})
    assert run(index) == (Changes(0, 8, 0), {"a/d.tif"})
    assert {"a/d.tif#page=1", "a/d.tif#page=3"} < set(ids(index))


def test_a_run_that_stopped_goes_on(index, encoder):
    """Pages are committed every few dozen: it takes that long to encode them."""
    for number in range(60):
        write_picture(Path(f"a/many/{number:02}.png"), Image.new("RGB", (8, 8), (number, 0, 0)))
    Path("a/many/99.png").write_bytes(b"no image")
    with pytest.raises(InvalidDocumentError, match=r"a/many/99\.png"):
        update(index, read_paths(["a"], modalities=["image"]), roots=["a"])
    held, encoded = len(index), encoder.images_encoded
    assert 20 <= held < 65
    Path("a/many/99.png").unlink()
    changes = update(index, read_paths(["a"], modalities=["image"]), roots=["a"])
    assert changes == Changes(65 - held, held, 0)
    assert encoder.images_encoded == encoded + 65 - held == 65


def test_from_text_to_pages(index, encoder):
    """One folder read as text first and then as pages: no passages of the text are left beside the pages."""
    update(index, read_paths(["a"]), roots=["a"])
    assert ids(index) == ["a/a.pdf#0", "a/a.pdf#1", "a/a.pdf#2", "a/a.pdf#3", "a/c.txt#0"]
    run(index)
    assert ids(index) == ALL


def test_progress(index, capfd):
    run(index, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "6 passages" in err
