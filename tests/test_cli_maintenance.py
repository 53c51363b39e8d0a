"""The command line: settings of a new index, `verify` and `compact`."""

from __future__ import annotations

import fcntl
import json
import re
from pathlib import Path

import pytest

from late_interaction import Index
from tests.engines.helpers import small_thresholds
from tests.fakes import WordEncoder
from tests.test_cli import call, fail, load_with, succeed, write_pages


class Named(WordEncoder):
    """One that an index remembers by name, with a list of the passages it has encoded."""

    source, revision = "minilm", None

    def __init__(self):
        super().__init__()
        self.encoded = []

    def encode_documents(self, texts):
        self.encoded += texts
        return super().encode_documents(texts)


@pytest.fixture
def encoder(monkeypatch):
    """The encoder that the commands load."""
    encoder = Named()
    load_with(monkeypatch, lambda *_, **__: encoder)
    return encoder


@pytest.fixture
def folder(tmp_path, monkeypatch, encoder):
    """The current folder, with `PAGES`."""
    monkeypatch.chdir(tmp_path)
    write_pages(tmp_path)
    return tmp_path


@pytest.fixture
def watched(monkeypatch):
    """Standard error is a terminal."""
    monkeypatch.setattr("late_interaction.cli.indexing.is_watched", lambda: True)


@pytest.fixture
def indexed(folder, encoder):
    """The current folder, with `PAGES` and an index of them; the encoder's list is empty."""
    succeed("index", "docs", "--index", "my-index")
    encoder.encoded.clear()
    return folder


def info():
    return json.loads(succeed("info", "my-index", "--json").stdout)


def search(*arguments):
    return json.loads(succeed("search", "my-index", *arguments, "--json").stdout)


def tree(folder):
    """All files below a folder and what is in them, but for what SQLite leaves behind where it only reads."""
    return {
        str(path): path.read_bytes()
        for path in Path(folder).rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def flip_last_byte(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


class TestSettings:
    """Of a new index: chosen once, and kept."""

    def test_are_kept(self, folder, encoder):
        settings = ["--bits", "2", "--pooling", "2", "--dim", "12"]
        assert "4 passages added" in succeed("index", "docs", "--index", "my-index", *settings).stdout
        found = info()
        assert (found["bits"], found["dim"], found["encoder"]["reduction"]) == (2, 12, {"pooling": 2, "dim": 12})
        vectors = WordEncoder().encode_documents(encoder.encoded)
        assert found["tokens"] == sum((len(own) + 1) // 2 for own in vectors)
        encoder.encoded.clear()
        for again in ([], settings):
            done = succeed("index", "docs", "--index", "my-index", *again)
            assert "0 passages added or replaced, 4 unchanged, 0 deleted" in done.stdout
        assert encoder.encoded == []
        assert search("baguettes", "-k", "1")[0]["metadata"]["source"] == "docs/page.html"

    def test_are_those_of_everyone_if_nothing_is_said(self, indexed, encoder):
        assert (info()["bits"], info()["dim"], info()["encoder"]["reduction"]) == (4, encoder.dim, None)

    @pytest.mark.parametrize(("bits", "setting"), [("1", 1), ("3", 3), ("8", 8), ("codes", 0), ("none", None)])
    def test_bits(self, folder, encoder, bits, setting):
        succeed("index", "docs/page.html", "--index", "my-index", "--bits", bits)
        assert info()["bits"] == setting

    def test_no_bits_have_names(self, folder, encoder):
        """0 could mean either."""
        message = fail("index", "docs", "--index", "my-index", "--bits", "0")
        assert "codes (the nearest centroids alone) or none (float16)" in message

    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            *[("bits", value) for value in ("5", "0", "-4", "16")],
            *[("pooling", value) for value in ("0", "-2")],
            *[("dim", value) for value in ("0", "-1", "17", "100000")],
        ],
    )
    def test_impossible_ones_make_no_index(self, folder, encoder, setting, value):
        message = fail("index", "docs", "--index", "my-index", f"--{setting}", value)
        assert message.startswith(f"Error: {setting} must be ")
        assert message.endswith((f"not {value}.\n", f"got {value}.\n"))
        assert message.count("\n") == 1
        assert not Path("my-index").exists()
        assert encoder.encoded == []

    @pytest.mark.parametrize(("setting", "value"), [("bits", "four"), ("pooling", "1.5"), ("dim", "")])
    def test_what_is_no_number_makes_no_index(self, folder, encoder, setting, value):
        assert f"--{setting}" in fail("index", "docs", "--index", "my-index", f"--{setting}", value, code=2)
        assert not Path("my-index").exists()

    @pytest.mark.parametrize(("setting", "value"), [("bits", "8"), ("bits", "3"), ("pooling", "2"), ("dim", "12")])
    def test_others_than_those_of_the_index(self, indexed, encoder, setting, value):
        (indexed / "more.txt").write_text("The Elbe flows north.\n", "utf-8")
        before = tree("my-index")
        message = fail("index", "more.txt", "--index", "my-index", f"--{setting}", value)
        assert message.startswith("Error: ")
        assert setting in message
        assert message.endswith((f"not {value}.\n", f"got {value}.\n", f"(got {setting}={value}).\n"))
        assert message.count("\n") == 1
        assert tree("my-index") == before
        assert encoder.encoded == []


class TestVerify:
    def test_sound(self, indexed):
        assert succeed("verify", "my-index").stdout == "No problems found.\n"
        assert json.loads(succeed("verify", "my-index", "--json").stdout) == {"ok": True, "problems": []}

    def test_beside_a_writer_and_without_an_encoder(self, folder):
        with Index.open("my-index", encoder=WordEncoder()) as index:
            index.add(["one"])
            succeed("verify", "my-index")

    @pytest.mark.parametrize("name", ["vectors.npy", "offsets.npy"])
    def test_a_changed_byte(self, indexed, name):
        flip_last_byte(path := next(Path("my-index/segments").rglob(name)))
        before = tree("my-index")
        done = call("verify", "my-index")
        assert (done.exit_code, done.stderr) == (1, "")
        assert done.stdout.count("\n") == 1
        assert str(path) in done.stdout
        done = call("verify", "my-index", "--json")
        assert (done.exit_code, done.stderr) == (1, "")
        found = json.loads(done.stdout)
        assert found["ok"] is False
        assert [str(path) in problem for problem in found["problems"]] == [True]
        assert tree("my-index") == before  # it mends nothing, and breaks nothing

    @pytest.mark.parametrize("arguments", [[], ["--json"]])
    @pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1]), Path.unlink])
    def test_a_file_cut_short_or_gone(self, indexed, damage, arguments):
        damage(path := next(Path("my-index/segments").rglob("vectors.npy")))
        message = fail("verify", "my-index", *arguments)
        assert str(path) in message
        assert message.count("\n") == 1

    @pytest.mark.parametrize("arguments", [[], ["--json"]])
    def test_a_catalog_that_is_none(self, indexed, arguments):
        Path("my-index/catalog.sqlite").write_bytes(b"nonsense" * 1000)
        assert "catalog.sqlite" in fail("verify", "my-index", *arguments)

    def test_no_index(self, folder):
        assert "There is no index at nowhere" in fail("verify", "nowhere")
        assert not Path("nowhere").exists()


