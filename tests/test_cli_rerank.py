"""The command `rerank`: candidates from standard input."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from late_interaction import Document, Index
from late_interaction.cli import app
from tests.test_cli import load_with
from tests.test_cli_maintenance import Named

TEXTS = ["The Elbe flows north.", "", "Paris is a city.", "The Nile flows north."]


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    """The encoder that the commands load; the current folder has an index."""
    monkeypatch.chdir(tmp_path)
    with Index.open("my-index", encoder=Named()) as index:
        index.add([Document(text, id=text.split()[1]) for text in TEXTS if text])
    encoder = Named()
    load_with(monkeypatch, lambda *_, **__: encoder)
    return encoder


def call(lines, *arguments):
    return CliRunner().invoke(app, ["rerank", *arguments], input="\n".join(lines), catch_exceptions=False)


def rerank(lines, *arguments):
    done = call(lines, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize("where", [["--encoder", "minilm"], ["--index", "my-index"]])
def test_texts(encoder, where):
    rows = rerank(TEXTS, "Nile north", *where)
    assert [row["text"] for row in rows] == [TEXTS[3], TEXTS[0], TEXTS[2]]
    assert rows[0]["score"] == pytest.approx(2, abs=0.01)
    assert len(rerank(TEXTS, "Nile north", "-k", "2", *where)) == 2


def test_json_lines_keep_ids_and_metadata(encoder):
    lines = ['{"id": "e", "text": "The Elbe.", "metadata": {"km": 1094}}', '{"id": "n", "text": "The Nile."}']
    rows = rerank(lines, "Elbe", "--encoder", "minilm")
    assert [(row["id"], row["metadata"]) for row in rows] == [("e", {"km": 1094}), ("n", {})]


def test_each_line_is_a_text_or_a_document(encoder):
    lines = ["plain Elbe", "{not JSON", "", '{"id": "n", "text": "The Nile."}', '{"name": "Nile"}', "[1]", '"Nile"']
    rows = rerank(lines, "Nile", "--encoder", "minilm")
    assert {row["text"] for row in rows} == {
        "plain Elbe",
        "{not JSON",
        "The Nile.",
        '{"name": "Nile"}',
        "[1]",
        '"Nile"',
    }
    assert [row["text"] for row in rows if row["id"] == "n"] == ["The Nile."]


@pytest.mark.parametrize("line", ['{"id": "a"}', '{"text": "x", "txt": "y"}', '{"text": "x", "text": "y"}'])
def test_a_document_that_is_invalid_is_named_by_its_line(encoder, line):
    done = call(["plain", "", line], "Nile", "--encoder", "minilm")
    assert done.exit_code == 1
    assert "Line 3 " in done.stderr


def test_texts_are_named_by_their_lines(encoder):
    lines = ["", "The Nile.", '{"id": "e", "text": "The Elbe."}', '{"text": "Nile and Elbe."}']
    shown = call(lines, "Nile", "--encoder", "minilm").stdout
    assert "line 2 · score" in shown
    assert " e · score" in shown
    assert "line 4 · score" in shown


def test_ids_of_the_index_encode_only_the_query(encoder):
    rows = rerank(["Elbe", "Nile"], "Nile", "--index", "my-index", "--ids")
    assert [row["id"] for row in rows] == ["Nile", "Elbe"]
    assert encoder.documents_encoded == 0


def test_for_people(encoder):
    shown = call(TEXTS, "Nile north", "--encoder", "minilm").stdout
    assert shown.index("The Nile flows north.") < shown.index("The Elbe flows north.")
    assert "No hits." in call([], "Nile", "--encoder", "minilm").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --index or --encoder"),
        (["--index", "my-index", "--encoder", "minilm"], "either --index or --encoder"),
        (["--encoder", "minilm", "--ids"], "needs --index"),
    ],
)
def test_bad_options(encoder, arguments, message):
    done = call(TEXTS, "Nile", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_an_unknown_id(encoder):
    done = call(["Nile", "Rhine"], "Nile", "--index", "my-index", "--ids")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "Rhine" in done.stderr
