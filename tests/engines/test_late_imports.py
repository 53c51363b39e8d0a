"""Opening an index, reading documents and searching for vectors load no library that takes long to load.

Kernels were compiled before: the process that does that imports numba.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from late_interaction.engines import LocalEngine
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, record, small_thresholds

READ = """
import sys
import numpy as np
from late_interaction.engines import LocalEngine
slow = {"numba", "torch", "scipy", "sentence_transformers", "unittest.mock", "numpy.ma"}
with LocalEngine.open(sys.argv[1], read_only=True) as engine:
    assert engine.get(["d1"])[0].id == "d1"
    assert engine.info()["exact_tokens"] == 1
    print(*sorted({*slow, "llvmlite"} & sys.modules.keys()))
    assert engine.search_lexical("d1")[0].id == "d1"
    assert {match.id for match in engine.search([[1.0] * engine.dim], k=2)} == {"d1", "d2"}
    assert engine.null_score(np.ones((1, engine.dim), np.float32)) is not None
    print(*sorted(slow & sys.modules.keys()))
"""


def test_a_search_loads_neither_torch_nor_numba(root):
    with small_thresholds(1, 1), LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record("d1", vectors=np.eye(DIM, dtype=np.float32))])
    with LocalEngine.open(root) as engine:
        engine.upsert([record("d2", tokens=1)])
        assert engine.search(np.ones((1, DIM)), k=2)  # compiles the kernels
        assert engine.search_lexical("text")  # and those of words
    done = subprocess.run(
        [sys.executable, "-c", READ, str(root)], env=CHILD_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["", ""]
