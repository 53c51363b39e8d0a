"""The commands `list`, `get`, `export` and `delete`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import late_interaction
from late_interaction import Document, Index
from tests.fakes import ColourEncoder
from tests.pictures import write_picture
from tests.test_cli import call, fail, succeed
from tests.test_cli_maintenance import Named
from tests.test_printable import DANGEROUS, HOSTILE

DOCUMENTS = [
    Document("The Nile flows north.", id="nile", metadata={"source": "rivers.md", "km": 6650}),
    Document("The Elbe too.", id="elbe", metadata={"source": "rivers.md", "km": 1094}, encoded_text="Rivers\nElbe"),
    Document("Paris is a city.", id="paris", metadata={"source": "cities.md"}),
    Document("Nobody knows where this is from.", id="stray"),
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with an index of `DOCUMENTS`."""
    monkeypatch.chdir(tmp_path)
    with Index.open("my-index", encoder=Named()) as index:
        index.add(DOCUMENTS)
    return tmp_path


def rows(*arguments):
    return json.loads(succeed(*arguments, "--json").stdout)


def stored():
    with Index.open("my-index", read_only=True) as index:
        return [document.id for document in index.scan()]


class TestList:
    def test_sources_with_counts(self, folder):
        expected = [
            {"source": "cities.md", "documents": 1},
            {"source": "rivers.md", "documents": 2},
            {"source": None, "documents": 1},
        ]
        assert rows("list", "my-index") == expected
        assert rows("list", "my-index", "--where", '{"km": {"$gt": 2000}}') == [{"source": "rivers.md", "documents": 1}]
        assert succeed("list", "my-index").stdout == "1  cities.md\n2  rivers.md\n1  (without a source)\n"

    def test_ids(self, folder):
        assert succeed("list", "my-index", "--ids").stdout == "nile\nelbe\nparis\nstray\n"
        assert rows("list", "my-index", "--ids", "--where", '{"source": "cities.md"}') == ["paris"]

    def test_escapes_are_said_once(self, folder):
        assert succeed("list", "my-index").stderr == succeed("list", "my-index", "--ids").stderr == ""
        with Index.open("my-index", encoder=Named()) as index:
            index.add([Document(name, id=name, metadata={"source": name}) for name in ("a\nb", "c\0d")])
        for option in ([], ["--ids"]):
            assert succeed("list", "my-index", *option).stderr.count("--json prints exact names") == 1
            assert succeed("list", "my-index", *option, "--json").stderr == ""

    def test_nothing(self, folder):
        assert rows("list", "my-index", "--where", '{"source": "x"}') == []
        assert "No documents" in succeed("list", "my-index", "--where", '{"source": "x"}').stdout


@pytest.mark.parametrize("arguments", [["list"], ["get", "x"], ["delete", "x"], ["compact"], ["search", "x"]])
def test_no_index(tmp_path, arguments):
    place = str(tmp_path / "my index")
    advice = f"Create one with `late-interaction index PATH --index '{place}'`."
    assert fail(arguments[0], place, *arguments[1:]) == f"Error: There is no index at {place}. {advice}\n"


class TestGet:
    def test_documents_in_the_order_asked(self, folder):
        found = rows("get", "my-index", "paris", "elbe")
        assert found == [
            {"id": "paris", "text": "Paris is a city.", "metadata": {"source": "cities.md"}},
            {
                "id": "elbe",
                "text": "The Elbe too.",
                "metadata": {"source": "rivers.md", "km": 1094},
                "encoded_text": "Rivers\nElbe",
            },
        ]
        shown = succeed("get", "my-index", "paris").stdout
        assert "Paris is a city." in shown
        assert 'source: "cities.md"' in shown

    def test_an_unknown_id_is_named_beside_what_is_found(self, folder):
        done = call("get", "my-index", "nile", "pariss", "--json")
        assert done.exit_code == 1
        assert [row["id"] for row in json.loads(done.stdout)] == ["nile"]
        assert "'pariss'" in done.stderr
        assert "Did you mean 'paris'?" in done.stderr


