"""Indexes of RAGatouille: texts, ids, metadata, deleted documents, and files that do not fit each other."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from late_interaction import Document, Index
from late_interaction.errors import CorruptIndexError
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.ragatouille import RAGATOUILLE
from late_interaction.importers.stanford import STANFORD
from tests.importers.plaid_source import DIM, edit_json, write_plaid

if TYPE_CHECKING:
    from pathlib import Path

LENGTHS = ((5, 3, 9), (4, 7))
TEXTS = ["first of a", "second of a", "all of b", "first of c", "second of c"]
IDS = {"0": "a", "1": "a", "2": "b", "3": "c", "4": "c"}
METADATA = {"a": {"year": 2020}, "c": {"tags": ["x", "y"]}}


def write_ragatouille(
    folder: Path,
    *,
    lengths: Any = LENGTHS,
    built: Any = TEXTS,
    texts: Any = TEXTS,
    ids: Any = IDS,
    metadata: Any = METADATA,
) -> Path:
    """Write an index as RAGatouille 0.0.9.post2 does: that of colbert-ai, and three JSON files.

    Args:
        folder: A new folder.
        lengths: As for `write_plaid`.
        built: The texts that colbert-ai put into its settings when the index was built.
        texts: ``collection.json``; None: no such file.
        ids: ``pid_docid_map.json``.
        metadata: ``docid_metadata_map.json``.
    """
    write_plaid(folder, lengths=lengths, config={"collection": built})
    added = {"index_config": {"index_type": "PLAID", "index_name": "my-index"}}
    edit_json(folder / "metadata.json", lambda values: values.update(RAGatouille=added))
    for name, content in (("collection", texts), ("pid_docid_map", ids), ("docid_metadata_map", metadata)):
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def opened(folder, options=None):
    assert RAGATOUILLE.matches(folder)
    assert not STANFORD.matches(folder)
    return RAGATOUILLE.open(folder, options or SourceOptions())


def test_texts_ids_and_metadata(tmp_path) -> None:
    index = opened(write_ragatouille(tmp_path / "source"))
    assert index.documents == 5
    documents = [document for document, _ in index.read()]
    assert [document.text for document in documents] == TEXTS
    assert [document.id for document in documents] == ["a#0", "a#1", "b", "c#0", "c#1"]
    assert [document.metadata for document in documents] == [
        {"document_id": "a", "passage": 0, "year": 2020},
        {"document_id": "a", "passage": 1, "year": 2020},
        {"document_id": "b", "passage": 0},
        {"document_id": "c", "passage": 0, "tags": ["x", "y"]},
        {"document_id": "c", "passage": 1, "tags": ["x", "y"]},
    ]
    assert any("those of 4 passages end in its number, for example 'a#0'" in note for note in index.notes)


@pytest.mark.parametrize("start", range(7))
def test_reading_begins_at_any_position(tmp_path, start) -> None:
    index = opened(write_ragatouille(tmp_path / "source"))
    everything, rest = list(index.read()), list(index.read(start))
    assert [document for document, _ in rest] == [document for document, _ in everything[start:]]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(rest, everything[start:], strict=True))


def test_an_index_of_ours_can_be_filtered(tmp_path) -> None:
    documents, vectors = zip(*opened(write_ragatouille(tmp_path / "source")).read(), strict=True)
    with Index.open(tmp_path / "ours", dim=DIM) as index:
        index.add(documents, vectors=vectors)
        assert {hit.id for hit in index.search(vectors[2], k=5, where={"document_id": "c"})} == {"c#0", "c#1"}
        assert index.search("second", k=1, where={"year": 2020}, mode="lexical")[0].id == "a#1"


def test_ids_that_end_in_a_number(tmp_path) -> None:
    ids = {"0": "a", "1": "a", "2": "a#0", "3": "b", "4": "b#1"}
    documents = [document for document, _ in opened(write_ragatouille(tmp_path / "source", ids=ids)).read()]
    assert [document.id for document in documents] == ["a#0", "a#1", "a#0#0", "b#0", "b#1#0"]


def test_ids_stay_where_documents_have_one_passage(tmp_path) -> None:
    ids = {"4": "v", "3": "w", "2": "x#1", "1": "y", "0": 26}
    index = opened(write_ragatouille(tmp_path / "source", ids=ids))
    assert [document.id for document, _ in index.read()] == ["26", "y", "x#1", "w", "v"]
    assert not any("end in its number" in note for note in index.notes)


def test_a_deleted_document(tmp_path) -> None:
    """``delete_from_index`` shortens the list of texts, keeps the numbers, and leaves passages of 0 tokens."""
    folder = write_ragatouille(
        tmp_path / "source",
        lengths=((5, 3, 0), (4, 7)),
        texts=[TEXTS[at] for at in (0, 1, 3, 4)],
        ids={"0": "a", "1": "a", "3": "c", "4": "c"},
    )
    index = opened(folder)
    found = list(index.read())
    assert [(document.id, document.text) for document, _ in found] == [
        ("a#0", "first of a"),
        ("a#1", "second of a"),
        ("c#0", "first of c"),
        ("c#1", "second of c"),
    ]
    assert [len(vectors) for _, vectors in found] == [5, 3, 4, 7]
    assert not any("delete_from_index" in note for note in index.notes)  # one passage, so one call


def test_two_deletions_that_left_wrong_texts(tmp_path) -> None:
    """The second ``delete_from_index`` removes the text at number 2 from a list that the first one has shortened."""
    folder = write_ragatouille(
        tmp_path / "source",
        lengths=((0, 0, 0), (4, 7)),
        texts=["all of b", "first of c"],
        ids={"3": "c", "4": "c"},
    )
    index = opened(folder)
    assert [document.text for document, _ in index.read()] == ["first of c", "second of c"]
    assert not any("delete_from_index" in note for note in index.notes)


def test_wrong_texts_that_cannot_be_told(tmp_path) -> None:
    """Passages that were added later are in no list but the one from which wrong texts may have been removed."""
    folder = write_ragatouille(
        tmp_path / "source",
        lengths=((0, 0, 9), (4, 7)),
        built=TEXTS[:3],
        texts=["all of b", "added 3", "added 4"],
        ids={"2": "b", "3": "c", "4": "c"},
    )
    index = opened(folder)
    assert [document.text for document, _ in index.read()] == ["all of b", "added 3", "added 4"]
    (note,) = [note for note in index.notes if "delete_from_index" in note]
    assert note.startswith("2 passages were deleted.")
    assert "may have the texts of others" in note


def test_passages_deleted_by_colbert_itself(tmp_path) -> None:
    folder = write_ragatouille(tmp_path / "source", lengths=((5, 0, 9), (4, 7)), built="a.tsv")
    found = [(document.id, document.text) for document, _ in opened(folder).read()]
    assert found == [("a", "first of a"), ("b", "all of b"), ("c#0", "first of c"), ("c#1", "second of c")]


def test_an_index_that_was_built_again_after_a_deletion(tmp_path) -> None:
    """``add_to_index`` numbers the passages anew, and the ids keep their old numbers."""
    folder = write_ragatouille(tmp_path / "source", ids={"1": "a", "2": "b", "4": "c", "5": "c", "6": "d"})
    index = opened(folder)
    assert [document.metadata["document_id"] for document, _ in index.read()] == ["a", "b", "c", "c", "d"]
    (note,) = [note for note in index.notes if "delete_from_index" in note]
    assert "may have the ids and metadata of others" in note


def test_an_early_release_without_ids(tmp_path) -> None:
    index = opened(
        write_ragatouille(tmp_path / "source", lengths=((5, 0), (4,)), built="a.tsv", texts=["x", "z"], ids=None)
    )
    assert [(document.id, document.text) for document, _ in index.read()] == [("0", "x"), ("2", "z")]
    assert any("no pid_docid_map.json" in note for note in index.notes)


def test_metadata_of_the_same_names_is_kept(tmp_path) -> None:
    metadata = {"a": {"passage": "mine"}, "b": None, "gone": {"year": 1}}
    index = opened(write_ragatouille(tmp_path / "source", metadata=metadata))
    documents = [document for document, _ in index.read()]
    assert documents[1].metadata == {"document_id": "a", "passage": "mine"}
    assert any("1 document with a `passage` in the metadata: this is kept" in note for note in index.notes)
    assert any("metadata of 1 document without passages, such as 'gone'" in note for note in index.notes)


def test_documents_of_the_caller_replace_those_of_the_source(tmp_path) -> None:
    folder = write_ragatouille(tmp_path / "source", texts=["wrong"], ids={})
    documents = [Document(f"text {at}", id=f"id {at}") for at in range(5)]
    index = opened(folder, SourceOptions(lambda: iter(documents)))
    assert [document for document, _ in index.read()] == documents


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"built": [1] * 5}, "metadata.json must have at most 5 strings as 'collection'"),
        ({"built": [*TEXTS, "more"]}, "metadata.json must have at most 5 strings as 'collection'"),
        ({"built": ["\ud800", *TEXTS[1:]]}, "has a passage that cannot be stored .*not valid Unicode"),
        ({"texts": None, "built": []}, "collection.json is missing"),
        ({"texts": {}, "built": []}, "collection.json must contain a JSON list"),
        ({"texts": TEXTS[1:], "built": []}, "collection.json has 4 texts, and there are vectors of 5 passages"),
        ({"texts": [*TEXTS, "more"], "built": []}, "collection.json has 6 texts"),
        ({"texts": [1, 2, 3, 4, 5], "built": []}, "collection.json must contain strings"),
        ({"lengths": ((50, 3, 9), (4, 7))}, "collection.json has texts that are not those .* passage 0 has 50 tokens"),
        ({"ids": []}, "pid_docid_map.json must contain a JSON dict"),
        ({"ids": {"0": "a"}}, "pid_docid_map.json has the ids of 1 passage, and there are vectors of 5"),
        ({"ids": {**IDS, "5": "d"}}, "pid_docid_map.json has the ids of 6 passages"),
        ({"ids": {**IDS, "4": ""}}, "pid_docid_map.json must have ids of documents as values, got '' for 4"),
        ({"ids": {**IDS, "4": None}}, "pid_docid_map.json must have ids of documents as values, got None"),
        ({"ids": {**IDS, "4": True}}, "pid_docid_map.json must have ids of documents as values, got True"),
        ({"ids": {**IDS, "4": "\ud800"}}, "pid_docid_map.json must have ids of documents as values"),
        ({"ids": {"x": "a"}}, "pid_docid_map.json must have numbers of passages as keys, got 'x'"),
        ({"ids": {"-1": "a"}}, "pid_docid_map.json must have numbers of passages as keys, got '-1'"),
        ({"ids": {"01": "a"}}, "pid_docid_map.json must have numbers of passages as keys, got '01'"),
        ({"ids": {"9" * 5000: "a"}}, "pid_docid_map.json must have numbers of passages as keys"),
        ({"metadata": []}, "docid_metadata_map.json must contain a JSON dict"),
        ({"metadata": {"a": [1]}}, "docid_metadata_map.json must have an object for each document, not so for 'a'"),
        ({"metadata": {"a": {"\ud800": 1}}}, "has a passage that cannot be stored"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_files_that_do_not_fit(tmp_path, files, message) -> None:
    folder = write_ragatouille(tmp_path / "source", **files)
    with pytest.raises(CorruptIndexError, match=message):
        list(opened(folder).read())
