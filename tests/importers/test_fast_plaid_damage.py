"""Damaged and hostile indexes of fast-plaid end in an error that names the file."""

from __future__ import annotations

import json
import pickle
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from late_interaction.errors import CorruptIndexError
from late_interaction.importers.fast_plaid import FAST_PLAID
from late_interaction.importers.foreign import SourceOptions

BITS4 = Path(__file__).parents[1] / "data" / "fast_plaid" / "bits4"
READ = [
    "bucket_weights.npy",
    "centroids.npy",
    "doclens.0.json",
    "merged_codes.manifest.json",
    "merged_codes.npy",
    "merged_residuals.manifest.json",
    "merged_residuals.npy",
    "metadata.db",
    "metadata.json",
]


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(BITS4, tmp_path / "source"))


def read_all(folder):
    return list(FAST_PLAID.open(folder, SourceOptions()).read())


def change_json(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", READ)
def test_truncated_files(folder, name):
    content = (folder / name).read_bytes()
    for end in (0, 1, len(content) // 2, len(content) - 1):
        (folder / name).write_bytes(content[:end])
        if name == "metadata.json" and content[:end].rstrip().endswith(b"}"):
            continue  # only the line break is missing
        with pytest.raises(CorruptIndexError, match=name):
            read_all(folder)


@pytest.mark.parametrize("name", [name for name in READ if "manifest" not in name and name != "metadata.db"])
def test_missing_files(folder, name):
    (folder / name).unlink()
    with pytest.raises(CorruptIndexError, match=name):
        read_all(folder)


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("centroids.npy", lambda values: np.where(values == values.max(), np.nan, values), "centroids.npy"),
        ("centroids.npy", lambda values: values.astype(np.int32), "centroids.npy"),
        ("centroids.npy", lambda values: values[:, :7], "centroids.npy"),
        ("centroids.npy", lambda values: values[:3], "merged_codes.npy"),
        ("bucket_weights.npy", lambda values: values[:8], "bucket_weights.npy"),
        ("bucket_weights.npy", lambda values: values + np.inf, "bucket_weights.npy"),
        ("merged_codes.npy", lambda values: values - 1000, "merged_codes.npy"),
        ("merged_codes.npy", lambda values: values.astype(np.float64), "merged_codes.npy"),
        ("merged_codes.npy", lambda values: values[:10], "merged_codes.npy"),
        ("merged_residuals.npy", lambda values: values[:, :5], "merged_residuals.npy"),
        ("merged_residuals.npy", lambda values: values.astype(np.uint16), "merged_residuals.npy"),
    ],
)
def test_arrays_that_do_not_fit(folder, name, change, named):
    np.save(folder / name, change(np.load(folder / name)))
    with pytest.raises(CorruptIndexError, match=named):
        read_all(folder)


def test_pickled_arrays_are_not_loaded(folder, tmp_path):
    class Canary:
        def __reduce__(self):
            return open, (str(tmp_path / "made"), "w")

    for name in ("centroids.npy", "merged_codes.npy", "0.codes.npy"):
        shutil.rmtree(folder)
        shutil.copytree(BITS4, folder)
        np.save(folder / name, np.array([Canary()], object), allow_pickle=True)
        with pytest.raises(CorruptIndexError, match=name):
            read_all(folder)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("key", ["num_documents", "num_embeddings"])
def test_counts_that_disagree(folder, key):
    change_json(folder / "metadata.json", **{key: 5})
    with pytest.raises(CorruptIndexError, match=f"metadata.json says {key} is 5"):
        read_all(folder)


@pytest.mark.parametrize(
    "changes",
    [{"nbits": 3}, {"nbits": True}, {"nbits": 2}, {"num_chunks": 2**40}, {"num_chunks": "1"}, {"num_chunks": 2}],
)
def test_settings_that_cannot_be(folder, changes):
    change_json(folder / "metadata.json", **changes)
    with pytest.raises(CorruptIndexError):
        read_all(folder)


@pytest.mark.parametrize("lengths", [[2**31], [2**62] * 4, [-1], ["1"], [1.5], {}, [1] * 27])
def test_lengths_that_cannot_be(folder, lengths):
    (folder / "doclens.0.json").write_text(json.dumps(lengths))
    with pytest.raises(CorruptIndexError, match=r"doclens\.0\.json"):
        read_all(folder)


@pytest.mark.parametrize("entry", [{"rows": 3}, {"rows": -1}, 7])
def test_manifests_that_do_not_fit(folder, entry):
    change_json(folder / "merged_codes.manifest.json", **{"0.codes.npy": entry})
    with pytest.raises(CorruptIndexError, match="merged_codes"):
        read_all(folder)


def test_symbolic_links_that_lead_outside(folder, tmp_path):
    (folder / "centroids.npy").rename(tmp_path / "centroids.npy")
    (folder / "centroids.npy").symlink_to(tmp_path / "centroids.npy")
    with pytest.raises(CorruptIndexError, match=r"centroids\.npy"):
        read_all(folder)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM METADATA WHERE _subset_ = 3",
        "UPDATE METADATA SET _subset_ = 100 WHERE _subset_ = 3",
        "INSERT INTO METADATA (_subset_) VALUES (27)",
        "CREATE TRIGGER t AFTER INSERT ON METADATA BEGIN DELETE FROM METADATA; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TABLE other (a)",
        "DROP TABLE METADATA",
        "ALTER TABLE METADATA ADD COLUMN g AS (1)",
        "UPDATE METADATA SET name = CAST(x'ff' AS TEXT) WHERE _subset_ = 3",
        "UPDATE METADATA SET name = zeroblob(20000000) WHERE _subset_ = 3",
        f"ALTER TABLE METADATA ADD COLUMN every_row DEFAULT '{'x' * 2**20}'",
    ],
)
def test_databases_that_do_not_fit(folder, statement):
    with closing(sqlite3.connect(folder / "metadata.db")) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(CorruptIndexError, match=r"metadata\.db"):
        read_all(folder)


def test_virtual_tables(folder):
    with closing(sqlite3.connect(folder / "metadata.db")) as database:
        database.executescript("DROP TABLE METADATA; CREATE VIRTUAL TABLE METADATA USING fts5(name)")
        database.executescript("PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name <> 'METADATA'")
    with pytest.raises(CorruptIndexError, match=r"metadata\.db must contain the table 'METADATA' alone"):
        read_all(folder)


def test_unfinished_transactions(folder):
    (folder / "metadata.db-journal").write_bytes(b"x")
    with pytest.raises(CorruptIndexError, match="unfinished transaction"):
        read_all(folder)


def test_values_that_are_not_json_are_left_out_and_counted(folder):
    with closing(sqlite3.connect(folder / "metadata.db")) as database:
        database.execute("UPDATE METADATA SET share = 9e999, name = ? WHERE _subset_ < 2", (pickle.dumps(1),))
        database.commit()
    index = FAST_PLAID.open(folder, SourceOptions())
    assert next(iter(index.read()))[0].metadata == {"number": 0}
    assert sum("has 2 binary or infinite values" in note for note in index.notes) == 2
