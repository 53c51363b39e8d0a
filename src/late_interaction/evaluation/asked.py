"""Make the systems that the arguments of `evaluate` ask for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from late_interaction.encoders.single_vector import SingleVectorEncoder
from late_interaction.errors import InvalidRequestError, UnsupportedError
from late_interaction.evaluation.cascading import Ranker, cascade_systems, with_cross_encoder
from late_interaction.evaluation.models import load_cross_encoder, load_sparse_encoder, loaded
from late_interaction.evaluation.query_encoding import QueryEncoder
from late_interaction.evaluation.settings import Setting, grid
from late_interaction.evaluation.sparse_vectors import SparseVectors
from late_interaction.evaluation.systems import Answer, System, lexical_bytes, limit_of, searching, vector_bytes
from late_interaction.validation import did_you_mean, is_invisible
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.sources import Source
    from late_interaction.index import Index

__all__ = ["KINDS", "Asked", "check_kinds"]

KINDS = ("late", "lexical", "hybrid", "pooled")
"""The systems of an index alone."""

_DEFAULT_KINDS = ("late", "lexical", "hybrid")


@dataclass
class Asked:
    """What `evaluate` is asked to compare. The fields that are not described are its arguments.

    Attributes:
        source: The index.
        queries: The queries.
        depth: The length of the rankings that measures need.
        kinds: Those of `KINDS` that the user named; None for those that are possible.
        notes: What is left out, as sentences.
    """

    source: Source
    queries: Sequence[JudgedQuery]
    depth: int
    kinds: Sequence[str] | None = None
    single_vector: Sequence[Any] = ()
    sparse: Sequence[Any] = ()
    cross_encoder: Any = None
    stages: Sequence[Any] = ()
    bits: Sequence[int | None] = ()
    pooling: Sequence[int] = ()
    dim: Sequence[int] = ()
    notes: list[str] = field(default_factory=list)

    def systems(self) -> list[System]:
        """Return the systems, in the order in which a report shows them."""
        if self.single_vector or self.sparse or self.cross_encoder is not None:
            self._refuse_queries_without_text()
        single = loaded(self.single_vector, SingleVectorEncoder, "single_vector")
        sparse = loaded(self.sparse, load_sparse_encoder, "sparse")
        kinds = self._possible_kinds()
        found = self._late() if "late" in kinds else []
        found += [self._words(kind) for kind in kinds if kind in ("lexical", "hybrid")]
        rankers: dict[str, Ranker] = {}
        if "pooled" in kinds:
            found.append(self._pooled(rankers))
        found += [self._single_vector(name, encoder, rankers) for name, encoder in single.items()]
        found += [self._sparse(name, model, rankers) for name, model in sparse.items()]
        found += self._cascades([kind for kind in kinds if kind != "pooled"], rankers)
        self._note_limits(found)
        return found

    def _note_limits(self, systems: Sequence[System]) -> None:
        limits = {system.name: system.limit for system in systems if (system.limit or self.depth) < self.depth}
        if limits:
            shown = ", ".join(f"{name} ({limit:,})" for name, limit in limits.items())
            self.notes.append(
                f"Some systems return fewer documents than the {self.depth:,} that measures count: {shown}."
            )

    def _late(self) -> list[System]:
        base, full = self.source.setting, self.source.queries.dim
        others = grid(base, self.bits, self.pooling, self.dim, full_dim=full)
        found = [self._of_setting(f"late, {base.name(full)}" if others else "late", base, self.source.asked())]
        for setting in others:
            index = self.source.derived(setting)
            found.append(self._of_setting(f"late, {setting.name(full)}", setting, index))
            self._note_uncompressed(index)
        return found

    def _of_setting(self, name: str, setting: Setting, index: Index) -> System:
        settings = {"kind": "late", **setting.to_dict(), "model": index.encoder_name}
        return System(
            name,
            settings,
            searching(index, "late"),
            {"vectors": vector_bytes(index)},
            [self.source.queries],
            limit=limit_of(index),
        )

    def _note_uncompressed(self, index: Index) -> None:
        info = index.info()
        note = (
            f"An index of {counted(info['tokens'], 'token vector')} is too small to be compressed: vectors are stored "
            "in float16, whatever the bits."
        )
        if info["bits"] is not None and info["exact_tokens"] == info["tokens"]:
            self.notes = [*(one for one in self.notes if one != note), note]

    def _words(self, kind: str) -> System:
        if kind == "lexical":
            index = self.source.index
            return System(
                kind,
                {"kind": kind},
                searching(index, "lexical"),
                {"words": lexical_bytes(index)},
                limit=limit_of(index),
            )
        index = self.source.asked()
        settings = {"kind": kind, **self.source.setting.to_dict(), "model": index.encoder_name}
        parts = {"words": lexical_bytes(index), "vectors": vector_bytes(index)}
        return System(kind, settings, searching(index, "hybrid"), parts, [self.source.queries], limit=limit_of(index))

    def _pooled(self, rankers: dict[str, Ranker]) -> System:
        index = self.source.pooled()
        settings = {"kind": "pooled", "model": self.source.index.encoder_name, "dim": index.engine.dim}
        rankers["pooled"] = Ranker(index, {"pooled": vector_bytes(index)}, self.source.queries)
        return _system("pooled", settings, rankers["pooled"])

    def _single_vector(self, name: str, encoder: SingleVectorEncoder, rankers: dict[str, Ranker]) -> System:
        queries = QueryEncoder(encoder)
        index = self.source.encoded(queries)
        ranker = Ranker(index, {f"single vectors, {name}": vector_bytes(index)}, queries)
        rankers.setdefault("single-vector", ranker)
        settings = {"kind": "single-vector", "model": name, "dim": encoder.dim}
        return _system(f"single vector, {name}", settings, ranker)

    def _sparse(self, name: str, model: Any, rankers: dict[str, Ranker]) -> System:
        vectors = SparseVectors(model, self.source.documents())
        parts = {f"sparse vectors, {name}": vectors.bytes}
        rankers.setdefault("sparse", Ranker(model, parts))

        def search(query: JudgedQuery, k: int) -> Answer:
            return Answer(vectors.search(_text(query), k))

        return System(f"sparse, {name}", {"kind": "sparse", "model": name}, search, parts, is_deepened=False)

    def _cascades(self, kinds: Sequence[str], rankers: dict[str, Ranker]) -> list[System]:
        stages: Sequence[Any] = self.stages
        if self.cross_encoder is not None:
            stages = with_cross_encoder([*kinds, *rankers], stages)
            rankers["cross-encoder"] = Ranker(load_cross_encoder(self.cross_encoder), {})
        if not len(stages):
            return []
        words = {"words": lexical_bytes(self.source.index)}
        rankers["lexical"] = Ranker(None, words)
        if not any(mode in str(one) for one in stages for mode in ("late", "hybrid")):
            return cascade_systems(self.source.index, stages, rankers)  # an index without an encoder can do this
        index = self.source.asked()
        vectors = {"vectors": vector_bytes(index)}
        rankers["late"] = Ranker(None, vectors, self.source.queries)
        rankers["hybrid"] = Ranker(None, {**vectors, **words}, self.source.queries)
        return cascade_systems(index, stages, rankers)

    def _possible_kinds(self) -> Sequence[str]:
        """Return the kinds asked for; by default those that are possible, and note why others are not."""
        kinds = _DEFAULT_KINDS if self.kinds is None else self.kinds
        if not {"lexical", "hybrid"} & set(kinds) or (why := self._why_no_words()) is None:
            return kinds
        if self.kinds is not None:
            raise why
        self.notes.append(f"Lexical and hybrid search are left out: {why}")
        return [kind for kind in kinds if kind not in ("lexical", "hybrid")]

    def _why_no_words(self) -> InvalidRequestError | None:
        engine = self.source.index.engine
        if not engine.capabilities.lexical:
            return UnsupportedError(f"{type(engine).__name__} cannot search for words.")
        if without := self._queries_without_text():
            return InvalidRequestError(f"{without:,} of {len(self.queries):,} queries have no text.")
        total, without = self.source.index.count(), self.source.without_text
        if without == total:
            return InvalidRequestError("The documents are pages without text.")
        if without:
            self.notes.append(
                f"{without:,} of {total:,} documents are pages without text, which lexical search cannot find."
            )
        return None

    def _queries_without_text(self) -> int:
        return sum(not isinstance(query.query, str) and is_invisible(_text(query)) for query in self.queries)

    def _refuse_queries_without_text(self) -> None:
        if without := self._queries_without_text():
            raise InvalidRequestError(
                f"single_vector, sparse and cross_encoder read text, and {without:,} of {len(self.queries):,} queries "
                "have none. Leave them out, or leave out these queries."
            )


def check_kinds(systems: object) -> list[str]:
    """Return the systems asked for by name.

    Raises:
        InvalidRequestError: One is unknown.
    """
    if isinstance(systems, str) or not isinstance(systems, Iterable):
        raise InvalidRequestError(f"systems must be a list of {', '.join(KINDS)}, got {systems!r}.")
    kinds = list(systems)
    for kind in kinds:
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
            raise InvalidRequestError(f"systems must be of {', '.join(KINDS)}, got {kind!r}.{hint}")
    return list(dict.fromkeys(kinds))


def _system(name: str, settings: dict[str, Any], ranker: Ranker) -> System:
    encoders = [] if ranker.encoder is None else [ranker.encoder]
    return System(name, settings, searching(ranker.model, "late"), ranker.parts, encoders)


def _text(query: JudgedQuery) -> str:
    return query.query if isinstance(query.query, str) else query.query.text_to_encode
