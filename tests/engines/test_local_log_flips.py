"""One flipped bit in the log of a killed writer: lost commits are told, and nothing that is left is deleted."""

from __future__ import annotations

import logging
import os
import random
import re
import shutil
import time
from pathlib import Path

import pytest

from late_interaction.engines import LocalEngine
from tests.engines.forked import Forked
from tests.engines.helpers import DIM, record, state_on_disk
from tests.test_cli import call

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked writer")

LOG = "catalog.sqlite-wal"
PER_COMMIT = 3


def killed(root, work):
    """A writer that was killed by SIGKILL in the midst of life, and what it had acknowledged."""

    def write(say):
        with LocalEngine.open(root) as engine:
            work(engine)
            say([document.id for document in engine.scan()])
            time.sleep(600)

    LocalEngine.open(root, dim=DIM, bits=4).close()
    child = Forked(write)
    documents = child.line()
    child.kill()
    return documents


def add_commits(engine, commits=8):
    for commit in range(commits):
        engine.upsert([record(f"d{commit}-{n}", n=n) for n in range(PER_COMMIT)])


def flip(root, seed):
    """Flip one bit of the log; return the log as it is now."""
    rng = random.Random(seed)
    content = bytearray((root / LOG).read_bytes())
    if not content:
        return b""  # everything is in the catalog
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)
    (root / LOG).write_bytes(content)
    return bytes(content)


def segments_of(root):
    """The files of each segment there is, by the segment's name, wherever in the directory."""
    found = {}
    for path in Path(root).rglob("*.npy"):
        if "segments" in path.parts:
            found.setdefault(path.parent.name, {})[path.name] = path.read_bytes()
    return found


def last_number(root):
    """The greatest number of a commit that is noted beside the catalog."""
    return max(int(line.split()[0]) for line in (root / "last-commit").read_text().splitlines())


def tells_of_loss(problems):
    return any("has lost its last" in problem for problem in problems)


def tells_of_set_aside(problems):
    return any("set-aside" in problem for problem in problems)


@pytest.fixture(scope="module")
def killed_while_adding(make_directory):
    root = make_directory("killed") / "index"
    return root, killed(root, add_commits)


SEEDS = range(40)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flipped_bit_of_the_log(killed_while_adding, tmp_path, seed, caplog):
    base, acknowledged = killed_while_adding
    root = Path(shutil.copytree(base, tmp_path / "index"))
    log, segments, number = flip(root, seed), segments_of(root), last_number(root)

    # A reader tells, and changes nothing that is evidence.
    caplog.set_level(logging.WARNING, "late_interaction")
    with LocalEngine.open(root, read_only=True) as engine:
        found = [document.id for document in engine.scan()]
        problems = engine.verify().problems
    assert found == acknowledged[: len(found)], "what is left is the state of an earlier commit"
    assert len(found) < len(acknowledged), "the flip was of a bit that counts"
    assert tells_of_loss(problems)
    assert [entry.levelname for entry in caplog.records if "lost" in entry.getMessage()] == ["WARNING"]
    assert segments_of(root) == segments
    assert (root / LOG).read_bytes() == log
    caplog.clear()

    # The next writer warns, and keeps what is left.
    with LocalEngine.open(root) as engine:
        assert [entry.levelname for entry in caplog.records if "lost" in entry.getMessage()] == ["WARNING"]
        assert [document.id for document in engine.scan()] == found
        assert segments_of(root) == segments
        assert [path.read_bytes() for path in (root / "set-aside").rglob(LOG)] == [log]
        assert tells_of_set_aside(engine.verify().problems)
        assert state_on_disk(root)[0] > number, "numbers of lost commits are not used again"
        engine.upsert([record("new")])
        engine.delete(ids=found[:1])
        assert tells_of_set_aside(engine.verify().problems)
        engine.compact()
        problems = engine.verify().problems
        assert tells_of_set_aside(problems)
    lost = {name for path in (root / "set-aside").rglob("offsets.npy") for name in [path.parent.name]}
    after = segments_of(root)
    assert {name: segments[name] for name in lost} == {name: after[name] for name in lost}
    assert len(lost) == (len(acknowledged) - len(found)) // PER_COMMIT
    (told,) = [problem for problem in problems if "set-aside" in problem]
    assert {len(lost), len(acknowledged) - len(found)} <= {int(digits) for digits in re.findall(r"\b\d+\b", told)}

    # So it is until the folder is removed.
    for read_only in (True, False):
        with LocalEngine.open(root, read_only=read_only) as engine:
            assert tells_of_set_aside(engine.verify().problems)
    shutil.rmtree(root / "set-aside")
    with LocalEngine.open(root) as engine:
        assert engine.verify().problems == ()
        assert [document.id for document in engine.scan()] == [*found[1:], "new"]
        engine.upsert([record(name) for name in acknowledged])
        assert engine.verify().problems == ()


