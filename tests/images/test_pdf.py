"""Pages of PDFs: what they look like, what they say, how large they are."""

from __future__ import annotations

import threading

import numpy as np
import pypdfium2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from late_interaction.errors import ImageUnavailableError, OptionalDependencyError
from late_interaction.images.page_image import PageImage
from late_interaction.images.pdf import open_pdf, rendered_size
from tests import pdfs
from tests.pdfs import Page, write_pdf

VIEWS = {
    "a square": lambda width, height: (448, 448),
    "the same shape": lambda width, height: (300, max(1, round(300 * height / width))),
    "the same area": lambda width, height: (
        max(1, round(300 * (width / height) ** 0.5)),
        max(1, round(300 * (height / width) ** 0.5)),
    ),
}


@pytest.fixture
def report(tmp_path):
    pages = [
        Page(pdfs.text("Hello (world)") + pdfs.box(0, 0, 100, 50, (1, 0, 0))),
        Page(pdfs.box(0, 0, 100, 50, (1, 0, 0)), size=(400, 200), rotation=90),
        Page(size=(612, 792), rotation=180),
        Page(size=(300, 100), rotation=270),
    ]
    return write_pdf(tmp_path / "report.pdf", pages)


def red_corner(image):
    """Where the red box is: left or right, above or below."""
    pixels = np.asarray(image, np.int16)
    rows, columns = np.nonzero((pixels[..., 0] > 200) & (pixels[..., 1] < 50))
    height, width = pixels.shape[:2]
    return "left" if columns.mean() < width / 2 else "right", "above" if rows.mean() < height / 2 else "below"


def test_pages_as_they_are_seen(report):
    with open_pdf(report) as pdf:
        assert pdf.pages == 4
        assert [pdf.size(page) for page in (1, 2, 3, 4)] == [(595, 842), (200, 400), (612, 792), (100, 300)]
        assert [pdf.read(page)[1] for page in (1, 2)] == ["Hello (world)", ""]
        assert red_corner(pdf.render(1, 1)) == ("left", "below")
        assert red_corner(pdf.render(2, 1)) == ("left", "above")  # turned clockwise
        assert pdf.render(1, 0.5).size == (298, 421)
        for page in (0, -1, 5):
            with pytest.raises(ImageUnavailableError, match=f"page {page} is out of range: the file has 4 pages"):
                pdf.size(page)


def test_people_see_it_as_pdfium_draws_it(report):
    document = pypdfium2.PdfDocument(report)
    for number in range(4):
        expected = document[number].render(scale=2).to_pil().convert("RGB")
        page = PageImage.from_file(report, number + 1)
        assert page.load().tobytes() == expected.tobytes()
        assert (page.width, page.height) == document[number].get_size()
    document.close()


def test_forms_are_drawn_with_what_is_filled_in(tmp_path):
    """A field shows what it holds by its appearance, which PDFium draws only if it is told that there are forms."""
    content = pdfs.box(0, 0, 100, 40, (0, 0, 1)).encode()
    appearance = b"<< /Type /XObject /Subtype /Form /BBox [0 0 100 40] /Length %d >>\nstream\n%b\nendstream"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R] >> >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Annots [4 0 R] >>",
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (x) /F 4 /Rect [50 80 150 120] /AP << /N 5 0 R >> >>",
        appearance % (len(content), content),
    ]
    image = PageImage.from_file(pdfs.write_objects(tmp_path / "form.pdf", objects)).load()
    assert image.getpixel((200, 200))[2] > 150
    assert image.getpixel((200, 200))[0] < 230
    assert image.getpixel((20, 20)) == (255, 255, 255)


