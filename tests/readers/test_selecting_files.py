"""Which files of a folder are read: patterns, git's ignored files, and one warning about the rest."""

from __future__ import annotations

import codecs
import os
import shutil
import subprocess
from pathlib import Path
from types import MappingProxyType

import pytest

from late_interaction import Index
from late_interaction.errors import InvalidDocumentError, InvalidRequestError
from late_interaction.ingestion import update
from late_interaction.readers import read_paths
from tests.fakes import WordEncoder


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(*names, content="x"):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content)


def sources(paths, **options):
    return [document.metadata["source"] for document in read_paths(paths, **options)]


class TestPatterns:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"glob": "*.md"}, ["docs/a.md", "docs/drafts/c.md"]),
            ({"glob": "**/*.md"}, ["docs/a.md", "docs/drafts/c.md"]),
            ({"glob": "/*.md"}, ["docs/a.md"]),
            ({"glob": ["drafts/**", "*.txt"]}, ["docs/b.txt", "docs/drafts/c.md"]),
            ({"exclude": "drafts/**"}, ["docs/a.md", "docs/b.txt"]),
            ({"exclude": "drafts/"}, ["docs/a.md", "docs/b.txt"]),
            ({"exclude": "docs"}, ["docs/a.md", "docs/b.txt", "docs/drafts/c.md"]),
            ({"exclude": ["*.md", "!a.md"]}, ["docs/a.md", "docs/b.txt"]),
            ({"glob": "*.md", "exclude": ["drafts"]}, ["docs/a.md"]),
        ],
    )
    def test_are_relative_to_the_folder_that_is_read(self, options, expected):
        write("docs/a.md", "docs/b.txt", "docs/drafts/c.md")
        assert sources(["docs"], **options) == expected
        assert sources([Path("docs").absolute()], **options) == [str(Path(name).absolute()) for name in expected]

    def test_a_file_that_is_named_is_read_unless_it_is_excluded(self):
        write("a.md", "b.txt")
        assert sources(["a.md", "b.txt"], glob="*.md") == ["a.md", "b.txt"]
        assert sources(["a.md", "b.txt"], exclude="b.*") == ["a.md"]

    @pytest.mark.parametrize(
        ("options", "cause"),
        [
            ({"glob": "*.mdx"}, "glob"),
            ({"exclude": "*"}, "exclude"),
            ({"glob": "b*", "exclude": "*.txt"}, "glob and exclude"),
        ],
    )
    def test_a_folder_of_which_nothing_is_left_is_reported(self, options, cause):
        write("docs/a.md", "docs/b.txt", "other/b.md", "none/x.py")
        skipped = []
        sources(["docs", "none"], **options, on_skip=lambda *args: skipped.append(args))
        assert skipped == [(Path("docs"), f"everything in it is left out by {cause}")]
        with pytest.raises(InvalidDocumentError, match="docs cannot be read: everything in it is left out"):
            sources(["docs"], **options)

    def test_a_wrong_pattern_empties_no_index(self):
        write("docs/a.md", content="Text.")
        with Index.open("index", encoder=WordEncoder()) as index:
            for glob in ("*.md", "*.mdx"):
                skipped = set()
                documents = read_paths(["docs"], glob=glob, on_skip=lambda path, _, skipped=skipped: skipped.add(path))
                assert update(index, documents, roots=["docs"], keep=skipped).deleted == 0

    @pytest.mark.parametrize("options", [{"glob": ""}, {"glob": [""]}, {"exclude": [3]}, {"exclude": "!"}])
    def test_that_are_invalid_are_refused_at_once(self, options):
        with pytest.raises(InvalidRequestError, match=f"{next(iter(options))} .* pattern"):
            read_paths(["."], **options)


