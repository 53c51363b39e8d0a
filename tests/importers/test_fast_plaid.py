"""Indexes that fast-plaid 1.7.0 wrote (tests/data/fast_plaid/write.py), compared with what it says of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.errors import InvalidRequestError
from late_interaction.importers.fast_plaid import FAST_PLAID
from late_interaction.importers.foreign import SourceOptions

DATA = Path(__file__).parents[1] / "data" / "fast_plaid"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(DATA / "bits4", tmp_path / "source"))


@pytest.fixture(scope="module")
def expected():
    with np.load(DATA / "expected.npz") as file:
        return dict(file)


def opened(folder, documents=None):
    assert FAST_PLAID.matches(folder)
    return FAST_PLAID.open(folder, SourceOptions(documents))


def split_chunks(folder, *, at):
    """Store the documents as fast-plaid up to 1.6 did: chunks in files of their own, beside the merged files."""
    lengths = json.loads((folder / "doclens.0.json").read_text())
    token = sum(lengths[:at])
    for chunk, (some, rows) in enumerate([(lengths[:at], slice(token)), (lengths[at:], slice(token, sum(lengths)))]):
        (folder / f"doclens.{chunk}.json").write_text(json.dumps(some))
        for name in ("codes", "residuals"):
            np.save(folder / f"{chunk}.{name}.npy", np.load(folder / f"merged_{name}.npy")[rows])
            (folder / f"merged_{name}.manifest.json").unlink(missing_ok=True)
    about = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps({**about, "num_chunks": 2}))


@pytest.mark.parametrize("name", ["bits4", "bits2"])
def test_vectors_are_those_that_fast_plaid_returns(name, expected):
    index = opened(DATA / name)
    lengths = expected[f"{name}_lengths"]
    assert (index.dim, index.documents, index.tokens) == (16, len(lengths), lengths.sum())
    assert index.settings["bits"] == int(name[-1])
    vectors = [one for _, one in index.read()]
    assert [len(one) for one in vectors] == lengths.tolist()
    assert all(one.dtype == np.float32 for one in vectors)
    assert np.abs(np.concatenate(vectors) - expected[f"{name}_vectors"]).max() < 2e-3  # float16 in fast-plaid


@pytest.mark.parametrize("name", ["bits4", "bits2"])
def test_maxsim_of_the_vectors_is_the_score_of_fast_plaid(name, expected):
    vectors = [one for _, one in opened(DATA / name).read()]
    queries = np.split(expected["queries"], np.cumsum(expected["query_lengths"])[:-1])
    scores = np.array([[(query @ one.T).max(axis=1).sum() for one in vectors] for query in queries])
    found = expected[f"{name}_scores"]
    assert np.isfinite(found).mean() > 0.9
    assert np.nanmax(np.abs(scores - found)) < 0.02


def test_documents_have_their_numbers_and_metadata_after_a_deletion():
    documents = [document for document, _ in opened(DATA / "bits4").read()]
    kept = [number for number in range(30) if number not in (2, 11, 25)]
    assert [document.id for document in documents] == [str(number) for number in range(27)]
    assert [document.metadata for document in documents] == [
        {"number": number, "share": number / 4, "name": f"document {number}", **({"odd": "yes"} if number % 2 else {})}
        for number in kept
    ]
    assert {document.text for document in documents} == {""}


def test_reading_from_a_position_gives_the_rest(folder):
    split_chunks(folder, at=10)
    whole = list(opened(folder).read())
    for start in (1, 9, 10, 11, 26, 27):
        rest = list(opened(folder).read(start))
        assert [document for document, _ in rest] == [document for document, _ in whole[start:]]
        assert all(np.array_equal(one[1], other[1]) for one, other in zip(rest, whole[start:], strict=True))


@pytest.mark.parametrize("removed", ["merged_codes.npy merged_residuals.npy", "0.codes.npy 0.residuals.npy"])
def test_chunks_are_read_from_their_own_files_or_from_the_merged_ones(folder, removed, expected):
    split_chunks(folder, at=10)
    for name in removed.split():
        (folder / name).unlink()
    vectors = np.concatenate([one for _, one in opened(folder).read()])
    assert np.abs(vectors - expected["bits4_vectors"]).max() < 2e-3


def test_a_chunk_without_tokens_needs_no_file(folder):
    split_chunks(folder, at=27)
    (folder / "1.codes.npy").unlink()
    assert len(list(opened(folder).read())) == 27


def test_texts_and_ids_are_those_of_the_documents_given():
    documents = [Document(f"text {n}", id=f"doc-{n}", metadata={"number": -n}) for n in range(27)]
    index = opened(DATA / "bits4", lambda: iter(documents))
    found = [document for document, _ in index.read(20)]
    assert [(document.id, document.text) for document in found] == [(f"doc-{n}", f"text {n}") for n in range(20, 27)]
    assert found[-1].metadata == {"number": -26, "share": 29 / 4, "name": "document 29", "odd": "yes"}
    assert not any("neither texts nor ids" in note for note in index.notes)


@pytest.mark.parametrize("count", [0, 26, 28])
def test_another_number_of_documents_is_an_error(count):
    documents = [Document("text", id=str(n)) for n in range(count)]
    with pytest.raises(InvalidRequestError, match="27 documents, but"):
        list(opened(DATA / "bits4", lambda: iter(documents)).read())


def test_notes_say_what_is_lost(folder):
    notes = opened(folder).notes
    assert any("neither texts nor ids" in note for note in notes)
    assert any("buffer.npy" in note and "pickles" in note for note in notes)
    (folder / "buffer.npy").unlink()
    assert len(opened(folder).notes) == 1


@pytest.mark.parametrize("missing", ["metadata.json", "centroids.npy", "bucket_weights.npy", "doclens.0.json"])
def test_other_folders_are_not_recognized(folder, missing):
    (folder / missing).unlink()
    assert not FAST_PLAID.matches(folder)
    assert not FAST_PLAID.matches(folder / missing)
