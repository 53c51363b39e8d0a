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
from late_interaction.encoders.untrusted import check_config, check_files, check_modules, check_weights, is_dense
from late_interaction.errors import UnsupportedCheckpointError

__all__ = ["cached_folder", "check_checkpoint"]


def cached_folder(name: str, revision: str | None) -> Path:
    """Return the folder in which the cache of the Hugging Face hub keeps a model.

    Raises:
        UnsupportedCheckpointError: It is not in the cache, or the name cannot be one of the hub.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for filename in ("config.json", "modules.json"):
        try:
            path = try_to_load_from_cache(name, filename, os.environ.get("SENTENCE_TRANSFORMERS_HOME"), revision)
        except HFValidationError as error:
            raise UnsupportedCheckpointError(f"{name!r} is not a folder or a name of the hub: {error}") from None
        if isinstance(path, str):
            return Path(path).parent
    raise UnsupportedCheckpointError(
        f"{name} is not in the local cache, and the network is not to be used. Check the name. The model that needs no "
        "network is 'minilm'."
    )


def check_checkpoint(
    name_or_path: str, *, revision: str | None, local_files_only: bool, trust_remote_code: bool = False
) -> str | None:
    """Raise unless the files are those of an encoder with trained token vectors, and ask for nothing that is not safe.

    Accepted: sentence-transformers' own multi-vector format, PyLate (``modules.json`` with a Dense and no Pooling),
    Stanford ColBERT (``architectures: ["HF_ColBERT"]``) and the page-image models of transformers that
    `ColVisionEncoder` knows.

    Returns:
        The architecture of a page-image model of transformers; None for what `MultiVectorEncoder` loads.

    Raises:
        UnsupportedCheckpointError: Says what the checkpoint is instead, and what to do.
    """

    def find(filename: str) -> str | None:
        from sentence_transformers.util import load_file_path

        return load_file_path(
            name_or_path,
            filename,
            cache_folder=os.environ.get("SENTENCE_TRANSFORMERS_HOME"),  # where the model will be looked for
            revision=revision,
            local_files_only=local_files_only,
        )

    def read(filename: str, kind: type[Any]) -> Any:
        path = find(filename)
        content = None if path is None else json.loads(Path(path).read_text("utf-8"))
        if content is not None and not isinstance(content, kind):
            raise UnsupportedCheckpointError(f"{name_or_path}: {filename} should hold a {kind.__name__}.")
        return content

    if Path(name_or_path).is_dir():
        check_files(Path(name_or_path))
    config, modules = read("config.json", dict) or {}, None
    architectures = config.get("architectures") or []
    known = next((str(architecture) for architecture in architectures if architecture in PROCESSORS), None)
    if known is None:
        modules = read("modules.json", list)
        if "HF_ColBERT" not in architectures:
            _check_head(name_or_path, config, modules, read("config_sentence_transformers.json", dict) or {})
    if not trust_remote_code:
        check_config(name_or_path, config)
        check_modules(name_or_path, modules or [], read)
        projections = ["model.safetensors"] if "HF_ColBERT" in architectures else []
        projections += [f"{module['path']}/model.safetensors" for module in modules or [] if is_dense(module["type"])]
        check_weights(name_or_path, all(find(projection) is not None for projection in projections))
    return known


def _check_head(name: str, config: dict[str, Any], modules: list[Any] | None, settings: dict[str, Any]) -> None:
    """Refuse a checkpoint that has no trained projection to token vectors."""
    architectures = config.get("architectures") or []
    if modules is None:
        if any(architecture.endswith("ForRetrieval") for architecture in architectures):
            raise UnsupportedCheckpointError(
                f"{name} is a {architectures[0]}, which this release cannot load. Page-image models of transformers "
                f"that it can: {', '.join(PROCESSORS)}."
            )
        if not config:
            raise UnsupportedCheckpointError(
                f"{name} holds no model (no config.json, no modules.json), or cannot be reached. "
                "Check the name, the path and the network. The model that needs no network is 'minilm'."
            )
        raise UnsupportedCheckpointError(_no_head(name, f"a bare transformer ({', '.join(architectures)})"))
    if settings.get("model_type") == "MultiVectorEncoder":
        return
    types = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if "Pooling" in types:
        raise UnsupportedCheckpointError(_no_head(name, "a single-vector sentence-transformers model"))
    if "Dense" not in types:
        raise UnsupportedCheckpointError(_no_head(name, f"a model of the modules {', '.join(types)}"))


def _no_head(name: str, what: str) -> str:
    return (
        f"{name} is {what}: it has no trained projection to token vectors, so a random one would be used and every "
        "result would be noise. Use a late-interaction checkpoint, for example lightonai/LateOn or "
        "answerdotai/answerai-colbert-small-v1, or 'minilm' where there is no network."
    )
