"""Metadata of files, from a dict, a JSON file or a CSV file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from late_interaction import Index
from late_interaction.errors import InvalidRequestError
from late_interaction.ingestion import Changes, update
from late_interaction.readers import read_paths
from tests.fakes import WordEncoder


@pytest.fixture(autouse=True)
def docs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("docs/a.md", "docs/sub/b.md", "c.md"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("# Title\n\nText.")
    return tmp_path


def years(paths, metadata):
    return {
        document.metadata["source"].rpartition("/")[2]: document.metadata.get("year")
        for document in read_paths(paths, metadata=metadata)
    }


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["docs/a.md", "docs/sub/b.md", "c.md"], ["docs", "c.md"]),
        (["a.md", "sub/b.md", "c.md"], ["docs", "c.md"]),
        (["./docs/a.md", "docs/sub/../sub/b.md", "./c.md"], [Path("docs"), Path("c.md")]),
        (["docs/a.md", "docs/sub/b.md", "c.md"], ["."]),
    ],
)
@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_file_is_named_by_its_path_or_relative_to_a_folder_that_is_read(names, paths, is_absolute):
    if is_absolute:
        paths = [Path(path).absolute() for path in paths]
    metadata = {name: {"year": number} for number, name in enumerate(names)}
    assert years(paths, metadata) == {"a.md": 0, "b.md": 1, "c.md": 2}


def test_the_reader_keeps_its_own_metadata():
    (document,) = read_paths(["c.md"], metadata={"c.md": {"tags": ["x"], "title": "Other"}})
    assert document.metadata == {"source": "c.md", "passage": 0, "title": "Other", "tags": ["x"]}
    assert document.encoded_text == "Title\nText."


def test_json(docs):
    Path("docs/metadata.json").write_text(json.dumps({"a.md": {"year": 2020, "who": ["x"]}}))
    for name in ("docs/metadata.json", docs / "docs/metadata.json"):
        assert years(["docs"], name) == {"a.md": 2020, "b.md": None}
    assert years(["docs/a.md"], "docs/metadata.json") == {"a.md": 2020}


def test_csv_is_read_as_metadata_and_not_as_a_table():
    Path("docs/m.csv").write_text('\ufefffile,year,code,note,x\r\na.md,2020,007,"a, b",\r\n\r\nsub/b.md,1.5,1e3\r\n')
    a, b = read_paths(["docs"], metadata="docs/m.csv")
    own = {"passage", "title", "source"}
    assert {key: a.metadata[key] for key in a.metadata.keys() - own} == {"year": 2020, "code": "007", "note": "a, b"}
    assert {key: b.metadata[key] for key in b.metadata.keys() - own} == {"year": 1.5, "code": "1e3"}


def test_files_that_do_not_exist_are_named_once(caplog):
    years(["docs"], {"a.md": {"year": 1}, "gone.md": {}, "\0": {}})
    assert caplog.messages == ["metadata names 2 files that cannot be found: gone.md, \0."]
    caplog.clear()
    years(["docs"], {"gone.md": {}})
    assert caplog.messages == ["metadata names 1 file that cannot be found: gone.md."]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"c.md": {"source": "x"}}, "'c.md' has the key 'source', which the reader sets"),
        ({"c.md": "x"}, "'c.md' must be a dict, not str"),
        ({"c.md": {"x": object()}}, "'c.md'.*object"),
        ({"": {}}, "got the name ''"),
        ({3: {}}, "got the name 3"),
        (3, "dict of dicts by file"),
        ("nowhere.json", "cannot be read: No such file"),
        ("c.md", "must be a .json or .csv file"),
    ],
)
def test_what_is_malformed_is_refused_at_once(metadata, message):
    with pytest.raises(InvalidRequestError, match=message):
        read_paths(["."], metadata=metadata)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.json", "{", "cannot be read: Expecting"),
        ("m.json", "[]", "must be one object by file"),
        ("m.json", "[" * 100_000, "cannot be read"),
        ("m.json", '{"c.md": 3}', "must be a dict"),
        ("m.csv", "", "none of the columns source, file, path"),
        ("m.csv", "name,year\nc.md,1\n", "none of the columns source, file, path"),
        ("m.csv", "source,year,year\nc.md,1,2\n", "a column has no name"),
        ("m.csv", "source,year\nc.md,1,2\n", "line 2 has no name of a file, or more cells"),
        ("m.csv", "source,year\nc.md,1\nc.md,2\n", "line 3 names 'c.md' a second time"),
    ],
)
def test_files_that_are_malformed(name, content, message):
    Path(name).write_text(content)
    with pytest.raises(InvalidRequestError, match=message):
        read_paths(["."], metadata=name)


def test_new_metadata_is_not_encoded_and_can_be_filtered():
    encoder = WordEncoder()
    with Index.open("index", encoder=encoder) as index:
        update(index, read_paths(["docs"]), roots=["docs"])
        again = read_paths(["docs"], metadata={"a.md": {"year": 2020}})
        assert update(index, again, roots=["docs"]) == Changes(0, 1, 0, updated=1)
        assert [hit.metadata["source"] for hit in index.search("text", where={"year": 2020})] == ["docs/a.md"]
    assert encoder.documents_encoded == 2
