"""What a catalog names: files of the index alone, of the sizes that it says, and nothing that blocks or leads away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.storage.columns import npy_header
from late_interaction.errors import CorruptIndexError, InvalidVectorsError
from tests.engines.catalogs import change, read_setting, set_setting
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, column_files, record, small_thresholds, unit_vectors

QUERY = unit_vectors(12345, 4)
needs_posix = pytest.mark.skipif(os.name == "nt", reason="symlinks and pipes of POSIX")


@pytest.fixture(scope="module")
def sound(make_directory):
    """A closed index with a compressed segment, an exact one and a codebook."""
    root = make_directory("sound") / "index"
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4) as engine:
        engine.upsert([record(f"d{n}", tokens=2 + n % 3, n=n) for n in range(40)])
        engine.upsert([record(f"e{n}", n=n) for n in range(3)])
        engine.delete(ids=["d1", "e2"])
        assert engine.info()["segments"] == 2  # the one of all d, and that of e, merged without e2
    return root


@pytest.fixture
def index(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "index"))


def refused(root, match):
    for read_only in (True, False):
        with pytest.raises(CorruptIndexError, match=match):
            LocalEngine.open(root, read_only=read_only)


NAMES = [
    "../../outside",
    "/etc",
    "..",
    ".",
    "",
    "0123456789abcdeg",
    "0123456789ABCDEF",
    "0123456789abcdef\n",
    "a/b",
    "x" * 300,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_segment_elsewhere(index, name):
    change(index, "UPDATE segments SET name = ? WHERE segment = 2", name)
    refused(index, "name")


@pytest.mark.parametrize("name", NAMES)
def test_a_codebook_elsewhere(index, name):
    set_setting(index, "codebook", json.dumps({**json.loads(read_setting(index, "codebook")), "name": name}))
    refused(index, "codebook")


@pytest.mark.parametrize("name", ["../catalog.sqlite", "/etc/passwd", "vectors.npy", "other.npy", "", "codes.npy/"])
def test_a_file_elsewhere(index, name):
    change(index, "UPDATE segment_files SET name = ? WHERE name = 'codes.npy'", name)
    refused(index, "files")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO segment_files VALUES (2, '../x', 1, 1)",
        "DELETE FROM segment_files WHERE name = 'scales.npy'",
        "INSERT INTO segment_files VALUES (77, 'vectors.npy', 1, 1)",
    ],
)
def test_more_or_fewer_files(index, statement):
    change(index, statement)
    refused(index, "files")


@pytest.mark.parametrize("column", ["documents", "tokens"])
@pytest.mark.parametrize("value", [-1, 2**63 - 1, 2**48, 1.5, "many", b"1", 10**9])
def test_numbers_of_a_segment_out_of_range(index, column, value):
    change(index, f"UPDATE segments SET {column} = ? WHERE segment = 2", value)
    refused(index, "segment|documents|tokens|column")


@pytest.mark.parametrize("column", ["size", "checksum"])
@pytest.mark.parametrize("value", [-1, 2**63 - 1, 1.5, "many", b"1"])
def test_numbers_of_a_file_out_of_range(index, column, value):
    change(index, f"UPDATE segment_files SET {column} = ? WHERE name = 'codes.npy'", value)
    refused(index, "number")


# What is in the place of a file


def places(root):
    """Each directory and file that the catalog names, and the two that hold them."""
    return {
        str(path.relative_to(root)): path
        for path in root.rglob("*")
        if path.name not in ("catalog.sqlite", "writer.lock")
    }


@needs_posix
@pytest.mark.parametrize("number", range(16))
def test_a_symlink_is_not_followed(index, tmp_path, number):
    """Though what it leads to is what the catalog expects."""
    path = sorted(places(index).values())[number]
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    refused(index, path.name)


@needs_posix
def test_all_places_are_tried(index):
    assert len(places(index)) == 19


@needs_posix
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_a_catalog_that_is_a_symlink(index, tmp_path, suffix):
    path = index / f"catalog.sqlite{suffix}"
    target = tmp_path / "elsewhere"
    if path.exists():
        shutil.move(path, target)
    else:
        target.write_bytes(b"")
    path.symlink_to(target)
    refused(index, f"{path.name} is not a regular file")


PIPES = """
import os, sys
from pathlib import Path
from late_interaction.engines import LocalEngine
from late_interaction.errors import CorruptIndexError
root = Path(sys.argv[1])
paths = [p for p in root.rglob("*.npy")] + [root / "catalog.sqlite-wal", root / "catalog.sqlite-journal"]
for path in paths:
    data = path.read_bytes() if path.exists() else None
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    try:
        LocalEngine.open(root, read_only=True)
        print("opened", path)
    except CorruptIndexError as error:
        assert path.name in str(error), error
    path.unlink()
    if data is not None:
        path.write_bytes(data)
with LocalEngine.open(root, read_only=True) as engine:
    assert engine.verify().problems == ()
    for path in paths[:-2]:
        path.rename(path.with_suffix(".x"))
        os.mkfifo(path)
        assert path.name in str(engine.verify().problems), path
        path.unlink()
        path.with_suffix(".x").rename(path)
