"""The examples run as they are, and find what they are about."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples"
FOUND = {"rerank_single_vectors": "with", "hybrid": "raise", "fusion": "del"}


def test_every_example_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_runs(name):
    done = subprocess.run(
        [sys.executable, FOLDER / f"{name}.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert FOUND[name] in done.stdout.split()[:12] or f"'{FOUND[name]}'" in done.stdout
