"""The command line: what it prints where, what it encodes, and how it fails."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import late_interaction
from late_interaction import Index
from late_interaction.cli import app
from tests.fakes import WordEncoder

PAGES = {
    "docs/rivers.md": "# Rivers\n\nThe Nile flows through eleven countries.\n\n# Lakes\n\nLake Victoria feeds it.\n",
    "docs/deep/cities.txt": "Paris is the capital of France.\n",
    "docs/page.html": "<html><title>Bread</title><body><p>Baguettes are baked in the morning.</p></body></html>",
}


class Counting:
    """The offline encoder, with a list of the passages it has encoded."""

    source, revision = "minilm", None

    def __init__(self, encoder):
        self._encoder = encoder
        self.encoded = []

    def __getattr__(self, name):
        return getattr(self._encoder, name)

    def encode_documents(self, texts):
        self.encoded += texts
        return self._encoder.encode_documents(texts)


@pytest.fixture
def encoder(minilm, monkeypatch):
    """The encoder that the commands load, loaded once for all tests."""
    counting = Counting(minilm)

    def load(name, **_):
        assert name == "minilm"
        return counting

    load_with(monkeypatch, load)
    return counting


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with `PAGES`."""
    monkeypatch.chdir(tmp_path)
    write_pages(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def made(minilm, tmp_path_factory):
    """What `index docs --index my-index` makes; tests take a copy."""
    folder = tmp_path_factory.mktemp("made")
    write_pages(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        load_with(patch, lambda *_, **__: Counting(minilm))
        succeed("index", "docs", "--index", "my-index")
    moved = folder.with_name("moved")  # so that copies follow the folder that they are in
    folder.rename(moved)
    return moved / "my-index"


@pytest.fixture
def indexed(made, folder, encoder):
    """The current folder, with `PAGES` and an index of them."""
    shutil.copytree(made, folder / "my-index")
    return folder


def load_with(patch, load):
    patch.setattr("late_interaction.index_encoder.shared_encoder", load)


def write_pages(folder):
    for name, content in PAGES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")


def call(*arguments):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def succeed(*arguments):
    done = call(*arguments)
    assert done.exit_code == 0, done.stderr
    return done


def fail(*arguments, code=1):
    """The one line of the error."""
    done = call(*arguments)
    assert done.exit_code == code
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def search(*arguments):
    return json.loads(succeed("search", "my-index", *arguments, "--json").stdout)


class TestIndex:
    def test_indexes_a_folder(self, folder, encoder):
        done = succeed("index", "docs", "--index", "my-index")
        assert "4 passages added" in done.stdout
        assert "0 files skipped" in done.stdout
        assert done.stderr == ""  # the progress bar is for terminals
        assert len(encoder.encoded) == 4
        with Index.open("my-index", read_only=True) as index:
            assert {document.metadata["source"] for document in index.scan()} == set(PAGES)
            assert index.info()["encoder"]["source"] == "minilm"

    def test_second_run_encodes_nothing(self, indexed, encoder):
        done = succeed("index", "docs", "--index", "my-index")
        assert "0 passages added or replaced, 4 unchanged, 0 deleted" in done.stdout
        assert encoder.encoded == []

    def test_only_changed_passages_are_encoded(self, indexed, encoder):
        page = indexed / "docs/rivers.md"
        page.write_text(page.read_text("utf-8").replace("Victoria", "Tana"), "utf-8")
        done = succeed("index", "docs", "--index", "my-index")
        assert "1 passage added or replaced, 3 unchanged, 0 deleted" in done.stdout
        assert len(encoder.encoded) == 1
        assert "Tana" in encoder.encoded[0]
        assert search("Victoria", "--mode", "lexical") == []

    def test_what_a_shrunken_file_no_longer_holds_is_gone(self, indexed, encoder):
        page = indexed / "docs/rivers.md"
        page.write_text(page.read_text("utf-8").split("# Lakes")[0], "utf-8")
        done = succeed("index", "docs", "--index", "my-index")
        assert "0 passages added or replaced, 3 unchanged, 1 deleted" in done.stdout
        assert encoder.encoded == []
        assert search("Victoria", "--mode", "lexical") == []
        assert len(search("Victoria", "-k", "10")) == 3

    def test_what_an_emptied_file_no_longer_holds_is_gone(self, indexed):
        (indexed / "docs/rivers.md").write_text("\n", "utf-8")
        succeed("index", "docs", "--index", "my-index")
        assert search("Victoria", "--mode", "lexical") == []
        assert len(search("Victoria", "-k", "10")) == 2

    def test_what_a_deleted_file_held_is_gone(self, indexed):
        (indexed / "docs/rivers.md").unlink()
        assert "2 deleted" in succeed("index", "docs", "--index", "my-index").stdout
        assert search("Victoria", "--mode", "lexical") == []
        assert len(search("Victoria", "-k", "10")) == 2

    @pytest.mark.parametrize("spelling", ["./docs", "docs/", "."])
    def test_the_same_folder_by_another_name_is_the_same(self, indexed, spelling):
        done = succeed("index", spelling, "--index", "my-index")
        assert "0 passages added or replaced, 4 unchanged, 0 deleted" in done.stdout

    def test_a_file_that_cannot_be_read_any_more_keeps_its_passages(self, indexed):
        (indexed / "docs/rivers.md").write_bytes(b"\xff\xfe\x00binary")
        done = succeed("index", "docs", "--index", "my-index")
        assert "0 deleted; 1 file skipped" in done.stdout
        assert len(search("Victoria", "--mode", "lexical")) == 1

    def test_a_folder_that_cannot_be_read_any_more_keeps_its_passages(self, indexed, monkeypatch):
        def listdir(path):
            if Path(path).name == "deep":
                raise PermissionError(13, "Permission denied")
            return listed(path)

        listed = os.listdir
        monkeypatch.setattr(os, "listdir", listdir)
        done = succeed("index", "docs", "--index", "my-index")
        assert "Skipped docs/deep: Permission denied" in done.stderr
        assert "0 deleted" in done.stdout
        assert len(search("France", "--mode", "lexical")) == 1

    def test_other_sources_stay(self, indexed):
        (indexed / "more.txt").write_text("The Elbe flows north.\n", "utf-8")
        done = succeed("index", "more.txt", "--index", "my-index")
        assert "The index contains 5 documents." in " ".join(done.stdout.split())

    def test_unreadable_file_is_skipped_with_a_report(self, folder, encoder):
        (folder / "docs/broken.txt").write_bytes(b"\xff\xfe\x00binary")
        done = succeed("index", "docs", "--index", "my-index")
        assert "Skipped docs/broken.txt: " in done.stderr
        assert "broken.txt" not in done.stdout
        assert "4 passages added" in done.stdout
        assert "1 file skipped" in done.stdout

    def test_missing_path(self, folder, encoder):
        assert "nowhere does not exist" in fail("index", "docs", "nowhere", "--index", "my-index")
        assert encoder.encoded == []
        assert not Path("my-index").exists()  # a mistyped path makes no index

    def test_file_of_another_kind(self, folder, encoder):
        Path("image.png").write_bytes(b"")
        assert "image.png" in fail("index", "image.png", "--index", "my-index")

    def test_encoder_that_is_not_there(self, folder):
        assert "no folder" in fail("index", "docs", "--index", "my-index", "--encoder", "./nowhere")
        assert not Path("my-index").exists()

    def test_index_of_another_encoder(self, folder):
        with Index.open("my-index", encoder=WordEncoder()) as index:
            index.add(["one"])
        assert "encoder" in fail("index", "docs", "--index", "my-index")

    def test_index_that_is_being_written(self, indexed, encoder):
        with Path("my-index/writer.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as another process does
            assert "open for writing" in fail("index", "docs", "--index", "my-index")
            assert len(search("Nile", "-k", "2")) == 2  # reading goes on


class TestSearch:
    @pytest.mark.parametrize(("mode", "k"), [("late", 3), ("late", 9), ("hybrid", 1)])
    def test_json_is_the_hits_of_the_index(self, indexed, encoder, mode, k):
        rows = search("Where are loaves made?", "-k", str(k), "--mode", mode)
        with Index.open("my-index", encoder=encoder, read_only=True) as index:
            hits = index.search("Where are loaves made?", k, mode=mode)
        assert [list(row) for row in rows] == [["id", "score", "relevance", "text", "metadata"]] * min(k, 4)
        assert [row["id"] for row in rows] == [hit.id for hit in hits]
        assert [row["text"] for row in rows] == [hit.text for hit in hits]
        assert [row["metadata"] for row in rows] == [hit.metadata for hit in hits]
        assert [row["score"] for row in rows] == pytest.approx([hit.score for hit in hits], abs=1e-4)
        assert [row["relevance"] for row in rows] == pytest.approx([hit.relevance for hit in hits], abs=1e-4)
        assert rows[0]["metadata"]["source"] == "docs/page.html"

    def test_where(self, indexed):
        rows = search("capital", "-k", "9", "--where", '{"source": {"$in": ["docs/rivers.md", "docs/page.html"]}}')
        assert {row["metadata"]["source"] for row in rows} == {"docs/rivers.md", "docs/page.html"}
        assert len(rows) == 3
        assert search("capital", "--where", '{"source": "nowhere"}') == []

    def test_lexical(self, indexed):
        assert [row["text"] for row in search("capital", "--mode", "lexical")] == ["Paris is the capital of France."]

    def test_blank_query(self, indexed):
        assert search(" ") == []
        assert "No hits" in succeed("search", "my-index", " ").stdout

    def test_for_people(self, indexed):
        shown = succeed("search", "my-index", "French capital", "-k", "1").stdout
        assert "docs/deep/cities.txt#0" in shown
        assert "Paris is the **capital** of" in shown
        shown = succeed("search", "my-index", "capital", "--mode", "lexical").stdout
        assert "Paris is the capital of France." in shown

    def test_markup_in_texts_is_text(self, folder, encoder):
        Path("m.txt").write_text("A [bold red]bracket[/] and [/closing] :smile:\n", "utf-8")
        succeed("index", "m.txt", "--index", "my-index")
        assert "[bold red]" in succeed("search", "my-index", "xylophone").stdout
        assert "[/closing] :smile:" in succeed("search", "my-index", "and", "--mode", "lexical").stdout

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--where", "{"], "--where must be valid JSON"),
            (["--where", '["source"]'], "must be a dict"),
            (["--where", '{"source": {"$like": "x"}}'], "$like"),
        ],
    )
    def test_bad_filter(self, indexed, arguments, message):
        assert message in fail("search", "my-index", "capital", "--json", *arguments)

    @pytest.mark.parametrize("arguments", [["-k", "0"], ["--mode", "dense"], ["--nonsense"]])
    def test_bad_option(self, indexed, arguments):
        fail("search", "my-index", "capital", "--json", *arguments, code=2)

    def test_no_index(self, folder):
        assert "There is no index at nowhere" in fail("search", "nowhere", "capital", "--json")
        assert not Path("nowhere").exists()

    def test_index_of_an_own_encoder(self, folder):
        with Index.open("my-index", encoder=WordEncoder()) as index:
            index.add(["one"])
        assert "encoder" in fail("search", "my-index", "one", "--json")
        assert len(search("one", "--mode", "lexical")) == 1

    def test_damaged_index(self, indexed):
        next(Path("my-index/segments").rglob("vectors.npy")).write_bytes(b"")
        message = fail("search", "my-index", "capital", "--json")
        assert "vectors.npy" in message.replace("\n", "")


class TestInfo:
    def test_for_people(self, indexed):
        shown = " ".join(succeed("info", "my-index").stdout.split())
        assert "documents 4" in shown
        assert "encoder minilm" in shown

    def test_json_is_info(self, indexed):
        with Index.open("my-index", read_only=True) as index:
            assert json.loads(succeed("info", "my-index", "--json").stdout) == index.info()

    def test_of_an_own_encoder(self, folder):
        Index.open("my-index", encoder=WordEncoder()).close()
        assert "encoder custom" in " ".join(succeed("info", "my-index").stdout.split())
        assert json.loads(succeed("info", "my-index", "--json").stdout)["documents"] == 0

    def test_no_index(self, folder):
        for arguments in (["info", "nowhere"], ["info", "nowhere", "--json"]):
            assert "There is no index at nowhere" in fail(*arguments)


def test_version():
    assert succeed("--version").stdout == f"{late_interaction.__version__}\n"


class TestProcess:
    """The command as a shell runs it, with file descriptors of its own."""

    @staticmethod
    def run(folder, *arguments, **environment):
        source = str(Path(late_interaction.__file__).parent.parent)
        return subprocess.run(
            [sys.executable, "-c", "from late_interaction.cli import app; app()", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": source, "HF_HUB_OFFLINE": "1", **environment},
            capture_output=True,
            timeout=120,
            check=False,
        )

    def test_stdout_is_json_and_nothing_else(self, indexed):
        (indexed / "docs/rivers.md").write_text("# Flüsse\n\nDer Nil fließt durch elf Länder 尼罗河.\n", "utf-8")
        succeed("index", "docs", "--index", "my-index")
        done = self.run(indexed, "search", "my-index", "Nil", "-k", "2", "--json")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        assert len(rows) == 2
        assert rows[0]["text"] == "Der Nil fließt durch elf Länder 尼罗河."
        assert "Traceback" not in done.stderr.decode()

    def test_terminal_that_is_not_unicode(self, indexed):
        (indexed / "docs/rivers.md").write_text("Der Nil fließt 尼罗河.\n", "utf-8")
        succeed("index", "docs", "--index", "my-index")
        arguments = ("search", "my-index", "Nil", "--mode", "lexical", "--json")
        done = self.run(indexed, *arguments, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[0]["text"] == "Der Nil fließt 尼罗河."

    def test_error_is_a_line_on_stderr(self, folder):
        done = self.run(folder, "search", "nowhere", "q", "--json")
        assert done.returncode == 1
        assert done.stdout == b""
        assert done.stderr.decode().startswith("Error: There is no index at nowhere.")
        assert done.stderr.count(b"\n") == 1


class TestExplain:
    def test_shows_which_words_meet(self, indexed, encoder):
        (hit,) = search("Which river is in eleven countries?", "-k", "1")
        shown = succeed("explain", "my-index", "Which river is in eleven countries?", hit["id"]).stdout
        assert "**countries**" in shown
        assert "similarity" in shown
        found = json.loads(succeed("explain", "my-index", "eleven countries", hit["id"], "--json").stdout)
        assert found["id"] == hit["id"]
        assert {"countries", "eleven"} <= {span["document_word"] for span in found["spans"]}

    def test_an_unknown_id(self, indexed, encoder):
        assert "atlantis" in fail("explain", "my-index", "river", "atlantis")

    def test_a_text_has_no_heatmap(self, indexed, encoder):
        (hit,) = search("countries", "-k", "1")
        said = fail("explain", "my-index", "countries", hit["id"], "--heatmap", "a.png")
        assert "is a text, and only pages have heatmaps. Leave out --heatmap." in said
