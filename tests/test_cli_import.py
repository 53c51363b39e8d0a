"""The command `import-index`."""

from __future__ import annotations

import itertools
import json
import re

import pytest
import torch

from late_interaction.engines.local import LocalEngine
from late_interaction.importers import copying
from tests.importers.sources import ENCODER, documents, flat_folder
from tests.test_cli import call, fail, load_with, succeed


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Many small searches are slow where threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The current folder has a source of 30 documents, and their texts."""
    monkeypatch.chdir(tmp_path)
    flat_folder(tmp_path / "source", 30)
    lines = [json.dumps({"id": one.id, "text": one.text, "metadata": dict(one.metadata)}) for one in documents(30)]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_with_texts_and_encoder(source, monkeypatch):
    load_with(monkeypatch, lambda *_, **__: ENCODER)
    done = succeed(
        "import-index", "source", "--index", "my-index", "--documents", "texts.jsonl", "--encoder", "x", "--verify", "3"
    )
    assert "30 documents with " in done.stdout
    assert "from vectors: 30 added, 0 imported before" in done.stdout
    assert "The encoder fits" in done.stdout
    exported = [json.loads(line) for line in succeed("export", "my-index").stdout.splitlines()]
    assert [(one["id"], one["text"], one["metadata"]) for one in exported] == [
        (one.id, one.text, one.metadata) for one in documents(30)
    ]
    assert json.loads(succeed("info", "my-index", "--json").stdout)["bits"] == 4


def test_json(source):
    report = json.loads(
        succeed("import-index", "source", "--index", "i", "--json", "--verify", "2", "--bits", "2").stdout
    )
    assert (report["format"], report["added"], report["recall"], report["queries"]) == ("vectors", 30, 1.0, 2)
    assert json.loads(succeed("info", "i", "--json").stdout)["bits"] == 2


def test_quiet(source):
    done = succeed("import-index", "source", "--index", "my-index", "--quiet", "--verify", "0")
    assert (done.stdout, done.stderr) == ("", "")


def test_a_bar_on_terminals(source, monkeypatch):
    monkeypatch.setattr("late_interaction.cli.commands.importing.is_watched", lambda: True)
    done = succeed("import-index", "source", "--index", "my-index", "--verify", "0")
    assert re.search(r"Importing: 100%\|.*\| 30/30 ", done.stderr)


def test_an_interrupt_says_how_to_go_on(source, monkeypatch):
    monkeypatch.setattr(copying, "_COMMIT_DOCUMENTS", 10)
    upsert, writes = LocalEngine.upsert, itertools.count()

    def interrupted(self, records, **options):
        if next(writes):
            raise KeyboardInterrupt
        return upsert(self, records, **options)

    monkeypatch.setattr(LocalEngine, "upsert", interrupted)
    arguments = ("import-index", "source", "--index", "my-index", "--verify", "0")
    done = call(*arguments)
    assert done.exit_code == 130
    assert done.stderr.endswith("Interrupted. 10 documents are in the index. Run the same command again to go on.\n")
    monkeypatch.setattr(LocalEngine, "upsert", upsert)
    assert "20 added, 10 imported before" in succeed(*arguments).stdout


def test_an_interrupt_before_there_is_an_index(source, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("late_interaction.importers.import_index", interrupted)
    done = call("import-index", "source", "--index", "my-index")
    assert (done.exit_code, done.stderr) == (130, "Interrupted. Run the same command again to go on.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none", "--index", "i"), "none does not exist"),
        (("source", "--index", "i", "--documents", "no.jsonl"), "must be an existing .jsonl"),
        ((".", "--index", "../i"), "is of no known kind. It contains source/, texts.jsonl"),
        (("source", "--index", "i", "--bits", "5"), "bits"),
    ],
)
def test_errors_are_one_line(source, arguments, message):
    error = fail("import-index", *arguments)
    assert message in error
    assert error.count("\n") == 1
