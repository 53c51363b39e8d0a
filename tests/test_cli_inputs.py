"""What the command `index` reads: chosen files, their metadata and pages, and JSON lines."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from late_interaction import Document, Index
from late_interaction.cli import app
from tests.fakes import ColourEncoder, ShortEncoder
from tests.pdfs import Page, text, write_pdf
from tests.pictures import write_picture
from tests.test_cli import call, fail, load_with, succeed
from tests.test_cli_maintenance import encoder, folder, tree, watched  # noqa: F401  # fixtures

LINES = [
    {"id": "a", "text": "The Nile.", "metadata": {"km": 6650}},
    {"id": "b", "text": "The Elbe.", "encoded_text": "River: Elbe"},
    {"text": "Without an id."},
]


def write_lines(path, rows):
    Path(path).write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")


def stored():
    """Texts by source, or by id where there is none."""
    with Index.open("my-index", read_only=True) as index:
        return [document.metadata.get("source", document.id) for document in index.scan()]


def run(*arguments, stdin=None):
    done = CliRunner().invoke(app, ["index", *arguments, "--index", "my-index"], input=stdin, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


class TestChosenFiles:
    def test_glob_and_exclude(self, folder, watched):  # noqa: F811
        done = run("docs", "--glob", "*.md", "--glob", "*.html", "--exclude", "page.*")
        assert "2 passages added" in done.stdout
        assert set(stored()) == {"docs/rivers.md"}
        assert "2/2 passages" in done.stderr  # the total is that of the chosen files

    def test_a_blank_pattern(self, folder):  # noqa: F811
        said = fail("index", "docs", "--index", "my-index", "--glob", "")
        assert said == "Error: glob must be a pattern such as '*.md', got ''.\n"

    def test_what_is_left_out_later_is_kept_and_said(self, folder, encoder):  # noqa: F811
        run("docs")
        before = encoder.encoded[:]
        done = run("docs", "--glob", "*.md")
        assert "0 passages added or replaced, 2 unchanged, 0 deleted" in done.stdout
        assert "Passages of 2 indexed files that exist and were left out are kept" in done.stdout
        assert len(stored()) == 4
        Path("docs/page.html").unlink()  # removed, so its passages are deleted whatever is chosen
        assert "1 deleted" in run("docs", "--exclude", "*.txt").stdout
        assert encoder.encoded == before

    def test_gitignore(self, folder):  # noqa: F811
        subprocess.run(["git", "init", "-q", "."], check=True)
        Path(".gitignore").write_text("deep/\n")
        assert "3 passages added" in run("docs").stdout
        assert "4 documents" in run("docs", "--no-gitignore").stdout

    def test_kinds_that_are_not_read_are_named(self, folder):  # noqa: F811
        Path("docs/letter.docx").write_bytes(b"PK")
        assert "1 .docx" in run("docs").stderr

    def test_encoding(self, folder):  # noqa: F811
        Path("old.txt").write_text("Grüße aus Köln", "cp1252")
        assert "1 file skipped" in run("old.txt").stdout
        run("old.txt", "--encoding", "cp1252")
        with Index.open("my-index", read_only=True) as index:
            assert [document.text for document in index.scan()] == ["Grüße aus Köln"]

    def test_metadata(self, folder):  # noqa: F811
        Path("years.csv").write_text("source,year\nrivers.md,2020\n")
        run("docs", "--metadata", "years.csv")
        rows = json.loads(succeed("list", "my-index", "--where", '{"year": 2020}', "--json").stdout)
        assert rows == [{"source": "docs/rivers.md", "documents": 2}]
        Path("years.csv").write_text("source,year\ngone.md,2020\n")
        assert "metadata names 1 file that cannot be found: gone.md" in run("docs", "--metadata", "years.csv").stderr

    def test_pages(self, folder, watched):  # noqa: F811
        write_pdf(folder / "a.pdf", [Page(text(word)) for word in ("one", "two", "three")])
        done = run("a.pdf", "--pages", "2-", "--password", "secret")
        assert "2/2 passages" in done.stderr
        with Index.open("my-index", read_only=True) as index:
            assert [document.metadata["page"] for document in index.scan()] == [2, 3]
        assert "1 deleted" in run("a.pdf", "--pages", "2").stdout  # as the help says
        assert "pages must be" in fail("index", "a.pdf", "--index", "my-index", "--pages", "x")


class TestJsonLines:
    def test_from_a_file(self, folder, encoder, watched):  # noqa: F811
        write_lines("all.jsonl", LINES)
        done = run("all.jsonl")
        assert "3 passages added or replaced, 0 unchanged" in done.stdout
        assert "3/3 documents" in done.stderr
        with Index.open("my-index", read_only=True) as index:
            assert list(index.scan()) == [
                Document(row.get("text"), **{k: v for k, v in row.items() if k != "text"}) for row in LINES
            ]
        encoder.encoded.clear()
        assert "0 passages added or replaced, 3 unchanged" in run("all.jsonl").stdout
        assert encoder.encoded == []

    def test_from_standard_input_beside_files(self, folder):  # noqa: F811
        done = run("docs/rivers.md", "-", stdin="".join(f"{json.dumps(row)}\n" for row in LINES))
        assert "5 passages added" in done.stdout
        assert "0 deleted" in run("docs/rivers.md").stdout  # files never delete them
        assert len(stored()) == 5

    def test_an_export_is_read_again(self, folder):  # noqa: F811
        run("docs")
        exported = succeed("export", "my-index").stdout
        shutil.rmtree("my-index")
        run("-", stdin=exported)
        assert succeed("export", "my-index").stdout == exported

    @pytest.mark.parametrize("edit", [("Rivers", "Streams"), ('"passage"', '"edited": true, "passage"')])
    def test_an_edited_export_remains_of_its_files(self, folder, edit):  # noqa: F811
        run("docs")
        run("-", stdin=succeed("export", "my-index").stdout.replace(*edit))
        done = run("docs")
        assert done.stderr.count("Skipped") == 0
        assert "4 documents" in done.stdout
        Path("docs/page.html").unlink()
        assert "1 deleted" in run("docs").stdout

    def test_a_document_with_the_id_of_a_passage_is_of_no_file(self, folder):  # noqa: F811
        run("docs")
        run("-", stdin=json.dumps({"id": "docs/page.html#0", "text": "mine"}))
        Path("docs/page.html").unlink()
        assert "0 deleted" in run("docs").stdout

    def test_pages_are_exported_and_read_again(self, tmp_path, monkeypatch):
        class Colours(ColourEncoder):
            source, revision = "minilm", None

        monkeypatch.chdir(tmp_path)
        load_with(monkeypatch, lambda *_, **__: Colours())
        page = Document("red", image=write_picture(tmp_path / "a.png"), id="page")
        with Index.open("first", encoder=Colours()) as index:
            index.add([page])
        run("-", stdin=succeed("export", "first").stdout)
        with Index.open("my-index", read_only=True) as index:
            assert list(index.scan()) == [page]

    def test_a_bad_line_is_named(self, folder):  # noqa: F811
        Path("bad.jsonl").write_text('{"text": "good"}\n{"txt": "bad"}\n')
        assert "bad.jsonl: Line 2 has the unknown key 'txt'" in fail("index", "bad.jsonl", "--index", "my-index", "-q")

    def test_an_id_twice_in_batches_far_apart(self, folder):  # noqa: F811
        write_lines("all.jsonl", [{"id": str(number % 600), "text": f"x{number}"} for number in range(601)])
        message = fail("index", "all.jsonl", "--index", "my-index", "-q")
        assert "all.jsonl: Document 601 has the id '0', which occurs before. The first 512 documents were" in message
        assert len(stored()) == 512
        message = fail("index", "all.jsonl", "--index", "other", "-q", "--dry-run")
        assert "None of its documents was added" in message

    def test_an_id_twice_in_a_batch(self, folder):  # noqa: F811
        rows = "".join(f"{json.dumps({'id': name, 'text': name})}\n" for name in "aba")
        Path("all.jsonl").write_text(rows)
        message = fail("index", "all.jsonl", "--index", "my-index", "-q")
        assert "all.jsonl: Document 3 has the id 'a', which occurs before. None of its documents was added" in message
        assert stored() == []

    @pytest.mark.parametrize(
        "option",
        [
            ("--glob", "*.md"),
            ("--exclude", "*.md"),
            ("--no-gitignore",),
            ("--encoding", "cp1252"),
            ("--metadata", "years.csv"),
            ("--password", "secret"),
            ("--pages", "1"),
            ("--fold-equal-pages",),
            ("--keep-images",),
            ("--allow-empty",),
        ],
    )
    def test_options_of_files_are_refused_without_files(self, folder, option):  # noqa: F811
        write_lines("all.jsonl", LINES)
        message = fail("index", "all.jsonl", "--index", "my-index", *option, code=2)
        assert f"Invalid value for {option[0]}: applies to files and folders" in " ".join(message.split())
        assert not Path("my-index").exists()

    def test_a_missing_file(self, folder):  # noqa: F811
        assert "all.jsonl does not exist" in fail("index", "all.jsonl", "--index", "my-index")
        assert not Path("my-index").exists()

    def test_a_dry_run(self, folder):  # noqa: F811
        write_lines("all.jsonl", LINES)
        run("all.jsonl")
        before = tree("my-index")
        write_lines("all.jsonl", [*LINES, {"text": "new"}])
        done = run("all.jsonl", "--dry-run")
        assert "encode 1  all.jsonl\nDry run: 1 to encode, 3 unchanged, 0 to delete" in done.stdout
        assert tree("my-index") == before


class TestLengths:
    @pytest.fixture
    def loaded(self, folder, monkeypatch):  # noqa: F811
        """The options with which encoders are loaded."""
        options = []

        class Short(ShortEncoder):
            source, revision = "minilm", None

        def load(name, **given):
            options.append((name, given))
            return Short()

        load_with(monkeypatch, load)
        return options

    def test_reach_the_encoder(self, loaded):
        run("docs", "--query-length", "64", "--document-length", "300")
        assert loaded == [("minilm", {"query_length": 64, "document_length": 300})]
        loaded.clear()
        run("docs", "--document-length", "300")
        assert loaded == [("minilm", {"document_length": 300})]

    def test_what_is_truncated_is_said_once_in_one_line(self, loaded):
        rows = [{"id": str(number), "text": "word " * 50} for number in range(600)]
        write_lines("all.jsonl", rows)
        said = run("all.jsonl", "--quiet").stderr
        assert said.startswith("Warning: 600 documents are longer than the encoder reads")
        assert said.count("longer than") == 1
        assert ".py" not in said


def test_options_of_a_dry_run_and_a_moved_root_exclude_each_other(folder):  # noqa: F811
    assert "--root" in fail("index", "docs", "--index", "my-index", "--dry-run", "--root", "x", code=2)
    assert call("index", "docs", "--index", "my-index", "--dry-run").exit_code == 0
