"""Indexes whose words an earlier release made: searched as before, until `compact` splits the texts again."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from contextlib import closing
from pathlib import Path

import pytest

from late_interaction import Document
from late_interaction.engines import LocalEngine
from late_interaction.engines.local.catalog.schema import FORMAT_VERSION
from late_interaction.errors import CorruptIndexError, InvalidRequestError
from tests.engines.catalogs import read_setting, set_setting
from tests.engines.fixtures.make_old_indexes import answers
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, record, small_thresholds

FIXTURES = Path(__file__).parent / "fixtures"
CHINESE = "低头思故乡"


@pytest.fixture(params=["format_1", "format_3", "format_4"])
def old(request, tmp_path):
    """An index of an earlier release."""
    with tarfile.open(FIXTURES / f"{request.param}.tar.gz") as archive:
        archive.extractall(tmp_path)
    return tmp_path / request.param


@pytest.fixture
def lexical(old):
    """What it answered then: ids and scores."""
    found = json.loads((FIXTURES / f"{old.name}.json").read_text())["lexical"]
    return {document_id: pytest.approx(score, rel=1e-4) for document_id, score in found}


def found(engine, query):
    return {match.id: match.score for match in engine.search_lexical(query, 1000)}


def tables(root):
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def test_a_write_keeps_the_words_and_compact_replaces_them(old, lexical):
    with small_thresholds(), LocalEngine.open(old) as engine:
        assert found(engine, "text of e3 title") == lexical
        engine.upsert([record("poem", text=CHINESE), record("other", text="else")])
        engine.delete(ids=["other"])
        assert engine.info()["format_version"] == FORMAT_VERSION
        assert {"passages", "document_added"} <= tables(old)
        assert found(engine, CHINESE).keys() == {"poem"}
        assert found(engine, "故乡") == found(engine, "else") == {}
        assert engine.verify().problems == ()
        engine.compact()
        assert not {"passages", "document_added", "document_removed"} & tables(old)
        assert found(engine, "故乡").keys() == {"poem"}
        assert found(engine, "text of e3 title").keys() == lexical.keys()
        assert engine.verify().problems == ()
        engine.upsert([record("poem", text="another")])
        assert found(engine, "故乡") == {}
        assert found(engine, "another").keys() == {"poem"}
        before = answers(engine)
    with LocalEngine.open(old, read_only=True) as engine:
        assert answers(engine) == before
        assert engine.verify().problems == ()


def test_the_language_is_english_and_stays(old):
    for _ in range(2):
        with LocalEngine.open(old) as engine:
            assert engine.info()["language"] == engine.language == "english"
        with pytest.raises(InvalidRequestError, match="created with language='english', not 'german'"):
            LocalEngine.open(old, language="german")
        with LocalEngine.open(old, language="english") as engine:
            engine.compact()


@pytest.mark.parametrize("old", ["format_4"], indirect=True)
def test_documents_are_changed_and_deleted_with_old_words(old):
    with LocalEngine.open(old) as engine:
        (document,) = engine.get(["d7"])
        engine.update_documents([Document("renamed", id="d7", metadata=document.metadata)], None)
        assert found(engine, "renamed").keys() == {"d7"}
        assert "d7" not in found(engine, "text")
        assert engine.verify().problems == ()
        engine.compact()
        assert found(engine, "renamed").keys() == {"d7"}
        engine.clear()
        assert found(engine, "text renamed") == {}
        assert engine.verify().problems == ()


@pytest.mark.parametrize("old", ["format_4"], indirect=True)
def test_readers_in_progress_go_on(old, lexical):
    with LocalEngine.open(old, read_only=True) as reader, LocalEngine.open(old) as writer:
        writer.upsert([record("new", text="elsewhere")])
        writer.delete(ids=["new"])
        with reader.one_state():
            assert found(reader, "text of e3 title") == lexical
            writer.compact()
            assert found(reader, "text of e3 title") == lexical
        assert found(reader, "text of e3 title").keys() == lexical.keys()
        assert reader.verify().problems == ()


CHILD = """
import signal, sys, time
from late_interaction.engines import LocalEngine
from late_interaction.engines.local.catalog import writer
before = writer.add_words
def slowly(*arguments):
    before(*arguments)
    print("inside", flush=True)
    time.sleep(60)
writer.add_words = slowly
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets background processes ignore it
with LocalEngine.open(sys.argv[1]) as engine:
    engine.compact()
"""


@pytest.mark.parametrize(
    ("old", "number"), [("format_3", signal.SIGINT), ("format_4", signal.SIGKILL)], indirect=["old"]
)
def test_an_interrupted_compact_leaves_the_old_words(old, lexical, number):
    command = [sys.executable, "-c", CHILD, str(old)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=CHILD_ENVIRONMENT
    ) as child:
        assert child.stdout.readline() == "inside\n"
        time.sleep(0.05)
        child.send_signal(number)
    assert "passages" in tables(old)
    with LocalEngine.open(old) as engine:
        assert found(engine, "text of e3 title") == lexical
        engine.compact()
        assert found(engine, "text of e3 title").keys() == lexical.keys()
        assert engine.verify().problems == ()


def test_words_of_other_versions_are_kept_and_replaced_by_compact(root):
    """As after an upgrade of Python, of whose tables the words are."""
    with LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record("a", text="one apple"), record("b", text="two apples")])
    words = json.loads(read_setting(root, "words"))
    assert words["language"] == "english"
    assert words["tokenizer"]
    set_setting(root, "words", json.dumps({**words, "tokenizer": "another"}))
    with LocalEngine.open(root) as engine:
        assert engine.verify().problems == ()
        engine.delete(ids=["a"])
        assert json.loads(read_setting(root, "words"))["tokenizer"] == "another"
        engine.upsert([record("c", text="three apples")])
        assert json.loads(read_setting(root, "words"))["tokenizer"] is None
        assert found(engine, "apple").keys() == {"b", "c"}
        assert engine.verify().problems == ()
        engine.compact()
        assert json.loads(read_setting(root, "words")) == words
        assert found(engine, "apple").keys() == {"b", "c"}
        assert engine.verify().problems == ()


def test_a_damaged_document_is_not_split_again(old):
    with LocalEngine.open(old) as engine:
        engine.upsert([record("new")])
    with closing(sqlite3.connect(old / "catalog.sqlite")) as connection:
        connection.execute("UPDATE documents SET metadata = '{' WHERE id = 'new'")
        connection.commit()
    with LocalEngine.open(old) as engine:
        with pytest.raises(CorruptIndexError, match="new"):
            engine.compact()
        assert "passages" in tables(old)
