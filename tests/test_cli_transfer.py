"""The command `transfer`."""

from __future__ import annotations

import itertools
import json
import re

import pytest
import torch

from late_interaction import Document, Index
from late_interaction.engines.registry import ENGINES, EngineEntry
from tests.engines.helpers import small_thresholds
from tests.test_cli import call, fail, succeed
from tests.test_cli_maintenance import encoder, folder, indexed  # noqa: F401  # fixtures

_NUMBERS = itertools.count()


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Many small searches are slow where threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def address(monkeypatch):
    """An address where there is no index yet."""
    monkeypatch.setitem(ENGINES, "MemoryEngine", EngineEntry("tests.memory_engine", ("memory",)))
    return f"memory:transfer-{next(_NUMBERS)}"


@pytest.fixture
def compressed(folder, encoder):  # noqa: F811
    """A directory with an index at four bits."""
    with small_thresholds(40, 16), Index.open("compressed", encoder=encoder) as index:
        index.add([Document(f"word{number} of group{number % 5}", id=str(number)) for number in range(20)])
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
        done = succeed("transfer", compressed, address, "--verify", "5")
        assert "4 bits per dimension" in done.stderr
        assert "0.978" in done.stderr
        assert "python -m benchmarks.latency" in done.stderr
        assert "--encode-again" in done.stderr
        assert "20 added" in done.stdout

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
        succeed("transfer", compressed, address, "--yes", "--verify", "0")

    def test_encodes_again(self, compressed, address, encoder):  # noqa: F811
        done = succeed("transfer", compressed, address, "--encode-again", "--verify", "5")
        assert len(encoder.encoded) == 20
        assert "encoded again: 20 added" in done.stdout
        assert "per dimension" not in done.stderr


def test_a_bar_on_terminals(indexed, address, monkeypatch):  # noqa: F811
    monkeypatch.setattr("late_interaction.cli.commands.transferring.is_watched", lambda: True)
    assert re.search(r"Transferring: 100%\|.*\| 4/4 ", succeed("transfer", "my-index", address).stderr)


def test_an_interrupt_says_how_to_go_on(indexed, address, monkeypatch):  # noqa: F811
    from late_interaction.transferring import copying
    from tests.memory_engine import MemoryEngine

    monkeypatch.setattr(copying, "_BATCH_DOCUMENTS", 2)
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


def test_a_directory_of_qdrant(indexed, encoder):  # noqa: F811
    """The real client in local mode, through every command; `index` goes on there, since it remembers folders."""
    pytest.importorskip("qdrant_client")
    address = "qdrant:moved"
    assert "4 added" in succeed("transfer", "my-index", address).stdout
    assert documents(address) == documents("my-index")
    found = [json.loads(succeed("search", where, "Nile", "--json").stdout)[0]["id"] for where in ("my-index", address)]
    assert found[0] == found[1]
    assert succeed("list", address).stdout == succeed("list", "my-index").stdout
    assert json.loads(succeed("info", address, "--json").stdout)["documents"] == 4
    assert succeed("verify", address).stdout == "No problems found.\n"
    assert succeed("compact", address).stdout == "Compacted.\n"
    encoder.encoded.clear()
    assert "0 passages added or replaced, 4 unchanged" in succeed("index", "docs", "--index", address).stdout
    assert "0 added, 0 replaced, 4 unchanged" in succeed("transfer", "my-index", address).stdout
    succeed("delete", address, found[0])
    assert "1 added, 0 replaced, 3 unchanged" in succeed("transfer", "my-index", address).stdout
    assert encoder.encoded == []
