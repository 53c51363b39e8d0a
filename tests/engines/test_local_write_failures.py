"""Where nothing more can be written, an error says so, the last commit is unchanged, and the next write succeeds."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.engines.helpers import CHILD_ENVIRONMENT

pytest.importorskip("resource")
from tests.engines.limited_child import ACTIONS, LIMITS  # needs resource, which Windows has not


@pytest.fixture(scope="module")
def outcomes(make_directory):
    done = subprocess.run(
        [sys.executable, "-m", "tests.engines.limited_child", str(make_directory("limited"))],
        capture_output=True,
        text=True,
        env=CHILD_ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_write_that_runs_out_of_room(outcomes, action, limit):
    outcome = outcomes[action][str(limit)]
    if outcome["error"] is None:
        assert outcome["changed"] == ACTIONS[action][2], "what returns is done"
    else:
        assert outcome["error"].startswith("StorageError"), outcome["error"]
        assert "The last commit is unchanged" in outcome["error"]
        assert outcome["changed"] == 0, "what raises is not done"
    assert outcome["same bytes"]
    for when in ("problems", "problems in place", "problems later", "problems at last"):
        assert outcome[when] == [], when
    assert outcome["lost"] == []
    assert outcome["documents later"] == 1
    assert outcome["left over later"] == outcome["left over at last"] == []
    assert outcome["segments at last"] == 1


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("action", ACTIONS)
def test_the_next_write_removes_what_a_failed_one_has_left(outcomes, action, limit):
    assert outcomes[action][str(limit)]["left over in place"] == []


@pytest.mark.parametrize("action", ACTIONS)
def test_some_limits_are_too_small_and_some_are_not(outcomes, action):
    assert outcomes[action][str(LIMITS[0])]["error"] is not None
    last = outcomes[action][str(LIMITS[-1])]
    assert (last["error"], last["warnings"]) == (None, [])


@pytest.mark.parametrize("action", ["add and compress", "add and extend the codebook", "delete"])
def test_what_is_done_stays_done_where_compression_fails(outcomes, action):
    """There is room for the commit, not for the files of the rewrite: a warning, and another try by the next write."""
    warned = [outcome for outcome in outcomes[action].values() if outcome["warnings"]]
    for outcome in warned:
        assert outcome["error"] is None
        assert outcome["changed"] != 0
        assert "The next write tries again" in outcome["warnings"][0]
    assert warned
