"""A virtual environment for each engine, created once and reused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# None: the Python that runs the benchmark. Each list is the engine and what else it needs to run.
REQUIREMENTS: dict[str, list[str] | None] = {
    "late_interaction_local": None,
    "torch_exact": None,
    "qdrant_edge": None,  # of the development environment
    "maxsim_cpu": ["maxsim-cpu==0.1.0", "numpy==2.2.6"],
    "xtr_warp": ["xtr-warp-rs==2.1.0.2110"],  # pins torch 2.11, too
    "fast_plaid": ["fast-plaid==1.7.0.2110"],  # every release pins one version of torch, here 2.11.0
    "colbert_plaid": [
        "colbert-ai==0.2.22",
        "faiss-cpu==1.15.1",
        "setuptools==84.2.1",  # used by torch to compile the extensions
        "torch==2.13.0",
        "transformers==4.57.6",  # colbert-ai imports names that transformers 5 removed
    ],
}


def python_of(name: str, folder: Path) -> Path:
    """Return the Python of an engine's environment, which is created if it is missing or has other requirements.

    Raises:
        subprocess.CalledProcessError: A requirement cannot be installed.
    """
    requirements = REQUIREMENTS[name]
    if requirements is None:
        return Path(sys.executable)
    home = folder / name
    python, made_for = home / "bin" / "python", home / "requirements.txt"
    wanted = "\n".join(requirements)
    if not made_for.is_file() or made_for.read_text() != wanted:
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        _run(str(python), "-m", "pip", "install", "--quiet", *requirements)
        made_for.write_text(wanted)
    return python


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
