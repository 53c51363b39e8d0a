"""What `evaluate` is asked to compare, checked before anything is encoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from late_interaction.cascades import Cascade, parse_stages
from late_interaction.encoders.single_vector import SingleVectorEncoder
from late_interaction.errors import InvalidRequestError
from late_interaction.evaluation.models import load_cross_encoder, load_sparse_encoder, loaded
from late_interaction.evaluation.settings import check_bits, check_pooling
from late_interaction.validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["KINDS", "Notation", "Requested"]

KINDS = ("late", "lexical", "hybrid", "pooled")
"""The systems of an index alone."""

Notation: TypeAlias = tuple[tuple[str, int], ...]
"""Names of stages, each with how many documents it keeps."""


@dataclass(frozen=True)
class Requested:
    """What `evaluate` is asked to compare. The fields that are not described are its arguments.

    Attributes:
        kinds: Those of `KINDS` that the user named; None for those that are possible.
        single_vector: The models by name.
        sparse: The models by name.
        cross_encoder: The model; None for none.
        stages: Cascades: their stages, or those of the caller.
    """

    kinds: Sequence[str] | None = None
    single_vector: Mapping[str, SingleVectorEncoder] = field(default_factory=dict)
    sparse: Mapping[str, Any] = field(default_factory=dict)
    cross_encoder: Any = None
    stages: Sequence[Notation | Cascade] = ()
    bits: Sequence[int | None] = ()
    pooling: Sequence[int] = ()
    dim: Sequence[int] = ()

    @classmethod
    def of(
        cls,
        *,
        systems: Any,
        single_vector: Any,
        sparse: Any,
        cross_encoder: Any,
        stages: Any,
        bits: Any,
        pooling: Any,
        dim: Any,
    ) -> Requested:
        """Return what the arguments of `evaluate` ask for, with the models loaded.

        Raises:
            InvalidRequestError: An argument is out of range.
            UnsupportedCheckpointError: A model cannot be loaded.
        """
        kinds = None if systems is None else _kinds(systems)
        names = [*KINDS]
        names += ["single-vector"] if single_vector else []
        names += ["sparse"] if sparse else []
        names += [] if cross_encoder is None else ["cross-encoder"]
        checked = [one if isinstance(one, Cascade) else _notation(one, names) for one in _listed(stages, "stages")]
        settings = {name: _listed(given, name) for name, given in (("bits", bits), ("pooling", pooling), ("dim", dim))}
        check_bits(settings["bits"])
        check_pooling(settings["pooling"])
        if any(settings.values()) and kinds is not None and "late" not in kinds:
            raise InvalidRequestError(
                f"bits, pooling and dim are settings of the system 'late', which is not among systems={kinds}."
            )
        return cls(
            kinds,
            loaded(single_vector, SingleVectorEncoder, "single_vector"),
            loaded(sparse, load_sparse_encoder, "sparse"),
            None if cross_encoder is None else load_cross_encoder(cross_encoder),
            checked,
            **settings,
        )

    @property
    def needs_encoder(self) -> bool:
        """Whether documents are searched by their token vectors."""
        named = {name for one in self.stages if not isinstance(one, Cascade) for name, _ in one}
        return self.kinds is None or bool({*self.kinds, *named} & {"late", "hybrid", "pooled"})


def _kinds(systems: object) -> list[str]:
    kinds = _listed(systems, "systems")
    for kind in kinds:
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS) if isinstance(kind, str) else ""
            raise InvalidRequestError(f"systems must be of {', '.join(KINDS)}, got {kind!r}.{hint}")
    return list(dict.fromkeys(kinds))


def _notation(given: str, names: Iterable[str]) -> Notation:
    return tuple(parse_stages(given, {name: name for name in names}))


def _listed(given: object, name: str) -> list[Any]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidRequestError(f"{name} must be a list, for example {name}={_EXAMPLES[name]}, got {given!r:.200}.")
    return list(given)


_EXAMPLES = {
    "systems": '["late", "lexical"]',
    "stages": '["lexical:200,late:20"]',
    "bits": "[1, 2, 4]",
    "pooling": "[1, 2]",
    "dim": "[64, 128]",
}
