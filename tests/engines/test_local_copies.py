"""Copies: several at once into one directory, copies that fail, and places where none can be."""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
import time
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.errors import IndexReplacedError, InvalidRequestError, LateInteractionError
from tests.engines.forked import Forked, in_child, tree
from tests.engines.helpers import DIM, record, small_thresholds, state_on_disk

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks and symlinks of POSIX")

KINDS = ("compressed", "exact", "empty")
COUNT = 30


def make(root, kind):
    """An index whose documents tell which it is."""
    with small_thresholds(), LocalEngine.open(root, dim=DIM, bits=4 if kind == "compressed" else None) as engine:
        if kind != "empty":
            for start in range(0, COUNT, 6):
                engine.upsert([record(f"{root.name}-{n}", n=n) for n in range(start, start + 6)])
    return root


def documents_of(path):
    with LocalEngine.open(path, read_only=True) as copy:
        assert copy.verify().problems == ()
        documents = list(copy.scan())
        if documents:
            query = record(documents[0].id).vectors
            assert copy.search(query, 1)[0].id == documents[0].id
    with LocalEngine.open(path) as copy:
        copy.upsert([record("later")])
        assert copy.verify().problems == ()
    return sorted(document.id for document in documents)


def expected(root, kind):
    return [] if kind == "empty" else sorted(f"{root.name}-{n}" for n in range(COUNT))


def attempt(engine, target):
    """The name of the error of a copy, or None."""
    try:
        engine.copy(target)
    except LateInteractionError as error:
        return type(error).__name__
    return None


def check_outcome(target, outcomes, sources):
    """Exactly one copy succeeded, and it is whole."""
    winners = [number for number, error in enumerate(outcomes) if error is None]
    assert len(winners) == 1, outcomes
    root, kind = sources[winners[0]]
    assert documents_of(target) == expected(root, kind)


@pytest.fixture(scope="module")
def sources(make_directory):
    folder = make_directory("sources")
    return [(make(folder / f"{kind}{number}", kind), kind) for kind in KINDS for number in range(2)]


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "an empty directory"])
def test_threads_that_copy_to_one_place(sources, tmp_path, is_there):
    engines = [LocalEngine.open(root) for root, _ in sources]
    rng = random.Random(5)
    for round_ in range(15):
        target = tmp_path / f"parent{round_}" / "copy"
        if is_there:
            target.mkdir(parents=True)
        chosen = rng.choices(range(len(engines)), k=rng.randint(2, 4))  # one may copy twice at once
        outcomes = [None] * len(chosen)
        start = threading.Barrier(len(chosen))

        def copy(place, number, target=target, outcomes=outcomes, start=start):
            start.wait()
            outcomes[place] = attempt(engines[number], target)

        threads = [threading.Thread(target=copy, args=item) for item in enumerate(chosen)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        check_outcome(target, outcomes, [sources[number] for number in chosen])
    for engine in engines:
        assert engine.verify().problems == ()
        engine.close()


def test_processes_that_copy_to_one_place(sources, tmp_path):
    """Each has its source open, and copies at a sign."""
    rounds = 25
    pipes = [os.pipe() for _ in range(3)]
    targets = [tmp_path / f"copy{number}" for number in range(rounds)]

    def copy(root, wait):
        def work(say):
            with LocalEngine.open(root) as engine:
                say("ready")
                for target in targets:
                    os.read(wait, 1)
                    say(attempt(engine, target))

        return Forked(work)

    chosen = [sources[0], sources[2], sources[3]]
    children = [copy(root, wait) for (root, _), (wait, _) in zip(chosen, pipes, strict=True)]
    assert [child.line() for child in children] == ["ready"] * 3
    for number, target in enumerate(targets):
        if number % 2:
            target.mkdir()
        for _, sign in pipes:
            os.write(sign, b".")
        check_outcome(target, [child.line() for child in children], chosen)
    for child in children:
        child.result()
    for end in (end for pipe in pipes for end in pipe):
        os.close(end)


def test_a_copy_while_the_target_is_opened(sources, tmp_path):
    """Another process makes an index in the very place. One of them has it, and nothing of it is lost."""
    root, kind = sources[0]
    with LocalEngine.open(root) as engine:
        for round_ in range(25):
            target = tmp_path / f"target{round_}"
            made, stop = [], threading.Event()

            def open_there(target=target, made=made, stop=stop):
                while not stop.is_set() and not made:
                    try:
                        with LocalEngine.open(target, dim=DIM) as other:
                            made.append(other.upsert([record(f"other{len(made)}")]))
                    except LateInteractionError:
                        pass

            thread = threading.Thread(target=open_there)
            thread.start()
            time.sleep(0.0002 * (round_ % 8))
            error = attempt(engine, target)
            if error is not None:
                thread.join(30)
            stop.set()
            thread.join(30)
            assert not thread.is_alive()
            wanted = expected(root, kind) if error is None else []
            with LocalEngine.open(target) as found:
                assert found.verify().problems == ()
                assert sorted(document.id for document in found.scan()) == sorted(
                    [*wanted, *(name for names in made for name in names)]
                )


# Copies that fail


def fail_by_a_missing_column(root):
    paths = sorted((root / "segments").rglob("offsets.npy"))
    paths[-1].rename(paths[-1].with_suffix(".gone"))


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "an empty directory"])
@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_failed_copy_removes_what_it_made(sources, tmp_path, kind, is_there):
    source, _ = next(entry for entry in sources if entry[1] == kind)
    root = Path(shutil.copytree(source, tmp_path / "index"))
    target = tmp_path / "copy"
    if is_there:
        target.mkdir()
    with LocalEngine.open(root) as engine:
        fail_by_a_missing_column(root)
        with pytest.raises(LateInteractionError):
            engine.copy(target)
        assert target.exists() == is_there
        assert tree(target) == {}
        for path in root.rglob("*.gone"):
            path.rename(path.with_suffix(".npy"))
        engine.copy(target)
    assert len(documents_of(target)) == COUNT


