from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from late_interaction.documents import Document
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.readers import read_paths


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, content):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def sources(documents):
    return [document.metadata["source"] for document in documents]


class TestDocuments:
    def test_markdown(self):
        write("docs/guide.md", "# Guide\n\nIntro.\n\n## Use\n\n### Fast\n\nGo. Went.\n")

        assert list(read_paths(["docs"], max_chars=6)) == [
            Document(
                "Intro.",
                id="docs/guide.md#0",
                metadata={"source": "docs/guide.md", "title": "Guide", "passage": 0},
                encoded_text="Guide\nIntro.",
            ),
            Document(
                "Go.",
                id="docs/guide.md#1",
                metadata={"source": "docs/guide.md", "title": "Guide", "heading": "Use > Fast", "passage": 1},
                encoded_text="Guide > Use > Fast\nGo.",
            ),
            Document(
                "Went.",
                id="docs/guide.md#2",
                metadata={"source": "docs/guide.md", "title": "Guide", "heading": "Use > Fast", "passage": 2},
                encoded_text="Guide > Use > Fast\nWent.",
            ),
        ]

    def test_plain_text_is_titled_by_its_file_name(self):
        write("refund policy.txt", "No refunds.")

        (document,) = read_paths(["refund policy.txt"])

        assert document.metadata == {"source": "refund policy.txt", "title": "refund policy", "passage": 0}
        assert document.encoded_text == "refund policy\nNo refunds."

    def test_without_any_title_the_text_alone_is_encoded(self):
        write(" .txt", "No title.")

        (document,) = read_paths([" .txt"])

        assert document == Document("No title.", id=" .txt#0", metadata={"source": " .txt", "passage": 0})
        assert document.encoded_text is None

    def test_a_title_from_front_matter_stands_above_the_first_heading(self):
        write("a.md", "---\ntitle: T\n---\n# H\nx")

        (document,) = read_paths(["a.md"])

        assert document.metadata["title"] == "T"
        assert document.metadata["heading"] == "H"
        assert document.encoded_text == "T > H\nx"

    def test_windows_line_ends_and_byte_order_mark(self):
        write("a.md", b"\xef\xbb\xbf# Title\r\n\r\nOne\r\ntwo.\r\n\r\nThree.\r\n")

        (document,) = read_paths(["a.md"])

        assert document.metadata["title"] == "Title"
        assert document.text == "One\ntwo.\n\nThree."

    def test_empty_files_give_nothing(self):
        write("a/empty.txt", "")
        write("a/blank.md", " \n\n")
        write("a/bom.html", b"\xef\xbb\xbf")

        assert list(read_paths(["a"])) == []

    def test_ids_stay_when_the_text_changes(self):
        write("a.txt", "One.\n\nTwo.")
        before = [document.id for document in read_paths(["a.txt"], max_chars=5)]
        write("a.txt", "Uno.\n\nDue.")

        after = list(read_paths(["a.txt"], max_chars=5))

        assert [document.id for document in after] == before == ["a.txt#0", "a.txt#1"]
        assert [document.text for document in after] == ["Uno.", "Due."]

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
    @given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff\u00ad-\u2010")))
    @pytest.mark.parametrize("suffix", [".txt", ".rst"])
    def test_no_text_is_lost(self, text, suffix):
        write(f"a{suffix}", text)

        documents = list(read_paths([f"a{suffix}"], max_chars=20))

        if suffix == ".txt":  # in the other format the headings are in the metadata
            assert "".join("".join(d.text for d in documents).split()) == "".join(text.split())
        assert all(d.text.strip() and len(d.text) <= 20 for d in documents)
        assert [d.id for d in documents] == [f"a{suffix}#{number}" for number in range(len(documents))]


class TestWalking:
    def test_folders_in_order_without_hidden_and_other_files(self):
        for name in ["b.txt", "a/z.rst", "a/B.HTML", "c.md", "B/x.text", "d.htm", "e.markdown"]:
            write(f"top/{name}", "x")
        for name in [".hidden.md", ".git/x.md", "a/image.png", "README", "a/.x/y.txt"]:
            write(f"top/{name}", "no")

        names = ["B/x.text", "a/B.HTML", "a/z.rst", "b.txt", "c.md", "d.htm", "e.markdown"]
        assert sources(read_paths(["top"])) == [f"top/{name}" for name in names]
        assert list(read_paths(["top"])) == list(read_paths(["top"]))

    def test_paths_stay_as_given(self, folder):
        write("a/x.txt", "x")

        assert sources(read_paths([folder / "a"])) == [(folder / "a/x.txt").as_posix()]
        assert sources(read_paths(["./a"])) == ["a/x.txt"]
        assert sources(read_paths(["."])) == ["a/x.txt"]

    def test_hidden_paths_can_be_named(self):
        write(".notes/a.txt", "x")
        write(".b.md", "x")

        assert sources(read_paths([".notes", Path(".b.md")])) == [".notes/a.txt", ".b.md"]

    def test_no_file_is_read_twice(self):
        write("a/x.txt", "x")
        write("a/y.txt", "y")

        assert sources(read_paths(["a/y.txt", "a", "./a/x.txt"])) == ["a/y.txt", "a/x.txt"]

    def test_links_are_followed_but_not_in_circles(self):
        write("top/a/x.txt", "x")
        write("top/y.txt", "y")
        write("elsewhere/z.txt", "z")
        Path("top/a/up").symlink_to(Path("top").absolute())
        Path("top/self").symlink_to("self")
        Path("top/out").symlink_to(Path("elsewhere").absolute())
        Path("elsewhere/back").symlink_to(Path("top/a").absolute())
        Path("top/above").symlink_to("..")

        # `out/back` leads to a folder beside `out`, and from there `up` would lead back to where it all began.
        assert sources(read_paths(["top"])) == ["top/a/x.txt", "top/out/back/x.txt", "top/out/z.txt", "top/y.txt"]

    def test_folders_that_link_to_each_other(self):
        write("a/x.txt", "x")
        write("b/y.txt", "y")
        Path("a/b").symlink_to(Path("b").absolute())
        Path("b/a").symlink_to(Path("a").absolute())

        assert sources(read_paths(["a"])) == ["a/b/y.txt", "a/x.txt"]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_pipes_are_not_opened(self):
        write("a/x.txt", "x")
        os.mkfifo("a/pipe.txt")

        assert sources(read_paths(["a"])) == ["a/x.txt"]
        with pytest.raises(InvalidRequestError, match="neither a file nor a folder"):
            read_paths(["a/pipe.txt"])


