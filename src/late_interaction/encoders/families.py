"""The families of checkpoints that can be loaded, one row each.

To support another family, write a module that recognizes, checks and loads its checkpoints, and add a row here. The
first row that matches a checkpoint is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from late_interaction.encoders import minilm, multi_vector, page_loading
from late_interaction.encoders.page_models import PAGE_MODELS
from late_interaction.errors import UnsupportedCheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from late_interaction.encoders.checkpoint import Checkpoint
    from late_interaction.encoders.protocol import LoadedEncoder

__all__ = ["FAMILIES", "Family", "find_family"]


@dataclass(frozen=True)
class Family:
    """Checkpoints of one format.

    Attributes:
        name: The format, for people.
        matches: Return whether a checkpoint is of this family, from its name and settings alone.
        check: Raise `UnsupportedCheckpointError` if the checkpoint would run code or use files outside its folder.
            ``config.json`` has been checked already. None if the libraries themselves refuse both. Not called with
            ``trust_remote_code``.
        load: Load the model and return its encoder.
    """

    name: str
    matches: Callable[[Checkpoint], bool]
    check: Callable[[Checkpoint], None] | None
    load: Callable[[Checkpoint], LoadedEncoder]


FAMILIES = (
    Family("minilm", minilm.matches, None, minilm.load),
    Family("transformers page-image model", page_loading.matches, None, page_loading.load),
    Family("Stanford ColBERT", multi_vector.is_stanford, multi_vector.check, multi_vector.load),
    Family("sentence-transformers multi-vector", multi_vector.is_native, multi_vector.check, multi_vector.load),
    Family("PyLate", multi_vector.is_pylate, multi_vector.check, multi_vector.load),
)


def find_family(checkpoint: Checkpoint) -> Family:
    """Return the family of a checkpoint.

    sentence-transformers loads any transformer as a multi-vector encoder. If it finds no trained projection, it adds a
    random one and says so only in its log. Such an encoder returns noise that looks like results, so a checkpoint of
    no known family is refused.

    Raises:
        UnsupportedCheckpointError: The checkpoint is of no family that can be loaded; the message says what it is
            instead.
    """
    for family in FAMILIES:
        if family.matches(checkpoint):
            return family
    raise UnsupportedCheckpointError(_description(checkpoint))


def _description(checkpoint: Checkpoint) -> str:
    """Return what a checkpoint of no known family is, and what to use instead."""
    name, architectures = checkpoint.name, checkpoint.architectures
    if checkpoint.modules is not None:
        types = multi_vector.module_types(checkpoint)
        is_pooled = "Pooling" in types
        kind = "a single-vector sentence-transformers model" if is_pooled else f"a model of modules {', '.join(types)}"
    elif any(architecture.endswith("ForRetrieval") for architecture in architectures):
        return (
            f"{name} is a {architectures[0]}, which this release cannot load. It loads the page-image models "
            f"{', '.join(PAGE_MODELS)} of transformers."
        )
    elif checkpoint.config:
        kind = f"a bare transformer ({', '.join(architectures)})"
    else:
        return (
            f"{name} contains no model (no config.json, no modules.json). Check the name or the path. The encoder that "
            "needs no network is 'minilm'."
        )
    return (
        f"{name} is {kind}: it has no trained projection to token vectors, so a random one would be used and every "
        "result would be noise. Use a late-interaction checkpoint, for example lightonai/LateOn or "
        "answerdotai/answerai-colbert-small-v1, or 'minilm' if there is no network."
    )
