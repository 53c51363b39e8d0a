"""Indexes of colbert-ai: documents, ids, vectors, deleted passages, and what the caller passes."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch

from late_interaction import Document, Index
from late_interaction.errors import DuplicateIdError, InvalidRequestError
from late_interaction.importers import columns
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.stanford import STANFORD
from tests.importers.plaid_source import CENTROIDS, DIM, LENGTHS, edit_json, write_plaid

PASSAGES = sum(map(len, LENGTHS))


def given(*documents: Document) -> SourceOptions:
    return SourceOptions(lambda: iter(documents))


def read(folder, options=None, start=0):
    return list(STANFORD.open(folder, options or SourceOptions()).read(start))


@pytest.mark.parametrize("nbits", [1, 2, 4, 8])
def test_all_passages_with_their_vectors(tmp_path, nbits) -> None:
    source = write_plaid(tmp_path / "source", nbits=nbits)
    assert STANFORD.matches(source.folder)
    index = STANFORD.open(source.folder, SourceOptions())
    assert (index.dim, index.documents, index.tokens) == (DIM, PASSAGES, sum(map(sum, LENGTHS)))
    found = list(index.read())
    assert [document.id for document, _ in found] == [str(number) for number in range(PASSAGES)]
    for (document, vectors), expected in zip(found, source.vectors, strict=True):
        assert document.text == ""
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_what_the_source_says_of_itself(tmp_path) -> None:
    index = STANFORD.open(write_plaid(tmp_path / "source").folder, SourceOptions())
    assert index.encoder == "colbert-ir/colbertv2.0"
    assert index.settings == {"bits": 2, "centroids": CENTROIDS}
    texts, loss = index.notes
    assert "'/home/somebody/collection.tsv', which was not read" in texts
    assert "2 bits per dimension" in loss


@pytest.mark.parametrize("start", range(PASSAGES + 2))
def test_reading_begins_at_any_position(tmp_path, start, monkeypatch) -> None:
    monkeypatch.setattr(columns, "_BLOCK_TOKENS", 8)
    source = write_plaid(tmp_path / "source", lengths=((5, 0, 9, 4), (7, 0), (0, 0), (6, 1)))
    everything = read(source.folder)
    rest = read(source.folder, start=start)
    assert [document.id for document, _ in rest] == [document.id for document, _ in everything[start:]]
    for (_, vectors), (_, expected) in zip(rest, everything[start:], strict=True):
        np.testing.assert_array_equal(vectors, expected)


def test_a_chunk_that_is_skipped_is_not_opened(tmp_path) -> None:
    source = write_plaid(tmp_path / "source")
    (source.folder / "0.codes.pt").unlink()
    assert len(read(source.folder, start=4)) == PASSAGES - 4


def test_deleted_passages_are_left_out(tmp_path) -> None:
    source = write_plaid(tmp_path / "source", lengths=((5, 0, 9), (0,), (0, 6)))
    index = STANFORD.open(source.folder, SourceOptions())
    assert (index.documents, index.tokens) == (3, 20)
    assert any("deleted from the source: 3 passages" in note for note in index.notes)
    found = list(index.read())
    assert [document.id for document, _ in found] == ["0", "2", "5"]
    for document, vectors in found:
        np.testing.assert_allclose(vectors, source.vectors[int(document.id)], atol=1e-6)


def test_the_wrong_total_that_an_update_writes(tmp_path) -> None:
    source = write_plaid(tmp_path / "source")
    edit_json(source.folder / "metadata.json", lambda values: values.update(num_embeddings=999_999))
    assert STANFORD.open(source.folder, SourceOptions()).tokens == sum(map(sum, LENGTHS))


def test_chunks_beyond_the_number_are_said(tmp_path) -> None:
    source = write_plaid(tmp_path / "source")
    edit_json(source.folder / "metadata.json", lambda values: values.update(num_chunks=2))
    index = STANFORD.open(source.folder, SourceOptions())
    assert index.documents == 6
    assert any("metadata.json counts fewer chunks: 1 chunk." in note for note in index.notes)


def test_an_index_of_a_list_of_texts_has_them(tmp_path) -> None:
    folder = write_plaid(
        tmp_path / "source", lengths=((5, 0, 9), (6,)), config={"collection": ["a", "b", "c", "d"]}
    ).folder
    index = STANFORD.open(folder, SourceOptions())
    assert [(document.id, document.text) for document, _ in index.read()] == [("0", "a"), ("2", "c"), ("3", "d")]
    assert not any("keeps no texts" in note for note in index.notes)


def test_passages_that_were_added_later_have_no_texts(tmp_path) -> None:
    folder = write_plaid(tmp_path / "source", lengths=((5, 0, 9), (6,)), config={"collection": ["a", "b"]}).folder
    index = STANFORD.open(folder, SourceOptions())
    assert [document.text for document, _ in index.read()] == ["a", "", ""]
    assert any("Vectors alone: 2 documents." in note for note in index.notes)


def test_documents_of_the_caller(tmp_path) -> None:
    source = write_plaid(tmp_path / "source", lengths=((5, 0, 9), (6,)))
    documents = [Document(f"text {at}", id=f"id {at}", metadata={"at": at}) for at in range(4)]
    index = STANFORD.open(source.folder, given(*documents))
    found = list(index.read())
    assert [document for document, _ in found] == [documents[0], documents[2], documents[3]]
    assert [len(vectors) for _, vectors in found] == [5, 9, 6]
    assert [document.id for document, _ in index.read(2)] == ["id 3"]
    assert not any("keeps no texts" in note for note in index.notes)


def test_documents_of_the_caller_without_the_deleted_ones(tmp_path) -> None:
    source = write_plaid(tmp_path / "source", lengths=((5, 0, 9), (6,)))
    found = read(source.folder, given(*map(Document, ["a", "b", "c"])))
    assert [(document.id, document.text) for document, _ in found] == [("0", "a"), ("2", "b"), ("3", "c")]


def test_equal_texts_without_ids_stay_apart(tmp_path) -> None:
    source = write_plaid(tmp_path / "source", lengths=((5, 9), (6,)))
    found = read(source.folder, given(Document("same"), Document("same"), Document("other", id="x")))
    assert [(document.id, document.text) for document, _ in found] == [("0", "same"), ("1", "same"), ("x", "other")]


@pytest.mark.parametrize("count", [0, 2, 4])
def test_more_or_fewer_documents_than_passages(tmp_path, count) -> None:
    source = write_plaid(tmp_path / "source", lengths=((5, 9), (6,)))
    with pytest.raises(InvalidRequestError, match=rf"{count} documents given, and the source has 3 passages"):
        STANFORD.open(source.folder, given(*(Document("x", id=str(at)) for at in range(count))))


def test_documents_with_the_same_id(tmp_path) -> None:
    source = write_plaid(tmp_path / "source", lengths=((5, 9, 6),))
    with pytest.raises(DuplicateIdError, match="the id 'x'"):
        STANFORD.open(source.folder, given(Document("a", id="x"), Document("b", id="y"), Document("c", id="x")))


def test_documents_that_change_while_they_are_read(tmp_path) -> None:
    source = write_plaid(tmp_path / "source", lengths=((5, 9, 6),))
    documents = [Document(text, id=text) for text in "abc"]
    index = STANFORD.open(source.folder, SourceOptions(lambda: iter(documents)))
    documents.pop()
    with pytest.raises(InvalidRequestError, match="end before passage 2"):
        list(index.read())


def test_an_index_of_ours_finds_what_was_read(tmp_path) -> None:
    source = write_plaid(tmp_path / "source")
    documents, vectors = zip(*read(source.folder), strict=True)
    with Index.open(tmp_path / "ours", dim=DIM) as index:
        index.add(documents, vectors=vectors)
        for number, expected in enumerate(source.vectors):
            assert index.search(expected.astype(np.float32), k=1)[0].id == str(number)


def test_a_source_that_was_built_on_a_gpu(tmp_path) -> None:
    """There, colbert-ai writes weights in float16, and tensors whose files say that they lie on the GPU."""
    folder = write_plaid(tmp_path / "source").folder
    expected = [vectors for _, vectors in read(folder)]
    cutoffs, weights = torch.load(folder / "buckets.pt", weights_only=True)
    torch.save((cutoffs, weights.half()), folder / "buckets.pt")
    for name in ("centroids.pt", "buckets.pt"):
        on_gpu(folder / name)
    for (_, vectors), exact in zip(read(folder), expected, strict=True):
        np.testing.assert_allclose(vectors, exact, atol=1e-3)


def on_gpu(path) -> None:
    """Write the device in a ``.pt`` file anew."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            changed = content.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0") if name.endswith("data.pkl") else content
            assert changed != content or not name.endswith("data.pkl")
            archive.writestr(name, changed)


def test_a_folder_of_something_else(tmp_path) -> None:
    (tmp_path / "metadata.json").write_text("{}")
    assert not STANFORD.matches(tmp_path)
