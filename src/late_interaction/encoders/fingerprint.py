"""Tells one encoder from another, so that an index is never searched with vectors of another model.

A fingerprint is a JSON object. Its ``probe``, the embedding of a fixed sentence, stands for the weights: with a probe
on both sides, the name under which a model was found (``model``, ``revision``) says nothing, and a checkpoint may move.
``libraries`` is kept for the reader and never compared.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["PROBE_TEXT", "differences", "library_versions", "probe"]

PROBE_TEXT = "Every word of a question, 42 of them, meets every word of an answer."
_INFORMATIVE = frozenset({"libraries"})
_NAMES = frozenset({"model", "revision"})
_SAME_PROBE = 0.99  # cosine; other weights give far less, another device or precision far more


def probe(query_vectors: NDArray[np.floating[Any]], document_vectors: NDArray[np.floating[Any]]) -> list[float]:
    """The embedding of `PROBE_TEXT` as a query and as a document, (2 * dim,): means of the token vectors."""
    return [round(float(x), 5) for x in np.concatenate([query_vectors.mean(0), document_vectors.mean(0)])]


def library_versions() -> dict[str, str]:
    """Versions of the libraries whose changes could change vectors."""
    return {name: version(name) for name in ("sentence-transformers", "transformers", "torch")}


def differences(recorded: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """What makes these two encoders incompatible, one phrase each; empty if nothing does."""
    ignored = _INFORMATIVE
    found = []
    if "probe" in recorded and "probe" in given:
        ignored = _INFORMATIVE | _NAMES | {"probe"}
        cosine = _cosine(recorded["probe"], given["probe"])
        if cosine < _SAME_PROBE:
            found.append(f"the probe embedding (cosine {cosine:.3f}: other weights)")
    left, right = _settings(recorded, ignored), _settings(given, ignored)
    for key in sorted(left.keys() | right.keys()):
        # A setting of a module that only one side knows was added or dropped by a library; the rest are ours.
        known_to_both = key in left and key in right
        if left.get(key) != right.get(key) and (known_to_both or not _is_of_module(key)):
            found.append(f"{key} ({left.get(key)!r:.80} in the index, {right.get(key)!r:.80} given)")
    return found


def _settings(fingerprint: Mapping[str, Any], ignored: frozenset[str]) -> dict[str, Any]:
    """What is compared, with the settings of each module under a name of its own."""
    settings = {key: value for key, value in fingerprint.items() if key not in ignored}
    modules = settings.get("modules")
    if isinstance(modules, list) and all(isinstance(module, dict) for module in modules):
        settings["modules"] = [module.get("type") for module in modules]
        for place, module in enumerate(modules):
            settings |= {f"modules[{place}].{key}": value for key, value in module.items()}
    return settings


def _is_of_module(key: str) -> bool:
    return key.startswith("modules[")


def _cosine(left: list[float], right: list[float]) -> float:
    a, b = np.asarray(left), np.asarray(right)
    if a.shape != b.shape:
        return 0.0
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))
