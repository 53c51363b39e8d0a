"""Refuses checkpoints that would load with random weights.

`MultiVectorEncoder` loads any transformer: where it finds no trained projection it adds a random one and says so only
in its log. Such an encoder returns noise that looks like results, so the files are read first.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from late_interaction.encoders.pages import PROCESSORS
from late_interaction.errors import UnsupportedCheckpointError

__all__ = ["check_checkpoint"]


def check_checkpoint(name_or_path: str, *, revision: str | None, local_files_only: bool) -> str | None:
    """Raise unless the files are those of an encoder with trained token vectors.

    Accepted: sentence-transformers' own multi-vector format, PyLate (``modules.json`` with a Dense and no Pooling),
    Stanford ColBERT (``architectures: ["HF_ColBERT"]``) and the page-image models of transformers that
    `ColVisionEncoder` knows.

    Returns:
        The architecture of a page-image model of transformers; None for what `MultiVectorEncoder` loads.

    Raises:
        UnsupportedCheckpointError: Says what the checkpoint is instead, and what to do.
    """

    def read(filename: str, kind: type[Any]) -> Any:
        from sentence_transformers.util import load_file_path

        path = load_file_path(
            name_or_path,
            filename,
            cache_folder=os.environ.get("SENTENCE_TRANSFORMERS_HOME"),  # where the model will be looked for
            revision=revision,
            local_files_only=local_files_only,
        )
        content = None if path is None else json.loads(Path(path).read_text("utf-8"))
        if content is not None and not isinstance(content, kind):
            raise UnsupportedCheckpointError(f"{name_or_path}: {filename} should hold a {kind.__name__}.")
        return content

    config = read("config.json", dict) or {}
    architectures = config.get("architectures") or []
    if "HF_ColBERT" in architectures:
        return None
    for architecture in architectures:
        if architecture in PROCESSORS:
            return str(architecture)
    modules = read("modules.json", list)
    if modules is None:
        if any(architecture.endswith("ForRetrieval") for architecture in architectures):
            raise UnsupportedCheckpointError(
                f"{name_or_path} is a {architectures[0]}, which this release cannot load. Page-image models of "
                f"transformers that it can: {', '.join(PROCESSORS)}."
            )
        if not config:
            raise UnsupportedCheckpointError(
                f"{name_or_path} holds no model (no config.json, no modules.json), or cannot be reached. "
                "Check the name, the path and the network. The model that needs no network is 'minilm'."
            )
        raise UnsupportedCheckpointError(_no_head(name_or_path, f"a bare transformer ({', '.join(architectures)})"))
    settings = read("config_sentence_transformers.json", dict) or {}
    if settings.get("model_type") == "MultiVectorEncoder":
        return None
    types = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if "Pooling" in types:
        raise UnsupportedCheckpointError(_no_head(name_or_path, "a single-vector sentence-transformers model"))
    if "Dense" not in types:
        raise UnsupportedCheckpointError(_no_head(name_or_path, f"a model of the modules {', '.join(types)}"))
    return None


def _no_head(name: str, what: str) -> str:
    return (
        f"{name} is {what}: it has no trained projection to token vectors, so a random one would be used and every "
        "result would be noise. Use a late-interaction checkpoint, for example lightonai/LateOn or "
        "answerdotai/answerai-colbert-small-v1, or 'minilm' where there is no network."
    )