def test_forms_in_xfa_are_drawn_without_advice(tmp_path, caplog, capfd):
    """Their fields have appearances, too. What pypdfium2 advises, to compile another PDFium, helps no user."""
    content = pdfs.box(0, 0, 100, 40, (0, 0, 1)).encode()
    stream = b"<< %b /Length %d >>\nstream\n%b\nendstream"
    xfa = b'<xdp:xdp xmlns:xdp="http://ns.adobe.com/xdp/"><template/></xdp:xdp>'
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R] /XFA 6 0 R >> >>",
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Annots [4 0 R] >>",
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (x) /F 4 /Rect [50 80 150 120] /AP << /N 5 0 R >> >>",
        stream % (b"/Type /XObject /Subtype /Form /BBox [0 0 100 40]", len(content), content),
        stream % (b"", len(xfa), xfa),
    ]
    path = pdfs.write_objects(tmp_path / "xfa.pdf", objects)
    assert PageImage.from_file(path).load().getpixel((200, 200))[2] > 150
    with open_pdf(path) as pdf:
        assert pdf.read(1)[0] == (200, 200)
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")
    document = pypdfium2.PdfDocument(path)
    document.init_forms()  # other users of pypdfium2 in this process read what it says
    document.close()
    assert "XFA" in caplog.text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    width=st.floats(1, 14_400),
    height=st.floats(1, 14_400),
    rotation=st.sampled_from([0, 90, 180, 270]),
    view=st.sampled_from(sorted(VIEWS)),
)
@example(width=595.276, height=841.89, rotation=90, view="a square")
@example(width=14_400, height=14_400, rotation=0, view="the same area")
@example(width=1, height=14_400, rotation=0, view="a square")
@example(width=14_400, height=1, rotation=270, view="the same shape")
@example(width=612, height=792, rotation=0, view="the same shape")
def test_the_size_of_a_loaded_page_is_known_before(tmp_path, width, height, rotation, view):
    path = write_pdf(tmp_path / "a.pdf", [Page(size=(round(width, 3), round(height, 3)), rotation=rotation)])
    page = PageImage.from_file(path)
    turned = rotation in (90, 270)
    assert (page.width, page.height) == pytest.approx((height, width) if turned else (width, height), abs=1e-2)
    image = page.load(VIEWS[view])
    assert page.loaded_size(VIEWS[view]) == image.size
    assert max(image.size) <= 20_001
    viewed = VIEWS[view](page.width, page.height)
    if max(image.size) < 20_000 and image.width * image.height < 39_000_000:  # else it would be enormous
        assert all(side >= seen for side, seen in zip(image.size, viewed, strict=True))
        assert image.width < 1.3 * viewed[0] + 2 or image.height < 1.3 * viewed[1] + 2
    assert PageImage.from_json(page.to_json()) == page


@pytest.mark.parametrize(
    "size", [(1e6, 1e6), (0.1, 14_000), (14_000, 0.1), (1e-9, 1e-9), (1e30, 1), (0, 0), (-100, 50), (3e9, 3e9)]
)
def test_pages_of_impossible_sizes_stay_small_in_memory(tmp_path, size):
    path = write_pdf(tmp_path / "a.pdf", [Page(pdfs.text("x"), size=(f"{size[0]:f}", f"{size[1]:f}"))])
    page = PageImage.from_file(path)
    assert page.width >= 1
    assert page.height >= 1
    for view in VIEWS.values():
        image = page.load(view)
        assert image.width * image.height <= 45_000_000
        assert max(image.size) <= 20_001
        assert np.prod(page.loaded_size(view)) <= 45_000_000
        del image
    assert np.prod(rendered_size((page.width, page.height), 1e9)) <= 45_000_000


def test_people_see_a_huge_page_at_a_size_that_fits(tmp_path):
    page = PageImage.from_file(write_pdf(tmp_path / "a.pdf", [Page(pdfs.box(0, 0, 1e6, 1e6), size=(1e6, 1e6))]))
    image = page.load()
    assert 30_000_000 < image.width * image.height <= 45_000_000
    assert image.getpixel((10, 10)) == (0, 0, 0)


