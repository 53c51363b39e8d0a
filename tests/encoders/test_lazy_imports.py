"""What the encoders import, whatever the package above them does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import late_interaction
import late_interaction.encoders

# The package itself imports the index, so a bare one stands in for it.
_IMPORT = """
import sys, types
package = types.ModuleType("late_interaction")
package.__path__ = [sys.argv[1]]
sys.modules["late_interaction"] = package
{statement}
print(*sorted(sys.modules))
"""
_HEAVY = ("torch", "transformers", "sentence_transformers", "PIL", "sqlite3", "langchain_core", "llama_index")


def loaded_by(statement):
    """The modules that a fresh process has after this statement."""
    command = [sys.executable, "-c", _IMPORT.format(statement=statement), str(Path(late_interaction.__file__).parent)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_the_protocol_loads_nothing_else():
    loaded = loaded_by("import late_interaction.encoders.protocol")
    own = {name for name in loaded if name.startswith("late_interaction.")}
    assert own == {"late_interaction.encoders", "late_interaction.encoders.protocol"}
    assert not loaded & {*_HEAVY, "numpy"}


def test_the_exports_load_no_library_and_no_engine():
    loaded = loaded_by(f"from late_interaction.encoders import {', '.join(late_interaction.encoders.__all__)}")
    assert "late_interaction.encoders.loading" in loaded
    assert not loaded & set(_HEAVY)
    assert not [module for module in loaded if module.startswith("late_interaction.engines")]


def test_a_name_that_is_not_exported():
    with pytest.raises(AttributeError, match=r"'late_interaction\.encoders' has no attribute 'Nothing'"):
        late_interaction.encoders.Nothing  # noqa: B018
    assert set(dir(late_interaction.encoders)) >= set(late_interaction.encoders.__all__)
