"""Every command takes an address where it takes a directory, and says in one sentence what an engine cannot do."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from late_interaction.engines.registry import ENGINES, EngineEntry
from tests.test_cli import call, fail, succeed
from tests.test_cli_maintenance import encoder, folder  # noqa: F401  # fixtures

_NUMBERS = itertools.count()
LINES = [{"id": name, "text": f"{name} words", "metadata": {"source": name, "n": n}} for n, name in enumerate("abc")]


@pytest.fixture
def address(monkeypatch):
    """An address where there is no index yet."""
    monkeypatch.setitem(ENGINES, "MemoryEngine", EngineEntry("tests.memory_engine", ("memory",)))
    return f"memory:{next(_NUMBERS)}"


@pytest.fixture
def filled(address, folder):  # noqa: F811
    """An address with three documents."""
    Path("lines.jsonl").write_text("\n".join(map(json.dumps, LINES)))
    succeed("index", "lines.jsonl", "--index", address)
    return address


def test_index_and_search(filled):
    assert json.loads(succeed("search", filled, "b", "--json").stdout)[0]["id"] == "b"
    assert "**b** words" in succeed("search", filled, "b", "--mode", "hybrid").stdout


def test_index_again(filled, encoder):  # noqa: F811
    encoder.encoded.clear()
    done = succeed("index", "lines.jsonl", "--index", filled)
    assert "3 unchanged" in done.stdout
    Path("lines.jsonl").write_text(json.dumps({"id": "a", "text": "a words", "metadata": {"new": 1}}))
    succeed("index", "lines.jsonl", "--index", filled)
    assert encoder.encoded == []  # the stored vectors are kept
    assert json.loads(succeed("get", filled, "a", "--json").stdout)[0]["metadata"] == {"new": 1}


def test_files_need_an_engine_that_remembers_folders(address, folder):  # noqa: F811
    assert "MemoryEngine cannot remember which folder" in fail("index", "docs", "--index", address)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["info"], "MemoryEngine"),
        (["info", "--json"], '"documents": 3'),
        (["list"], "1  a"),
        (["list", "--ids"], "c"),
        (["get", "b"], "b words"),
        (["export"], '"b words"'),
        (["explain", "words", "b"], "b **words**"),
        (["delete", "c"], "1 document deleted."),
        (["delete", "--source", "c", "--yes"], "1 document deleted."),
    ],
    ids=" ".join,
)
def test_other_commands(filled, command, shown):
    assert shown in succeed(command[0], filled, *command[1:]).stdout.replace("\n", " ")


def test_rerank(filled, monkeypatch):
    monkeypatch.setattr("late_interaction.cli.commands.searching.stdin_lines", lambda: iter(["c", "a"]))
    assert json.loads(succeed("rerank", "a", "--index", filled, "--ids", "--json").stdout)[0]["id"] == "a"


@pytest.mark.parametrize(("command", "what"), [("verify", "check what it stores"), ("compact", "be compacted")])
def test_what_the_engine_cannot_do(filled, command, what):
    assert fail(command, filled) == f"Error: MemoryEngine cannot {what}.\n"


def test_deleting_everything(filled):
    assert "use Index.clear()" in fail("delete", filled, "--where", '{"n": {"$gte": 0}}', "--yes")


@pytest.mark.parametrize("command", [["search", "words"], ["info"], ["verify"], ["transfer", "memory:target"]])
def test_nothing_there(address, command):
    said = fail(command[0], address, *command[1:])
    assert said.startswith(f"Error: There is no index at {address}. Create one with")


def test_an_address_that_nobody_opens(folder):  # noqa: F811
    said = fail("info", "redis://me:secret@host/docs")
    assert "No engine opens" in said
    assert "secret" not in said


def test_credentials_are_not_shown(address, folder):  # noqa: F811
    assert "secret" not in fail("info", "memory://me:secret@host/docs")


def test_help_says_so():
    assert "address" in call("search", "--help").stdout
