"""Opening an index and reading documents load neither compiled kernels nor torch, which take seconds."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from late_interaction.engines import LocalEngine
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, record, small_thresholds

READ = """
import sys
from late_interaction.engines import LocalEngine
with LocalEngine.open(sys.argv[1], read_only=True) as engine:
    assert engine.get(["d1"])[0].id == engine.search_lexical("text")[0].id == "d1"
    assert engine.info()["exact_tokens"] == 0
    print(*sorted({"numba", "torch", "faiss"} & sys.modules.keys()))
    assert engine.search([[1.0] * engine.dim], k=1)
    print(*sorted({"numba", "torch", "faiss"} & sys.modules.keys()))
"""


def test_kernels_and_torch_are_loaded_by_the_first_search(root):
    with small_thresholds(1, 1), LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record("d1", vectors=np.eye(DIM, dtype=np.float32))])
    done = subprocess.run(
        [sys.executable, "-c", READ, str(root)], env=CHILD_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["", "numba torch"]
