"""The kernels that score documents of the residual codec against their NumPy reference, and that against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings

from late_interaction.engines.local.quantization.residual import reference as codec_reference
from late_interaction.engines.local.quantization.residual.scoring import compiled, reference
from tests.engines.codec_oracle import levels_of
from tests.engines.kernel_cases import (
    any_columns,
    assert_python_runs_beside,
    assert_works_in_eight_threads,
    assert_works_on_mapped_files,
    columns,
    frozen,
)

NAMES = ("approximate_sums", "corrected_sums", "refined_sums", "maxsim_sums")


class Query:
    """What the kernels take of a query and of centroids: lanes are padded with zeros to a multiple of 16."""

    def __init__(self, case):
        rng = np.random.default_rng(case.query.size)
        tokens, width = case.query.shape
        self.scores = np.ascontiguousarray(np.pad(case.scores, ((0, 0), (0, -tokens % 16))))
        lanes = self.scores.shape[1]
        self.integers = np.rint(case.query * 4000).astype(np.int16)
        self.units, self.along = (np.zeros(lanes, np.float32) for _ in range(2))
        self.units[:tokens] = rng.random(tokens) / 4000
        self.along[:tokens] = case.query_along
        self.middle = (2**case.bits - 1) * self.integers.sum(axis=1, dtype=np.int32)
        padded = -(-width // 32) * 32
        self.whole, self.direction = np.zeros((tokens, padded), np.float32), np.zeros(padded, np.float32)
        self.whole[:, :width] = case.query
        self.direction[: len(case.direction)] = case.direction
        whole = np.pad(self.whole, ((0, -tokens % 16), (0, 0)))
        self.by_lane = np.ascontiguousarray(np.vstack([whole[first : first + 16].T for first in range(0, lanes, 16)]))
        self.points = np.zeros((len(case.centroids), padded), np.int8)
        self.points[:, : case.centroids.shape[1]] = rng.integers(-15, 16, case.centroids.shape)
        self.point_scales = rng.random(len(self.points)).astype(np.float32)
        self.integer_arguments = self.integers, self.units, self.middle, self.along


def factor_columns(case):
    return case.scales, case.along, case.shares, case.alongs, case.centroids_along


def arguments_of(name, case, *, corrected=False):
    """What a kernel takes, the columns of factors first."""
    query, documents = Query(case), (case.codes, case.offsets, case.documents)
    if name == "approximate_sums":
        return *documents, query.scores
    if name == "corrected_sums":
        return *factor_columns(case), *documents, query.scores, query.along
    whole = *factor_columns(case), *documents, case.packed
    if name == "refined_sums":
        return *whole, query.scores, *query.integer_arguments, corrected, case.bits
    centroids = query.points, query.point_scales
    return *whole, *centroids, query.by_lane, query.along, query.direction, case.bits


def run_compiled(name, case, **options):
    """The output of a compiled kernel."""
    sums, lanes = np.full(len(case.documents), np.nan, np.float32), len(Query(case).along)
    arguments = arguments_of(name, case, **options)
    floats = np.full((2, lanes), np.nan, np.float32)
    if name == "approximate_sums":
        scratch = (floats[0],)
    elif name == "corrected_sums":
        scratch = floats[:1], floats[1]
    elif name == "refined_sums":
        scratch = floats[:1], np.full((16, lanes), np.nan, np.float32), np.full((16, lanes), 9, np.int32)
    else:
        vectors = np.full((4, len(Query(case).direction)), np.nan, np.float32)
        scratch = vectors, np.full(4, np.nan, np.float32), floats[0]
    if name != "corrected_sums" or len(case.along) or not len(case.codes):  # not called for segments of old formats
        getattr(compiled, name)(*arguments, *scratch, sums)
    return (sums,)


def run_reference(name, case, **options):
    arguments = arguments_of(name, case, **options)
    if name == "approximate_sums":
        return reference.approximate_sums(*arguments)
    return getattr(reference, name)(arguments[:5], *arguments[5:])


def tolerance_of(case):
    """By document, what rounding errors may add up to: relative to the largest terms of a token's score."""
    query = Query(case)
    share, scale, third = np.abs(unpacked(case).astype(np.float64))
    points = np.abs(codec_reference.unpack(case.packed, np.arange(len(case.codes)), case.bits)) + 2**case.bits
    own = np.zeros((len(case.codes), query.whole.shape[1]))
    own[:, : points.shape[1]] = points
    longest = (
        np.abs(query.whole)
        + np.abs(np.pad(query.integers, ((0, 0), (0, own.shape[1] - points.shape[1]))))
        * (query.units[: len(query.integers), None])
    )
    along = np.abs(query.along[: len(query.integers)])
    centroids = np.abs(query.points) * query.point_scales[:, None]
    terms = [
        share[:, None] * np.abs(case.scores[case.codes]),
        scale[:, None] * (own @ longest.T),
        share[:, None] * (centroids[case.codes] @ longest.T),
        (third + scale * own.sum(axis=1) + np.abs(case.centroids_along[case.codes]))[:, None] * along,
    ]
    largest = sum(terms).sum(axis=1)
    return np.array(
        [1e-5 * largest[case.offsets[d] : case.offsets[d + 1]].max(initial=0) + 1e-6 for d in case.documents]
    )