@pytest.mark.skipif(shutil.which("git") is None, reason="compares with git")
class TestGit:
    RULES = MappingProxyType(
        {
            ".gitignore": "build/\n*.log.md\n/top.md\n!keep.log.md\nsub/*/deep.md\n# note\n\\#odd.md\ntrailing \n",
            "sub/.gitignore": "local.md\n!top.md\n!build/\n",
            "sub/one/.gitignore": "*\n!only.md\n",
            ".git/info/exclude": "private.md\n",
        }
    )
    FILES = (
        "top.md", "a.md", "a.log.md", "keep.log.md", "private.md", "build/x.md", "#odd.md", "trailing/x.md",
        "sub/top.md", "sub/local.md", "sub/build/x.md", "sub/two/deep.md", "sub/two/a.log.md", "sub/one/only.md",
        "sub/one/other.md", "sub/private.md", "sub/two/build/keep.log.md",
    )  # fmt: skip

    def git(self, *arguments, at="."):
        done = subprocess.run(["git", "-C", at, *arguments], check=True, capture_output=True, text=True)
        return done.stdout

    @pytest.fixture
    def work(self, monkeypatch):
        for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
            monkeypatch.setenv(name, os.devnull)
        self.git("init", "--quiet", "work")
        write(*(f"work/{name}" for name in self.FILES))
        for name, rules in self.RULES.items():
            write(f"work/{name}", content=rules)
        return "work"

    def not_ignored(self, at):
        names = self.git("ls-files", "-z", "--others", "--exclude-standard", at=at).split("\0")
        return sorted(f"{at}/{name}" for name in names if name.endswith(".md"))

    @pytest.mark.parametrize("below", ["", "/sub", "/sub/two"])
    def test_what_git_ignores_is_not_read(self, work, below):
        at = f"{work}{below}"
        assert sorted(sources([at])) == self.not_ignored(at)
        assert len(sources([at], gitignore=False)) == sum(1 for _ in Path(at).rglob("*.md"))

    def test_it_is_counted(self, work, caplog):
        sources([work], exclude="sub")
        assert caplog.messages == ["Files that are not read: 6 ignored by git."]

    def test_a_path_that_is_named_is_read(self, work):
        assert sources(["work/build"]) == ["work/build/x.md"]
        assert sources(["work/top.md"]) == ["work/top.md"]

    def test_a_work_tree_in_a_folder_has_its_own_rules(self, work):
        write("work/sub/inner/top.md", "work/sub/inner/local.md")
        self.git("init", "--quiet", "work/sub/inner")
        inner = [name for name in sources(["work"]) if "/inner/" in name]
        assert inner == ["work/sub/inner/local.md", "work/sub/inner/top.md"]
        assert [name for name in sources(["."]) if "work/build" in name] == []

    def test_rules_outside_of_a_work_tree_do_not_count(self):
        write("a.md", "b.md")
        write(".gitignore", content="a.md")
        assert sources(["."]) == ["a.md", "b.md"]


class TestHostileRules:
    @pytest.fixture(autouse=True)
    def work(self):
        write("a.md", f"{'a' * 200}.md")
        Path(".git").mkdir()

    @pytest.mark.parametrize("pattern", ["*a" * 30 + "*b", "**/a/" * 30 + "b", "[" + "a-" * 999, "\\", "!", "\ud800"])
    def test_patterns(self, pattern, caplog):
        Path(".gitignore").write_bytes(f"{pattern}\na.md\n".encode(errors="surrogatepass"))
        assert sources(["."]) == [f"{'a' * 200}.md"]
        assert len([message for message in caplog.messages if "very many wildcards" in message]) == ("*" in pattern)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_is_not_opened(self):
        os.mkfifo(".gitignore")
        assert len(sources(["."])) == 2

    def test_a_folder_of_that_name(self):
        write(".gitignore/x.md")
        assert len(sources(["."])) == 2


class TestUnread:
    def test_kinds_that_are_not_read_are_told_once(self, caplog):
        write("top/a.md", "top/b.docx", "top/c/b.DOCX", "top/d.png", "top/e.py", "top/Makefile", "top/.hidden.docx")
        assert sources(["top"]) == ["top/a.md"]
        (message,) = caplog.messages
        assert message == (
            "Files that are not read: 2 .docx (save it as PDF, HTML or text), "
            "1 .png (needs an encoder that reads image), 2 of other kinds (without a known suffix, .py)."
        )

    def test_files_with_nothing_to_read(self, caplog):
        write("top/a.md", "top/b.md", "top/c.txt", "top/d.csv", "top/e.html", "top/f.docx")
        for name, content in (("b.md", ""), ("c.txt", " \n\n"), ("d.csv", "a,b\n"), ("e.html", "<p></p>")):
            Path("top", name).write_text(content)
        assert sources(["top"]) == ["top/a.md"]
        assert caplog.messages == [
            "Files that are not read: 1 .docx (save it as PDF, HTML or text), 4 without text or rows."
        ]

    def test_directories_of_indexes(self, caplog):
        write("top/a.md", "top/index/segments/x.md", "top/index/catalog.sqlite", "top/segments/b.md")
        assert sources(["top"]) == ["top/a.md", "top/segments/b.md"]
        assert caplog.messages == []
        with pytest.raises(InvalidDocumentError, match="directory of an index"):
            sources(["top/index"])

    def test_nothing_is_told_if_all_is_read(self, caplog):
        write("top/a.md", "top/b.docx")
        sources(["top"], exclude="*.docx")
        assert caplog.messages == []

    def test_a_file_that_is_named(self):
        write("b.docx")
        with pytest.raises(InvalidRequestError, match=r"not a kind of file .* Save it as PDF, HTML or text\.$"):
            read_paths(["b.docx"])


