"""The entries of new directories survive power loss: each is made, and then its parent is made durable.

A directory is durable where `os.fsync` was called on it after the entry was made. What the list of a directory was at
each such call is recorded here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from tests.engines.helpers import DIM, record, small_thresholds, state_on_disk

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")  # noqa: PTH112


@pytest.fixture
def synced(monkeypatch):
    """By path: of a directory, the names that were in it at the last `fsync`; of a file, its size."""
    found = {}

    def recording(call):
        def sync(descriptor):
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            call(descriptor)
            path = Path(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
            found[path] = frozenset(os.listdir(number)) if path.is_dir() else os.fstat(number).st_size  # noqa: PTH208

        return sync

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, recording(getattr(os, name)))
    return found


def check(synced, *paths):
    """Each is in its parent, durably."""
    missing = [str(path) for path in paths if path.name not in synced.get(path.parent, ())]
    assert missing == []


def check_columns(synced, root):
    """All directories and files of segments and codebooks are in their parents, and the files are written."""
    for kind in ("segments", "codebooks"):
        for path in (root / kind).rglob("*"):
            check(synced, path)
            if path.is_file():
                assert synced[path] == path.stat().st_size


def test_a_new_index_whose_parents_are_missing(tmp_path, synced):
    root = tmp_path / "a" / "b" / "index"
    with LocalEngine.open(root, dim=DIM) as engine:
        check(synced, tmp_path / "a", tmp_path / "a" / "b", root, root / "catalog.sqlite")
        engine.upsert([record("a")])
        check(synced, root / "segments", root / "last-commit")
        check_columns(synced, root)


def test_a_new_index_in_an_empty_directory(tmp_path, synced):
    with LocalEngine.open(tmp_path, dim=DIM) as engine:
        engine.upsert([record("a")])
    check(synced, tmp_path / "catalog.sqlite", tmp_path / "segments")
    check_columns(synced, tmp_path)


def test_the_first_codebook(tmp_path, synced):
    root = tmp_path / "index"
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4) as engine:
        assert not (root / "codebooks").exists() or not list((root / "codebooks").iterdir())
        engine.upsert([record(f"d{n}") for n in range(30)])
        assert engine.info()["centroids"]
        check(synced, root / "codebooks")
        check_columns(synced, root)
        engine.upsert([record(f"e{n}") for n in range(300)])
        engine.compact()
        check_columns(synced, root)


def test_the_first_segment_where_the_folder_was_left_out(tmp_path, synced):
    """A program that copied the index may have left out the empty directory. It is made anew, and durable."""
    root = tmp_path / "index"
    LocalEngine.open(root, dim=DIM).close()
    (root / "segments").rmdir()
    synced.clear()
    with LocalEngine.open(root) as engine:
        engine.upsert([record("a")])
        check(synced, root / "segments")
        check_columns(synced, root)


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_copy(tmp_path, synced, is_there, compressed):
    root, target = tmp_path / "index", tmp_path / "x" / "y" / "copy"
    if is_there:
        target.mkdir(parents=True)
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4 if compressed else None) as engine:
        engine.upsert([record(f"d{n}") for n in range(30)])
        synced.clear()
        engine.copy(target)
    if not is_there:
        check(synced, tmp_path / "x", tmp_path / "x" / "y", target)
    check(synced, target / "catalog.sqlite", target / "segments")
    if compressed:
        check(synced, target / "codebooks")
    check_columns(synced, target)
    assert synced[target / "catalog.sqlite.new"] > 0 or synced[target / "catalog.sqlite"] > 0
    assert state_on_disk(target)[0]


def test_what_is_set_aside(tmp_path, synced):
    root = tmp_path / "index"
    engine = LocalEngine.open(root, dim=DIM)
    engine.upsert([record("a")])
    engine.upsert([record("b")])
    left = {path.name: path.read_bytes() for path in root.glob("*.sqlite*")}
    engine.close()
    for name, content in left.items():
        (root / name).write_bytes(content)
    log = bytearray((root / "catalog.sqlite-wal").read_bytes())
    log[40] ^= 1
    (root / "catalog.sqlite-wal").write_bytes(log)
    (root / "catalog.sqlite-shm").unlink()
    synced.clear()
    with LocalEngine.open(root) as engine:
        assert engine.count() == 0
        check(synced, root / "set-aside")
        for path in (root / "set-aside").rglob("*"):
            if path.suffix != ".npy":  # durable since it was written
                check(synced, path)
        (log_kept,) = (root / "set-aside").rglob("catalog.sqlite-wal")
        assert synced[log_kept] == len(log)