def unpacked(case):
    return codec_reference.unpack_factors(*factor_columns(case), case.codes, np.arange(len(case.codes)))


def without_points(case):
    """Scores of tokens without their points, (tokens, query tokens), in double precision."""
    share, _, third = unpacked(case).astype(np.float64)
    return share[:, None] * case.scores[case.codes] + third[:, None] * case.query_along


def is_clear(case, document, tolerance):
    """Whether rounding cannot change which token of a document is the best for a query token."""
    start, end = case.offsets[document : document + 2]
    best = np.sort(without_points(case)[start:end], axis=0)
    return end - start < 2 or bool((best[-1] - best[-2] > tolerance).all())


@settings(deadline=None, max_examples=80)
@given(case=any_columns())
@example(case=columns([0], [0]))
@example(case=columns([0, 1, 0, 4, 8, 3], [5, 0, 3, 3, 1], query_tokens=64, bits=8))
@example(case=columns([5], [0], query_tokens=1, dim=1, bits=1, centroids=1))
@example(case=columns([4, 7, 0], [1, 0, 2], query_tokens=9, dim=130, bits=3))
@example(case=columns(range(12), range(12), query_tokens=32, centroids=300, dim=128))
@example(case=columns(range(30), range(30), query_tokens=8, centroids=300))
@pytest.mark.parametrize("freeze", [True, False])
def test_each_kernel_is_its_reference(case, freeze):
    if freeze:
        case = case.frozen(frozen)
    tolerance = tolerance_of(case)
    for name in NAMES:
        if name == "corrected_sums" and not len(case.along):
            continue
        (found,) = run_compiled(name, case)
        expected = run_reference(name, case)
        assert found.dtype == expected.dtype == np.float32
        assert (np.abs(found - expected) <= tolerance).all(), name
    if len(case.along):
        clear = [is_clear(case, document, tolerance[i]) for i, document in enumerate(case.documents)]
        found = run_compiled("refined_sums", case, corrected=True)[0]
        expected = run_reference("refined_sums", case, corrected=True)
        assert (np.abs(found - expected) <= tolerance)[np.array(clear, bool)].all()


@settings(deadline=None, max_examples=25)
@given(case=any_columns())
def test_the_reference_is_loops(case):
    query, tokens = Query(case), range(len(case.query))
    share, scale, third = unpacked(case).astype(np.float64)
    levels = levels_of(case.packed, case.bits, case.query.shape[1])
    points = levels - (2 ** (case.bits - 1) - 0.5)
    bare = without_points(case)
    whole, stored = bare.copy(), np.empty((len(case.codes), len(case.query)))
    for t, code in enumerate(case.codes.tolist()):
        for q in tokens:
            whole[t, q] += scale[t] * 2 * query.units[q] * (points[t] @ query.integers[q].astype(np.float64))
            vector = share[t] * query.point_scales[code] * query.points[code].astype(np.float64)
            vector[: points.shape[1]] += scale[t] * points[t]
            stored[t, q] = vector @ query.whole[q]
            along = share[t] * case.centroids_along[code] + third[t]
            if not len(case.along):
                along += scale[t] * points[t] @ query.direction[: points.shape[1]]
            stored[t, q] += along * case.query_along[q]
    tolerance = tolerance_of(case)
    by_name = {name: run_reference(name, case) for name in NAMES if name != "corrected_sums" or len(case.along)}
    for i, document in enumerate(case.documents.tolist()):
        own = range(*case.offsets[document : document + 2])
        best = [max(own, key=lambda t: (case.scores[case.codes[t], q], -t), default=None) for q in tokens]
        expected = {
            "approximate_sums": sum(max((case.scores[case.codes[t], q] for t in own), default=0) for q in tokens),
            "corrected_sums": sum(max((bare[t, q] for t in own), default=0) for q in tokens),
            "refined_sums": sum(whole[t, q] for q, t in enumerate(best) if t is not None),
            "maxsim_sums": stored[own.start : own.stop].max(axis=0).sum() if len(own) else 0,
        }
        for name, score in expected.items():
            if name in by_name:
                assert abs(by_name[name][i] - score) <= tolerance[i], name
        highest = whole[own.start : own.stop].max(axis=0).sum() if len(own) else 0
        assert by_name["refined_sums"][i] <= highest + tolerance[i]


@pytest.mark.parametrize("name", NAMES)
def test_columns_mapped_from_files(name, tmp_path):
    assert_works_on_mapped_files(lambda case: run_compiled(name, case), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_at_once_get_what_one_gets(name):
    assert_works_in_eight_threads(lambda case: run_compiled(name, case))


def test_python_runs_beside_a_kernel():
    case = columns([1000], np.zeros(60), dim=64, query_tokens=64, centroids=64)
    row, best = np.empty((1, 64), np.float32), np.empty((16, 64), np.float32)
    scratch = row, best, np.empty((16, 64), np.int32), np.empty(60, np.float32)
    assert_python_runs_beside(compiled.refined_sums, (*arguments_of("refined_sums", case), *scratch))


def test_every_kernel_has_a_reference():
    assert sorted(NAMES) == sorted(compiled.__all__) == sorted(reference.__all__)
