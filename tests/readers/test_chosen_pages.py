"""Pages that are chosen, pages that are equal, and pages behind a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from late_interaction import Index
from late_interaction.errors import ImageUnavailableError, InvalidRequestError
from late_interaction.images import pdf
from late_interaction.ingestion import Changes, update
from late_interaction.readers import read_paths
from tests import pdfs
from tests.fakes import ColourEncoder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pdf, "_passwords", {})


def write(name, *words, **options):
    return pdfs.write_pdf(Path(name), [pdfs.Page(pdfs.text(word, 20, 50), (200, 100)) for word in words], **options)


def pages(*paths, **options):
    options = {"modalities": ["image"], **options}
    return [(document.metadata["source"], document.metadata["page"]) for document in read_paths(paths, **options)]


class TestRanges:
    @pytest.mark.parametrize(
        ("ranges", "expected"),
        [
            ("2", [2]),
            ("1-2,4", [1, 2, 4]),
            ("3-", [3, 4]),
            ("-2", [1, 2]),
            (" 4 , 1 - 1,1-2 ", [1, 2, 4]),
            ("4-99", [4]),
        ],
    )
    @pytest.mark.parametrize("modality", ["image", "text"])
    def test_of_a_pdf(self, ranges, expected, modality):
        write("a.pdf", *"abcd")
        documents = list(read_paths(["a.pdf"], pages=ranges, modalities=[modality]))
        assert [document.metadata["page"] for document in documents] == expected
        assert [document.text for document in documents] == ["abcd"[page - 1] for page in expected]

    def test_of_a_tiff(self):
        first, *others = [Image.new("RGB", (9, 9), color) for color in ("red", "green", "blue")]
        first.save("a.tiff", save_all=True, append_images=others)
        assert pages("a.tiff", pages="2-") == [("a.tiff", 2), ("a.tiff", 3)]

    def test_by_file(self):
        for name in ("x/a.pdf", "x/b.pdf"):
            Path(name).parent.mkdir(exist_ok=True)
            write(name, *"abc")
        assert pages("x", pages={"b.pdf": "2"}) == [*(("x/a.pdf", page) for page in (1, 2, 3)), ("x/b.pdf", 2)]

    def test_that_a_file_does_not_have(self):
        write("a.pdf", "a", "b")
        write("b.pdf", "a")
        skipped = []
        assert pages("a.pdf", "b.pdf", pages="3-4,9-", on_skip=lambda _, reason: skipped.append(reason)) == []
        assert skipped == [f"it has {number}, so none of the pages 3-4,9-" for number in ("2 pages", "1 page")]

    @pytest.mark.parametrize("ranges", ["", "0", "0-2", "3-2", "a", "1;2", "1,,2", "-", "1-2-3", "1 2", 3, {"a": 1}])
    def test_that_are_malformed(self, ranges):
        with pytest.raises(InvalidRequestError, match="pages must be"):
            read_paths([], pages=ranges)

    def test_pages_that_are_no_longer_chosen_leave_the_index(self):
        write("a.pdf", *"abcd")
        with Index.open("index", encoder=ColourEncoder()) as index:
            for ranges, changes in [(None, Changes(4, 0, 0)), ("3", Changes(0, 1, 3)), ("2-3", Changes(1, 1, 0))]:
                documents = read_paths(["a.pdf"], modalities=["image"], pages=ranges)
                assert update(index, documents, roots=["a.pdf"]) == changes


class TestEqualPages:
    def test_become_one(self):
        write("a.pdf", "", "a", "", "b", "a", "")
        (blank, a, b) = read_paths(["a.pdf"], modalities=["image"], fold_equal_pages=True)
        assert [(d.id, d.metadata.get("pages")) for d in (blank, a, b)] == [
            ("a.pdf#page=1", [1, 3, 6]),
            ("a.pdf#page=2", [2, 5]),
            ("a.pdf#page=4", None),
        ]
        assert len(pages("a.pdf")) == 6

    def test_of_a_tiff(self):
        first, *others = [Image.new("RGB", (9, 9), color) for color in ("red", "green", "red")]
        first.save("a.tiff", save_all=True, append_images=others)
        documents = read_paths(["a.tiff"], modalities=["image"], fold_equal_pages=True)
        assert [document.metadata.get("pages") for document in documents] == [[1, 3], None]

    def test_they_leave_an_index_and_come_back_without_being_encoded_twice(self):
        write("a.pdf", "", "a", "")
        encoder = ColourEncoder()
        with Index.open("index", encoder=encoder) as index:
            for fold, changes in [(True, Changes(2, 0, 0)), (False, Changes(1, 1, 0, 1)), (True, Changes(0, 1, 1, 1))]:
                documents = read_paths(["a.pdf"], modalities=["image"], fold_equal_pages=fold)
                assert update(index, documents, roots=["a.pdf"]) == changes
            assert index.count(where={"pages": {"$contains": 3}}) == 1


class TestPasswords:
    SECRET = ("opensesame", "owner")

    @pytest.mark.parametrize("passwords", ["opensesame", {"a.pdf": "opensesame"}, {"x/a.pdf": "opensesame"}])
    @pytest.mark.parametrize("modality", ["image", "text"])
    def test_open_a_pdf(self, passwords, modality):
        Path("x").mkdir()
        write("x/a.pdf", "words", passwords=self.SECRET)
        write("x/b.pdf", "open")
        texts = [document.text for document in read_paths(["x"], passwords=passwords, modalities=[modality])]
        assert texts == ["words", "open"]

    @pytest.mark.parametrize(
        ("passwords", "reason"),
        [(None, "it is encrypted; read it with its password"), ("wrong", "it is encrypted, and the password is wrong")],
    )
    def test_that_are_missing_or_wrong(self, passwords, reason):
        write("a.pdf", "words", passwords=self.SECRET)
        write("b.pdf", "open")
        skipped = []
        options = {"passwords": passwords, "on_skip": lambda _, why: skipped.append(why)}
        assert pages("a.pdf", "b.pdf", **options) == [("b.pdf", 1)]
        assert [why[: len(reason)] for why in skipped] == [reason]

    @pytest.mark.parametrize("keep_images", [False, True])
    def test_are_not_stored(self, keep_images):
        write("a.pdf", "words", passwords=self.SECRET)
        with Index.open("index", encoder=ColourEncoder()) as index:
            options = {"passwords": "opensesame", "keep_images": keep_images}
            update(index, read_paths(["a.pdf"], modalities=["image"], **options))
            (hit,) = index.search("white", k=1)
            assert hit.document.load_image().size == (400, 200)
        assert not [path for path in Path("index").rglob("*") if path.is_file() and b"opensesame" in path.read_bytes()]
        pdf._passwords.clear()  # as in another process
        with Index.open("index", encoder=ColourEncoder()) as index:
            (document,) = index.scan()
            if keep_images:
                assert document.load_image().size == (400, 200)
            else:
                with pytest.raises(ImageUnavailableError, match="an index stores no passwords"):
                    document.load_image()

    @pytest.mark.parametrize("passwords", [3, {"a.pdf": 3}, ["x"]])
    def test_that_are_malformed(self, passwords):
        with pytest.raises(InvalidRequestError, match="passwords must be"):
            read_paths([], passwords=passwords)