class TestCompact:
    def test_gives_back_room(self, indexed):
        (indexed / "more.txt").write_text("The Elbe flows north.\n", "utf-8")
        succeed("index", "more.txt", "--index", "my-index")
        with Index.open("my-index") as index:
            index.delete(where={"source": "docs/page.html"})
        before = info()
        assert before["segments"] > 1
        assert before["deleted_documents"] > 0
        hits = search("river", "-k", "9")
        assert len(hits) == before["documents"] == 4
        assert re.fullmatch(
            r"Size of the vectors: 0\.\d MB before, 0\.\d MB now\.\n", succeed("compact", "my-index").stdout
        )
        after = info()
        assert (after["segments"], after["deleted_documents"], after["documents"]) == (1, 0, 4)
        assert after["vector_bytes"] < before["vector_bytes"]
        assert search("river", "-k", "9") == hits
        succeed("verify", "my-index")

    def test_compresses_what_is_exact(self, folder, encoder):
        with small_thresholds(20, 10**6):
            succeed("index", "docs", "--index", "my-index", "--bits", "8")
            (folder / "more.txt").write_text("The Elbe flows north.\n", "utf-8")
            succeed("index", "more.txt", "--index", "my-index")
            assert 0 < info()["exact_tokens"] < info()["tokens"]
            succeed("compact", "my-index")
        assert (info()["exact_tokens"], info()["segments"], info()["documents"]) == (0, 1, 5)
        assert search("Elbe", "-k", "1")[0]["text"] == "The Elbe flows north."
        succeed("verify", "my-index")

    def test_what_is_compact_stays(self, indexed):
        before = tree("my-index/segments")
        succeed("compact", "my-index")
        assert tree("my-index/segments") == before

    def test_needs_no_encoder(self, folder):
        with Index.open("my-index", encoder=WordEncoder()) as index:
            index.add(["one"])
            index.add(["two"])
        succeed("compact", "my-index")
        assert info()["segments"] == 1

    def test_damage_is_not_copied(self, folder):
        with Index.open("my-index", encoder=WordEncoder()) as index:
            index.add(["one"])
            index.add(["two"])
        flip_last_byte(path := next(Path("my-index/segments").rglob("vectors.npy")))
        before = tree("my-index/segments")
        message = fail("compact", "my-index")
        assert str(path) in message
        assert message.count("\n") == 1
        assert tree("my-index/segments") == before

    def test_index_that_is_being_written(self, folder):
        Index.open("my-index", encoder=WordEncoder()).close()
        with Path("my-index/writer.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as another process does
            assert "open for writing" in fail("compact", "my-index")

    def test_no_index(self, folder):
        assert "There is no index at nowhere" in fail("compact", "nowhere")
        assert not Path("nowhere").exists()
