"""The command `search`: queries from standard input, page images, thresholds, the exit status; and every `-h`."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

from late_interaction import Document, Index
from late_interaction.cli import app
from late_interaction.cli.commands import COMMANDS
from tests.fakes import ColourEncoder
from tests.pictures import write_picture
from tests.test_cli import call, fail, load_with, succeed
from tests.test_cli_maintenance import Named


class Counting(Named):
    """Counts the calls of `encode_queries`."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def encode_queries(self, texts):
        self.calls.append(list(texts))
        return super().encode_queries(texts)


class Colours(ColourEncoder):
    """One that an index remembers by name."""

    source, revision = "minilm", None


@pytest.fixture
def encoder(monkeypatch):
    """The encoder that the commands load."""
    encoder = Counting()
    load_with(monkeypatch, lambda *_, **__: encoder)
    return encoder


@pytest.fixture
def folder(tmp_path, monkeypatch, encoder):
    """The current folder, with an index of two texts."""
    monkeypatch.chdir(tmp_path)
    with Index.open("my-index", encoder=Named()) as index:
        index.add([Document("The Nile flows north.", id="nile"), Document("Paris is a city.", id="paris")])
    return tmp_path


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """The current folder, with an index of a red page and a blue one, whose file is gone, and a text."""
    monkeypatch.chdir(tmp_path)
    load_with(monkeypatch, lambda *_, **__: Colours())
    red = write_picture(tmp_path / "files" / "red.png", PIL.Image.new("RGB", (64, 64), "red"))
    blue = write_picture(tmp_path / "files" / "blue.png", PIL.Image.new("RGB", (64, 64), "blue"))
    with Index.open("my-index", encoder=Colours()) as index:
        index.add([Document(image=red, id="../red #1"), Document(image=blue, id="blue"), Document("red", id="text")])
    blue.unlink()
    return tmp_path


def ask(queries, *arguments):
    done = CliRunner().invoke(app, ["search", "my-index", "-", *arguments], input=queries, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


class TestQueriesFromStdin:
    def test_one_line_of_json_for_each(self, folder, encoder):
        queries = ["Nile", "", "Paris\t", "city of Paris"]
        found = [json.loads(line) for line in ask("\n".join(queries), "--json", "-k", "1").splitlines()]
        assert [row["query"] for row in found] == queries
        assert [[hit["id"] for hit in row["hits"]] for row in found] == [["nile"], [], ["paris"], ["paris"]]
        assert len(encoder.calls) == 1  # encoded together

    def test_hits_are_those_of_single_queries(self, folder):
        (line,) = ask("Nile\n", "--json", "--mode", "hybrid").splitlines()
        assert json.loads(line)["hits"] == json.loads(
            succeed("search", "my-index", "Nile", "--mode", "hybrid", "--json").stdout
        )

    def test_batches_are_bounded(self, folder, encoder):
        lines = ask("".join(f"word{number}\n" for number in range(150)), "--json").splitlines()
        assert [json.loads(line)["query"] for line in lines] == [f"word{number}" for number in range(150)]
        assert [len(call) for call in encoder.calls] == [64, 64, 22]

    def test_for_people_each_query_is_a_heading(self, folder):
        shown = ask("Nile\nParis\n", "-k", "1")
        assert shown.index("Nile\n") < shown.index("nile ·") < shown.index("Paris\n") < shown.index("paris ·")

    def test_nothing(self, folder):
        assert ask("") == ""

    def test_what_is_not_utf8(self, folder):
        done = CliRunner().invoke(app, ["search", "my-index", "-"], input=b"\xff\xfe", catch_exceptions=False)
        assert done.exit_code == 1
        assert "Standard input must be UTF-8" in done.stderr


class TestNoHits:
    def test_exit_status_on_request(self, folder):
        arguments = ["search", "my-index", "xylophone", "--mode", "lexical"]
        assert call(*arguments).exit_code == 0
        done = call(*arguments, "--require-hits", "--json")
        assert (done.exit_code, done.stdout, done.stderr) == (1, "[]\n", "")
        succeed("search", "my-index", "Nile", "--require-hits")

    def test_least_relevance(self, folder):
        hits = json.loads(
            succeed("search", "my-index", "The Nile flows north", "--min-relevance", "0.9", "--json").stdout
        )
        assert [hit["id"] for hit in hits] == ["nile"]
        assert "between 0 and 1" in fail("search", "my-index", "x", "--min-relevance", "2")


def test_a_mistyped_mode_suggests_the_nearest(folder):
    assert "Did you mean 'lexical'?" in fail("search", "my-index", "x", "--mode", "lexcial", code=2)


class TestPages:
    def test_images_in_json_are_data_urls(self, pages):
        done = succeed("search", "my-index", "red", "--json", "--images", "-k", "3")
        red, blue, text = sorted(
            json.loads(done.stdout), key=lambda hit: ["../red #1", "blue", "text"].index(hit["id"])
        )
        start, _, data = red["image"].partition(",")
        assert start == "data:image/jpeg;base64"
        image = PIL.Image.open(io.BytesIO(base64.b64decode(data)))
        assert np.abs(np.asarray(image, int) - (255, 0, 0)).max() < 8
        assert "image" not in blue
        assert "image" not in text
        assert "The page image of 'blue' is left out: " in done.stderr

    def test_images_without_json(self, pages):
        assert "--save-pages" in fail("search", "my-index", "red", "--images", code=2)

    def test_pages_are_saved_and_nothing_is_overwritten(self, pages):
        for expected in (["red_1.png"], ["red_1.png"]):  # the second time they are there already
            done = succeed("search", "my-index", "red", "--save-pages", "out")
            assert [path.name for path in Path("out").iterdir()] == expected
            assert "Saved out/red_1.png" in done.stdout
            assert "The page image of 'blue' was not saved" in done.stderr
        assert PIL.Image.open("out/red_1.png").getpixel((3, 3)) == (255, 0, 0)
        Path("out/red_1.png").write_bytes(b"of somebody else")
        hits = json.loads(succeed("search", "my-index", "red", "--save-pages", "out", "--json").stdout)
        assert {hit["id"]: hit.get("page_file") for hit in hits}["../red #1"] == "out/red_1-1.png"
        assert Path("out/red_1.png").read_bytes() == b"of somebody else"

    def test_a_link_is_not_followed(self, pages):
        Path("out").mkdir()
        Path("out/red_1.png").symlink_to("../elsewhere.png")
        succeed("search", "my-index", "red", "--save-pages", "out")
        assert not Path("elsewhere.png").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_h_is_help(command):
    shown = succeed(command, "-h").stdout
    assert shown == succeed(command, "--help").stdout
    assert shown.startswith("Usage: ")


def test_h_lists_every_command():
    shown = succeed("-h").stdout
    assert [line.split()[0] for line in shown.partition("Commands:")[2].splitlines() if line[:3].strip()] == list(
        COMMANDS
    )
