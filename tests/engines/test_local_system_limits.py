"""What the operating system denies: descriptors, room, rights, the directory itself. Always a `StorageError`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.errors import (
    IndexLockedError,
    IndexNotFoundError,
    LateInteractionError,
    StorageError,
)
from tests.engines.forked import few_descriptors, in_child, tree
from tests.engines.helpers import DIM, record, small_thresholds

resource = pytest.importorskip("resource")

QUERY = record("d7").vectors
COUNT = 40
NOBODY = 65534


def fill(root):
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4) as engine:
        engine.upsert([record(f"d{n}", n=n) for n in range(COUNT)])
        engine.upsert([record("e")])
        assert engine.info()["centroids"]
    return root


@pytest.fixture(scope="module")
def sound(make_directory):
    root = fill(make_directory("sound") / "index")
    with LocalEngine.open(root, read_only=True) as engine:  # imports and compiles what searches need
        engine.search(QUERY)
        engine.search(QUERY, where={"n": {"$lt": 5}})
        engine.search_lexical("text")
    return root


@pytest.fixture
def index(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "index"))


def outcome_of(call):
    """What comes of a call, as text: an answer, an error of this package, or another with its type."""
    try:
        call()
    except LateInteractionError as error:
        return f"{type(error).__name__}: {error}"
    except Exception as error:  # noqa: BLE001  # reported
        return f"raw {type(error).__name__}: {error}"
    return "done"


def open_and(root, work=None, **arguments):
    with LocalEngine.open(root, **arguments) as engine:
        return None if work is None else work(engine)


def verified(engine):
    """As the command line does: problems are errors, of which the first is shown."""
    for problem in engine.verify().problems:
        raise StorageError(problem)


CALLS = {
    "search": lambda engine: engine.search(QUERY, 3),
    "lexical": lambda engine: engine.search_lexical("d7", 3),
    "filter": lambda engine: engine.search(QUERY, 3, where={"n": {"$lt": 9}}),
    "scan": lambda engine: list(engine.scan()),
    "get": lambda engine: engine.get(["d3"]),
    "info": lambda engine: engine.info(),
    "verify": verified,
}
WRITES = {
    "upsert": lambda engine: engine.upsert([record("new", n=1)]),
    "delete": lambda engine: engine.delete(ids=["new"]),
    "compact": lambda engine: engine.compact(),
}


def only_storage_errors(outcomes):
    """No raw error, and nothing is taken for damage that only could not be read."""
    wrong = {
        name: told
        for name, told in outcomes.items()
        if told != "done" and not told.startswith(("StorageError", "IndexReplacedError"))
    }
    assert wrong == {}


# Descriptors


def test_few_descriptors(index, tmp_path):
    def work():
        outcomes = {}
        for more in (*range(14), 30):
            new = tmp_path / f"new{more}"
            with few_descriptors(more):
                outcomes[f"open read-only with {more}"] = outcome_of(lambda: open_and(index, read_only=True))
                outcomes[f"open with {more}"] = outcome_of(lambda: open_and(index))
                outcomes[f"create with {more}"] = outcome_of(lambda new=new: open_and(new, dim=DIM))
            open_and(new, dim=DIM)
        with LocalEngine.open(index) as engine:
            for more in (*range(12), 30):
                for name, call in (CALLS | WRITES).items():
                    with few_descriptors(more):
                        outcomes[f"{name} with {more}"] = outcome_of(lambda call=call: call(engine))
                with few_descriptors(more):
                    target = tmp_path / f"copy{more}"
                    outcomes[f"copy with {more}"] = outcome_of(lambda target=target: engine.copy(target))
                if outcomes[f"copy with {more}"] != "done" and target.exists():
                    outcomes[f"copy with {more}"] += " and the target is left"
        with LocalEngine.open(index) as engine:
            outcomes["afterwards"] = str(engine.verify().problems)
        return outcomes

    outcomes = in_child(work)
    assert outcomes.pop("afterwards") == "()"
    assert [told for told in outcomes.values() if "the target is left" in told] == []
    only_storage_errors(outcomes)
    assert sum(told == "done" for told in outcomes.values()) > 20
    for name in ("open read-only", "open", "create", *CALLS, "upsert"):
        told = [outcomes[f"{name} with {more}"] for more in (0, 30)]
        assert told[1] == "done", name
    assert all(
        outcomes[f"{name} with 0"] != "done" for name in ("open", "open read-only", "create", "upsert", "verify")
    )


# Room


def test_no_room_for_a_new_index(tmp_path):
    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        outcomes = {}
        for limit in (0, 1, 31, 64, 1_000, 4_096, 10_000, 30_000, 50_000, 70_000, 90_000, 200_000):
            for is_there in (False, True):
                root = tmp_path / f"index {limit} {is_there}"
                if is_there:
                    root.mkdir()
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    outcomes[f"{limit} {is_there}"] = outcome_of(lambda root=root: open_and(root, dim=DIM))
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                open_and(root, lambda engine: engine.upsert([record("a")]), dim=DIM)
                outcomes[f"{limit} {is_there} later"] = outcome_of(lambda root=root: open_and(root, verified))
        return outcomes

    outcomes = in_child(work)
    only_storage_errors(outcomes)
    assert outcomes["200000 True"] == "done"
    assert outcomes["1000 True"] != "done"
    assert outcomes["64 False"] != "done"


@contextmanager
def small_disk(path, size):
    """A file system of its own, where this is permitted."""
    path.mkdir()
    if (
        os.getuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], capture_output=True).returncode
    ):
        pytest.skip("only root may mount a small disk")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)  # also where something is mapped


def test_a_disk_that_is_full(tmp_path):
    """As above with the error of a real one, ENOSPC, which a limit on the sizes of files does not give."""
    with small_disk(tmp_path / "disk", "400k") as disk:
        outcomes, committed = {}, 0
        filler = disk / "filler"
        for left in (0, 4, 8, 24, 40, 60, 80):
            root = disk / f"index{left}"
            shutil.rmtree(root, ignore_errors=True)
            filler.write_bytes(b"")
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            filler.write_bytes(b"x" * (free - 1024 * left))
            outcomes[f"create with {left}"] = outcome_of(lambda root=root: open_and(root, dim=DIM))
            filler.unlink()
            open_and(root, dim=DIM)
            shutil.rmtree(root)
        root = disk / "index"
        with LocalEngine.open(root, dim=DIM) as engine:
            for number in range(24):
                told = outcome_of(lambda number=number: engine.upsert([record(f"d{number}", tokens=900)]))
                outcomes[f"add {number}"] = told
                committed += told == "done"
                if told != "done":
                    outcomes[f"search {number}"] = outcome_of(lambda: engine.search(QUERY))
            assert engine.count() == committed
            outcomes["verify"] = outcome_of(lambda: verified(engine))
            outcomes["compact"] = outcome_of(engine.compact)
        only_storage_errors(outcomes)
        assert outcomes["add 23"].startswith("StorageError")
        assert outcomes["create with 0"].startswith("StorageError")
        assert outcomes["verify"] == "done"
        with LocalEngine.open(root, read_only=True) as engine:
            assert engine.count() == committed > 0
            assert engine.verify().problems == ()


# Rights


def as_nobody(path, work):
    """Call a function in a child that has no special rights, and to whom everything in a folder belongs."""
    if os.getuid() == 0:
        for folder in (path, *path.parents):
            if folder.owner() == "root" and folder.stat().st_mode & 0o5 != 0o5 and folder != Path("/root"):
                folder.chmod(folder.stat().st_mode | 0o5)
        for entry in (path, *path.rglob("*")):
            os.chown(entry, NOBODY, NOBODY)

    def without_rights():
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work()

    return in_child(without_rights)


PLACES = {
    "the directory": "",
    "the catalog": "catalog.sqlite",
    "the lock": "writer.lock",
    "the number of the last commit": "last-commit",
    "segments": "segments",
    "codebooks": "codebooks",
    "a segment": "segments/*",
    "a codebook": "codebooks/*",
    "a column": "segments/*/offsets.npy",
    "codes": "segments/*/codes.npy",
    "centroids": "codebooks/*/centroids.npy",
    "the folder above": "..",
}


@contextmanager
def changed(index, place, mode):
    """Let something in an index have this mode."""
    path = sorted(index.glob(place))[0] if "*" in place else Path(os.path.normpath(index / place))
    before = path.stat().st_mode & 0o777
    path.chmod(mode)
    try:
        yield
    finally:
        if path != index.parent:
            index.parent.chmod(0o777)
        if path.exists():
            path.chmod(before)
        if path.name == "catalog.sqlite":  # SQLite gives its log the rights that the catalog has at the moment
            for log in path.parent.glob("catalog.sqlite-*"):
                log.chmod(before)


def read_everything(engine):
    for call in CALLS.values():
        call(engine)


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o500, 0o100])
def test_rights_that_are_missing(index, tmp_path, mode):
    def work():
        outcomes = {}
        for name, place in PLACES.items():
            for read_only in (True, False):
                with changed(index, place, mode):
                    outcomes[f"open with {name}, read_only={read_only}"] = outcome_of(
                        lambda read_only=read_only: open_and(index, read_everything, read_only=read_only)
                    )
        with changed(index, ".", mode):
            outcomes["create below"] = outcome_of(lambda: open_and(index / "new", dim=DIM))
        shutil.rmtree(index / "new", ignore_errors=True)
        with LocalEngine.open(index) as engine:
            for name, place in PLACES.items():
                for kind, call in (CALLS | WRITES).items():
                    with changed(index, place, mode):
                        outcomes[f"{kind} with {name}"] = outcome_of(lambda call=call: call(engine))
                engine.upsert([record("again")])
        outcomes["afterwards"] = outcome_of(lambda: open_and(index, verified))
        return outcomes

    outcomes = as_nobody(tmp_path, work)
    assert outcomes["afterwards"] == "done"
    only_storage_errors(outcomes)
    if mode == 0:
        for name in ("the directory", "the catalog", "segments", "a column"):
            told = outcomes[f"open with {name}, read_only=True"]
            assert "ermission" in told or "unable to open" in told, told


# A directory that comes and goes


@pytest.mark.parametrize("what", ["renamed", "removed and made"])
def test_a_directory_that_vanishes_while_it_is_opened(index, tmp_path, what):
    stop = threading.Event()
    spare = tmp_path / "spare"
    shutil.copytree(index, spare)  # before the first opening, whose journal comes and goes

    def vanish():
        number = 0
        while not stop.is_set():
            number += 1
            if what == "renamed":
                index.rename(tmp_path / "away")
                time.sleep(0.0003 * (number % 5))
                (tmp_path / "away").rename(index)
            else:
                shutil.rmtree(index, ignore_errors=True)
                with contextlib.suppress(shutil.Error):  # a journal that the opening removed between two steps
                    shutil.copytree(spare, index, dirs_exist_ok=True)
            time.sleep(0.0007 * (number % 4))

    thread = threading.Thread(target=vanish)
    thread.start()
    outcomes = {}
    begun = time.monotonic()
    number = 0
    try:
        # A machine under load may need longer until an opening meets the change.
        while (elapsed := time.monotonic() - begun) < 1.2 or (len(outcomes) < 2 and elapsed < 30):
            number += 1
            arguments = [{"read_only": True}, {}][number % 2]
            told = outcome_of(lambda arguments=arguments: open_and(index, CALLS["search"], **arguments))
            outcomes[told.partition(":")[0]] = told
    finally:
        stop.set()
        thread.join(30)
    allowed = {"done", "StorageError", "IndexReplacedError", IndexNotFoundError.__name__, IndexLockedError.__name__}
    allowed |= {"CorruptIndexError", "ColumnsMissingError"}  # a part of the files is there, or was a moment ago
    assert {kind: told for kind, told in outcomes.items() if kind not in allowed} == {}
    assert len(outcomes) > 1
    shutil.rmtree(index, ignore_errors=True)
    assert tree(tmp_path / "spare")
