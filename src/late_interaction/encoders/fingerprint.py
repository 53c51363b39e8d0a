"""Tells one encoder from another, so that an index is never searched with vectors of another model.

A fingerprint is a JSON object. Its ``probe``, the embedding of a fixed sentence, stands for the weights: with a probe
on both sides, the name under which a model was found (``model``, ``revision``) says nothing, and a checkpoint may move.
``libraries`` is kept for the reader and never compared.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["PROBE_TEXT", "differences", "image_settings", "library_versions", "probe"]

PROBE_TEXT = "Every word of a question, 42 of them, meets every word of an answer."
_INFORMATIVE = frozenset({"libraries"})
_NAMES = frozenset({"model", "revision"})
_CLASS_NAMES = frozenset({"image_processor_type", "feature_extractor_type", "processor_class"})
_SAME_PROBE = 0.99  # cosine; other weights give far less, another device or precision far more


def probe(*vectors: NDArray[np.floating[Any]]) -> list[float]:
    """The embedding of the probe, (inputs * dim,): for each input the mean of its token vectors.

    Args:
        vectors: Of each input (`PROBE_TEXT` as a query, as a document…) its token vectors, (tokens, dim).
    """
    return [round(float(x), 5) for x in np.concatenate([of_one.mean(0) for of_one in vectors])]


def library_versions() -> dict[str, str]:
    """Versions of the libraries whose changes could change vectors."""
    return {name: version(name) for name in ("sentence-transformers", "transformers", "torch")}


def image_settings(image_processor: Any) -> dict[str, Any]:
    """The settings of an image processor, as JSON values, without the names of classes, which differ by backend."""
    settings = json.loads(json.dumps(image_processor.to_dict(), default=_plain))
    return {key: value for key, value in settings.items() if key not in _CLASS_NAMES}


def differences(recorded: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return what makes these two encoders incompatible, one phrase each; empty if nothing does.

    Args:
        recorded: A fingerprint from an index, any JSON object.
        given: The fingerprint of an encoder.
    """
    ignored = _INFORMATIVE
    found = []
    if _is_probe(recorded.get("probe")) and _is_probe(given.get("probe")):
        ignored = _INFORMATIVE | _NAMES | {"probe"}
        cosine = _cosine(recorded["probe"], given["probe"])
        if not cosine >= _SAME_PROBE:  # also NaN
            found.append(f"the probe embedding (cosine {cosine:.3f}: other weights)")
    left, right = _settings(recorded, ignored), _settings(given, ignored)
    for key in sorted(left.keys() | right.keys()):
        # A setting that only one side knows was added or dropped by the library it is of; the rest are ours.
        known_to_both = key in left and key in right
        if left.get(key) != right.get(key) and (known_to_both or not _is_of_library(key)):
            # ASCII: what comes from an index may hold control sequences, which a terminal would obey.
            held, other = ascii(left.get(key)), ascii(right.get(key))
            found.append(f"{ascii(key)[1:-1]:.80} ({held:.80} in the index, {other:.80} given)")
    return found


def _settings(fingerprint: Mapping[str, Any], ignored: frozenset[str]) -> dict[str, Any]:
    """What is compared, with the settings of each module and of the image processor under names of their own."""
    settings = {key: value for key, value in fingerprint.items() if key not in ignored}
    modules = settings.get("modules")
    if isinstance(modules, list) and all(isinstance(module, dict) for module in modules):
        settings["modules"] = [module.get("type") for module in modules]
        for place, module in enumerate(modules):
            settings |= {f"modules[{place}].{key}": value for key, value in module.items()}
    if isinstance(images := settings.get("image_processor"), dict):
        settings["image_processor"] = True
        settings |= {f"image_processor.{key}": value for key, value in images.items()}
    return settings


def _is_probe(value: object) -> bool:
    """Whether it is an embedding. An encoder of the user's own may have something else of that name."""
    return isinstance(value, list) and all(type(number) in (int, float) for number in value)


def _is_of_library(key: str) -> bool:
    return key.startswith(("modules[", "image_processor."))


def _plain(setting: Any) -> Any:
    return dict(setting) if hasattr(setting, "keys") else str(setting)


def _cosine(left: list[float], right: list[float]) -> float:
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if a.shape != b.shape:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # numbers that no encoder gives
        return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
