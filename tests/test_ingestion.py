"""Bringing an index up to date: only what changed is encoded, and what is gone from a source is gone from the index."""

from __future__ import annotations

import copy

import pytest

from late_interaction import Document, Index
from late_interaction.ingestion import Changes, update


@pytest.fixture
def index(tmp_path, word_encoder):
    with Index.open(tmp_path / "index", encoder=word_encoder) as index:
        yield index


def passages(source, *texts, **metadata):
    """Passages as the readers make them."""
    return [
        Document(text, id=f"{source}#{number}", metadata={"source": source, "passage": number, **metadata})
        for number, text in enumerate(texts)
    ]


def test_first_run_adds_everything(index, word_encoder):
    documents = [*passages("a.md", "one", "two"), *passages("b.md", "three")]
    kept = copy.deepcopy(documents)
    assert update(index, iter(documents)) == Changes(added=3, unchanged=0, deleted=0)
    assert list(index.scan()) == documents == kept
    assert word_encoder.documents_encoded == 3


def test_second_run_encodes_nothing(index, word_encoder):
    documents = [*passages("a.md", "one", "two"), *passages("b.md", "three")]
    update(index, documents)
    assert update(index, documents) == Changes(added=0, unchanged=3, deleted=0)
    assert word_encoder.documents_encoded == 3


def test_only_what_changed_is_encoded(index, word_encoder):
    update(index, [*passages("a.md", "one", "two", "three"), *passages("b.md", "four")])
    assert update(index, passages("a.md", "one", "TWO", "three")) == Changes(added=1, unchanged=2, deleted=0)
    assert word_encoder.documents_encoded == 5
    assert [document.text for document in index.scan(where={"source": "b.md"})] == ["four"]
    assert index.get(["a.md#1"])[0].text == "TWO"


def test_a_change_of_what_is_encoded_beside_the_text_is_a_change(index):
    changed = Document("one", id="a.md#0", metadata={"source": "a.md", "passage": 0}, encoded_text="new\none")
    update(index, passages("a.md", "one"))
    assert update(index, [changed]) == Changes(added=1, unchanged=0, deleted=0)
    assert list(index.scan()) == [changed]


def test_a_change_of_metadata_alone_is_not_encoded(index, word_encoder):
    changed = Document("one", id="a.md#0", metadata={"source": "a.md", "passage": 0, "title": "new"})
    update(index, [*passages("a.md", "one"), *passages("b.md", "two")])
    hits = index.search("one", 2)
    assert update(index, [changed]) == Changes(added=0, unchanged=0, deleted=0, updated=1)
    assert index.get(["a.md#0"]) == [changed]
    assert [hit.score for hit in index.search("one", 2)] == [hit.score for hit in hits]
    assert word_encoder.documents_encoded == 2


def test_a_source_that_shrank_leaves_nothing_behind(index):
    other = [*passages("a.md.txt", "five", "six"), *passages("b.md", "seven", "eight", "nine")]
    update(index, [*passages("a.md", "one", "two", "three", "four"), *other])
    index.add([Document("not from a file", id="own"), Document("of another tool", id="x", metadata={"source": "a.md"})])
    assert update(index, passages("a.md", "one", "two")) == Changes(added=0, unchanged=2, deleted=2)
    assert {document.id for document in index.scan()} == {
        "a.md#0",
        "a.md#1",
        *(document.id for document in other),
        "own",
        "x",
    }
    assert index.search("three four", mode="lexical") == []


def test_a_shrunken_source_that_also_changed(index):
    update(index, passages("a.md", "one", "two", "three"))
    assert update(index, passages("a.md", "ONE")) == Changes(added=1, unchanged=0, deleted=2)
    assert [document.text for document in index.scan()] == ["ONE"]


def test_sources_that_are_gone_from_the_roots(index):
    update(index, [*passages("docs/a.md", "one"), *passages("docs/b.md", "two"), *passages("docs.md", "three")])
    update(index, passages("other/a.md", "four"))
    assert update(index, passages("docs/a.md", "one"), roots=["docs"]) == Changes(added=0, unchanged=1, deleted=1)
    assert [document.text for document in index.scan()] == ["one", "three", "four"]
    gone = {"roots": ["docs.md", "other"], "keep": {"docs.md"}, "allow_empty": True}
    assert update(index, [], **gone) == Changes(0, 0, deleted=1)
    assert [document.text for document in index.scan()] == ["one", "three"]
    assert update(index, []) == Changes(0, 0, 0)  # no roots: nothing is said of what was not read


def test_an_interrupted_run_goes_on_where_it_stopped(index, word_encoder):
    def broken():
        yield from documents[:1500]
        raise RuntimeError("the disk went away")

    documents = passages("big.txt", *(f"passage number {number}" for number in range(1600)))
    with pytest.raises(RuntimeError, match="the disk went away"):
        update(index, broken())
    kept = len(index)
    assert 500 <= kept <= 1500  # what was committed on the way
    encoded = word_encoder.documents_encoded
    assert update(index, documents) == Changes(added=1600 - kept, unchanged=kept, deleted=0)
    assert word_encoder.documents_encoded == encoded + 1600 - kept
    assert list(index.scan()) == documents


def test_a_source_is_complete_only_at_the_end(index):
    """A source of more passages than one commit holds is not taken for one that has shrunk."""
    documents = passages("big.txt", *(f"passage number {number}" for number in range(1100)))
    update(index, documents)
    assert update(index, documents) == Changes(added=0, unchanged=1100, deleted=0)
    assert len(index) == 1100


def test_nothing_to_do(index):
    assert update(index, []) == Changes(0, 0, 0)
    assert len(index) == 0


def test_progress_goes_to_stderr_and_only_if_asked(index, capfd):
    update(index, passages("a.md", "one"))
    assert capfd.readouterr() == ("", "")
    update(index, passages("a.md", "one", "two"), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "2 passages" in err


def test_a_folder_beside_the_root_is_not_in_it(index, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    update(index, passages("../other/a.md", "one"), roots=["../other"])
    assert update(index, passages("b.md", "two"), roots=["."]) == Changes(added=1, unchanged=0, deleted=0)
    assert len(index) == 2


def test_what_has_gone_from_a_root_is_deleted(index):
    update(index, [*passages("docs/a.md", "one"), *passages("docs/deep/b.md", "two")], roots=["docs"])
    assert update(index, passages("docs/a.md", "one"), roots=["docs"], keep=["docs/deep"]).deleted == 0
    assert update(index, passages("docs/a.md", "one"), roots=["docs"]).deleted == 1
    assert [document.id for document in index.scan()] == ["docs/a.md#0"]
