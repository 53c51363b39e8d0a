"""Fingerprints of encoders, so that an index is never searched with the vectors of another model.

A fingerprint is a JSON object. Its ``probe``, the embedding of a fixed sentence, identifies the weights. If both
fingerprints have a probe, the name of the model (``model``, ``revision``) is not compared, so a checkpoint may move.
``libraries`` is for information and is never compared. Nor is ``query_length``, on which no stored vector depends.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["PROBE_QUERIES", "PROBE_TEXT", "differences", "image_settings", "library_versions", "probe"]

PROBE_TEXT = "Every word of a question, 42 of them, meets every word of an answer."
PROBE_QUERIES = (
    "how deep is the ocean",
    "symptoms of iron deficiency",
    "who painted the ceiling of the chapel",
    "convert a string to an integer",
    "quarterly revenue by region",
    "best time to plant tomatoes",
    "rules of evidence in civil courts",
    "train from Madrid to Lisbon",
)
"""Short queries about different subjects. What their token vectors have in common is due to the encoder alone."""

_INFORMATIVE = frozenset({"libraries"})
_NAMES = frozenset({"model", "revision"})
_QUERY_LIMITS = frozenset({"query_length"})  # on which no stored vector depends
_CLASS_NAMES = frozenset({"image_processor_type", "feature_extractor_type", "processor_class"})
_MIN_PROBE_COSINE = 0.99  # other weights give far less, another device or precision far more


def probe(*vectors: NDArray[np.floating[Any]]) -> list[float]:
    """Return the embedding of the probe, (inputs * dim,): for each input the mean of its token vectors.

    Args:
        vectors: The token vectors of each input (`PROBE_TEXT` as a query, as a document…), (tokens, dim).
    """
    return [round(float(x), 5) for x in np.concatenate([of_one.mean(0) for of_one in vectors])]


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries on which the vectors may depend."""
    from importlib.metadata import version

    return {name: version(name) for name in ("sentence-transformers", "transformers", "torch")}


def image_settings(image_processor: Any) -> dict[str, Any]:
    """Return the settings of an image processor as JSON values, without class names, which differ between backends."""
    settings = json.loads(json.dumps(image_processor.to_dict(), default=_plain))
    return {key: value for key, value in settings.items() if key not in _CLASS_NAMES}


def differences(recorded: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return the differences that make two encoders incompatible, one phrase each; empty if they are compatible.

    Args:
        recorded: The fingerprint in an index, any JSON object.
        given: The fingerprint of the encoder.
    """
    ignored = _INFORMATIVE
    found = []
    if _is_probe(recorded.get("probe")) and _is_probe(given.get("probe")):
        ignored = _INFORMATIVE | _NAMES | _QUERY_LIMITS | {"probe"}
        cosine = _cosine(*_comparable(recorded, given))
        if not cosine >= _MIN_PROBE_COSINE:  # also true for NaN
            found.append(f"the probe embedding (cosine {cosine:.3f}: other weights)")
    left, right = _settings(recorded, ignored), _settings(given, ignored)
    for key in sorted(left.keys() | right.keys()):
        # A library setting that only one side has was added or removed by the library. All other keys are ours.
        in_both = key in left and key in right
        if left.get(key) != right.get(key) and (in_both or not _is_library_setting(key)):
            # ASCII, because values from an index may contain control sequences, which a terminal would execute.
            held, other = ascii(left.get(key)), ascii(right.get(key))
            found.append(f"{ascii(key)[1:-1]:.80} ({held:.80} in the index, {other:.80} given)")
    return found


def _comparable(recorded: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Return the probes of both, without the query where it may have been truncated at another length."""
    dim = given.get("dim")
    start = dim if recorded.get("query_length") != given.get("query_length") and type(dim) is int else 0
    return recorded["probe"][start:], given["probe"][start:]


def _settings(fingerprint: Mapping[str, Any], ignored: frozenset[str]) -> dict[str, Any]:
    """Return the values to compare, with one key for each setting of each module and of the image processor."""
    settings = {key: value for key, value in fingerprint.items() if key not in ignored}
    expansion = settings.get("query_expansion")
    if ignored >= _QUERY_LIMITS and isinstance(expansion, dict):  # its strategy is what happens to longer queries
        settings["query_expansion"] = {key: value for key, value in expansion.items() if key != "strategy"}
    modules = settings.get("modules")
    if isinstance(modules, list) and all(isinstance(module, dict) for module in modules):
        settings["modules"] = [module.get("type") for module in modules]
        for position, module in enumerate(modules):
            settings |= {f"modules[{position}].{key}": value for key, value in module.items()}
    if isinstance(images := settings.get("image_processor"), dict):
        settings["image_processor"] = True
        settings |= {f"image_processor.{key}": value for key, value in images.items()}
    return settings


def _is_probe(value: object) -> bool:
    """Return whether the value is an embedding. A custom encoder may have another value of that name."""
    return isinstance(value, list) and all(type(number) in (int, float) for number in value)


def _is_library_setting(key: str) -> bool:
    return key.startswith(("modules[", "image_processor."))


def _plain(setting: Any) -> Any:
    return dict(setting) if hasattr(setting, "keys") else str(setting)


def _cosine(left: list[float], right: list[float]) -> float:
    a, b = np.asarray(left, np.float64), np.asarray(right, np.float64)
    if a.shape != b.shape:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # values that no encoder gives
        return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
