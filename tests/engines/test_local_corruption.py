"""Damaged files: every kind of damage is a `CorruptIndexError`, or a problem of `verify` that names the file."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from late_interaction.engines import LocalEngine
from late_interaction.errors import CorruptIndexError
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, record, segment_files, unit_vectors

QUERY = unit_vectors(12345, 4)


@pytest.fixture(scope="module")
def sound(make_directory):
    """A closed index with two segments; tests damage copies of it."""
    root = make_directory("sound") / "index"
    with LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record(f"d{n}", tokens=n, n=n) for n in range(5)])
        engine.upsert([record(f"e{n}", tokens=2, n=n) for n in range(3)])
        engine.delete(ids=["d1"])
        assert engine.verify().problems == ()
    return root


@pytest.fixture
def index(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "index"))


@pytest.fixture(scope="module")
def repairable(sound, make_directory):
    """A copy for tests that undo their damage."""
    return Path(shutil.copytree(sound, make_directory("repairable") / "index"))


def what_is_found(root, *, read_only):
    """All that opening and verifying say of an index, as one text. Only `CorruptIndexError` may be raised."""
    try:
        with LocalEngine.open(root, read_only=read_only) as engine:
            verification = engine.verify()
            assert bool(verification) is (verification.problems == ())
            return "\n".join(verification.problems)
    except CorruptIndexError as error:
        return str(error)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-3])


def empty(path):
    path.write_bytes(b"")


def halve(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def grow(path):
    path.write_bytes(path.read_bytes() + b"\0\0")


def flip(path, offset=-1, bit=0):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def garbage(path):
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def zeros(path):
    path.write_bytes(bytes(path.stat().st_size))


def reshape(path):
    column = np.load(path)
    np.save(path, column.reshape(-1, 1))


def retype(path):
    column = np.load(path)
    np.save(path, column.view(np.uint16 if column.dtype == np.float16 else np.uint64))


DAMAGES = [truncate, empty, halve, grow, flip, garbage, zeros, reshape, retype, Path.unlink]


def test_a_sound_index_has_no_problems(index):
    for read_only in (True, False):
        assert what_is_found(index, read_only=read_only) == ""


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment_file_is_named(index, damage, number, read_only):
    path = segment_files(index)[number]
    damage(path)
    found = what_is_found(index, read_only=read_only)
    assert path.name in found
    assert path.parent.name in found


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_leaves_no_lock(index, damage):
    damage(segment_files(index)[0])
    for _ in range(2):  # not IndexLockedError at the second
        assert what_is_found(index, read_only=False)


def test_a_segment_directory_that_is_missing(index):
    gone = segment_files(index)[0].parent
    shutil.rmtree(gone)
    assert gone.name in what_is_found(index, read_only=True)
    assert gone.name in what_is_found(index, read_only=False)


def test_files_that_were_swapped(index):
    """Both are sound columns, of equal size, in the wrong place."""
    with LocalEngine.open(index) as engine:
        engine.upsert([record(f"f{n}", tokens=2, seed=n, n=n) for n in range(3)])
    sizes = {}
    for path in segment_files(index):
        sizes.setdefault((path.name, path.stat().st_size), []).append(path)
    one, two = next(paths for (name, _), paths in sizes.items() if name == "vectors.npy" and len(paths) == 2)
    swapped = one.read_bytes(), two.read_bytes()
    one.write_bytes(swapped[1])
    two.write_bytes(swapped[0])
    found = what_is_found(index, read_only=True)
    assert str(one) in found
    assert str(two) in found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_is_found(repairable, data):
    path = data.draw(st.sampled_from(segment_files(repairable)))
    offset = data.draw(st.integers(0, path.stat().st_size - 1))
    original = path.read_bytes()
    try:
        flip(path, offset, data.draw(st.integers(0, 7)))
        found = what_is_found(repairable, read_only=True)
    finally:
        path.write_bytes(original)
    assert path.name in found


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["vectors.npy", "offsets.npy"])
def test_every_byte_of_a_header_counts(repairable, name):
    """The header is parsed by numpy, which answers some damage with errors of Python's tokenizer."""
    path = next(path for path in segment_files(repairable) if path.name == name)
    original = path.read_bytes()
    failures = {}
    for offset in range(75):  # beyond is only padding
        for bit in (0, 3, 6):
            try:
                flip(path, offset, bit)
                if path.name not in what_is_found(repairable, read_only=True):
                    failures[offset, bit] = "not found"
            except Exception as error:  # noqa: BLE001  # reported below
                failures[offset, bit] = type(error).__name__
            finally:
                path.write_bytes(original)
    assert failures == {}


def test_a_file_that_vanishes_while_the_index_is_open(index):
    with LocalEngine.open(index) as engine:
        assert len(engine.search(QUERY, 10)) == 7
        gone = segment_files(index)[0]
        gone.unlink()
        assert any(str(gone) in problem for problem in engine.verify().problems)


def test_a_file_that_is_cut_while_the_index_is_open(index):
    """Reading a mapping beyond the end of its file ends the process, so `verify` must look at the size first."""
    code = (
        "import sys; from late_interaction.engines import LocalEngine\n"
        "engine = LocalEngine.open(sys.argv[1], read_only=True); engine.count(); engine.vectors(['d0'])\n"
        "open(sys.argv[2], 'wb').close()\n"
        "print('\\n'.join(engine.verify().problems))"
    )
    path = next(path for path in segment_files(index) if path.name == "offsets.npy")
    done = subprocess.run(
        [sys.executable, "-c", code, str(index), str(path)],
        capture_output=True,
        text=True,
        env=CHILD_ENVIRONMENT,
    )
    assert done.returncode == 0, f"verify ended the process with {done.returncode}"
    assert str(path) in done.stdout


