"""Page images and documents that have one: what they are equal to, and how the image comes back."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket

import numpy as np
import pytest
from PIL import Image

from late_interaction import Document, Index
from late_interaction.errors import ImageUnavailableError, InvalidDocumentError, LateInteractionError
from late_interaction.images import PageImage
from late_interaction.images.reference import PAGE_IMAGE, from_metadata, to_metadata
from tests.fakes import ColourEncoder
from tests.pdfs import Page, text, write_pdf
from tests.pictures import claimed_png, two_colours, write_picture


def half(width, height):
    """What a model might look at."""
    return round(width / 2), round(height / 2)


@pytest.fixture
def picture(tmp_path):
    return write_picture(tmp_path / "a.png")


@pytest.fixture
def pdf(tmp_path):
    return write_pdf(tmp_path / "a.pdf", [Page(text("one")), Page(text("two"))])


class TestIdentity:
    def test_the_same_file_is_the_same_document(self, picture, tmp_path):
        assert Document(image=picture) == Document(image=str(picture)) == Document(image=PageImage.from_file(picture))
        copied = shutil.copy(picture, tmp_path / "copy.png")
        assert Document(image=copied).id == Document(image=picture).id
        assert PageImage.from_file(copied).digest == PageImage.from_file(picture).digest
        assert Document(image=copied) != Document(image=picture)  # they name another place

    def test_a_content_id_depends_on_all_content(self, picture, pdf, tmp_path):
        other = write_picture(tmp_path / "b.png", two_colours("red", "green"))
        variants = [
            Document(""),
            Document("text"),
            Document(image=picture),
            Document(image=other),
            Document("text", image=picture),
            Document(image=picture, metadata={"a": 1}),
            Document(image=picture, encoded_text="text"),
            Document(image=two_colours("red", "blue")),
            Document(image=two_colours("blue", "red")),
            Document(image=PageImage.from_file(pdf, 1)),
            Document(image=PageImage.from_file(pdf, 2)),
        ]
        assert len({document.id for document in variants}) == len(variants)
        assert all(document.has_content_id for document in variants)
        assert not Document(image=picture, id="mine").has_content_id

    def test_images_in_memory_are_equal_by_their_pixels(self):
        first, same = (Document(image=two_colours("red", "blue")) for _ in range(2))
        assert first == same
        assert first.id == same.id
        assert first.image == same.image
        assert hash(first.image) == hash(same.image)
        assert Document(image=two_colours("red", "blue").convert("RGBA")) == first  # it looks the same

    def test_a_file_that_was_only_touched_is_the_same(self, picture):
        before = PageImage.from_file(picture)
        os.utime(picture, (1, 1))
        assert PageImage.from_file(picture) == before
        assert before.load().size == (40, 20)

    def test_a_file_written_again_at_once_is_another(self, picture):
        """However fast: the digest that is remembered for a file must not outlive what was in it."""
        status = picture.stat()
        before = PageImage.from_file(picture)
        write_picture(picture, two_colours("blue", "red"))
        os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert PageImage.from_file(picture) != before

    def test_with_a_thumbnail_it_is_another(self, picture):
        page = PageImage.from_file(picture)
        assert page.with_thumbnail() != page
        assert page.with_thumbnail() == page.with_thumbnail()
        assert (page.has_thumbnail, page.thumbnail) == (False, None)
        kept = page.with_thumbnail()
        assert kept.thumbnail[8:12] == b"WEBP"
        assert kept == page.with_thumbnail()  # with the bytes made or not
        assert PageImage.from_json(kept.to_json(), kept.thumbnail) == kept
        assert PageImage.from_json(page.to_json()) == page

    def test_text_and_image_stand_side_by_side(self, picture):
        document = Document("what is on it", image=picture)
        assert (document.text, document.text_to_encode) == ("what is on it", "what is on it")
        assert Document(image=picture).text == ""
        assert Document("only text").image is None

    def test_links_and_folders_stay_as_the_user_has_them(self, picture, tmp_path, monkeypatch):
        (tmp_path / "link.png").symlink_to(picture)
        monkeypatch.chdir(tmp_path)
        assert PageImage.from_file("link.png").path == str(tmp_path / "link.png")


class TestLoading:
    def test_an_image_in_memory(self):
        image = two_colours("red", "blue")
        document = Document(image=image)
        image.paste("white", (0, 0, 40, 20))  # what the user does with it later is of no concern
        loaded = document.load_image()
        assert loaded.tobytes() == two_colours("red", "blue").tobytes()
        loaded.paste("white", (0, 0, 40, 20))
        assert document.load_image().tobytes() == two_colours("red", "blue").tobytes()

    @pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp", "a.gif", "a.jpg", "a.webp"])
    def test_an_image_file(self, tmp_path, name):
        path = write_picture(tmp_path / name)
        with Image.open(path) as expected:
            assert Document(image=path).load_image().tobytes() == expected.convert("RGB").tobytes()
        assert Document(image=path).image.loaded_size(half) == (40, 20)

    def test_a_relative_path_is_found_from_everywhere(self, picture, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        document = Document(image="a.png")
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        assert document.load_image().size == (40, 20)

    def test_only_a_thumbnail(self, tmp_path):
        image = two_colours("red", "blue", (3000, 1500))
        with Index.open(tmp_path / "index", encoder=ColourEncoder()) as index:
            index.add([Document(image=image, id="a")])
            stored = index.get(["a"])[0]
        small = stored.load_image()
        assert small.size == (1024, 512)
        assert stored.image.path is None
        difference = np.asarray(small, np.int16) - np.asarray(image.resize(small.size), np.int16)
        assert np.abs(difference).mean() < 5

    def test_a_kept_image_survives_its_file(self, picture):
        page = PageImage.from_file(picture).with_thumbnail()
        kept = PageImage.from_json(page.to_json(), page.thumbnail)
        picture.unlink()
        assert kept.load().size == (40, 20)
        assert kept.load(half).size == (40, 20)
        with pytest.raises(ImageUnavailableError, match="the file does not exist"):
            PageImage.from_json(page.to_json()).load()


class TestUnavailable:
    def check(self, document, reason):
        for load in (document.load_image, document.image.load, lambda: document.image.load(half)):
            with pytest.raises(ImageUnavailableError) as caught:
                load()
            assert reason in caught.value.reason
            assert document.image.path in str(caught.value)

    @pytest.mark.parametrize("name", ["a.png", "a.pdf"])
    def test_gone(self, tmp_path, picture, pdf, name):
        document = Document(image=PageImage.from_file(tmp_path / name))
        (tmp_path / name).unlink()
        self.check(document, "the file does not exist")

    @pytest.mark.parametrize("name", ["a.png", "a.pdf"])
    def test_changed(self, tmp_path, picture, pdf, name):
        document = Document(image=PageImage.from_file(tmp_path / name))
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b"\n")
        self.check(document, "the file has changed since it was indexed; index it again")

    @pytest.mark.parametrize("name", ["a.png", "a.pdf"])
    def test_replaced_by_a_folder(self, tmp_path, picture, pdf, name):
        document = Document(image=PageImage.from_file(tmp_path / name))
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        self.check(document, "it is not a regular file")

    def test_its_folder_replaced_by_a_file(self, tmp_path):
        document = Document(image=write_picture(tmp_path / "folder" / "a.png"))
        shutil.rmtree(tmp_path / "folder")
        (tmp_path / "folder").write_text("a file")
        self.check(document, "Not a directory")

    def test_replaced_by_a_link_to_itself(self, picture):
        document = Document(image=picture)
        picture.unlink()
        picture.symlink_to(picture.name)
        self.check(document, "symbolic links")

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_not_permitted(self, tmp_path):
        first, second = write_picture(tmp_path / "b" / "a.png"), write_picture(tmp_path / "b.png")
        documents = [Document(image=path) for path in (first, second)]
        (tmp_path / "b").chmod(0)
        second.chmod(0)
        try:
            self.check(documents[0], "Permission denied")
            with pytest.raises(InvalidDocumentError, match="Permission denied"):
                Document(image=second)
        finally:
            (tmp_path / "b").chmod(0o700)

    def test_damaged_behind_its_header(self, tmp_path):
        noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200, 3), np.uint8))
        for name in ("a.png", "a.jpg", "a.tif"):
            path = write_picture(tmp_path / name, noise)
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2] if name != "a.tif" else content[:-60_000])
            try:
                document = Document(image=path)
            except InvalidDocumentError:
                continue  # found out at once
            self.check(document, "damaged")

    def test_a_text_has_none(self):
        with pytest.raises(ImageUnavailableError, match="no image"):
            Document("text", id="a").load_image()

    def test_no_such_page(self, pdf, picture):
        for path, page in [(pdf, 3), (pdf, 0), (pdf, -1), (picture, 2), (picture, 0)]:
            with pytest.raises(ImageUnavailableError, match=f"page {page} is out of range"):
                PageImage.from_file(path, page)


class TestRefused:
    @pytest.fixture(autouse=True)
    def no_network(self, monkeypatch):
        def refuse(*args, **kwargs):
            raise AssertionError("something was fetched")

        monkeypatch.setattr(socket, "socket", refuse)
        monkeypatch.setattr(socket, "create_connection", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)

    @pytest.mark.parametrize(
        "address",
        [
            "https://example.com/a.png",
            "http://127.0.0.1:9/a.png",
            "ftp://example.com/a.png",
            "s3://bucket/a.png",
            "file:///tmp/a.png",
            "HTTPS://EXAMPLE.COM/A.PNG",
            "data:image/png;base64,AAAA",
            "DATA:image/png;base64,AAAA",
            "https://example.com/a.pdf",
        ],
    )
    def test_addresses(self, address):
        with pytest.raises(InvalidDocumentError, match=r"never downloaded|cannot be read"):
            Document(image=address)
        with pytest.raises(ImageUnavailableError):
            PageImage.from_file(address)

    @pytest.mark.parametrize("name", ["a.png", "a.pdf"])
    def test_a_text_is_never_taken_for_a_place(self, picture, pdf, tmp_path, name):
        encoder = ColourEncoder()
        texts = [str(tmp_path / name), "https://example.com/a.png", "data:image/png;base64,AAAA", f"file://{picture}"]
        with Index.open(tmp_path / "index", encoder=encoder) as index:
            index.add(texts)
            index.search(str(picture))
            assert [document.text for document in index.scan()] == texts
            assert all(document.image is None for document in index.scan())
        assert encoder.images_encoded == 0

    @pytest.mark.parametrize(
        "image", [5, b"bytes", np.zeros((4, 4, 3), np.uint8), ["a.png"], {"path": "a.png"}, True, object()]
    )
    def test_other_things(self, image):
        with pytest.raises(InvalidDocumentError, match="image must be"):
            Document(image=image)

    def test_nothing_at_all(self):
        with pytest.raises(InvalidDocumentError, match="needs a text, an image"):
            Document()

    @pytest.mark.parametrize("name", ["gone.png", "", "text.png", ".", "a\0.png", "empty.jpg", "x" * 5000])
    def test_files_that_are_no_image(self, tmp_path, monkeypatch, name):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "text.png").write_text("not an image")
        (tmp_path / "empty.jpg").write_bytes(b"")
        with pytest.raises(InvalidDocumentError, match="image cannot be read"):
            Document(image=name)

    def test_a_pdf_has_pages(self, pdf):
        with pytest.raises(InvalidDocumentError, match=r"PageImage\.from_file\(path, page=1\)"):
            Document(image=pdf)

    @pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)])
    def test_images_without_pixels(self, size):
        with pytest.raises(LateInteractionError):
            Document(image=Image.new("RGB", size))

    def test_images_of_pillow_that_cannot_be_read(self, tmp_path, picture):
        path = write_picture(tmp_path / "noise.png", Image.effect_noise((200, 200), 90))
        path.write_bytes(path.read_bytes()[:5000])
        closed = Image.open(picture)
        closed.close()
        with pytest.raises(InvalidDocumentError):
            Document(image=closed)
        with Image.open(path) as cut_off, pytest.raises(InvalidDocumentError):
            Document(image=cut_off)

    def test_what_is_too_large(self, tmp_path):
        with pytest.raises(InvalidDocumentError, match="too large"):
            Document(image=claimed_png(tmp_path / "a.png", (60_000, 60_000)))

    def test_a_name_that_is_not_utf_8(self, tmp_path):
        """It could not be stored; either it is refused at once, or it must come back from an index."""
        path = os.fsencode(tmp_path) + b"/caf\xe9.png"
        try:
            shutil.copy(write_picture(tmp_path / "a.png"), path)
        except (OSError, UnicodeError):
            pytest.skip("the file system has only UTF-8 names")
        try:
            document = Document(image=os.fsdecode(path), id="a")
        except InvalidDocumentError:
            return
        with Index.open(tmp_path / "index", encoder=ColourEncoder()) as index:
            index.add([document])
            assert index.get(["a"])[0].load_image().size == (40, 20)


class TestMetadata:
    def test_there_and_back(self, picture, pdf):
        for image in (PageImage.from_file(picture), PageImage.from_file(pdf, 2)):
            assert from_metadata(to_metadata(image)) == image
        assert from_metadata({"other": 1}) is None

    @pytest.mark.parametrize("value", [5, "a.png", [], {}, {"path": "/etc/passwd"}, True])
    def test_something_else_under_the_key(self, value):
        with pytest.raises(InvalidDocumentError, match=r"page_image.*PageImage\.from_file"):
            from_metadata({PAGE_IMAGE: value})

    @pytest.mark.parametrize(
        ("key", "value"),
        [("digest", None), ("path", 5), ("page", "1"), ("page", True), ("page", 0), ("width", 0), ("height", -1.0)],
    )
    def test_a_wrong_value(self, picture, key, value):
        with pytest.raises(InvalidDocumentError):
            from_metadata({PAGE_IMAGE: {**PageImage.from_file(picture).to_json(), key: value}})


@pytest.mark.parametrize("change", [{"page": 0}, {"width": 0}, {"height": float("nan")}, {"digest": 5}, {"path": b"a"}])
def test_one_made_by_hand_that_could_not_be_read_again(picture, change):
    with pytest.raises(InvalidDocumentError, match=next(iter(change))):
        Document(image=dataclasses.replace(PageImage.from_file(picture), **change))
