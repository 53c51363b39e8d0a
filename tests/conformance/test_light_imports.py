"""The contract, the encoder protocol and reranking load no engine, no database, no model and no framework."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.engines.helpers import CHILD_ENVIRONMENT

MODULES = [
    "late_interaction.engines.base",
    "late_interaction.engines",
    "late_interaction.encoders.protocol",
    "late_interaction.retrieval.reranking",
    "late_interaction",
]
HEAVY = [
    *("late_interaction.engines.local", "late_interaction.langchain", "late_interaction.llama_index"),
    *("sqlite3", "torch", "transformers", "sentence_transformers", "numba", "scipy", "PIL", "pandas"),
    *("qdrant_client", "grpc", "lancedb", "pyarrow"),
    *("langchain_core", "langsmith", "llama_index", "pydantic"),
]


@pytest.mark.parametrize("module", MODULES)
def test_an_import_is_light(module):
    code = (
        f"import sys, {module}\n"
        f"print([name for name in sorted(sys.modules) for heavy in {HEAVY} if (name + '.').startswith(heavy + '.')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=CHILD_ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_the_names_of_engines_are_there_without_loading_them():
    code = (
        "import sys, late_interaction.engines as engines\n"
        "print('late_interaction.engines.local' in sys.modules, 'LocalEngine' in engines.__all__)\n"
        "print(engines.LocalEngine.__name__, 'late_interaction.engines.local' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=CHILD_ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "False True\nLocalEngine True\n"
