"""A transfer that is killed at random instants and run again is complete in the end."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.engines.helpers import CHILD_ENVIRONMENT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and forks are those of POSIX")

_CHILD = """
import sys
from pathlib import Path
from tests.torture.transfers import killed_again_and_again
folder, target, documents, kills = sys.argv[1:]
outcome = killed_again_and_again(Path(folder), target, "test", int(documents), int(kills))
print(*outcome.faults, sep="\\n")
assert outcome.tried == int(kills), outcome
"""


def killed(folder, target, documents, kills):
    """Run it in a process without threads, which may fork; return what it has found wrong."""
    arguments = [folder / "killed", target, documents, kills]
    environment = {**CHILD_ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _CHILD, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_into_a_directory(tmp_path):
    assert killed(tmp_path, "local", 600, 3) == ""


@pytest.mark.slow
@pytest.mark.parametrize(("target", "module"), [("qdrant", "qdrant_client"), ("lancedb", "lancedb")])
def test_into_a_database(tmp_path, target, module):
    pytest.importorskip(module)
    assert killed(tmp_path, target, 1_500, 10) == ""