class TestErrors:
    def test_encrypted(self, tmp_path):
        path = write_pdf(tmp_path / "a.pdf", [Page(pdfs.text("secret"))], passwords=("open sesame", "owner"))
        with pytest.raises(ImageUnavailableError) as caught, open_pdf(path):
            pass
        assert caught.value.reason.startswith("it is encrypted; read it with its password")
        assert str(caught.value) == f"{path}: {caught.value.reason}."

    def test_encrypted_so_that_anybody_may_read_it(self, tmp_path):
        path = write_pdf(tmp_path / "a.pdf", [Page(pdfs.text("no secret"))], passwords=("", "owner"))
        with open_pdf(path) as pdf:
            assert pdf.read(1)[1] == "no secret"

    @pytest.mark.parametrize("kids", [b"[]", b"", b"[null]"])
    def test_no_pages(self, tmp_path, kids):
        objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 0 /Kids %b >>" % kids]
        encrypted = write_pdf(tmp_path / "encrypted.pdf", [Page()], passwords=("user", "owner"))
        with pytest.raises(ImageUnavailableError, match="encrypted"), open_pdf(encrypted):
            pass  # what was wrong with another file before must not be said of this one
        path = pdfs.write_objects(tmp_path / "a.pdf", objects)
        with pytest.raises(ImageUnavailableError) as caught, open_pdf(path) as pdf:
            pdf.size(1)
        assert "encrypted" not in caught.value.reason

    @pytest.mark.parametrize("content", [b"", b"%PDF-1.7\n", b"%PDF-1.7\n" + bytes(range(256)) * 20, b"text", b"\0"])
    def test_no_pdf(self, tmp_path, content):
        path = tmp_path / "a.pdf"
        path.write_bytes(content)
        with pytest.raises(ImageUnavailableError) as caught, open_pdf(path):
            pass
        assert caught.value.reason == "it is not a PDF, or is damaged"

    @pytest.mark.parametrize("name", ["gone.pdf", "folder.pdf", "a\0.pdf", "sub/dir/a.pdf"])
    def test_no_file(self, tmp_path, name):
        (tmp_path / "folder.pdf").mkdir()
        with pytest.raises(ImageUnavailableError) as caught, open_pdf(tmp_path / name):
            pass
        assert "damaged" not in caught.value.reason

    def test_one_page_is_damaged(self, tmp_path):
        path = write_pdf(tmp_path / "a.pdf", [Page(pdfs.text(str(n))) for n in range(3)], damaged=[2])
        with open_pdf(path) as pdf:
            assert (pdf.pages, pdf.read(1)[1], pdf.read(3)[1]) == (3, "0", "2")
            for read in (pdf.read, pdf.size, lambda page: pdf.render(page, 1)):
                with pytest.raises(ImageUnavailableError, match="page 2 is damaged"):
                    read(2)

    def test_without_the_package(self, report, monkeypatch):
        from late_interaction import optional

        find = optional.importlib.util.find_spec
        monkeypatch.setattr(
            optional.importlib.util, "find_spec", lambda name: None if name == "pypdfium2" else find(name)
        )
        with (
            pytest.raises(OptionalDependencyError, match=r"pip install 'late-interaction\[pages\]'"),
            open_pdf(report),
        ):
            pass


def test_files_are_closed_again(report):
    with open_pdf(report) as pdf:
        pdf.render(1, 1)
    report.unlink()  # what Windows refuses while it is open
    with pytest.raises(ImageUnavailableError, match="the file does not exist"), open_pdf(report):
        pass


def test_many_threads_at_once(report):
    """PDFium itself may be called by one thread at a time."""
    expected = [PageImage.from_file(report, page).load().tobytes() for page in (1, 2, 3, 4)]
    wrong = []

    def look(offset):
        for step in range(8):
            number = (offset + step) % 4
            with open_pdf(report) as pdf:
                pdf.read(number + 1)
                if pdf.render(number + 1, 2).tobytes() != expected[number]:
                    wrong.append(number)

    threads = [threading.Thread(target=look, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