class TestRequests:
    @pytest.mark.parametrize(
        ("path", "message"),
        [
            ("gone.txt", r"^gone\.txt does not exist\.$"),
            ("x.txt/y.md", "does not exist"),
            ("image.bmp", r"^image\.bmp is not a kind of file that can be read: \.txt \.text \.md "),
            ("image.png", r"^image\.png needs an encoder that reads image, and modalities=\['image'\]"),
            ("README", "not a kind of file"),
            ("", "A path is empty"),
            ("a\0.txt", "cannot be read"),
        ],
    )
    def test_a_wrong_path_is_an_error_before_anything_is_read(self, path, message):
        for name in ["x.txt", "image.bmp", "image.png", "README"]:
            write(name, "x")

        with pytest.raises(InvalidRequestError, match=message):
            read_paths(["x.txt", path], on_skip=lambda path, reason: None)

    @pytest.mark.parametrize("paths", ["docs", Path("docs")])
    def test_a_single_path_is_refused(self, paths):
        with pytest.raises(InvalidRequestError, match="list of paths"):
            read_paths(paths)

    def test_a_size_below_one_is_refused(self):
        with pytest.raises(InvalidRequestError, match="max_chars"):
            read_paths([], max_chars=0)


class TestUnreadable:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"caf\xe9", "it is not UTF-8 (unexpected end of data at byte 3)"),
            (b"a\0b", "it has NUL bytes: it is binary, or not UTF-8"),
            ("text".encode("utf-16-le"), "it has NUL bytes: it is binary, or not UTF-8"),
            (b"\xff\xfea", "it is not utf-16 (truncated data at byte 2)"),
        ],
    )
    def test_content(self, content, reason):
        write("a/1.txt", "one")
        write("a/2.txt", content)
        write("a/3.txt", "three")
        reason += (
            "; if it is text in another encoding, pass the name of that, such as encoding='cp1252' (--encoding cp1252)"
        )
        skipped = []

        documents = list(read_paths(["a"], on_skip=lambda path, reason: skipped.append((path, reason))))

        assert sources(documents) == ["a/1.txt", "a/3.txt"]
        assert skipped == [(Path("a/2.txt"), reason)]
        reading = read_paths(["a"])
        assert next(reading).text == "one"
        with pytest.raises(InvalidDocumentError) as caught:
            next(reading)
        assert str(caught.value).startswith(f"a/2.txt cannot be read: {reason}.")

    def test_dangling_link(self):
        write("a/x.txt", "x")
        Path("a/gone.md").symlink_to("nowhere.md")
        Path("a/gone").symlink_to("nowhere")  # of no kind that would be read
        skipped = []

        assert sources(read_paths(["a"], on_skip=lambda *args: skipped.append(args))) == ["a/x.txt"]
        assert skipped == [(Path("a/gone.md"), "No such file or directory")]

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
    def test_permissions(self):
        write("a/x.txt", "x").chmod(0)
        write("a/b/y.txt", "y")
        write("a/z.txt", "z")
        Path("a/b").chmod(0)
        skipped = []
        try:
            assert sources(read_paths(["a"], on_skip=lambda *args: skipped.append(args))) == ["a/z.txt"]
            with pytest.raises(InvalidDocumentError, match=r"^a/b cannot be read: Permission denied\."):
                list(read_paths(["a"]))
        finally:
            Path("a/b").chmod(0o700)
        assert skipped == [(Path("a/b"), "Permission denied"), (Path("a/x.txt"), "Permission denied")]

    def test_an_unreadable_folder_is_reported(self, monkeypatch):
        # As `test_permissions`, for those who run tests as root.
        write("a/b/y.txt", "y")
        write("a/z.txt", "z")
        listdir = os.listdir

        def deny(path):
            if Path(path) == Path("a/b"):
                raise PermissionError(13, "Permission denied")
            return listdir(path)

        monkeypatch.setattr(os, "listdir", deny)
        skipped = []

        assert sources(read_paths(["a"], on_skip=lambda *args: skipped.append(args))) == ["a/z.txt"]
        assert skipped == [(Path("a/b"), "Permission denied")]

    def test_a_name_that_is_not_utf_8(self):
        name = os.fsdecode(b"a/caf\xe9.txt")
        try:
            write(name, "x")
        except (OSError, UnicodeError):
            pytest.skip("the file system has only UTF-8 names")
        skipped = []

        assert list(read_paths(["a"], on_skip=lambda *args: skipped.append(args))) == []
        assert skipped == [(Path(name), "its name is not valid UTF-8")]
        with pytest.raises(InvalidDocumentError, match=r"^a/caf\\udce9\.txt cannot be read"):
            list(read_paths(["a"]))


def test_one_file_at_a_time():
    write("a/1.txt", "one")
    write("a/2.txt", "two")
    reading = read_paths(["a"])
    next(reading)
    write("a/2.txt", "changed before it was its turn")

    assert next(reading).text == "changed before it was its turn"
