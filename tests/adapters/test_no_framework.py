"""The adapters import no framework, and the frameworks reach no engine."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import late_interaction

SOURCE = Path(late_interaction.__file__).parent
ADAPTERS = sorted(path.stem for path in (SOURCE / "adapters").glob("*.py") if path.stem != "__init__")


def test_nothing_of_a_framework_is_loaded():
    modules = ", ".join(f"late_interaction.adapters.{name}" for name in ADAPTERS)
    code = (
        f"import sys, {modules}; print([m for m in ('langchain_core', 'llama_index', 'haystack') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("folder", ["langchain", "llama_index"])
def test_a_framework_reaches_no_engine_and_no_other_framework(folder):
    other = {"langchain": "llama_index", "llama_index": "langchain"}[folder]
    for path in (SOURCE / folder).glob("*.py"):
        tree = ast.parse(path.read_text())
        assert [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "engine"] == []
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        assert [name for name in imported if "engines" in name or name.startswith(f"late_interaction.{other}")] == []
