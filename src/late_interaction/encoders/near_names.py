"""Suggest a name for one that `load_encoder` does not find."""

from __future__ import annotations

import difflib
from contextlib import suppress
from itertools import islice
from pathlib import Path

from late_interaction.encoders.minilm_package import MINILM

__all__ = ["RECOMMENDED", "near_name"]

RECOMMENDED = (
    MINILM,
    "answerdotai/answerai-colbert-small-v1",
    "mixedbread-ai/mxbai-edge-colbert-v0-32m",
    "lightonai/LateOn",
    "vidore/colqwen2.5-v0.2",
    "vidore/colqwen2-v1.0-hf",
    "vidore/colpali-v1.3-hf",
    "ModernVBERT/colmodernvbert-merged",
)
"""The encoders that the README names."""

_ALIASES = {"all-minilm-l6-v2": MINILM}
_MAX_FOLDERS = 1000


def near_name(name: str) -> str:
    """Return a sentence that suggests the nearest recommended name or folder of a model; empty if none is near.

    Example:
        >>> near_name("lateon"), near_name("mini-lm"), near_name("someone/else")
        (" Did you mean 'lightonai/LateOn'?", " Did you mean 'minilm'?", '')
    """
    known = dict(_ALIASES)
    for recommended in RECOMMENDED:
        known |= {recommended.lower(): recommended, recommended.rpartition("/")[2].lower(): recommended}
    known |= {folder.lower(): folder for folder in _folders_beside(name)}
    wanted = name.lower()
    near = difflib.get_close_matches(wanted, known, n=1) or difflib.get_close_matches(
        wanted.rpartition("/")[2], known, n=1, cutoff=0.8
    )
    return f" Did you mean {known[near[0]]!r}?" if near else ""


def _folders_beside(name: str) -> list[str]:
    """Return the folders of models in the folder in which a folder of this name would be, named as the caller would."""
    from late_interaction.encoders.checkpoint import SETTINGS_FILES  # which imports this module

    with suppress(OSError, ValueError, RuntimeError):  # for example a name that no file can have
        parent = Path(name).expanduser().parent
        beside = [path for path in islice(parent.iterdir(), _MAX_FOLDERS) if path.is_dir()]
        stem = name.rpartition("/")[0]
        return [
            f"{stem}/{path.name}" if "/" in name else path.name
            for path in beside
            if any((path / filename).is_file() for filename in SETTINGS_FILES)
        ]
    return []
