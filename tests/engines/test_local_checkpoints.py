"""What a merge has replaced is deleted only when no damage of the log can bring back the state that needs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from late_interaction.errors import CorruptIndexError
from tests.engines.helpers import record, small_thresholds
from tests.engines.test_local_log_flips import add_commits, flip, killed, tells_of_loss, tells_of_set_aside

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked writer")

PER_COMMIT = 3


def delete(engine):
    """A merge is due after it, since more than a quarter is deleted."""
    add_commits(engine, 3)
    for n in range(PER_COMMIT - 1):
        engine.delete(where={"n": n})


def compact(engine):
    add_commits(engine, 4)
    engine.delete(where={"n": 0})
    engine.compact()


def compact_and_go_on(engine):
    compact(engine)
    engine.compact()
    engine.upsert([record("after")])


def clear(engine):
    add_commits(engine, 4)
    engine.clear()
    engine.compact()


def merge_by_adding(engine):
    for number in range(40):
        engine.upsert([record(f"s{number}")])


def compress_by_adding(engine):
    with small_thresholds():
        add_commits(engine, 12)


def extend_the_codebook(engine):
    with small_thresholds():
        add_commits(engine, 6)
        engine.upsert([record(f"x{n}", tokens=20) for n in range(60)])


@pytest.mark.parametrize(
    "work",
    [
        delete,
        compact,
        compact_and_go_on,
        clear,
        merge_by_adding,
        compress_by_adding,
        extend_the_codebook,
    ],
)
def test_no_flip_brings_back_a_state_whose_files_are_gone(tmp_path, work):
    root = tmp_path / "index"
    acknowledged = killed(root, work)
    for seed in range(6):
        copy = Path(shutil.copytree(root, tmp_path / f"copy{seed}"))
        flip(copy, seed)
        with LocalEngine.open(copy, read_only=True) as engine:
            documents = list(engine.scan())
            problems = engine.verify().problems
            if documents:
                assert engine.search(record(documents[0].id).vectors, 1)
        assert [problem for problem in problems if "lost" not in problem] == []
        if [document.id for document in documents] != acknowledged:
            assert tells_of_loss(problems)
        with LocalEngine.open(copy) as engine:
            assert [document.id for document in engine.scan()] == [document.id for document in documents]
            assert all(tells_of_set_aside([problem]) for problem in engine.verify().problems)
            engine.upsert([record("new")])
            engine.compact()
            assert all(tells_of_set_aside([problem]) for problem in engine.verify().problems)
        shutil.rmtree(copy)


def compact_beside_a_scan(engine):
    add_commits(engine, 4)
    scan = engine.scan()
    next(scan)
    engine.compact()
    engine.upsert([record("later")])


def compact_beside_a_reader(engine):
    add_commits(engine, 4)
    with LocalEngine.open(engine.path, read_only=True) as reader, reader.one_state():
        engine.compact()
        engine.delete(where={"n": 1})
        engine.compact()


@pytest.mark.parametrize("work", [compact_beside_a_scan, compact_beside_a_reader])
def test_a_flip_where_a_reader_kept_the_log_from_being_emptied(tmp_path, work):
    """A part of the log is in the catalog already, so what is left may be damaged. It is told, or nothing is wrong."""
    root = tmp_path / "index"
    acknowledged = killed(root, work)
    for seed in range(12):
        copy = Path(shutil.copytree(root, tmp_path / f"copy{seed}"))
        flip(copy, seed)
        try:
            with LocalEngine.open(copy, read_only=True) as engine:
                documents = [document.id for document in engine.scan()]
                told = "" if documents == acknowledged else " ".join(engine.verify().problems)
                assert documents == acknowledged or told
        except CorruptIndexError as error:
            told = str(error)
        assert " is missing." not in told  # the files of the older state are there
