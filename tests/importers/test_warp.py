"""Indexes in the layout that xtr-warp-rs 2.1.0 was seen to write, by NumPy. The vectors are decompressed here again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from late_interaction import Document
from late_interaction.errors import CorruptIndexError, InvalidRequestError
from late_interaction.importers.foreign import SourceOptions
from late_interaction.importers.warp import WARP
from tests.importers.warp_folder import CENTROIDS, DIM, NBITS, Source

OPEN_FILES = Path("/dev/fd")


@pytest.fixture
def source(tmp_path):
    return Source(tmp_path / "source")


def check(source, index):
    found = list(index.read())
    expected = dict(sorted(source.passages.items()))
    assert [document.id for document, _ in found] == [str(number) for number in expected]
    for (_, vectors), wanted in zip(found, expected.values(), strict=True):
        assert vectors.dtype == np.float32
        assert np.allclose(vectors, wanted, atol=1e-6)
    assert (index.dim, index.documents) == (DIM, len(expected))
    assert index.tokens == sum(map(len, expected.values()))


def test_passages_of_several_chunks_are_read_in_the_order_of_their_numbers(source):
    source.add(range(5)).add([5, 6, 7])
    index = source.open()
    check(source, index)
    assert index.settings == {"bits": NBITS, "centroids": CENTROIDS}
    assert any("neither texts nor ids" in note for note in index.notes)


def test_indexes_before_version_1_number_passages_by_position(source):
    source.add(range(5), names_numbers=False).add(range(5, 9), names_numbers=False)
    check(source, source.open())


def test_deleted_passages_are_left_out(source):
    source.add(range(5)).add([5, 6, 7]).delete([2, 5])
    check(source, source.open())


def test_updated_passages_have_the_vectors_of_the_last_chunk(source):
    source.add(range(5)).add([3, 1]).add([3]).add([9])
    index = source.open()
    check(source, index)
    assert not any("updated" in note for note in index.notes)


def test_earlier_vectors_that_a_compaction_brought_back_are_left_out_and_counted(source):
    source.add(range(5)).add([3, 1], was_compacted=True)
    index = source.open()
    check(source, index)
    assert any(note.startswith("2 passages had been updated") for note in index.notes)


def test_reading_from_a_position_gives_the_rest(source):
    source.add(range(5)).add([3, 1]).add([7, 8])
    index = source.open()
    whole = list(index.read())
    for start in range(len(whole) + 1):
        rest = list(index.read(start))
        assert [document for document, _ in rest] == [document for document, _ in whole[start:]]
        assert all(np.array_equal(one[1], other[1]) for one, other in zip(rest, whole[start:], strict=True))


@pytest.mark.skipif(not OPEN_FILES.exists(), reason="the system does not list open files")
def test_an_index_may_have_more_files_than_a_process_may_open(source):
    for number in range(8):
        source.add([number])
    before = len(list(OPEN_FILES.iterdir()))
    index = source.open()
    assert len(list(OPEN_FILES.iterdir())) <= before + 2  # of the codec
    check(source, index)


def test_documents_of_the_caller_are_those_of_all_numbers(source):
    source.add(range(5)).delete([1])
    documents = [Document(f"text {n}", id=f"doc-{n}") for n in range(5)]
    found = [document.id for document, _ in source.open(lambda: iter(documents)).read(1)]
    assert found == ["doc-2", "doc-3", "doc-4"]
    with pytest.raises(InvalidRequestError, match="5 passages, 4 of them not deleted"):
        source.open(lambda: iter(documents[:3]))


def test_metadata_that_only_duckdb_reads_is_mentioned(source):
    source.add(range(2))
    (source.folder / "metadata.duckdb").write_bytes(b"")
    assert any("metadata.duckdb" in note for note in source.open().notes)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("doclens.0", np.array([1, 2]), r"0\.codes\.npy"),
        ("doclens.0", np.array([-1] * 5), r"doclens\.0\.npy"),
        ("doclens.0", np.array([2**31, 0, 0, 0, 0]), r"doclens\.0\.npy"),
        ("0.passage_ids", np.arange(4), r"0\.passage_ids\.npy"),
        ("0.passage_ids", np.array([0, 1, 2, 3, 2**40]), r"0\.passage_ids\.npy"),
        ("0.residuals", np.zeros((3, 4), np.uint8), r"0\.residuals\.npy"),
        ("0.residuals", np.zeros((3, 4), np.int32), r"0\.residuals\.npy"),
        ("0.codes", np.zeros(3), r"0\.codes\.npy"),
        ("codes.compacted", np.array([0, 1]), "lacks vectors of the passage"),
        ("codes.compacted", np.array([0, 2**50]), "which no chunk has"),
        ("centroids", np.full((CENTROIDS, DIM), np.nan, np.float32), r"centroids\.npy"),
        ("bucket_weights", np.zeros(3, np.float32), r"bucket_weights\.npy"),
        ("deleted_pids", np.array([-3]), r"deleted_pids\.npy"),
    ],
)
def test_files_that_do_not_fit_are_an_error_that_names_them(source, name, values, message):
    source.add(range(5))
    source.save(name, values)
    with pytest.raises(CorruptIndexError, match=message):
        source.open()


@pytest.mark.parametrize("code", [-1, CENTROIDS, np.iinfo(np.int64).min, np.uint64(2**63)])
def test_codes_beyond_the_centroids_are_an_error(source, code):
    source.add(range(5))
    codes = np.load(source.folder / "0.codes.npy").astype(type(code))
    codes[3] = code
    source.save("0.codes", codes)
    with pytest.raises(CorruptIndexError, match=r"0\.codes\.npy"):
        list(source.open().read())


@pytest.mark.parametrize("change", [{"nbits": 3}, {"nbits": None}, {"num_chunks": -1}, {"num_chunks": 2**50}])
def test_settings_that_cannot_be_are_an_error(source, change):
    source.add(range(5))
    about = json.loads((source.folder / "metadata.json").read_text())
    (source.folder / "metadata.json").write_text(json.dumps({**about, **change}))
    with pytest.raises(CorruptIndexError):
        source.open()


def test_every_truncated_or_missing_file_is_an_error(source):
    source.add(range(5)).delete([1])
    for path in sorted(source.folder.iterdir()):
        content = path.read_bytes()
        for end in (0, 1, len(content) - 1):
            path.write_bytes(content[:end])
            with pytest.raises(CorruptIndexError):
                list(source.open().read())
        path.unlink()
        if path.name not in ("deleted_pids.npy", "0.passage_ids.npy"):
            with pytest.raises(CorruptIndexError):
                list(WARP.open(source.folder, SourceOptions()).read())
        path.write_bytes(content)
    check(source, source.open())
