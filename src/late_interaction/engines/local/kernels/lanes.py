"""Instructions for kernels over *lanes*: 16 numbers, one for each of 16 query tokens, which fill a cache line.

Numba compiles loops over lanes with checks whether arrays overlap, which take longer than the loops. LLVM compiles
these to the widest instructions of the processor.
"""

from __future__ import annotations

from typing import Any

import numba as nb
from llvmlite import ir
from numba.core import cgutils

from late_interaction.engines.local.kernels.sizes import LANES, TOGETHER

__all__ = [
    "float_of",
    "maximize",
    "maximize_four",
    "maximize_products",
    "maximize_where",
    "maximize_where_four",
    "weighted",
]

_I64 = ir.IntType(64)
_FLOATS, _INTEGERS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.IntType(32), LANES)
_FAST = ("nnan", "ninf", "nsz")
_FUSED = (*_FAST, "contract")
_FLOAT_BYTES = 4


@nb.extending.intrinsic
def maximize(_context: Any, best: Any, lane: Any, scores: Any, row: Any) -> Any:
    """Raise ``best[lane : lane + 16]`` to ``scores[row, lane : lane + 16]`` where that is higher."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        best, lane, scores, row = _parsed(context, builder, signature, arguments)
        best.store(builder, _higher(builder, best.load(builder, lane), scores.load(builder, row, lane)), lane)
        return context.get_dummy_value()

    return nb.void(best, nb.intp, scores, nb.intp), generate


@nb.extending.intrinsic
def maximize_four(
    _context: Any, best: Any, lane: Any, scores: Any, first: Any, second: Any, third: Any, last: Any
) -> Any:
    """Do the same as `maximize` with four rows, which do not wait for each other."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        best, lane, scores, *rows = _parsed(context, builder, signature, arguments)
        one, two, three, four = (scores.load(builder, row, lane) for row in rows)
        highest = _higher(builder, _higher(builder, one, two), _higher(builder, three, four))
        best.store(builder, _higher(builder, best.load(builder, lane), highest), lane)
        return context.get_dummy_value()

    return nb.void(best, nb.intp, scores, *[nb.intp] * 4), generate


@nb.extending.intrinsic
def maximize_where(
    _context: Any, best: Any, nearest: Any, document: Any, lane: Any, scores: Any, row: Any, token: Any
) -> Any:
    """Do the same as `maximize` with a row of ``best``, and set ``nearest`` to the token where it is raised."""
    return nb.void(best, nearest, nb.intp, nb.intp, scores, nb.intp, nb.int32), _raise_where


@nb.extending.intrinsic
def maximize_where_four(
    _context: Any,
    best: Any,
    nearest: Any,
    document: Any,
    lane: Any,
    scores: Any,
    first: Any,
    second: Any,
    third: Any,
    last: Any,
    token: Any,
) -> Any:
    """Do the same as `maximize_where` with the rows of four tokens, of which this is the first."""
    return nb.void(best, nearest, nb.intp, nb.intp, scores, *[nb.intp] * 4, nb.int32), _raise_where