def test_a_bit_that_flips_while_the_index_is_open(index):
    with LocalEngine.open(index) as engine:
        path = segment_files(index)[-1]
        flip(path, 200 % path.stat().st_size)
        assert any(str(path) in problem for problem in engine.verify().problems)


# The catalog


def checkpointed(root):
    assert not (root / "catalog.sqlite-wal").exists()
    return root / "catalog.sqlite"


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"garbage " * 4096, b"SQLite format 3\0" + b"\xff" * 8176, bytes(8192)],
    ids=["empty", "one byte", "garbage", "a header and garbage", "zeros"],
)
def test_a_garbage_catalog(index, content, read_only):
    checkpointed(index).write_bytes(content)
    with pytest.raises(CorruptIndexError, match=r"catalog\.sqlite"):
        LocalEngine.open(index, read_only=read_only)
    with pytest.raises(CorruptIndexError):  # and not IndexLockedError
        LocalEngine.open(index, read_only=read_only)
    assert checkpointed(index).read_bytes() == content  # nobody has made a new one over it
    assert len(segment_files(index)) == 4


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("keep", [0.95, 0.5, 0.1])
def test_a_truncated_catalog(index, keep, read_only):
    path = checkpointed(index)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert "catalog.sqlite" in what_is_found(index, read_only=read_only)


def test_another_database(index):
    path = checkpointed(index)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE settings (key, value)")
        connection.commit()
    with pytest.raises(CorruptIndexError, match=r"catalog\.sqlite"):
        LocalEngine.open(index)


@pytest.mark.parametrize("page", range(12))
def test_a_catalog_with_a_destroyed_page(index, page):
    """Each page in turn: opening, verifying and reading may each find it, and none may raise anything else."""
    path = checkpointed(index)
    data = bytearray(path.read_bytes())
    pages = len(data) // 4096
    at = 4096 * (page * pages // 12)
    data[at : at + 4096] = np.random.default_rng(page).bytes(4096)
    path.write_bytes(data)
    assert "catalog.sqlite" in what_is_found(index, read_only=True)
    with suppress(CorruptIndexError), LocalEngine.open(index, read_only=True) as engine:
        for call in (
            lambda: list(engine.scan()),
            lambda: engine.search(QUERY, where={"n": 1}),
            lambda: engine.search_lexical("text"),
            lambda: engine.get(["d2"]),
            engine.info,
        ):
            with suppress(CorruptIndexError):
                call()


def set_setting(root, key, value):
    with closing(sqlite3.connect(root / "catalog.sqlite")) as connection:
        connection.execute("UPDATE settings SET value = ? WHERE key = ?", (value, key))
        connection.commit()


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("version", [2, 99, "1.5", None, "newer"])
def test_a_newer_format_is_refused(index, version, read_only):
    set_setting(index, "format_version", json.dumps(version))
    with pytest.raises(CorruptIndexError, match="Upgrade late-interaction"):
        LocalEngine.open(index, read_only=read_only)
    set_setting(index, "format_version", "1")
    LocalEngine.open(index).close()  # the refusal has kept no lock


def test_a_setting_that_is_no_json(index):
    set_setting(index, "format_version", "{")
    with pytest.raises(CorruptIndexError):
        LocalEngine.open(index)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE segments SET tokens = tokens + 1 WHERE segment = 1", "vectors.npy"),
        ("UPDATE segments SET documents = documents + 1 WHERE segment = 1", "offsets.npy"),
        ("UPDATE segment_files SET checksum = checksum + 1 WHERE name = 'vectors.npy'", "vectors.npy"),
        ("UPDATE segment_files SET size = size + 1 WHERE name = 'offsets.npy'", "offsets.npy"),
        ("DELETE FROM tombstones", "(1, 1)"),
        ("INSERT INTO tombstones VALUES (1, 0)", "(1, 0)"),
        ("UPDATE documents SET position = 77 WHERE id = 'd3'", "(1, 77)"),
        ("UPDATE documents SET segment = 9 WHERE id = 'd3'", "documents"),
    ],
)
def test_a_catalog_that_contradicts_the_files(index, statement, named):
    with closing(sqlite3.connect(index / "catalog.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
    assert named in what_is_found(index, read_only=True)


# What nobody names


def test_orphans_are_removed_by_the_next_writer(index):
    orphan = index / "segments" / "0123456789abcdef"
    shutil.copytree(segment_files(index)[0].parent, orphan)
    half = index / "segments" / "half"
    half.mkdir()
    (half / "vectors.npy").write_bytes(b"torn")
    living = set(segment_files(index)) - set(orphan.iterdir()) - set(half.iterdir())
    with LocalEngine.open(index, read_only=True) as reader:
        assert bool(reader.verify())
        assert reader.count() == 7
    assert orphan.is_dir()  # a reader removes nothing
    with LocalEngine.open(index) as writer:
        assert not orphan.exists()
        assert not half.exists()
        assert set(segment_files(index)) == living
        assert bool(writer.verify())
        assert len(writer.search(QUERY, 10)) == 7


def test_a_damaged_index_loses_no_files(index):
    """A writer that cannot read the catalog, or finds a segment missing, must not take the rest for garbage."""
    before = set(segment_files(index))
    gone = segment_files(index)[0]
    gone.unlink()
    with pytest.raises(CorruptIndexError):
        LocalEngine.open(index)
    assert set(segment_files(index)) == before - {gone}
