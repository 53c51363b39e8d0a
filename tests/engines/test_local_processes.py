"""One writer, many readers: locks, commits seen by other processes, copies, and places where nobody can write."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from late_interaction.engines import LocalEngine
from late_interaction.errors import IndexLockedError, LateInteractionError
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, record, state_on_disk, stored, true_score, unit_vectors

QUERY = unit_vectors(12345, 4)
CHILD = [sys.executable, "-m", "tests.engines.engine_child"]
NOBODY = 65534


class Child:
    """An engine in another process."""

    def __init__(self, command=CHILD):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=CHILD_ENVIRONMENT
        )

    def __call__(self, call, **arguments):
        self.process.stdin.write(json.dumps([call, arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the child ended: {self.process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise ChildError(reply["error"], reply["message"])
        return reply["result"]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(timeout=20)
        self.process.stdout.close()


class ChildError(Exception):
    """What an engine in a child raised: the name of the type, and the message."""


def ids(found):
    return [item.id for item in found]


def test_a_second_writer_in_this_process(engine, root):
    for dim in (None, DIM, DIM + 1):
        with pytest.raises(IndexLockedError, match="read_only=True"):
            LocalEngine.open(root, dim=dim)
    engine.upsert([record("a")])  # the first is not disturbed
    engine.close()
    with LocalEngine.open(root) as again:
        assert again.count() == 1


def test_a_second_writer_by_another_name_of_the_path(engine, root, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    for name in (tmp_path / "link", "index", "./index/../index"):
        with pytest.raises(IndexLockedError):
            LocalEngine.open(name)


def test_a_second_writer_in_another_thread(engine, root):
    errors = []

    def open_again():
        try:
            LocalEngine.open(root)
        except LateInteractionError as error:
            errors.append(type(error))

    thread = threading.Thread(target=open_again)
    thread.start()
    thread.join()
    assert errors == [IndexLockedError]


def test_the_lock_may_be_released_by_another_thread(engine, root):
    thread = threading.Thread(target=engine.close)
    thread.start()
    thread.join()
    LocalEngine.open(root).close()


def test_a_second_writer_in_another_process(engine, root):
    with Child() as child:
        with pytest.raises(ChildError) as caught:
            child("open", path=str(root))
        assert caught.value.args[0] == "IndexLockedError"
        engine.close()
        child("open", path=str(root))
        with pytest.raises(IndexLockedError):
            LocalEngine.open(root)
        child("upsert", names=["from the child"])
        child("close")
        with LocalEngine.open(root) as again:
            assert ids(again.scan()) == ["from the child"]


def test_the_lock_of_a_killed_process_is_free(root):
    with Child() as child:
        child("open", path=str(root), dim=DIM)
        child("upsert", names=["a", "b"])
        child("delete", ids=["a"])
        with pytest.raises(IndexLockedError):
            LocalEngine.open(root)
        child.kill()
        with LocalEngine.open(root) as engine:
            assert ids(engine.scan()) == ["b"]
            assert bool(engine.verify())
            engine.upsert([record("c")])
            assert engine.count() == 2


def test_a_failed_open_leaves_no_lock(root, engine):
    engine.close()
    (root / "catalog.sqlite").rename(root / "kept")
    (root / "catalog.sqlite").write_bytes(b"")
    with pytest.raises(LateInteractionError) as caught:
        LocalEngine.open(root)
    (root / "catalog.sqlite").unlink()
    (root / "kept").rename(root / "catalog.sqlite")
    LocalEngine.open(root).close()
    assert not isinstance(caught.value, IndexLockedError)  # kept until here: its traceback keeps the lock alive


def test_a_reader_in_another_process_sees_each_commit(engine, root):
    engine.upsert([record("a")])

    def expected(*names):
        scores = {name: true_score(QUERY, record(name).vectors) for name in names}
        return [(name, pytest.approx(scores[name], abs=1e-3)) for name in sorted(names, key=lambda n: -scores[n])]

    with Child() as child:
        child("open", path=str(root), read_only=True)  # while the writer is open
        assert [tuple(pair) for pair in child("search")] == expected("a")
        engine.upsert([record("b"), record("c")])
        assert [tuple(pair) for pair in child("search")] == expected("a", "b", "c")
        engine.delete(ids=["a"])
        assert child("count") == 2
        assert [tuple(pair) for pair in child("search")] == expected("b", "c")
        engine.upsert([record("d")])
        engine.compact()  # the files that the reader has mapped are gone
        assert [tuple(pair) for pair in child("search")] == expected("b", "c", "d")
        assert np.array_equal(child("vectors", ids=["b"])["b"], stored(record("b").vectors))
        assert child("verify") == []
        engine.close()
        assert [tuple(pair) for pair in child("search")] == expected("b", "c", "d")
        with LocalEngine.open(root) as again:
            again.upsert([record("e")])
            assert [tuple(pair) for pair in child("search")] == expected("b", "c", "d", "e")


def test_readers_take_no_lock(engine, root):
    engine.upsert([record("a")])
    readers = [LocalEngine.open(root, read_only=True) for _ in range(3)]
    engine.upsert([record("b")])
    assert [reader.count() for reader in readers] == [2, 2, 2]
    engine.close()
    with LocalEngine.open(root) as writer:  # readers hold up no writer
        writer.upsert([record("c")])
        assert [reader.count() for reader in readers] == [3, 3, 3]
    for reader in readers:
        reader.close()


def test_a_reader_writes_no_index_files(engine, root):
    engine.upsert([record("a")])
    engine.close()
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with LocalEngine.open(root, read_only=True) as reader:
        reader.search(QUERY)
        assert reader.verify().problems == ()
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after} - {path.name for path in before} <= {
        "catalog.sqlite-wal",
        "catalog.sqlite-shm",
    }


@pytest.fixture
def copied(engine, root, tmp_path):
    """A copy of an index that a writer has open, with commits that are only in SQLite's write-ahead log."""
    engine.upsert([record("a"), record("b")])
    engine.delete(ids=["a"])
    engine.upsert([record("c")])
    assert (root / "catalog.sqlite-wal").stat().st_size > 0
    shutil.copytree(root, tmp_path / "copy")
    engine.upsert([record("later")])
    return tmp_path / "copy"