def test_a_log_that_is_missing_or_cut_off(killed_while_adding, tmp_path):
    base, acknowledged = killed_while_adding
    for size in (None, 0, 10, 32, 5_000, -1, -4_000):
        root = Path(shutil.copytree(base, tmp_path / f"index{size}"))
        if size is None:
            (root / LOG).unlink()
        else:
            os.truncate(root / LOG, size if size >= 0 else (root / LOG).stat().st_size + size)
        segments = segments_of(root)
        with LocalEngine.open(root, read_only=True) as engine:
            assert len(list(engine.scan())) < len(acknowledged)
            assert tells_of_loss(engine.verify().problems)
        with LocalEngine.open(root) as engine:
            assert segments_of(root) == segments
            assert not engine.verify()


def test_two_losses_one_after_the_other(killed_while_adding, tmp_path):
    """The second does not write over what the first has left."""
    base, _ = killed_while_adding
    root = Path(shutil.copytree(base, tmp_path / "index"))
    logs = [flip(root, 1)]

    def again(engine):
        engine.upsert([record(f"again{n}") for n in range(3)])
        engine.upsert([record(f"more{n}") for n in range(3)])

    segments = segments_of(root)
    killed(root, again)
    segments |= segments_of(root)
    logs.append(flip(root, 2))
    with LocalEngine.open(root) as engine:
        assert sorted(path.read_bytes() for path in (root / "set-aside").rglob(LOG)) == sorted(logs)
        kept = segments_of(root)
        assert {name: kept.get(name) for name in segments} == segments
        assert sum(tells_of_set_aside([problem]) for problem in engine.verify().problems) == 2


def test_a_sound_log_is_no_loss(killed_while_adding, tmp_path, caplog):
    base, acknowledged = killed_while_adding
    root = Path(shutil.copytree(base, tmp_path / "index"))
    for read_only in (True, False):
        with LocalEngine.open(root, read_only=read_only) as engine:
            assert [document.id for document in engine.scan()] == acknowledged
            assert engine.verify().problems == ()
    assert not (root / "set-aside").exists()
    assert caplog.records == []


def test_the_command_line_says_what_can_be_had_back(killed_while_adding, tmp_path):
    base, acknowledged = killed_while_adding
    root = Path(shutil.copytree(base, tmp_path / "index"))
    flip(root, 3)
    done = call("verify", str(root))
    assert done.exit_code == 1
    assert "lost" in done.stdout
    with LocalEngine.open(root) as engine:
        lost = len(acknowledged) - engine.count()
    done = call("verify", str(root))
    assert done.exit_code == 1
    shown = re.sub(r"\s+", " ", done.stdout)
    assert "set-aside" in shown
    assert f"{lost} documents" in shown
    done = call("verify", str(root), "--json")
    assert done.exit_code == 1
    assert '"ok": false' in done.stdout
    shutil.rmtree(root / "set-aside")
    assert call("verify", str(root)).exit_code == 0
