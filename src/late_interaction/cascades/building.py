"""From what users write to the stages of a cascade, checked before anything is encoded."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any, get_args

from late_interaction.cascades.index_stages import ModeStage, OtherIndexStage
from late_interaction.cascades.models import DenseModel, SparseModel
from late_interaction.cascades.scorers import CrossEncoderStage, FunctionStage
from late_interaction.cascades.stage import FirstStage, Restriction, Stage
from late_interaction.cascades.text_stages import TextStage
from late_interaction.encoders.single_vector import PooledEncoder, SingleVectorEncoder, is_model
from late_interaction.errors import InvalidRequestError
from late_interaction.index import Index
from late_interaction.retrieval.request import Mode
from late_interaction.validation import check_k, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["build_stages"]

_KINDS = (
    "'late', 'lexical', 'hybrid', an Index over the same ids, a SentenceTransformer, SparseEncoder or CrossEncoder, or "
    "a function (query, documents) -> scores"
)


def build_stages(index: Index, stages: Iterable[tuple[Any, int]]) -> list[tuple[Stage, int]]:
    """Return the stages, each with how many documents it keeps.

    Raises:
        InvalidRequestError: There are none, or one is not a pair of a ranker and a number that fits its place.
        UnsupportedError: The engine lacks a mode.
    """
    built: list[tuple[Stage, int]] = []
    for position, (ranker, number) in enumerate(_pairs(stages)):
        where = f"stages[{position}]"
        count = check_k(number, f"The number of {where}")
        if built and count > built[-1][1]:
            raise InvalidRequestError(
                f"{where} must keep at most the {built[-1][1]} documents that the stage before keeps, got {count}."
            )
        stage = _stage(index, ranker, where)
        if not built:
            if not isinstance(stage, FirstStage):
                raise InvalidRequestError(
                    f"stages[0] cannot be a {stage.name!r} stage, which would have to read every document for each "
                    "query. Begin with 'lexical', 'late', 'hybrid', an Index, a SentenceTransformer or a SparseEncoder."
                )
            stage.check(count, Restriction())
        built.append((stage, count))
    if not built:
        raise InvalidRequestError("A cascade needs at least one stage, for example [('lexical', 200), ('late', 10)].")
    return built


def _pairs(stages: Any) -> list[Sequence[Any]]:
    if isinstance(stages, (str, bytes)) or not hasattr(stages, "__iter__"):
        raise InvalidRequestError(
            f"stages must be a list of pairs such as ('late', 20), got {reprlib.repr(stages)}. For the notation of the "
            "command line there is late_interaction.cascades.parse_stages."
        )
    pairs = list(stages)
    for position, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InvalidRequestError(
                f"stages[{position}] must be a pair of a ranker and the number of documents it keeps, such as "
                f"('late', 20), got {reprlib.repr(pair)}."
            )
    return pairs


def _stage(index: Index, ranker: Any, where: str) -> Stage:
    if isinstance(ranker, str):
        if ranker not in get_args(Mode):
            hint = did_you_mean(ranker, get_args(Mode))
            raise InvalidRequestError(f"{where} must be {_KINDS}, got {ranker!r}.{hint}")
        return ModeStage(index, ranker)  # type: ignore[arg-type]
    if isinstance(ranker, Stage):
        return ranker  # of this package: one that several cascades share
    if isinstance(ranker, Index):
        return OtherIndexStage(index, ranker)
    if is_model(ranker, "CrossEncoder"):
        return CrossEncoderStage(ranker)
    if isinstance(ranker, (SingleVectorEncoder, PooledEncoder)):
        return TextStage(index, DenseModel(ranker))
    if is_model(ranker, "SentenceTransformer"):
        return TextStage(index, DenseModel(SingleVectorEncoder(ranker)))
    if is_model(ranker, "SparseEncoder"):
        return TextStage(index, SparseModel(ranker))
    if is_model(ranker, "MultiVectorEncoder"):
        raise InvalidRequestError(
            f"{where} is a MultiVectorEncoder. Its vectors belong into an index: use 'late' with an index of it, or "
            "pass another Index over the same ids."
        )
    if callable(ranker):
        return FunctionStage(ranker)
    raise InvalidRequestError(f"{where} must be {_KINDS}, got {type(ranker).__name__}.")
