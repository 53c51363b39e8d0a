"""Make the systems that the arguments of `evaluate` ask for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from late_interaction.encoders.single_vector import SingleVectorEncoder
from late_interaction.errors import InvalidRequestError, UnsupportedError
from late_interaction.evaluation.models import load_sparse_encoder
from late_interaction.evaluation.query_encoding import QueryEncoder
from late_interaction.evaluation.settings import Setting, grid
from late_interaction.evaluation.sparse_vectors import SparseVectors, load_sparse_encoder
from late_interaction.evaluation.systems import Answer, System, lexical_bytes, searching, vector_bytes
from late_interaction.validation import did_you_mean, is_invisible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.sources import Source
    from late_interaction.index import Index
    from late_interaction.retrieval.request import Mode

__all__ = ["KINDS", "Asked", "check_kinds"]

KINDS = ("late", "lexical", "hybrid", "pooled")
"""The systems of an index alone."""

_DEFAULT_KINDS = ("late", "lexical", "hybrid")


@dataclass(frozen=True)
class Asked:
    """What `evaluate` is asked to compare; the fields are its arguments.

    Attributes:
        source: The index.
        queries: The queries.
    """

    source: Source
    queries: Sequence[JudgedQuery]
    kinds: Sequence[str] | None
    single_vector: Sequence[Any] = ()
    sparse: Sequence[Any] = ()
    bits: Sequence[int | None] = ()
    pooling: Sequence[int] = ()
    dim: Sequence[int] = ()
    notes: list[str] = field(default_factory=list)

    def systems(self) -> list[System]:
        """Return the systems, in the order in which a report shows them."""
        kinds = self._possible_kinds()
        found: list[System] = []
        if "late" in kinds:
            found += self._late()
        found += [self._of_words(kind) for kind in ("lexical", "hybrid") if kind in kinds]
        if "pooled" in kinds:
            found.append(self._pooled())
        found += [self._single_vector(name, encoder) for name, encoder in self.single_vectors.items()]
        found += [self._sparse(name, vectors) for name, vectors in self.sparse_vectors.items()]
        return found

    @cached_property
    def single_vectors(self) -> dict[str, Any]:
        """The single-vector encoders by the name of their model."""
        self._refuse_without_text("A single-vector model", self.single_vector)
        return _named(self.single_vector, SingleVectorEncoder, "single_vector")

    @cached_property
    def sparse_vectors(self) -> dict[str, SparseVectors]:
        """The sparse vectors of the documents by the name of their model."""
        self._refuse_without_text("A sparse encoder", self.sparse)
        models = _named(self.sparse, load_sparse_encoder, "sparse")
        return {name: SparseVectors(model, self.source.documents()) for name, model in models.items()}

    def _late(self) -> list[System]:
        base, full = self.source.setting, self.source.queries.dim
        others = grid(base, self.bits, self.pooling, self.dim, full_dim=full)
        name = f"late, {base.name(full)}" if others else "late"
        found = [self._of_setting(name, base, self.source.asked())]
        return found + [
            self._of_setting(f"late, {setting.name(full)}", setting, self.source.derived(setting)) for setting in others
        ]

    def _of_setting(self, name: str, setting: Setting, index: Index) -> System:
        return System(
            name,
            {"kind": "late", **setting.to_dict(), "model": index.encoder_name},
            searching(index, "late"),
            {f"vectors, {setting}": vector_bytes(index)},
            [self.source.queries],
        )

    def _of_words(self, kind: str) -> System:
        mode: Mode = "lexical" if kind == "lexical" else "hybrid"
        parts = {"words": lexical_bytes(self.source.index)}
        settings: dict[str, Any] = {"kind": kind}
        if kind == "lexical":
            return System(kind, settings, searching(self.source.index, mode), parts)
        index = self.source.asked()
        parts[f"vectors, {self.source.setting}"] = vector_bytes(index)
        settings |= {**self.source.setting.to_dict(), "model": index.encoder_name}
        return System(kind, settings, searching(index, mode), parts, [self.source.queries])

    def _pooled(self) -> System:
        index = self.source.pooled()
        settings = {"kind": "pooled", "model": self.source.index.encoder_name, "dim": index.engine.dim}
        parts = {"pooled": vector_bytes(index)}
        return System("pooled", settings, searching(index, "late"), parts, [self.source.queries])

    def _single_vector(self, name: str, encoder: Any) -> System:
        queries = QueryEncoder(encoder)
        index = self.source.encoded(queries)
        settings = {"kind": "single-vector", "model": name, "dim": encoder.dim}
        return System(
            f"single vector, {name}",
            settings,
            searching(index, "late"),
            {f"single {name}": vector_bytes(index)},
            [queries],
        )

    def _sparse(self, name: str, vectors: SparseVectors) -> System:
        def search(query: JudgedQuery, k: int) -> Answer:
            return Answer(vectors.search(_text(query), k))

        settings = {"kind": "sparse", "model": name}
        return System(f"sparse, {name}", settings, search, {f"sparse {name}": vectors.bytes}, is_deepened=False)

    def _possible_kinds(self) -> Sequence[str]:
        """Return the kinds asked for; by default those that are possible, and note why others are not."""
        kinds = _DEFAULT_KINDS if self.kinds is None else self.kinds
        why = self._why_no_words()
        if why is None or not {"lexical", "hybrid"} & set(kinds):
            return kinds
        if self.kinds is not None:
            raise why
        self.notes.append(f"Lexical and hybrid search are left out. {why}")
        return [kind for kind in kinds if kind not in ("lexical", "hybrid")]

    def _why_no_words(self) -> InvalidRequestError | None:
        engine = self.source.index.engine
        if not engine.capabilities.lexical:
            return UnsupportedError(f"{type(engine).__name__} cannot search for words.")
        if without := sum(is_invisible(_text(query)) for query in self.queries if not isinstance(query.query, str)):
            return InvalidRequestError(f"{without:,} of {len(self.queries):,} queries are pages without text.")
        total, without = self.source.index.count(), self.source.without_text
        if without and without == total:
            return InvalidRequestError("The documents are pages without text.")
        if without:
            self.notes.append(
                f"{without:,} of {total:,} documents are pages without text, which lexical search cannot find."
            )
        return None

    def _refuse_without_text(self, what: str, models: Sequence[Any]) -> None:
        if models and (
            without := sum(is_invisible(_text(query)) for query in self.queries if not isinstance(query.query, str))
        ):
            raise InvalidRequestError(
                f"{what} reads text, and {without} of {len(self.queries)} queries are pages without."
            )


def check_kinds(systems: object) -> list[str]:
    """Return the systems asked for by name.

    Raises:
        InvalidRequestError: One is unknown.
    """
    if isinstance(systems, str) or not isinstance(systems, Iterable):
        raise InvalidRequestError(f"systems must be a list of {', '.join(KINDS)}, got {systems!r}.")
    kinds = list(dict.fromkeys(systems))
    for kind in kinds:
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
            raise InvalidRequestError(f"systems must be of {', '.join(KINDS)}, got {kind!r}.{hint}")
    return kinds


def _named(models: Sequence[Any], load: Callable[[Any], Any], argument: str) -> dict[str, Any]:
    """Return the loaded models by names that differ."""
    if isinstance(models, (str, os.PathLike)):
        models = [models]
    if not isinstance(models, Iterable):
        raise InvalidRequestError(f"{argument} must be a list of models or their names, got {type(models).__name__}.")
    found: dict[str, Any] = {}
    for model in models:
        name = base = model_name(model)
        number = 1
        while name in found:
            number += 1
            name = f"{base} ({number})"
        found[name] = load(model)
    return found


def model_name(model: Any) -> str:
    """Return what a model is called in a report: its name, the name of its folder, or its class."""
    if isinstance(model, (str, os.PathLike)):
        return Path(model).name if Path(model).is_dir() else os.fspath(model)
    card = getattr(model, "model_card_data", None)
    base = getattr(card, "base_model", None)
    return base if isinstance(base, str) and base else type(model).__name__


def _text(query: JudgedQuery) -> str:
    return query.query if isinstance(query.query, str) else query.query.text_to_encode
