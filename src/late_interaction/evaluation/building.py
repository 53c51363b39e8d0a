"""Make the systems that `evaluate` compares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from late_interaction.cascades import Cascade
from late_interaction.errors import InvalidRequestError, UnsupportedError
from late_interaction.evaluation.cascade_systems import (
    Ranker,
    given_system,
    name_of,
    notation_system,
    with_cross_encoder,
)
from late_interaction.evaluation.models import numbered
from late_interaction.evaluation.query_encoding import QueryEncoder
from late_interaction.evaluation.settings import Setting, check_dim, grid
from late_interaction.evaluation.sparse_stage import SparseStage
from late_interaction.evaluation.systems import Answer, System, limit_of, searching, vector_bytes
from late_interaction.validation import is_invisible
from late_interaction.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from late_interaction.encoders.single_vector import SingleVectorEncoder
    from late_interaction.evaluation.dataset import JudgedQuery
    from late_interaction.evaluation.evaluated_index import EvaluatedIndex
    from late_interaction.evaluation.requested import Notation, Requested
    from late_interaction.index import Index

__all__ = ["SystemBuilder", "refuse_queries_without_text"]

_DEFAULT_KINDS = ("late", "lexical", "hybrid")


@dataclass
class SystemBuilder:
    """Makes systems. What several of them search with is made once.

    Attributes:
        source: The index.
        requested: The systems.
        queries: The queries.
        depth: The length of the rankings that measures need.
        notes: What is left out, as sentences.
    """

    source: EvaluatedIndex
    requested: Requested
    queries: Sequence[JudgedQuery]
    depth: int
    notes: list[str] = field(default_factory=list)
    _rankers: dict[str, Ranker] = field(default_factory=dict)

    def systems(self) -> list[System]:
        """Return the systems, in the order in which a report shows them."""
        kinds = self._possible_kinds()
        found = self._late() if "late" in kinds else []
        found += [self._of_mode(kind) for kind in kinds if kind in ("lexical", "hybrid")]
        if "pooled" in kinds:
            found.append(self._pooled())
        found += [self._single_vector(name, encoder) for name, encoder in self.requested.single_vector.items()]
        found += [self._sparse(name, model) for name, model in self.requested.sparse.items()]
        found += self._cascades(kinds)
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
        requested, base, full = self.requested, self.source.setting, self.source.queries.dim
        check_dim(requested.dim, full)
        others = grid(base, requested.bits, requested.pooling, requested.dim)
        return [
            self._of_setting(f"late, {base.name(full)}" if others else "late", base, self.source.searched),
            *(self._of_setting(f"late, {one.name(full)}", one, self.source.derived(one)) for one in others),
        ]

    def _of_setting(self, name: str, setting: Setting, index: Index) -> System:
        self._note_uncompressed(index)
        settings = {"kind": "late", **setting.to_dict(), "model": index.encoder_name}
        parts = {"vectors": vector_bytes(index)}
        return System(name, settings, searching(index, "late"), parts, [self.source.queries], limit=limit_of(index))

    def _note_uncompressed(self, index: Index) -> None:
        info = index.info()
        if info.get("bits") is None or info.get("exact_tokens") != info["tokens"]:
            return
        note = (
            f"An index of {counted(info['tokens'], 'token vector')} is too small to be compressed: vectors are stored "
            "in float16, whatever the bits."
        )
        self.notes = [*(one for one in self.notes if one != note), note]

    def _of_mode(self, mode: str) -> System:
        ranker = self._ranker(mode)
        settings: dict[str, Any] = {"kind": mode}
        if mode == "lexical":
            search = searching(self.source.index, "lexical")
        else:
            search = searching(self.source.searched, "hybrid")
            settings |= {**self.source.setting.to_dict(), "model": self.source.searched.encoder_name}
        return _system(mode, settings, search, ranker, limit=limit_of(self.source.index))

    def _pooled(self) -> System:
        ranker = self._ranker("pooled")
        settings = {"kind": "pooled", "model": self.source.index.encoder_name, "dim": ranker.model.engine.dim}
        return _system("pooled", settings, searching(ranker.model, "late"), ranker)

    def _single_vector(self, name: str, encoder: SingleVectorEncoder) -> System:
        queries = QueryEncoder(encoder)
        index = self.source.encoded(queries)
        ranker = Ranker(index, {f"single vectors, {name}": vector_bytes(index)}, queries)
        self._rankers.setdefault("single-vector", ranker)
        settings = {"kind": "single-vector", "model": name, "dim": encoder.dim}
        return _system(f"single vector, {name}", settings, searching(index, "late"), ranker)

    def _sparse(self, name: str, model: Any) -> System:
        stage = SparseStage(model, self.source.index, self.source.documents())
        ranker = Ranker(stage, {f"sparse vectors, {name}": stage.bytes})
        self._rankers.setdefault("sparse", ranker)

        def search(query: JudgedQuery, k: int) -> Answer:
            return Answer([hit.id for hit in Cascade(self.source.index, [(stage, k)]).search(query.query)])

        return _system(f"sparse, {name}", {"kind": "sparse", "model": name}, search, ranker)

    def _cascades(self, kinds: Sequence[str]) -> list[System]:
        requested, stages = self.requested, self.requested.stages
        if requested.cross_encoder is not None:
            models = ["single-vector"] if requested.single_vector else []
            models += ["sparse"] if requested.sparse else []
            stages = with_cross_encoder([*kinds, *models], stages)
        found: dict[str, System] = {}
        for one in dict.fromkeys(stages):
            if isinstance(one, Cascade):
                system = given_system(numbered(name_of(one.stages), found), one)
            else:
                system = self._notation(numbered(name_of(one), found), one)
            found[system.name] = system
        return list(found.values())

    def _notation(self, name: str, stages: Notation) -> System:
        rankers = [self._ranker(stage) for stage, _ in stages]
        is_late = not {"late", "hybrid"}.isdisjoint(stage for stage, _ in stages)
        return notation_system(name, self.source.searched if is_late else self.source.index, stages, rankers)

    def _ranker(self, name: str) -> Ranker:
        """Return what a name in the notation of stages stands for. Models are there after their systems."""
        if name not in self._rankers:
            make: dict[str, Callable[[], Ranker]] = {
                "late": lambda: Ranker("late", self._vectors, self.source.queries),
                "lexical": lambda: Ranker("lexical", self._words),
                "hybrid": lambda: Ranker("hybrid", {**self._words, **self._vectors}, self.source.queries),
                "pooled": self._pooled_ranker,
                "cross-encoder": lambda: Ranker(self.requested.cross_encoder, {}),
            }
            self._rankers[name] = make[name]()
        return self._rankers[name]

    def _pooled_ranker(self) -> Ranker:
        index = self.source.pooled()
        return Ranker(index, {"pooled": vector_bytes(index)}, self.source.queries)

    @property
    def _vectors(self) -> dict[str, int | None]:
        return {"vectors": vector_bytes(self.source.index)}

    @property
    def _words(self) -> dict[str, int | None]:
        return {"words": self.source.lexical_bytes}

    def _possible_kinds(self) -> Sequence[str]:
        """Return the kinds asked for; by default those that are possible, and note why others are not."""
        given = self.requested.kinds
        kinds = _DEFAULT_KINDS if given is None else given
        if not {"lexical", "hybrid"} & set(kinds) or (why := self._why_no_words()) is None:
            return kinds
        if given is not None:
            raise why
        self.notes.append(f"Lexical and hybrid search are left out: {why}")
        return [kind for kind in kinds if kind not in ("lexical", "hybrid")]

    def _why_no_words(self) -> InvalidRequestError | None:
        engine = self.source.index.engine
        if not engine.capabilities.lexical:
            return UnsupportedError(f"{type(engine).__name__} cannot search for words.")
        if without := _count_without_text(self.queries):
            return InvalidRequestError(f"{without:,} of {len(self.queries):,} queries have no text.")
        total, without = self.source.index.count(), self.source.without_text
        if without == total:
            return InvalidRequestError("The documents are pages without text.")
        if without:
            self.notes.append(
                f"{without:,} of {total:,} documents are pages without text, which lexical search cannot find."
            )
        return None


def refuse_queries_without_text(queries: Sequence[JudgedQuery]) -> None:
    """Raise `InvalidRequestError` if there are queries that models of texts cannot read."""
    if without := _count_without_text(queries):
        raise InvalidRequestError(
            f"single_vector, sparse and cross_encoder read text, and {without:,} of {len(queries):,} queries have "
            "none. Leave them out, or leave out these queries."
        )


def _count_without_text(queries: Sequence[JudgedQuery]) -> int:
    return sum(not isinstance(query.query, str) and is_invisible(query.query.text_to_encode) for query in queries)


def _system(
    name: str,
    settings: dict[str, Any],
    search: Callable[[JudgedQuery, int], Answer],
    ranker: Ranker,
    *,
    limit: int | None = None,
) -> System:
    encoders = [] if ranker.encoder is None else [ranker.encoder]
    return System(name, settings, search, ranker.parts, encoders, limit=limit)