@pytest.fixture
def short_turns():
    """Threads take turns often, so that one comes between the steps of another."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def test_a_failed_copy_leaves_what_others_put_beside_it(sources, tmp_path, short_turns):
    """As soon as the copy has made a directory, somebody saves files there."""
    root = Path(shutil.copytree(sources[2][0], tmp_path / "index"))
    with LocalEngine.open(root) as engine:
        fail_by_a_missing_column(root)
        saved = 0
        for round_ in range(40):
            target = tmp_path / f"copy{round_}"
            wanted = [target / "mine.txt", target / "segments" / "mine.txt", target / "codebooks" / "mine" / "a.txt"]
            written, stop = set(), threading.Event()

            def save(wanted=wanted, written=written, stop=stop):
                while not stop.is_set():
                    for path in wanted:
                        try:
                            if path.parent.name == "mine":
                                path.parent.mkdir(exist_ok=True)
                            path.write_text("mine")
                            written.add(path)
                        except OSError:
                            pass

            thread = threading.Thread(target=save)
            thread.start()
            with pytest.raises(LateInteractionError):
                engine.copy(target)
            stop.set()
            thread.join()
            assert all(path.read_text() == "mine" for path in written)
            saved += bool(written)
        assert saved, "the files were never in time"


def test_a_full_disk_under_a_copy(sources, tmp_path):
    import resource
    import signal

    root, kind = sources[0]
    with LocalEngine.open(root) as engine:
        engine.search(record("warm").vectors)

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        found = []
        with LocalEngine.open(root) as engine:
            for limit in (0, 1, 100, 400, 1_000, 5_000, 30_000, 60_000, 80_000):
                for is_there in (False, True):
                    target = tmp_path / f"copy {limit} {is_there}"
                    if is_there:
                        target.mkdir()
                    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                    try:
                        error = attempt(engine, target)
                    finally:
                        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                    found.append((error, target.exists() == is_there, sorted(tree(target))))
                    if error is not None:
                        engine.copy(target)
        return found

    found = in_child(work)
    assert {error for error, _, _ in found} == {"StorageError", None}
    for error, is_as_before, left in found:
        assert error is None or (is_as_before, left) == (True, [])
    for target in tmp_path.iterdir():
        assert documents_of(target) == expected(root, kind)


# Places where none can be


def test_a_copy_into_the_index_itself(sources, tmp_path, monkeypatch):
    root = Path(shutil.copytree(sources[0][0], tmp_path / "index"))
    (tmp_path / "link").symlink_to(root)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "up").symlink_to(tmp_path)
    (root / "empty").mkdir()
    (tmp_path / "into").symlink_to(root / "empty")
    monkeypatch.chdir(tmp_path / "folder")
    with LocalEngine.open(root) as engine:
        before = tree(tmp_path)
        for target in (
            root,
            root / "new",
            root / "empty",
            root / "segments" / "new",
            root / "a" / "b",
            tmp_path / "link",
            tmp_path / "link" / "new",
            tmp_path / "into",
            tmp_path / "into" / "deep" / "new",
            "../index/new",
            "../folder/../index",
            "up/link/../index/new",
        ):
            with pytest.raises(InvalidRequestError):
                engine.copy(target)
            after = tree(tmp_path)
            assert set(after) == set(before), target
    through = LocalEngine.open(tmp_path / "link")
    with through, pytest.raises(InvalidRequestError):
        through.copy(root / "new")


def test_a_copy_has_a_generation_of_its_own(sources, tmp_path):
    for number, (root, _) in enumerate(sources):
        with LocalEngine.open(root) as engine:
            copies = [tmp_path / f"copy{number}-{other}" for other in range(3)]
            for target in copies:
                engine.copy(target)
        generations = [state_on_disk(path)[0] for path in (root, *copies)]
        assert len(set(generations)) == len(generations)
        with LocalEngine.open(root) as engine, LocalEngine.open(copies[0]) as copy:
            for place in (engine, copy):
                place.upsert([record("again")])
                place.delete(ids=["again"])
        numbers = [
            range(generation, state_on_disk(path)[0] + 1)
            for generation, path in zip(generations, (root, *copies), strict=True)
        ]
        assert not set(numbers[0]) & set(numbers[1])


def test_a_copy_of_an_index_that_was_moved(sources, tmp_path):
    root = Path(shutil.copytree(sources[0][0], tmp_path / "index"))
    with LocalEngine.open(root) as engine:
        root.rename(tmp_path / "moved")
        shutil.copytree(sources[2][0], root)
        with pytest.raises(IndexReplacedError):
            engine.copy(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