def test_a_copy_of_an_open_index(copied):
    with LocalEngine.open(copied, read_only=True) as reader:
        assert ids(reader.scan()) == ["b", "c"]
        assert len(reader.search(QUERY)) == 2
        assert bool(reader.verify())
    with LocalEngine.open(copied) as writer:  # the lock file came along, but not the lock
        writer.upsert([record("d")])
        assert ids(writer.scan()) == ["b", "c", "d"]


def in_a_read_only_mount(path):
    """The command of a child that sees this directory on a read-only file system, in its own mount namespace."""
    directory = shlex.quote(str(path))
    mount = f"mount --bind {directory} {directory} && mount -o remount,ro,bind {directory}"
    check = ["unshare", "--mount", "sh", "-c", f"{mount} && ! touch {directory}/probe 2>/dev/null"]
    try:
        allowed = subprocess.run(check, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        allowed = False
    if not allowed:
        pytest.skip("mounting a read-only file system is not allowed here")
    return ["unshare", "--mount", "sh", "-c", f"{mount} && exec {shlex.join(CHILD)}"]


@pytest.mark.parametrize("left", [(), ("-shm", "-wal"), ("-shm",), ("-wal",)], ids="".join)
def test_on_a_read_only_file_system(engine, root, left):
    """A reader that may write leaves an empty log and a shared-memory file; copying may take either along."""
    engine.upsert([record("a"), record("b")])
    engine.close()
    LocalEngine.open(root, read_only=True).close()
    for suffix in {"-shm", "-wal"} - set(left):
        (root / f"catalog.sqlite{suffix}").unlink()
    with Child(in_a_read_only_mount(root)) as child:
        child("open", path=str(root), read_only=True)
        assert child("scan") == ["a", "b"]
        assert len(child("search")) == 2
        assert child("verify") == []


def test_a_copy_of_an_open_index_on_a_read_only_file_system(copied):
    """The write-ahead log is part of the copy. To read past it is to lose commits; a clear error would be better."""
    with Child(in_a_read_only_mount(copied)) as child:
        try:
            child("open", path=str(copied), read_only=True)
        except ChildError as error:
            name, message = error.args
            refused = name.endswith("Error") and "write" in message.lower()
        else:
            refused = False
        assert refused or child("scan") == ["b", "c"]


def test_a_writer_on_a_read_only_file_system_is_a_clear_error(engine, root):
    engine.upsert([record("a")])
    engine.close()
    with Child(in_a_read_only_mount(root)) as child:
        with pytest.raises(ChildError) as caught:
            child("open", path=str(root))
        assert "read_only=True" in caught.value.args[1]


@pytest.fixture
def other_user(root):
    """The command of a child that is another user, who may read the index but not write to it."""
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    with contextlib.ExitStack() as stack:
        for directory in root.parents:  # temporary directories are private
            mode = directory.stat().st_mode
            if not mode & 0o001:
                directory.chmod(mode | 0o055)
                stack.callback(directory.chmod, mode)
        yield [*CHILD, str(NOBODY)]


def test_a_reader_who_may_not_write(engine, root, other_user):
    """Another user's index, which its owner has open and writes to: commits are seen, as by any reader."""
    engine.upsert([record("a")])
    with Child(other_user) as child:
        child("open", path=str(root), read_only=True)
        assert child("scan") == ["a"]
        engine.upsert([record("b")])
        assert child("scan") == ["a", "b"]
        engine.delete(ids=["a"])
        engine.compact()
        assert child("scan") == ["b"]
        assert np.array_equal(child("vectors", ids=["b"])["b"], stored(record("b").vectors))
        with pytest.raises(ChildError):
            child("upsert", names=["c"])
    assert engine.count() == 1


def test_a_reader_who_may_not_write_and_was_there_first(engine, root, other_user):
    """There is no log yet when the reader opens the index. It must notice the writer that comes later."""
    engine.upsert([record("a")])
    engine.close()
    with Child(other_user) as child:
        child("open", path=str(root), read_only=True)
        assert child("scan") == ["a"]
        with LocalEngine.open(root) as writer:
            writer.upsert([record("b")])
            assert child("scan") == ["a", "b"]
            writer.delete(ids=["a"])
            writer.compact()
            assert child("scan") == ["b"]
        assert child("scan") == ["b"]
        assert np.array_equal(child("vectors", ids=["b"])["b"], stored(record("b").vectors))
        assert child("verify") == []


def test_creating_in_two_processes_makes_one_index(root):
    with Child() as one, Child() as two:
        one("open", path=str(root), dim=DIM)
        with pytest.raises(ChildError) as caught:
            two("open", path=str(root), dim=DIM)
        assert caught.value.args[0] == "IndexLockedError"
        assert two("open", path=str(root), read_only=True) is None
        one("upsert", names=["a"])
        assert two("scan") == ["a"]


def test_an_index_moved_elsewhere(engine, root, tmp_path):
    engine.upsert([record("a")])
    before = engine.search(QUERY)
    engine.close()
    on_disk = state_on_disk(root)
    root.rename(tmp_path / "moved")
    with LocalEngine.open(tmp_path / "moved") as moved:
        assert moved.search(QUERY) == before
        assert bool(moved.verify())
    assert state_on_disk(tmp_path / "moved") == on_disk


def test_a_copy_without_empty_directories(engine, root):
    """What version control and object stores make of an empty index: there is no directory of segments."""
    engine.close()
    (root / "segments").rmdir()
    with LocalEngine.open(root, read_only=True) as reader:
        assert reader.count() == 0
    with LocalEngine.open(root) as again:
        again.upsert([record("a")])
        assert again.count() == 1
