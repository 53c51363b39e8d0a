"""The directory of an open index is renamed, replaced or removed, or its lock file is: no answer is a mixture."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.errors import IndexLockedError, IndexReplacedError, LateInteractionError, StorageError
from tests.engines.forked import tree
from tests.engines.helpers import DIM, record, state_on_disk, true_score, unit_vectors

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX lets open directories be renamed")

QUERY = unit_vectors(99, 4)


def make(root, prefix, commits=3):
    """An index whose documents tell which it is; the vectors of each differ from those of the other."""
    with LocalEngine.open(root, dim=DIM) as engine:
        for number in range(commits):
            engine.upsert([record(f"{prefix}{number}-{n}", n=n) for n in range(5)])
    return root


@pytest.fixture
def live(tmp_path):
    return make(tmp_path / "live", "old")


@pytest.fixture
def following(tmp_path):
    return make(tmp_path / "following", "new")


def rename_away(live, following):
    live.rename(live.with_name("away"))


def replace_by_rename(live, following):
    live.rename(live.with_name("away"))
    following.rename(live)


def remove(live, following):
    shutil.rmtree(live)


def remove_and_make_anew(live, following):
    shutil.rmtree(live)
    make(live, "anew")


def empty_and_copy_over(live, following):
    """As ``rsync`` or a restored backup: the directory stays, and its files are others."""
    for path in list(live.iterdir()):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in list(following.iterdir()):
        path.rename(live / path.name)


def replace_the_catalog(live, following):
    for path in live.glob("catalog.sqlite-*"):
        path.unlink()
    shutil.copy(following / "catalog.sqlite", live / "other")
    (live / "other").replace(live / "catalog.sqlite")


SWITCHES = [
    rename_away,
    replace_by_rename,
    remove,
    remove_and_make_anew,
    empty_and_copy_over,
    replace_the_catalog,
]


def switch_symlink(path, target):
    path.with_name("next").symlink_to(target)
    path.with_name("next").replace(path)


def reads_of(engine):
    return {
        "search": lambda: [(match.id, match.score) for match in engine.search(QUERY, 30)],
        "filtered": lambda: [(match.id, match.score) for match in engine.search(QUERY, 30, where={"n": 2})],
        "lexical": lambda: [match.id for match in engine.search_lexical("text", 30)],
        "scan": lambda: [document.id for document in engine.scan()],
        "count": engine.count,
        "get": lambda: [document.id for document in engine.get(["old1-2", "new1-2"])],
        "vectors": lambda: {name: vectors.tolist() for name, vectors in engine.vectors(["old1-2", "new1-2"]).items()},
    }


def writes_of(engine):
    return {
        "upsert": lambda: engine.upsert([record("later")]),
        "delete": lambda: engine.delete(where={"n": 1}),
        "clear": engine.clear,
        "compact": engine.compact,
        "record_encoder": lambda: engine.record_encoder({"model": "x"}),
    }


def right_answers(root):
    with LocalEngine.open(root, read_only=True) as engine:
        return {name: read() for name, read in reads_of(engine).items()}


def check_reads(engine, allowed):
    """Each answer is `IndexReplacedError`, or wholly that of one index."""
    replaced = 0
    for name, read in reads_of(engine).items():
        try:
            answer = read()
        except IndexReplacedError:
            replaced += 1
        else:
            assert answer in [answers[name] for answers in allowed], name
    return replaced


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize("has_read", [False, True])
def test_a_reader_of_a_directory_that_is_switched(live, following, switch, has_read):
    old = right_answers(live)
    with LocalEngine.open(live, read_only=True) as engine:
        if has_read:
            assert {name: read() for name, read in reads_of(engine).items()} == old
        switch(live, following)
        assert check_reads(engine, [old]) > 0


@pytest.mark.parametrize("switch", SWITCHES)
def test_a_writer_of_a_directory_that_is_switched(live, following, switch, tmp_path):
    engine = LocalEngine.open(live)
    engine.upsert([record("acknowledged")])
    old = right_answers(live)
    switch(live, following)
    before = tree(tmp_path)
    for name, write in writes_of(engine).items():
        with pytest.raises(IndexReplacedError):
            write()
        assert tree(tmp_path) == before, name
    check_reads(engine, [old])
    engine.close()
    for path in (live, live.with_name("away"), following):
        if (path / "catalog.sqlite").exists() and switch is not replace_the_catalog:
            with LocalEngine.open(path) as again:
                assert again.verify().problems == ()
                assert again.upsert([record("again")]) == ["again"]


@pytest.mark.parametrize("is_back", [False, True])
def test_a_directory_that_is_switched_inside_a_write(live, following, is_back):
    """The iterable does it: the write is refused, and lands in neither index. Unless all is as before at the end."""
    engine = LocalEngine.open(live)
    old, new = right_answers(live), right_answers(following)

    def source():
        yield record("a")
        replace_by_rename(live, following)
        yield record("b")
        if is_back:
            live.rename(following)
            live.with_name("away").rename(live)
        yield record("c")

    if is_back:
        assert engine.upsert(source()) == ["a", "b", "c"]
        assert engine.count() == old["count"] + 3
        assert right_answers(following) == new
    else:
        with pytest.raises(StorageError):  # the files of the write are elsewhere now
            engine.upsert(source())
        assert right_answers(live) == new
        assert right_answers(live.with_name("away")) == old
    engine.close()
    with LocalEngine.open(live) as again:
        assert again.verify().problems == ()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_symlink_that_is_switched(tmp_path, live, following, read_only):
    path = tmp_path / "current"
    path.symlink_to(live)
    old, new = right_answers(live), right_answers(following)
    with LocalEngine.open(path, read_only=read_only) as engine:
        assert {name: read() for name, read in reads_of(engine).items()} == old
        switch_symlink(path, following)
        before = tree(tmp_path)
        assert check_reads(engine, [old]) > 0
        if not read_only:
            for write in writes_of(engine).values():
                with pytest.raises(IndexReplacedError):
                    write()
            assert tree(following) == {
                name.partition("/")[2]: what for name, what in before.items() if name.startswith("following/")
            }
    assert right_answers(live) == old
    assert right_answers(path) == new
    for root in (live, following):
        with LocalEngine.open(root) as again:
            assert again.verify().problems == ()


def test_switches_back_and_forth_under_a_reader(tmp_path):
    """Blue and green with equal numbers of commits, each written to between the switches."""
    roots = [make(tmp_path / name, name) for name in ("blue", "green")]
    path = tmp_path / "current"
    path.symlink_to(roots[0])
    reader = LocalEngine.open(path, read_only=True)
    replaced = 0
    for round_ in range(40):
        root = roots[round_ % 2]
        with LocalEngine.open(root) as writer:
            writer.upsert([record(f"{root.name}-round{round_}")])
            if round_ % 5 == 4:
                writer.compact()
        switch_symlink(path, root)
        allowed = [right_answers(root) for root in roots]
        try:
            answers = {name: read() for name, read in reads_of(reader).items()}
        except IndexReplacedError:
            replaced += 1
            reader.close()
            reader = LocalEngine.open(path, read_only=True)
            answers = {name: read() for name, read in reads_of(reader).items()}
        assert answers == allowed[round_ % 2]
        scores = dict(answers["search"])
        for name, score in list(scores.items())[:3]:
            assert score == pytest.approx(true_score(QUERY, record(name).vectors), abs=1e-3)
    reader.close()
    assert replaced >= 39


def test_a_scan_and_a_state_that_are_under_way(live, following):
    old = right_answers(live)
    with LocalEngine.open(live, read_only=True) as engine:
        scan = engine.scan()
        first = next(scan).id
        with engine.one_state():
            replace_by_rename(live, following)
            check_reads(engine, [old])
        with suppress(IndexReplacedError):
            assert [first, *(document.id for document in scan)] == old["scan"]


# Generations


def test_new_indexes_never_start_at_the_same_generation(tmp_path):
    numbers = set()
    for number in range(100):
        LocalEngine.open(tmp_path / str(number), dim=DIM).close()
        numbers.add(state_on_disk(tmp_path / str(number))[0])
    assert len(numbers) == 100
    assert len({number // 10_000 for number in numbers}) == 100, "a few commits lead from one to the other"


# The lock file


def exactly_one_writes(first, second):
    """One of two writers can commit, and the other is told."""
    outcomes = []
    for number, engine in enumerate((first, second, first, second)):
        try:
            engine.upsert([record(f"by{number}")])
            outcomes.append("written")
        except (IndexReplacedError, IndexLockedError) as error:
            outcomes.append(type(error).__name__)
    assert outcomes in (["IndexReplacedError", "written"] * 2, ["written", "IndexReplacedError"] * 2)
    return outcomes.count("written")


def remove_lock(live):
    (live / "writer.lock").unlink()


def move_lock(live):
    (live / "writer.lock").rename(live.with_name("moved.lock"))


def exchange_lock(live):
    (live / "other").write_bytes(b"")
    (live / "other").replace(live / "writer.lock")


@pytest.mark.parametrize("change", [remove_lock, move_lock, exchange_lock])
def test_two_writers_where_the_lock_file_was_removed(live, change):
    with LocalEngine.open(live) as first:
        first.upsert([record("before")])
        change(live)
        with LocalEngine.open(live) as second:
            written = exactly_one_writes(first, second)
            with pytest.raises(IndexLockedError):
                LocalEngine.open(live)
            for call in (first.compact, lambda: first.delete(ids=["before"]), first.clear):
                with pytest.raises(IndexReplacedError):
                    call()
        assert first.count() == 16 + written
    with LocalEngine.open(live) as again:
        assert again.count() == 16 + written
        assert again.verify().problems == ()
        assert again.upsert([record("again")]) == ["again"]


@pytest.mark.parametrize("change", [remove_lock, exchange_lock])
def test_a_lock_file_that_is_removed_in_the_middle_of_a_write(live, change):
    first = LocalEngine.open(live)
    others = []

    def source():
        yield record("a")
        change(live)
        others.append(LocalEngine.open(live))
        others[0].upsert([record("of the second")])
        yield record("b")

    with pytest.raises(StorageError):  # the second writer may have removed its files
        first.upsert(source())
    assert others[0].upsert([record("more")]) == ["more"]
    first.close()
    assert others[0].verify().problems == ()
    assert others[0].count() == 17
    others[0].close()
    with LocalEngine.open(live) as again:
        assert again.count() == 17
        assert again.verify().problems == ()


def test_a_removed_lock_file_without_another_writer(live):
    with LocalEngine.open(live) as engine:
        remove_lock(live)
        with pytest.raises(IndexReplacedError, match="Open the index again"):
            engine.upsert([record("a")])
        assert engine.count() == 15
    with LocalEngine.open(live) as again:
        assert again.upsert([record("a")]) == ["a"]


def test_a_lock_file_that_is_something_else(live, tmp_path):
    (live / "writer.lock").unlink()
    (tmp_path / "precious").write_bytes(b"mine")
    for make_other in (
        lambda: (live / "writer.lock").symlink_to(tmp_path / "precious"),
        lambda: (live / "writer.lock").symlink_to(tmp_path / "nowhere"),
        lambda: os.mkfifo(live / "writer.lock"),
        (live / "writer.lock").mkdir,
    ):
        make_other()
        with pytest.raises(LateInteractionError):
            LocalEngine.open(live)
        with LocalEngine.open(live, read_only=True) as engine:
            assert engine.count() == 15
        path = live / "writer.lock"
        path.rmdir() if path.is_dir() else path.unlink()
    assert (tmp_path / "precious").read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


def test_the_error_is_one_of_storage(live):
    """So that code that catches `StorageError` or `OSError` catches it."""
    with LocalEngine.open(live) as engine:
        live.rename(live.with_name("away"))
        with pytest.raises(StorageError, match="Open it again"):
            engine.count()
        with pytest.raises(OSError, match="moved, replaced or removed"):
            engine.upsert([record("a")])
