"""Reading PDFs and images: as pages, as text, or both."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.images import PageImage
from late_interaction.readers import read_paths
from tests import pdfs
from tests.pdfs import Page, write_pdf
from tests.pictures import two_colours, write_picture

IMAGES = ["image"]
BOTH = ["text", "image"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def report():
    pages = [
        Page(pdfs.text("Annual report") + pdfs.text("Sales grew.", y=700)),
        Page(pdfs.table([["City", "Sales"], ["Paris", "40"], ["Cairo", "25"]], y=500), size=(842, 595)),
        Page(pdfs.chart([40, 90, 140])),
        Page(pdfs.text("On its side"), size=(400.5, 800.25), rotation=90),
        Page(size=(200, 200)),
    ]
    Path("docs").mkdir()
    return write_pdf(Path("docs/report.pdf"), pages)


def write(name, content):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def ids(documents):
    return [document.id for document in documents]


class TestPdfPages:
    def test_one_document_for_each_page(self, report, folder):
        documents = list(read_paths(["docs"], modalities=IMAGES))

        assert ids(documents) == [f"docs/report.pdf#page={page}" for page in (1, 2, 3, 4, 5)]
        for number, document in enumerate(documents):
            assert document.metadata == {"source": "docs/report.pdf", "passage": number, "page": number + 1}
            assert document.encoded_text is None
            assert document.image == PageImage.from_file(report, number + 1)
            assert document.image.path == str(folder / "docs" / "report.pdf")
        sizes = [(document.image.width, document.image.height) for document in documents]
        assert sizes == [(595, 842), (842, 595), (595, 842), (800.25, 400.5), (200, 200)]

    def test_pages_carry_their_text(self, report):
        texts = [document.text for document in read_paths(["docs"], modalities=IMAGES)]

        assert [text.split() for text in texts] == [
            ["Annual", "report", "Sales", "grew."],
            ["City", "Sales", "Paris", "40", "Cairo", "25"],
            [],
            ["On", "its", "side"],
            [],
        ]
        assert texts[0].splitlines() == ["Annual report", "Sales grew."]

    def test_a_chart_is_seen(self, report):
        chart = np.asarray(list(read_paths(["docs"], modalities=IMAGES))[2].load_image(), np.int16)
        bars = (chart[..., 2] - chart[..., 0] > 100).sum()

        assert chart.shape == (1684, 1190, 3)
        assert bars == pytest.approx(4 * 40 * (40 + 90 + 140), rel=0.02)

    def test_read_again_it_is_the_same(self, report):
        write_picture(Path("docs/a.png"))
        first, second = (list(read_paths(["docs"], modalities=BOTH)) for _ in range(2))

        assert first == second
        assert [document.image for document in first] == [document.image for document in second]

    def test_an_absolute_path(self, report, folder):
        first = next(read_paths([folder / "docs"], modalities=IMAGES))

        assert first.id == f"{(folder / 'docs/report.pdf').as_posix()}#page=1"
        assert first.image == next(read_paths(["docs"], modalities=IMAGES)).image

    def test_images_kept_in_the_index(self, report):
        write_picture(Path("docs/a.png"))
        plain = list(read_paths(["docs"], modalities=IMAGES))
        kept = list(read_paths(["docs"], modalities=IMAGES, keep_images=True))

        assert ids(kept) == ids(plain)
        assert [document.image for document in kept] == [document.image.with_thumbnail() for document in plain]
        assert not any(document.image.has_thumbnail for document in plain)
        assert [document.text for document in kept] == [document.text for document in plain]

    def test_pages_come_one_by_one(self):
        """The first is there before the last, which is damaged, is looked at."""
        write_pdf(Path("a.pdf"), [Page(pdfs.text(str(n))) for n in range(3)], damaged=[3])
        reading = read_paths(["a.pdf"], modalities=IMAGES)

        assert [next(reading).text, next(reading).text] == ["0", "1"]
        with pytest.raises(InvalidDocumentError, match=r"^a\.pdf cannot be read: page 3 is damaged"):
            next(reading)

    def test_reading_may_be_left_off(self, report):
        reading = read_paths(["docs"], modalities=IMAGES)
        next(reading)
        reading.close()
        report.unlink()  # which Windows refuses while it is open
        assert list(read_paths(["docs"], modalities=IMAGES)) == []

    def test_two_at_once(self, report):
        first, second = (read_paths(["docs"], modalities=IMAGES) for _ in range(2))
        pairs = list(zip(first, second, strict=True))
        assert len(pairs) == 5
        assert all(one == other for one, other in pairs)


@pytest.mark.parametrize("name", ["a b.pdf", "50%.pdf", "a#page=2.pdf", "é.pdf", "a?b.pdf", "-x.pdf", "'q\".pdf"])
def test_names_with_marks_in_them(name):
    try:
        write_pdf(Path(name), [Page()])
    except OSError:
        pytest.skip("not on this file system")
    documents = list(read_paths([Path(name)], modalities=IMAGES))
    assert [document.id for document in documents] == [f"{name}#page=1"]
    assert documents[0].load_image().size == (1190, 1684)


class TestPdfText:
    def test_passages_with_their_page(self, report):
        documents = list(read_paths(["docs"]))

        assert ids(documents) == ["docs/report.pdf#0", "docs/report.pdf#1", "docs/report.pdf#2"]
        assert [document.metadata for document in documents] == [
            {"source": "docs/report.pdf", "title": "report", "passage": number, "page": page}
            for number, page in enumerate((1, 2, 4))
        ]
        assert all(document.image is None for document in documents)
        assert documents[0].encoded_text == f"report\n{documents[0].text}"
        assert documents[0].text.split() == ["Annual", "report", "Sales", "grew."]

    def test_long_pages_become_several_passages(self):
        pages = [Page("".join(pdfs.text(f"Line {n} of {m}.", y=760 - 20 * n) for n in range(20))) for m in range(2)]
        write_pdf(Path("a.pdf"), pages)
        documents = list(read_paths(["a.pdf"], max_chars=100))

        assert len(documents) > 4
        assert ids(documents) == [f"a.pdf#{number}" for number in range(len(documents))]
        assert all(len(document.text) <= 100 for document in documents)
        for page in (1, 2):
            words = " ".join(document.text for document in documents if document.metadata["page"] == page).split()
            assert words == " ".join(f"Line {n} of {page - 1}." for n in range(20)).split()

    def test_a_scan_has_no_text(self):
        write_pdf(Path("scan.pdf"), [Page(pdfs.box(0, 0, 100, 100))])
        skipped = []

        assert list(read_paths(["scan.pdf"], on_skip=lambda *args: skipped.append(args))) == []
        assert [path for path, _ in skipped] == [Path("scan.pdf")]
        assert "no text" in skipped[0][1]
        with pytest.raises(InvalidDocumentError, match=r"^scan\.pdf cannot be read: it has no text"):
            list(read_paths(["scan.pdf"]))

    def test_a_damaged_page_is_left_out(self):
        write_pdf(Path("a.pdf"), [Page(pdfs.text(str(n))) for n in range(3)], damaged=[2])
        skipped = []
        documents = list(read_paths(["a.pdf"], on_skip=lambda *args: skipped.append(args)))

        assert [(document.text, document.metadata["page"]) for document in documents] == [("0", 1), ("2", 3)]
        assert len(skipped) == 1
        assert "page 2" in skipped[0][1]


class TestPictures:
    @pytest.mark.parametrize("name", ["a.png", "b.JPG", "c.jpeg", "d.tif", "e.TIFF", "f.webp"])
    def test_a_file_is_a_page(self, name, folder):
        path = write_picture(Path(name))
        (document,) = read_paths([name], modalities=IMAGES)

        expected = Document(
            "",
            image=PageImage.from_file(path),
            id=f"{name}#page=1",
            metadata={"source": name, "passage": 0, "page": 1},
        )
        assert document == expected
        with Image.open(path) as image:
            assert document.load_image().tobytes() == image.convert("RGB").tobytes()

    def test_the_pages_of_a_tiff(self):
        colours = ["red", "green", "blue"]
        frames = [Image.new("RGB", (30 + n, 20), colour) for n, colour in enumerate(colours)]
        write_picture(Path("fax.tif"), frames[0], save_all=True, append_images=frames[1:])
        documents = list(read_paths(["fax.tif"], modalities=IMAGES))

        assert ids(documents) == ["fax.tif#page=1", "fax.tif#page=2", "fax.tif#page=3"]
        assert [document.metadata["passage"] for document in documents] == [0, 1, 2]
        assert [document.load_image().tobytes() for document in documents] == [frame.tobytes() for frame in frames]

    def test_a_tiff_of_many_pages(self):
        """Each page is found without going through those before it again and again."""
        took = []
        for count in (40, 200):
            frames = [Image.new("1", (8, 8), n % 2) for n in range(count)]
            write_picture(Path("fax.tif"), frames[0], save_all=True, append_images=frames[1:])
            start = time.process_time()
            documents = list(read_paths(["fax.tif"], modalities=IMAGES))
            took.append(time.process_time() - start)
            assert len(documents) == count
        assert documents[199].load_image().getpixel((0, 0)) == (255, 255, 255)
        assert took[1] < 0.5 or took[1] < 10 * took[0]  # five times the pages

    def test_one_page_is_in_memory_at_a_time(self):
        frames = [two_colours("red", "blue", (600 + n, 400)) for n in range(6)]
        write_picture(Path("fax.tif"), frames[0], save_all=True, append_images=frames[1:])
        write_pdf(Path("a.pdf"), [Page(pdfs.text("x"))] * 6)
        del frames
        gc.collect()
        before = {id(thing) for thing in gc.get_objects() if issubclass(type(thing), Image.Image)}
        most, count = 0, 0
        for count, _ in enumerate(read_paths(["fax.tif", "a.pdf"], modalities=IMAGES), 1):  # noqa: B007
            alive = [t for t in gc.get_objects() if issubclass(type(t), Image.Image) and id(t) not in before]
            most = max(most, sum(image.width * image.height for image in alive if image.__dict__.get("_im", 1)))
            del alive
        assert count == 12
        assert most <= 2 * 606 * 400


class TestModalities:
    @pytest.fixture
    def mixed(self):
        write("top/a.md", "# Guide\n\nText.")
        write_pdf(Path("top/b.pdf"), [Page(pdfs.text("page one"))])
        write_picture(Path("top/c.png"))
        write("top/d.txt", "More.")

    @pytest.mark.parametrize(
        ("modalities", "expected"),
        [
            (["text"], ["top/a.md#0", "top/b.pdf#0", "top/d.txt#0"]),
            (["image"], ["top/b.pdf#page=1", "top/c.png#page=1"]),
            (["text", "image"], ["top/a.md#0", "top/b.pdf#page=1", "top/c.png#page=1", "top/d.txt#0"]),
            (frozenset({"image", "text"}), ["top/a.md#0", "top/b.pdf#page=1", "top/c.png#page=1", "top/d.txt#0"]),
        ],
    )
    def test_what_is_read(self, mixed, modalities, expected):
        assert ids(read_paths(["top"], modalities=modalities)) == expected

    def test_text_alone_is_what_is_read_unless_said_otherwise(self, mixed):
        assert list(read_paths(["top"])) == list(read_paths(["top"], modalities=["text"]))

    @pytest.mark.parametrize("modalities", [[], ["audio"], ["text", "video"], ["images"], "audio", [None], [5], ""])
    def test_other_modalities(self, mixed, modalities):
        with pytest.raises(InvalidRequestError, match="text"):
            read_paths(["top"], modalities=modalities)

    @pytest.mark.parametrize("modality", ["text", "image"])
    def test_one_given_as_a_string(self, mixed, modality):
        """A slip of many: it is either meant as that one modality, or refused, but never passed over."""
        try:
            documents = ids(read_paths(["top"], modalities=modality))
        except InvalidRequestError:
            return
        assert documents == ids(read_paths(["top"], modalities=[modality]))

    @pytest.mark.parametrize(
        ("path", "modalities", "message"),
        [
            ("top/c.png", ["text"], r"^top/c\.png .*image"),
            ("top/a.md", ["image"], r"^top/a\.md .*text"),
            ("top/gone.pdf", ["image"], r"^top/gone\.pdf does not exist\.$"),
        ],
    )
    def test_a_file_of_the_other_kind(self, mixed, path, modalities, message):
        with pytest.raises(InvalidRequestError, match=message):
            read_paths([path], modalities=modalities)


def system_pdfs():
    import importlib.util

    found = sorted(Path("/usr/share/doc").rglob("*.pdf")) if Path("/usr/share/doc").is_dir() else []
    spec = importlib.util.find_spec("matplotlib")
    if spec is not None and spec.origin:
        found += sorted(Path(spec.origin).parent.rglob("*.pdf"))
    return [path for path in found if path.is_file() and path.stat().st_size < 3_000_000][:20]


@pytest.mark.skipif(not system_pdfs(), reason="no PDFs on this system")
def test_pdfs_of_other_makers():
    for path in system_pdfs():
        documents = list(read_paths([path], modalities=IMAGES))
        assert ids(documents) == [f"{path.as_posix()}#page={number}" for number in range(1, len(documents) + 1)]
        for document in (documents[0], documents[len(documents) // 2], documents[-1]):
            image = document.image.load(lambda width, height: (300, max(1, round(300 * height / width))))
            assert image.getextrema() != ((255, 255),) * 3, f"{document.id} is blank"
        if any(document.text for document in documents):
            words = " ".join(document.text for document in documents).split()
            assert " ".join(document.text for document in read_paths([path], max_chars=500)).split() == words
        assert not any("\0" in document.text or "\r" in document.text for document in documents)