def _raise_where(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    best, nearest, document, lane, scores, *rows, token = _parsed(context, builder, signature, arguments)
    found = [
        (scores.load(builder, row, lane), builder.add(_splat(builder, token), ir.Constant(_INTEGERS, [at] * LANES)))
        for at, row in enumerate(rows)
    ]
    while len(found) > 1:  # pairs do not wait for each other; of equal scores, the first counts
        found = [_better(builder, *found[at : at + 2]) for at in range(0, len(found), 2)]
    known = best.load(builder, document, lane), nearest.load(builder, document, lane)
    score, at = _better(builder, known, found[0])
    best.store(builder, score, document, lane)
    nearest.store(builder, at, document, lane)
    return context.get_dummy_value()


def _better(builder: Any, one: tuple[Any, Any], other: tuple[Any, Any]) -> tuple[Any, Any]:
    is_higher = builder.fcmp_ordered(">", other[0], one[0], flags=_FAST)
    return builder.select(is_higher, other[0], one[0]), builder.select(is_higher, other[1], one[1])


@nb.extending.intrinsic
def weighted(
    _context: Any, out: Any, at: Any, lane: Any, scores: Any, row: Any, share: Any, along: Any, coefficient: Any
) -> Any:
    """Set a row of ``out`` to ``share · scores[row] + coefficient · along``, of 16 lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        out, at, lane, scores, row, share, along, coefficient = _parsed(context, builder, signature, arguments)
        product = builder.fmul(_splat(builder, share), scores.load(builder, row, lane))
        added = builder.fmul(_splat(builder, coefficient), along.load(builder, lane))
        out.store(builder, builder.fadd(product, added), at, lane)
        return context.get_dummy_value()

    return nb.void(out, nb.intp, nb.intp, scores, nb.intp, nb.float32, along, nb.float32), generate


@nb.extending.intrinsic
def maximize_products(
    _context: Any, best: Any, lane: Any, vectors: Any, coefficients: Any, query: Any, first: Any, along: Any
) -> Any:
    """Raise ``best[lane : lane + 16]`` to the scores of four vectors, ``vector · query + coefficient · along``.

    ``vectors`` is (4, dim). The coordinates of 16 query tokens are ``query[first : first + dim]``, (dim, 16). So a
    coordinate of a vector is multiplied with all 16 at once, and nothing is summed over lanes.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        best, lane, vectors, coefficients, query, first, along = _parsed(context, builder, signature, arguments)
        of_direction = along.load(builder, lane)
        sums = []
        for at in range(TOGETHER):
            coefficient = _splat(builder, coefficients.number(builder, _I64(at)))
            first_term = builder.fmul(coefficient, of_direction)
            sums.append(cgutils.alloca_once_value(builder, first_term))  # type: ignore[no-untyped-call]
        with cgutils.for_range(builder, vectors.length(builder)) as loop:
            of_query = query.load(builder, builder.add(first, loop.index), _I64(0))
            for at, total in enumerate(sums):
                own = _splat(builder, vectors.number(builder, _I64(at), loop.index))
                product = builder.fmul(own, of_query, flags=_FUSED)
                builder.store(builder.fadd(builder.load(total), product, flags=_FUSED), total)
        one, two, three, four = map(builder.load, sums)
        highest = _higher(builder, _higher(builder, one, two), _higher(builder, three, four))
        best.store(builder, _higher(builder, best.load(builder, lane), highest), lane)
        return context.get_dummy_value()

    return nb.void(best, nb.intp, vectors, coefficients, query, nb.intp, along), generate


@nb.extending.intrinsic
def float_of(_context: Any, bits: Any) -> Any:
    """Return the number that 32 bits are as a float32."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return nb.float32(nb.uint32), generate


class _Array:
    """An array argument, of 1 or 2 dimensions, C-ordered."""

    def __init__(self, structure: Any, kind: Any, dimensions: int) -> None:
        self._structure, self._kind, self._dimensions = structure, kind, dimensions

    def load(self, builder: Any, *index: Any) -> Any:
        loaded = builder.load(self._address(builder, index))
        loaded.align = _FLOAT_BYTES
        return loaded

    def store(self, builder: Any, value: Any, *index: Any) -> None:
        builder.store(value, self._address(builder, index)).align = _FLOAT_BYTES

    def number(self, builder: Any, *index: Any) -> Any:
        """Load one number."""
        return builder.load(self._place(builder, index))

    def length(self, builder: Any) -> Any:
        """Return the length of the last dimension."""
        return builder.extract_value(self._structure.shape, self._dimensions - 1)

    def _address(self, builder: Any, index: Any) -> Any:
        return builder.bitcast(self._place(builder, index), self._kind.as_pointer())

    def _place(self, builder: Any, index: Any) -> Any:
        at = index[-1]
        if self._dimensions == 2:
            at = builder.add(builder.mul(index[0], self.length(builder)), at)
        return builder.gep(self._structure.data, [at])


def _parsed(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Return arguments, arrays among them as `_Array`."""
    found = []
    for kind, value in zip(signature.args, arguments, strict=True):
        if isinstance(kind, nb.types.Array):
            structure = context.make_array(kind)(context, builder, value)
            found.append(_Array(structure, _FLOATS if kind.dtype == nb.float32 else _INTEGERS, kind.ndim))
        else:
            found.append(value)
    return found


def _higher(builder: Any, one: Any, other: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", one, other, flags=_FAST), one, other)


def _splat(builder: Any, value: Any) -> Any:
    kind = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), ir.Constant(_INTEGERS, [0] * LANES))
