"""Damaged files: every kind of damage is a `CorruptIndexError`, or a problem of `verify` that names the file."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zlib
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.catalog.database import FORMAT_VERSION
from late_interaction.engines.local.storage.columns import npy_header
from late_interaction.errors import CorruptIndexError
from tests.engines.catalogs import change, read_setting, set_setting
from tests.engines.helpers import (
    CHILD_ENVIRONMENT,
    DIM,
    column_files,
    record,
    segment_files,
    small_thresholds,
    spare_names,
    unit_vectors,
)

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
    others = {
        "float16": np.uint16,
        "float32": np.int32,
        "uint32": np.int32,
        "uint16": np.int16,
        "uint8": np.int8,
        "int64": np.uint64,
    }
    np.save(path, column.view(others[column.dtype.name]))


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


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("version", [0, FORMAT_VERSION + 1, 99, "1.5", None, "newer"])
def test_a_newer_format_is_refused(index, version, read_only):
    set_setting(index, "format_version", json.dumps(version))
    with pytest.raises(CorruptIndexError, match="Upgrade late-interaction"):
        LocalEngine.open(index, read_only=read_only)
    set_setting(index, "format_version", json.dumps(FORMAT_VERSION))
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
    change(index, statement)
    assert named in what_is_found(index, read_only=True)


# What nobody names


def test_orphans_are_removed_by_the_next_writer(index):
    whole, torn, *_ = spare_names(index)
    orphan = index / "segments" / whole
    shutil.copytree(segment_files(index)[0].parent, orphan)
    half = index / "segments" / torn
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


# Compressed segments and the codebook

CODED_FILES = [
    "segments/codes.npy",
    "segments/scales.npy",
    "segments/along.npy",
    "segments/residuals.npy",
    "segments/offsets.npy",
    "segments/posting_starts.npy",
    "segments/postings.npy",
    "codebooks/centroids.npy",
    "codebooks/scales.npy",
    "codebooks/along.npy",
    "codebooks/direction.npy",
]


@pytest.fixture(scope="module")
def sound_coded(make_directory):
    """A closed index with a coded segment, an exact one and a codebook."""
    root = make_directory("coded") / "index"
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4) as engine:
        engine.upsert([record(f"d{n}", tokens=n % 5, n=n) for n in range(100)])
        engine.upsert([record(f"e{n}", tokens=2, n=n) for n in range(3)])
        engine.delete(ids=["d1"])
        assert engine.verify().problems == ()
        assert engine.info()["exact_tokens"] == 6
    return root


@pytest.fixture
def coded(sound_coded, tmp_path):
    return Path(shutil.copytree(sound_coded, tmp_path / "coded"))


def coded_file(root, name):
    kind, file = name.split("/")
    folder = root / kind
    paths = sorted(folder.rglob(file))
    return next(path for path in paths if kind == "codebooks" or (path.parent / "codes.npy").exists())


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("name", CODED_FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_coded_file_is_named(coded, damage, name, read_only):
    path = coded_file(coded, name)
    size = path.stat().st_size
    damage(path)
    found = what_is_found(coded, read_only=read_only)
    assert str(path) in found or (damage is Path.unlink and path.parent.name in found)
    if not path.exists() or path.stat().st_size != size:
        with pytest.raises(CorruptIndexError, match=path.parent.name):
            LocalEngine.open(coded, read_only=read_only)


@pytest.mark.parametrize("name", CODED_FILES)
@pytest.mark.parametrize("where", [128, 0.5, -1], ids=["first", "middle", "last"])
def test_a_flipped_bit_of_a_coded_file_is_found_by_verify(coded, name, where):
    path = coded_file(coded, name)
    offset = 128 + int((path.stat().st_size - 128) * where) if isinstance(where, float) else where
    flip(path, offset, 3)
    with LocalEngine.open(coded, read_only=True) as engine:
        assert any(str(path) in problem for problem in engine.verify().problems)


@pytest.mark.parametrize("name", ["segments", "codebooks"])
def test_a_directory_of_a_coded_index_that_is_missing(coded, name):
    shutil.rmtree(coded / name)
    for read_only in (True, False):
        with pytest.raises(CorruptIndexError, match=name):
            LocalEngine.open(coded, read_only=read_only)


ASK = """
import json, sys
from late_interaction.engines import LocalEngine
from late_interaction.errors import CorruptIndexError
from tests.engines.helpers import unit_vectors
query = unit_vectors(12345, 4)
asks = {
    "search": lambda engine: engine.search(query, 5),
    "search all": lambda engine: engine.search(query, 1000),
    "search some": lambda engine: engine.search(query, 5, where={"n": {"$lt": 9}}),
    "search candidates": lambda engine: engine.search(query, 5, candidates=["d2", "d3", "d4", "d50", "d99"]),
    "vectors": lambda engine: engine.vectors([f"d{n}" for n in range(100)]),
    "compact": lambda engine: engine.compact(),
}
for root in sys.argv[1:]:
    for name, ask in asks.items():
        print(json.dumps(["about to", root, name]), flush=True)
        try:
            with LocalEngine.open(root, read_only=name != "compact") as engine:
                ask(engine)
            outcome = "no error"
        except CorruptIndexError as error:
            outcome = str(error)
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        print(json.dumps([outcome, root, name]), flush=True)
"""


def ask_in_another_process(roots):
    """What becomes of every question to some indexes: {root: {name: message}}. Compiled code may end the process."""
    outcomes = {}
    while missing := [str(root) for root in roots if str(root) not in outcomes]:
        command = [sys.executable, "-c", ASK, *missing]
        done = subprocess.run(command, capture_output=True, text=True, env=CHILD_ENVIRONMENT, timeout=120)
        for line in done.stdout.splitlines():
            outcome, root, name = json.loads(line)
            outcomes.setdefault(root, {})[name] = outcome
        if done.returncode:
            outcomes[root][name] = f"ended the process with {done.returncode}"
    return {Path(root): found for root, found in outcomes.items()}


def rewrite(path, change):
    """Change a column and nothing else: the size and the header stay."""
    column = np.load(path)
    change(column)
    with path.open("r+b") as file:
        file.seek(128)
        file.write(column.tobytes())


def a_smaller_codebook(root):
    """A sound one, of the size and checksum the catalog says, that is not the one the codes were made with."""
    entry = json.loads(read_setting(root, "codebook"))
    for name in ("along.npy", "centroids.npy", "scales.npy"):
        path = root / "codebooks" / entry["name"] / name
        column = np.load(path)[:2]
        data = npy_header(column.shape, column.dtype) + column.tobytes()
        path.write_bytes(data)
        entry["files"] = [
            [file, len(data), zlib.crc32(data)] if file == name else [file, size, checksum]
            for file, size, checksum in entry["files"]
        ]
    set_setting(root, "codebook", json.dumps({**entry, "centroids": 2}))


def codes(change):
    return lambda root: rewrite(coded_file(root, "segments/codes.npy"), lambda column: change(root, column))


def offsets(change):
    return lambda root: rewrite(coded_file(root, "segments/offsets.npy"), change)


NONSENSE = {
    "codes of 65535": ("codes.npy", codes(lambda _, codes: codes.fill(65535))),
    "a code one too many": (
        "codes.npy",
        codes(lambda root, codes: codes.fill(len(np.load(coded_file(root, "codebooks/scales.npy"))))),
    ),
    "a smaller codebook": ("2 centroids", a_smaller_codebook),
    "a far offset": ("offsets.npy", offsets(lambda offsets: offsets.__setitem__(7, 2**40))),
    "a negative offset": ("offsets.npy", offsets(lambda offsets: offsets.__setitem__(7, -5))),
    "offsets backwards": (
        "offsets.npy",
        offsets(lambda offsets: offsets.__setitem__(slice(None), offsets[::-1].copy())),
    ),
    "a far end": ("offsets.npy", offsets(lambda offsets: offsets.__setitem__(-1, 2**62))),
    "offsets too great": ("offsets.npy", offsets(lambda offsets: offsets.__iadd__(1000))),
}


@pytest.fixture(scope="module")
def outcomes(sound_coded, make_directory):
    """What becomes of every question to indexes with columns of the right size that make no sense."""
    folder = make_directory("nonsense")
    for name, (_, damage) in NONSENSE.items():
        damage(Path(shutil.copytree(sound_coded, folder / name)))
    return {root.name: found for root, found in ask_in_another_process(sorted(folder.iterdir())).items()}


@pytest.mark.parametrize("question", ["search", "search all", "search some", "search candidates", "vectors", "compact"])
@pytest.mark.parametrize("name", NONSENSE)
def test_columns_that_make_no_sense(outcomes, name, question):
    """Compiled kernels take codes and offsets for addresses: what is wrong must not come to them."""
    assert NONSENSE[name][0] in outcomes[name][question]
    assert "Restore the index from a copy" in outcomes[name][question]


@pytest.mark.parametrize("column", ["along", "direction"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("recorded", [True, False], ids=["as the catalog says", "damaged"])
def test_a_direction_that_is_not_finite(coded, column, value, recorded):
    """Scores would be NaN, and the order of hits anything. A stranger may also record its checksum."""
    path = coded_file(coded, f"codebooks/{column}.npy")
    rewrite(path, lambda values: values.__setitem__(3, value))
    if recorded:
        entry = json.loads(read_setting(coded, "codebook"))
        checksum = zlib.crc32(path.read_bytes())
        files = [[name, size, checksum if name == path.name else old] for name, size, old in entry["files"]]
        set_setting(coded, "codebook", json.dumps({**entry, "files": files}))
    for read_only in (True, False):
        with pytest.raises(CorruptIndexError, match=rf"{column}\.npy has NaN.*Restore the index from a copy"):
            LocalEngine.open(coded, read_only=read_only)


def columns_of_any_bytes(root):
    """Factors that no release writes: scales with any bits, which may be read as infinite or as no number."""
    for name in ("segments/scales.npy", "segments/along.npy", "segments/residuals.npy"):
        rewrite(coded_file(root, name), lambda column: column.view(np.uint8).fill(255))


@pytest.mark.filterwarnings("error")
def test_factors_that_no_release_writes(coded):
    """They give some score, which is a number, and verify() says what is damaged."""
    columns_of_any_bytes(coded)
    with LocalEngine.open(coded, read_only=True) as engine:
        scores = [match.score for match in engine.search(QUERY, 1000)]
        assert len(scores) == 102
        assert np.isfinite(scores).all()
        assert np.isfinite(np.concatenate(list(engine.vectors([f"d{n}" for n in range(100)]).values()))).all()
        assert any(".npy" in problem for problem in engine.verify().problems)


@pytest.mark.parametrize("changed", ["twice", "other.npy"])
def test_a_codebook_of_other_files(coded, changed):
    entry = json.loads(read_setting(coded, "codebook"))
    direction = next(file for file in entry["files"] if file[0] == "direction.npy")
    others = [file for file in entry["files"] if file != direction]
    more = [direction, direction] if changed == "twice" else [[changed, *direction[1:]]]
    set_setting(coded, "codebook", json.dumps({**entry, "files": others + more}))
    assert "Restore the index from a copy" in what_is_found(coded, read_only=True)


def test_a_segment_of_other_files(coded):
    change(coded, "UPDATE segment_files SET name = 'other.npy' WHERE name = 'along.npy'")
    assert "other.npy" in what_is_found(coded, read_only=True)


@pytest.mark.parametrize(
    "name", ["segments/codes.npy", "segments/offsets.npy", "segments/residuals.npy", "segments/along.npy"]
)
def test_damage_is_not_copied_into_files_of_good_checksums(coded, name):
    """Merging reads every byte and makes new checksums. What is damaged must not become what is expected."""
    path = coded_file(coded, name)
    if name == "segments/offsets.npy":
        rewrite(path, lambda offsets: offsets.__setitem__(7, offsets[8]))
    else:
        rewrite(path, lambda column: column.__ixor__(1))
    with LocalEngine.open(coded) as engine:
        with suppress(CorruptIndexError):
            engine.compact()
        assert any(path.name in problem for problem in engine.verify().problems)
    assert path.exists()


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize("value", ["missing", "{", "null", "3", "0", "16", "8", "true", '"4"', "4.5", "[4]"])
def test_bits_that_make_no_sense(coded, value, read_only):
    if value == "missing":
        change(coded, "DELETE FROM settings WHERE key = 'bits'")
    else:
        set_setting(coded, "bits", value)
    for _ in range(2):  # and not IndexLockedError
        with pytest.raises(CorruptIndexError):
            LocalEngine.open(coded, read_only=read_only)


@pytest.mark.parametrize("value", ["{", "5", "-1", '"4"', "4.5", "[4]"])
def test_bits_of_an_empty_index_that_make_no_sense(root, value):
    LocalEngine.open(root, dim=DIM).close()
    set_setting(root, "bits", value)
    with pytest.raises(CorruptIndexError):
        LocalEngine.open(root)


@pytest.mark.parametrize(
    "value", ["missing", "null", "{", "{}", "[]", "7", '"x"', '{"name": "a", "centroids": "x", "files": [[1]]}']
)
def test_a_codebook_setting_that_makes_no_sense(coded, value):
    if value == "missing":
        change(coded, "DELETE FROM settings WHERE key = 'codebook'")
    else:
        set_setting(coded, "codebook", value)
    before = set(column_files(coded))
    for read_only in (True, False):
        found = what_is_found(coded, read_only=read_only)
        assert "codebook" in found
        with pytest.raises(CorruptIndexError), LocalEngine.open(coded, read_only=read_only) as engine:
            engine.search(QUERY)
    assert set(column_files(coded)) == before  # the codebook is not taken for garbage
