"""`kill -9` at any instant leaves the previous state or the next, never a mix, and an index that opens."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.engines.crash_child import ACTIONS
from tests.engines.helpers import CHILD_ENVIRONMENT

UNCHANGING = {
    "create",
    "compact",
    "compact what is compressed",
    "convert what is compressed",
    "add posting lists",
    "open",
}
"""Actions after which the index has the same documents."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the crashing writer is a fork")


def run(root, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.crash_child", arguments[0], str(root), *map(str, arguments[1:])],
        capture_output=True,
        text=True,
        env=CHILD_ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_moments(root, seed, rounds):
    result = run(root, "moments", seed, rounds)
    assert result["wrong"] == []
    assert result["deaths"] == rounds
    assert result["steps"] > rounds / 10  # the writers got something done, also on a busy machine
    assert len(result["dead_in"]) >= 3  # and died of different things
    assert result["dead while compressing"] > rounds / 50
    assert result["states seen"] > rounds / 5  # by the reader


def test_killed_at_random_moments(root):
    check_moments(root, seed=1, rounds=120)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_killed_at_many_random_moments(root, seed):
    check_moments(root, seed, rounds=1000)


def check_lines(root, action, points):
    result = run(root, "lines", action, points)
    assert result["wrong"] == []
    assert result["deaths"] >= min(points, result["lines"]) * 0.9
    changes = action not in UNCHANGING
    assert (0 < result["next"] < result["deaths"]) is changes  # some died before the commit and some after


@pytest.mark.parametrize("action", ACTIONS)
def test_killed_at_certain_lines(root, action):
    check_lines(root, action, points=25)


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS)
def test_killed_at_every_line(root, action):
    check_lines(root, action, points=4_000)
