"""The models that `evaluate` is given: by name, or loaded by the caller."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.encoders.single_vector import is_model
from late_interaction.errors import InvalidRequestError, UnsupportedCheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

__all__ = ["load_cross_encoder", "load_sparse_encoder", "loaded", "numbered"]


def loaded(models: Sequence[Any], load: Callable[[Any], Any], argument: str) -> dict[str, Any]:
    """Return the loaded models by their names; of equal names, the second gets a number.

    Args:
        models: The models, or their names.
        load: Returns a model, loaded if it is a name.
        argument: What the models are an argument for.

    Raises:
        InvalidRequestError: They are not a list.
    """
    if isinstance(models, (str, os.PathLike)) or not isinstance(models, Iterable):
        raise InvalidRequestError(f"{argument} must be a list of models or their names, got {models!r:.200}.")
    found: dict[str, Any] = {}
    for model in models:
        found[numbered(_name(model), found)] = load(model)
    return found


def numbered(name: str, taken: Container[str]) -> str:
    """Return a name, with a number if it is taken.

    Example:
        >>> numbered("minilm", ["minilm", "minilm (2)"])
        'minilm (3)'
    """
    names = (f"{name} ({number})" if number > 1 else name for number in count(1))
    return next(one for one in names if one not in taken)


def _name(model: Any) -> str:
    """Return what a model is called in a report: its name, the name of its folder, or its class."""
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        return path.resolve().name if path.is_dir() else os.fspath(model)
    base = getattr(getattr(model, "model_card_data", None), "base_model", None)
    return base if isinstance(base, str) and base else type(model).__name__


def load_sparse_encoder(model: Any) -> Any:
    """Return a `sentence_transformers.SparseEncoder`: the one given, or the one of a name or folder."""
    return _load(model, "SparseEncoder")


def load_cross_encoder(model: Any) -> Any:
    """Return a `sentence_transformers.CrossEncoder`: the one given, or the one of a name or folder."""
    return _load(model, "CrossEncoder")


def _load(model: Any, kind: str) -> Any:
    """Return a model of sentence-transformers, loaded if it is a name. No code of a checkpoint runs.

    Raises:
        InvalidRequestError: It is not a model of this class.
        UnsupportedCheckpointError: It cannot be loaded.
    """
    if not isinstance(model, (str, os.PathLike)):
        if is_model(model, kind):
            return model
        raise InvalidRequestError(
            f"Expected a sentence_transformers.{kind} or its name, got {type(model).__name__}. A model of another "
            "package can be a stage of a Cascade, as a function (query, documents) -> scores."
        )
    import sentence_transformers

    try:
        return getattr(sentence_transformers, kind)(os.fspath(model))
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise UnsupportedCheckpointError(
            f"{os.fspath(model)!r} cannot be loaded as a sentence_transformers.{kind}: {error}"
        ) from error
