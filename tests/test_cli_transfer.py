"""The command `transfer`."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from late_interaction import Document, Index
from late_interaction.engines.registry import ENGINES, EngineEntry
from tests.engines.helpers import small_thresholds
from tests.test_cli import call, fail, succeed
from tests.test_cli_maintenance import encoder, folder, indexed  # noqa: F401  # fixtures

_NUMBERS = itertools.count()


@pytest.fixture
def address(monkeypatch):
    """An address where there is no index yet."""
    monkeypatch.setitem(ENGINES, "MemoryEngine", EngineEntry("tests.memory_engine", ("memory",)))
    return f"memory:transfer-{next(_NUMBERS)}"


@pytest.fixture
def compressed(folder, encoder):  # noqa: F811
    """A directory with an index at four bits."""
    with small_thresholds(40, 16), Index.open("compressed", encoder=encoder) as index:
        index.add([Document(f"word{number} of group{number % 5}", id=str(number)) for number in range(40)])
        index.compact()
    encoder.encoded.clear()
    return "compressed"


def documents(where):
    return [json.loads(line) for line in succeed("export", where).stdout.splitlines()]


def test_there_and_back(indexed, address):  # noqa: F811
    done = succeed("transfer", "my-index", address)
    assert "4 documents of the source in the target, with their vectors: 4 added" in done.stdout
    assert "100.0% of the source's ten best documents" in done.stdout
    assert "folders of files" in done.stderr
    assert documents(address) == documents("my-index")
    succeed("transfer", address, "back")
    assert documents("back") == documents("my-index")
    assert [hit["id"] for hit in json.loads(succeed("search", "back", "Nile", "--json").stdout)]


def test_again(indexed, address):  # noqa: F811
    succeed("transfer", "my-index", address)
    assert "0 added, 0 replaced, 4 unchanged" in succeed("transfer", "my-index", address).stdout


def test_files_are_updated_in_the_target(indexed, encoder):  # noqa: F811
    """A local target takes over the folders, so `index` goes on there."""
    succeed("transfer", "my-index", "moved")
    encoder.encoded.clear()
    assert "0 passages added or replaced, 4 unchanged" in succeed("index", "docs", "--index", "moved").stdout
    assert encoder.encoded == []


def test_json(indexed, address):  # noqa: F811
    report = json.loads(succeed("transfer", "my-index", address, "--json", "--verify", "2").stdout)
    assert (report["added"], report["missing"], report["queries"], report["overlap"]) == (4, 0, 2, 1.0)


def test_quiet(indexed, address):  # noqa: F811
    done = succeed("transfer", "my-index", address, "--quiet")
    assert (done.stdout, done.stderr) == ("", "")


class TestCompressed:
    def test_says_what_it_can_give_before_it_starts(self, compressed, address):
        done = succeed("transfer", compressed, address)
        assert "4 bits per dimension" in done.stderr
        assert "0.978" in done.stderr
        assert "python -m benchmarks.latency" in done.stderr
        assert "--encode-again" in done.stderr
        assert "40 added" in done.stdout

    def test_asks_who_is_there(self, compressed, address, monkeypatch):
        asked = []

        def confirm(question, **_):
            asked.append(question)
            raise KeyboardInterrupt

        monkeypatch.setattr("late_interaction.cli.commands.transferring._is_answered", lambda: True)
        monkeypatch.setattr("late_interaction.cli.commands.transferring.typer.confirm", confirm)
        assert call("transfer", compressed, address).exit_code == 130
        assert asked == ["Copy the stored vectors?"]
        assert "There is no index" in fail("info", address)  # nothing was created
        succeed("transfer", compressed, address, "--yes")

    def test_encodes_again(self, compressed, address, encoder):  # noqa: F811
        done = succeed("transfer", compressed, address, "--encode-again")
        assert len(encoder.encoded) == 40
        assert "encoded again: 40 added" in done.stdout
        assert "per dimension" not in done.stderr


def test_a_bar_on_terminals(indexed, address, monkeypatch):  # noqa: F811
    monkeypatch.setattr("late_interaction.cli.commands.transferring.is_watched", lambda: True)
    assert re.search(r"Transferring: 100%\|.*\| 4/4 ", succeed("transfer", "my-index", address).stderr)


def test_an_interrupt_says_how_to_go_on(indexed, address, monkeypatch):  # noqa: F811
    from late_interaction.transferring import copying
    from tests.memory_engine import MemoryEngine

    monkeypatch.setattr(copying, "_CHUNK_DOCUMENTS", 2)
    upsert, writes = MemoryEngine.upsert, itertools.count()

    def interrupted(self, records):
        if next(writes):
            raise KeyboardInterrupt
        return upsert(self, records)

    monkeypatch.setattr(MemoryEngine, "upsert", interrupted)
    done = call("transfer", "my-index", address)
    assert done.exit_code == 130
    assert done.stderr.endswith("Interrupted. 2 documents are in the target. Run the same command again to go on.\n")
    monkeypatch.setattr(MemoryEngine, "upsert", upsert)
    assert "2 added, 0 replaced, 2 unchanged" in succeed("transfer", "my-index", address).stdout


def test_the_language_of_the_source(folder, encoder):  # noqa: F811
    with Index.open("german", encoder=encoder, language="german") as index:
        index.add(["Häuser"])
    succeed("transfer", "german", "copy")
    assert json.loads(succeed("info", "copy", "--json").stdout)["language"] == "german"


@pytest.mark.parametrize("arguments", [("my-index", "my-index"), ("my-index", "./my-index")])
def test_the_same_index(indexed, arguments):  # noqa: F811
    assert "the same index" in fail("transfer", *arguments)


def test_an_encoder_that_nobody_has(folder, address):  # noqa: F811
    with Index.open("own", dim=4) as index:
        index.add([Document("text")], vectors=[[[1, 0, 0, 0]]])
    assert "no encoder" in fail("transfer", "own", address, "--encode-again")
    assert "There is no index" in fail("info", address)
    succeed("transfer", "own", address)