"""


@needs_posix
def test_a_pipe_does_not_block(index):
    done = subprocess.run(
        [sys.executable, "-c", PIPES, str(index)], capture_output=True, text=True, timeout=120, env=CHILD_ENVIRONMENT
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@needs_posix
def test_a_column_exchanged_for_a_symlink_while_it_is_open(index, tmp_path):
    with LocalEngine.open(index) as engine:
        path = next(path for path in column_files(index) if path.name == "vectors.npy")
        shutil.move(path, tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
        assert any("vectors.npy is not a regular file" in problem for problem in engine.verify().problems)
        with pytest.raises(CorruptIndexError, match=r"vectors\.npy"):
            engine.compact()


# Sizes


def a_huge_claim(root, documents, tokens):
    """Let a segment claim so many documents and tokens, with sparse files of the sizes and headers to match."""
    (name,) = {path.parent for path in column_files(root) if path.name == "vectors.npy"}
    shapes = {"offsets": ((documents + 1,), np.dtype(np.int64)), "vectors": ((tokens, DIM), np.dtype(np.float16))}
    for column, (shape, dtype) in shapes.items():
        header = npy_header(shape, dtype)
        size = len(header) + int(np.prod(shape)) * dtype.itemsize
        with (name / f"{column}.npy").open("r+b") as file:
            file.write(header)
            file.truncate(size)
        segment = "(SELECT segment FROM segments WHERE name = ?)"
        statement = f"UPDATE segment_files SET size = ? WHERE name = ? AND segment = {segment}"
        assert change(root, statement, size, f"{column}.npy", name.name) == 1
    change(root, "UPDATE segments SET documents = ?, tokens = ? WHERE name = ?", documents, tokens, name.name)


LIMITED = """
import resource, sys, time
import late_interaction.engines.local.search.plan
from late_interaction.engines import LocalEngine
from late_interaction.errors import CorruptIndexError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
try:
    LocalEngine.open(sys.argv[1], read_only=True)
except CorruptIndexError as error:
    print(error)
seconds = time.perf_counter() - start
print("kilobytes", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, "seconds", seconds)
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
assert seconds < 5
"""


@needs_posix
@pytest.mark.parametrize(("documents", "tokens"), [(800_000_000, 800_000_000), (2, 400_000_000)])
def test_a_sparse_file_costs_nothing(index, documents, tokens):
    a_huge_claim(index, documents, tokens)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(index)], capture_output=True, text=True, timeout=120, env=CHILD_ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "too few" in done.stdout or "sparse" in done.stdout
    refused(index, "too few|sparse")


def test_a_file_with_a_few_zeros_is_no_sparse_file(root):
    with LocalEngine.open(root, dim=512, bits=None) as engine:
        vectors = np.zeros((3000, 512), np.float32)
        engine.upsert([record("zeros", vectors=vectors)])
    with LocalEngine.open(root) as engine:
        assert engine.verify().problems == ()


@pytest.mark.parametrize("position", [-1, 40, 2**40, 1.5, "first", b"1"])
@pytest.mark.parametrize("table", ["documents", "tombstones"])
def test_positions_out_of_range(index, table, position):
    row = {"documents": "id = 'd7'", "tombstones": "segment = 2"}[table]
    change(index, f"UPDATE {table} SET position = ? WHERE {row}", position)
    found = []
    for ask in (
        lambda engine: engine.search(QUERY, 100),
        lambda engine: engine.search(QUERY, 100, where={"n": 7}),
        lambda engine: engine.search(QUERY, 100, candidates=["d7"]),
        lambda engine: engine.vectors(["d7"]),
        lambda engine: found.extend(engine.verify().problems),
    ):
        try:
            with LocalEngine.open(index, read_only=True) as engine:
                ask(engine)
        except CorruptIndexError as error:
            found.append(str(error))
    assert found


# Dimensions


@pytest.mark.parametrize("dim", [0, -1, 65_537, 10**9, 1.5, True, "8", None, [8]])
def test_a_hostile_dimension(index, dim):
    set_setting(index, "dim", json.dumps(dim))
    refused(index, "dim")


def test_dimensions_of_a_new_index(tmp_path):
    for dim, bits in ((0, 4), (4097, 4), (4097, "default"), (65_537, None), (10**9, None), (True, None), ("8", 4)):
        with pytest.raises(InvalidVectorsError, match="dim must be"):
            LocalEngine.open(tmp_path / "new", dim=dim, bits=bits)
    assert not (tmp_path / "new").exists()
    with LocalEngine.open(tmp_path / "exact", dim=65_536, bits=None) as engine:
        engine.upsert([record("a", vectors=np.ones((1, 65_536), np.float32))])
    for options in ({"dim": 65_536}, {"dim": 65_536, "bits": None}, {}):
        with LocalEngine.open(tmp_path / "exact", **options) as engine:
            assert engine.search(np.ones((1, 65_536), np.float32))[0].id == "a"


@pytest.mark.parametrize("centroids", [0, -1, 65_537, 10**12, 1.5, True, "8", None])
def test_a_hostile_number_of_centroids(index, centroids):
    set_setting(index, "codebook", json.dumps({**json.loads(read_setting(index, "codebook")), "centroids": centroids}))
    refused(index, "codebook")


def test_the_checksum_of_the_settings_is_what_the_format_says(index):
    """The oracle of these tests, and the code under test, agree on an untouched catalog."""
    recorded = read_setting(index, "checksum")
    change(index, "UPDATE segments SET tokens = tokens")
    assert read_setting(index, "checksum") == recorded
    assert int(recorded) != zlib.crc32(b"")