class TestEncoding:
    def test_of_text_that_is_not_utf_8(self):
        Path("a.txt").write_bytes("Café".encode("cp1252"))
        Path("b.csv").write_bytes("Stadt\nKöln\n".encode("cp1252"))
        assert [d.text for d in read_paths(["a.txt", "b.csv"], encoding="cp1252")] == ["Café", "Stadt: Köln"]
        Path("a.txt").write_bytes("Café".encode("utf-16"))
        assert [d.text for d in read_paths(["a.txt"], encoding="UTF16")] == ["Café"]

    def test_that_the_text_is_not_in(self):
        Path("a.txt").write_bytes(b"\xff")
        skipped = []
        for encoding in ("ascii", "utf-8", "utf-16"):
            list(read_paths(["a.txt"], encoding=encoding, on_skip=lambda _, reason: skipped.append(reason)))
        assert [reason[:12] for reason in skipped] == ["it is not as", "it is not UT", "it is not ut"]

    @pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
    @pytest.mark.parametrize("encoding", [None, "cp1252"])
    @pytest.mark.parametrize(("name", "content"), [("a.txt", "Café"), ("a.html", "<p>Café"), ("a.tsv", "x\ty\nCafé\t")])
    def test_byte_order_marks_decide(self, name, content, mark, encoding):
        Path(name).write_bytes(content.encode(mark))
        assert [d.text.removeprefix("x: ") for d in read_paths([name], encoding=encoding)] == ["Café"]

    def test_the_byte_order_mark_of_big_endian_text(self):
        Path("a.txt").write_bytes(codecs.BOM_UTF16_BE + "Café".encode("utf-16-be"))
        assert [d.text for d in read_paths(["a.txt"])] == ["Café"]

    @pytest.mark.parametrize(
        ("declaration", "encoding"),
        [
            ('<meta charset="iso-8859-1">', "cp1252"),
            ("<META CHARSET=windows-1252>", "cp1252"),
            ('<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">', "cp1252"),
            ('<?xml version="1.0" encoding="iso-8859-1"?>', "cp1252"),
            ('<meta charset="utf-16">', "utf-8"),
            ('<meta charset="no-such-encoding">', "utf-8"),
            ('<meta charset="base64">', "utf-8"),
            ('<meta charset="ascii">', "cp1252"),
        ],
    )
    def test_that_a_web_page_declares(self, declaration, encoding):
        Path("a.html").write_bytes(f"{declaration}<p>Café “x”</p>".encode(encoding))
        assert [d.text for d in read_paths(["a.html"])] == ["Café “x”"]

    def test_a_web_page_that_declares_another_than_its_own(self):
        Path("a.html").write_text('<meta charset="iso-8859-1"><p>Á', "utf-8")  # its second byte is none of cp1252
        assert [d.text for d in read_paths(["a.html"])] == ["Á"]
        Path("a.html").write_text('<meta charset="iso-8859-1"><p>é', "utf-8")
        assert [d.text for d in read_paths(["a.html"], encoding="utf-8")] == ["é"]

    @pytest.mark.parametrize("content", [b"caf\xe9", b"a,b\n\xff\n", b"x\ny\0"])
    @pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.html"])
    def test_advice_to_name_one(self, name, content):
        Path(name).write_bytes(content)
        with pytest.raises(InvalidDocumentError, match=r"pass .* encoding='cp1252' \(--encoding cp1252\)"):
            list(read_paths([name]))

    @pytest.mark.parametrize("encoding", ["utf-9", "base64", "", 3])
    def test_that_does_not_exist(self, encoding):
        with pytest.raises(InvalidRequestError, match="encoding must be"):
            read_paths([], encoding=encoding)
