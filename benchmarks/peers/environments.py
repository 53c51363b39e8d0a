"""A virtual environment for each peer, made once and kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# None: the python that runs the benchmark. Each list says what its peer needs beside itself to run at all.
REQUIREMENTS: dict[str, list[str] | None] = {
    "late_interaction_local": None,
    "torch_exact": None,
    "maxsim_cpu": ["maxsim-cpu==0.1.0", "numpy==2.2.6"],
    "fast_plaid": ["fast-plaid==1.7.0.2110"],  # every release pins one torch, here 2.11.0
    "colbert_plaid": [
        "colbert-ai==0.2.22",
        "faiss-cpu==1.15.1",
        "setuptools==84.2.1",  # torch compiles colbert's extensions with it
        "torch==2.13.0",
        "transformers==4.57.6",  # colbert-ai imports what transformers 5 no longer has
    ],
}


def python_of(name: str, folder: Path) -> Path:
    """The python that runs a peer, in an environment that is made if it is missing or was made for another list.

    Raises:
        subprocess.CalledProcessError: Something cannot be installed.
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