class TestExport:
    def test_lines_hold_everything_but_vectors(self, folder):
        lines = succeed("export", "my-index").stdout.splitlines()
        found = [json.loads(line) for line in lines]
        assert [row["id"] for row in found] == ["nile", "elbe", "paris", "stray"]
        made = [Document(row.pop("text"), **row) for row in found]
        assert made == DOCUMENTS

    def test_to_a_new_file(self, folder):
        done = succeed("export", "my-index", "--output", "all.jsonl", "--where", '{"source": "rivers.md"}')
        assert "2 documents written to all.jsonl" in done.stdout
        assert [json.loads(line)["id"] for line in Path("all.jsonl").read_text("utf-8").splitlines()] == [
            "nile",
            "elbe",
        ]
        assert "exists already" in fail("export", "my-index", "-o", "all.jsonl")
        assert fail("export", "my-index", "-o", "no/a.jsonl") == "Error: no/a.jsonl: No such file or directory.\n"

    def test_a_page_is_a_reference(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        path = write_picture(tmp_path / "a.png")
        with Index.open("my-index", encoder=ColourEncoder()) as index:
            index.add([Document(image=path, id="page")])
        row = json.loads(succeed("export", "my-index").stdout)
        assert row["image"]["path"] == str(path)
        assert row["image"]["page"] == 1

    def test_a_reader_that_stops_is_no_error(self, folder):
        with Index.open("my-index", encoder=Named()) as index:
            index.add([Document("x" * 200, id=str(number)) for number in range(2000)])
        source = str(Path(late_interaction.__file__).parent.parent)
        program = f"{sys.executable} -c 'from late_interaction.cli import app; app()' export my-index | head -n 1"
        done = subprocess.run(
            program, shell=True, cwd=folder, env={**os.environ, "PYTHONPATH": source}, capture_output=True, check=False
        )
        assert json.loads(done.stdout)["id"] == "nile"
        assert done.stderr == b""


class TestDelete:
    def test_by_id(self, folder):
        done = succeed("delete", "my-index", "nile", "stray")
        assert done.stdout == "2 documents deleted. The index contains 2 documents.\n"
        assert stored() == ["elbe", "paris"]

    def test_an_unknown_id_deletes_nothing(self, folder):
        assert "Did you mean 'nile'?" in fail("delete", "my-index", "elbe", "nil")
        assert len(stored()) == 4

    def test_by_source(self, folder):
        assert "1 document deleted" in succeed("delete", "my-index", "--source", "cities.md", "--yes").stdout
        assert stored() == ["nile", "elbe", "stray"]

    def test_an_unknown_source(self, folder):
        assert "Did you mean 'cities.md'?" in fail("delete", "my-index", "--source", "citties.md", "--yes")

    def test_an_unknown_source_beside_a_known_one_deletes_nothing(self, folder):
        said = fail("delete", "my-index", "--source", "rivers.md", "--source", "citties.md", "--yes")
        assert "No document has the source 'citties.md'. Did you mean 'cities.md'?" in said
        assert len(stored()) == 4

    def test_the_escaped_form_of_a_name(self, folder):
        with Index.open("my-index", encoder=Named()) as index:
            index.add([Document("x", id="a\nb", metadata={"source": "a\nb"})])
        for arguments in (["a\\nb"], ["--source", "a\\nb", "--yes"]):
            said = fail("delete", "my-index", *arguments)
            assert "has control characters" in said
            assert "Did you mean" not in said
        assert len(stored()) == 5

    def test_by_filter(self, folder):
        assert "1 document deleted" in succeed("delete", "my-index", "--where", '{"km": {"$gt": 2000}}', "-y").stdout
        assert "0 documents deleted" in succeed("delete", "my-index", "--where", '{"km": 1}', "-y").stdout
        assert stored() == ["elbe", "paris", "stray"]

    def test_a_dry_run_only_counts(self, folder):
        for arguments in (["nile", "elbe"], ["--source", "rivers.md"], ["--where", '{"km": {"$gt": 0}}']):
            assert succeed("delete", "my-index", *arguments, "--dry-run").stdout == "2 documents would be deleted.\n"
        assert len(stored()) == 4

    def test_nothing_is_deleted_without_consent(self, folder):
        assert "Pass --yes" in fail("delete", "my-index", "--source", "rivers.md")
        assert len(stored()) == 4

    def test_never_everything(self, folder):
        for everything in ("{}", '{"km": {"$exists": false}, "id": {"$exists": false}}', '{"x": {"$exists": false}}'):
            done = call("delete", "my-index", "--where", everything, "--yes")
            assert done.exit_code == (0 if "km" in everything else 1), done.output
        assert stored() == ["nile", "elbe"]

    @pytest.mark.parametrize("arguments", [[], ["nile", "--where", "{}"], ["--source", "a", "--where", "{}"]])
    def test_exactly_one_way_of_choosing(self, folder, arguments):
        assert "either ids" in fail("delete", "my-index", *arguments, code=2)
        assert len(stored()) == 4


def test_nothing_that_is_shown_controls_the_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "4000")
    hostile = "".join(HOSTILE.values())
    with Index.open("my-index", encoder=Named()) as index:
        index.add([Document(hostile, id=hostile, metadata={"source": hostile, hostile: hostile}), "other"])
    for arguments in (
        ["list", "my-index"],
        ["list", "my-index", "--ids"],
        ["get", "my-index", hostile],
        ["get", "my-index", hostile, "--json"],
        ["get", "my-index", f"x{hostile}"],
        ["export", "my-index"],
        ["delete", "my-index", "--source", f"x{hostile}"],
    ):
        done = call(*arguments)
        assert not DANGEROUS.search(done.output), arguments
        assert "[bold]b[/bold]" in done.output
