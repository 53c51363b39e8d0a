"""The kernels of the residual codec against their NumPy reference, and that against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings

from late_interaction.engines.local.quantization.residual import compiled, reference
from tests.engines.kernel_cases import (
    any_columns,
    assert_python_runs_beside,
    assert_works_in_eight_threads,
    assert_works_on_mapped_files,
    columns,
    frozen,
    levels_of,
)

STEPS = {1: 1.596, 2: 0.9957, 4: 0.3352, 8: 0.0308}
NAMES = ("quantize", "unpack", "nearest_dots", "best_sums")


def run_compiled(name, case):
    """The outputs of a compiled kernel."""
    tokens, documents, query_tokens = len(case.codes), len(case.documents), len(case.query)
    if name == "quantize":
        out = np.full(case.packed.shape, 0xAA, np.uint8), np.full(tokens, np.nan, np.float32)
        compiled.quantize(case.residuals, case.bits, np.float32(STEPS[case.bits]), *out)
    elif name == "unpack":
        out = (np.full((tokens, case.query.shape[1]), np.nan, np.float32),)
        compiled.unpack(case.packed, np.arange(tokens)[::-1].copy(), case.bits, *out)
    elif name == "nearest_dots":
        out = np.zeros((documents, query_tokens), np.int64), np.zeros((documents, query_tokens), np.float32)
        compiled.nearest_dots(
            case.codes, case.packed, case.offsets, case.documents, case.scores, case.query, case.bits, *out
        )
    else:
        dots = reference.unpack(case.packed, np.arange(tokens), case.bits) @ case.query.T
        out = (np.full(len(case.offsets) - 1, np.nan, np.float32),)
        compiled.best_sums(case.codes, case.scales, np.ascontiguousarray(dots.T), case.offsets, case.scores, *out)
    return out


def assert_quantized(case, packed, scales):
    """Levels and scales by the definition, in double precision; a coordinate on a border may fall to either side."""
    dim, half = case.residuals.shape[1], 2 ** (case.bits - 1)
    residuals = case.residuals.astype(np.float64)
    norms = (residuals**2).sum(axis=1)
    filled = norms > 0
    found = levels_of(packed, case.bits, dim)[filled]
    cells = STEPS[case.bits] * np.sqrt(norms[filled, None] / dim)
    places = np.clip(residuals[filled] / cells + half, 0, 2 * half - 1)
    assert ((found <= places + 1e-3) & (places <= found + 1 + 1e-3)).all()
    along = (residuals[filled] * (found - half + 0.5)).sum(axis=1)
    np.testing.assert_allclose(scales[filled], norms[filled] / along, rtol=2e-5)
    assert (scales[~filled] == 0).all()
    padding = levels_of(packed, case.bits, packed.shape[1] * 8 // case.bits)[:, dim:]
    assert (padding[filled] == 0).all()


@settings(deadline=None, max_examples=120)
@given(case=any_columns())
@example(case=columns([0], [0]))
@example(case=columns([0, 1, 0, 4, 8, 3], [5, 0, 3, 3, 1], query_tokens=64, bits=8))
@example(case=columns([5], [0], query_tokens=1, dim=1, bits=1, centroids=1))
@example(case=columns(range(12), range(12), query_tokens=32, centroids=300))
@example(case=columns(range(12), range(12), query_tokens=8, centroids=300))
@pytest.mark.parametrize("freeze", [True, False])
def test_each_kernel_is_its_reference(case, freeze):
    if freeze:
        case = case.frozen(frozen)
    tokens, bits = np.arange(len(case.codes)), case.bits

    packed, scales = run_compiled("quantize", case)
    assert_quantized(case, packed, scales)
    expected_packed, expected_scales = reference.quantize(case.residuals, bits, STEPS[bits])
    assert_quantized(case, expected_packed, expected_scales)
    filled = expected_scales > 0
    dim = case.residuals.shape[1]
    apart = (levels_of(packed, bits, dim) - levels_of(expected_packed, bits, dim))[filled]
    assert np.abs(apart).max(initial=0) <= 1
    assert (apart != 0).sum() <= 3

    assert np.array_equal(run_compiled("unpack", case)[0], reference.unpack(case.packed, tokens[::-1], bits))

    nearest, dots = run_compiled("nearest_dots", case)
    expected_nearest, expected_dots = reference.nearest_dots(
        case.codes, case.packed, case.offsets, case.documents, case.scores, case.query, bits
    )
    assert np.array_equal(nearest, expected_nearest)
    assert (np.abs(dots - expected_dots) <= 4e-6 * 2**bits * np.abs(case.query).sum(axis=1)).all()

    products = np.ascontiguousarray((reference.unpack(case.packed, tokens, bits) @ case.query.T).T)
    sums = reference.best_sums(case.codes, case.scales, products, case.offsets, case.scores)
    np.testing.assert_allclose(
        run_compiled("best_sums", case)[0], sums, rtol=1e-5, atol=1e-5 * np.abs(products).max(initial=1)
    )


@settings(deadline=None, max_examples=40)
@given(case=any_columns())
def test_the_reference_is_loops(case):
    nearest, dots = reference.nearest_dots(
        case.codes, case.packed, case.offsets, case.documents, case.scores, case.query, case.bits
    )
    points = levels_of(case.packed, case.bits, case.query.shape[1]) - (2 ** (case.bits - 1) - 0.5)
    products = np.ascontiguousarray((points @ case.query.T).T.astype(np.float32))
    sums = reference.best_sums(case.codes, case.scales, products, case.offsets, case.scores)
    assert np.array_equal(reference.unpack(case.packed, np.arange(len(points)), case.bits), points)
    for i, document in enumerate(case.documents):
        tokens = range(case.offsets[document], case.offsets[document + 1])
        for q in range(len(case.query)):
            best = max(tokens, key=lambda t: (case.scores[case.codes[t], q], -t), default=0)
            assert nearest[i, q] == best
            expected = points[best] @ case.query[q] if tokens else 0
            assert dots[i, q] == pytest.approx(expected, rel=1e-4, abs=1e-3)
    for document in range(len(case.offsets) - 1):
        tokens = np.arange(case.offsets[document], case.offsets[document + 1])
        by_centroid = case.scores[case.codes[tokens]].astype(np.float64)
        full = by_centroid + case.scales[tokens, None] * products[:, tokens].T
        expected = full.max(axis=0).sum() if len(tokens) else 0
        assert sums[document] == pytest.approx(expected, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
def test_quantized_by_hand(of):
    def quantize(residuals, bits, step):
        residuals = np.array(residuals, np.float32)
        if of is reference:
            return reference.quantize(residuals, bits, step)
        width = -(-residuals.shape[1] * bits // 8)
        out = np.empty((len(residuals), width), np.uint8), np.empty(len(residuals), np.float32)
        compiled.quantize(residuals, bits, np.float32(step), *out)
        return out

    # One bit is the sign, the first dimension lowest; 4 / (.5 + .5 + .5 + .5) is the scale.
    packed, scales = quantize([[1, -1, 1, -1]], 1, 1.596)
    assert packed.tolist() == [[0b0101]]
    assert scales.tolist() == [2]
    # A cell is .5 · √6 ≈ 1.22, so 3, .1 and -3 fall in cells 2, 0 and -3 from the middle, which is level 8.
    packed, scales = quantize([[3, 0.1, -3], [0, 0, 0]], 4, 0.5)
    assert packed[0].tolist() == [10 | 5 << 4, 8]
    np.testing.assert_allclose(scales, [18.01 / (7.5 + 0.05 + 7.5), 0], rtol=1e-6)
    # What lies beyond the grid is taken to its end.
    packed, _ = quantize([[-1000] + [0.1] * 99, [1000] + [0.1] * 99], 8, 0.01)
    assert packed[:, 0].tolist() == [0, 255]


def test_sums_by_hand():
    offsets, codes = np.array([0, 2, 2, 3]), np.array([0, 2, 1], np.uint16)
    centroid_scores = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]], np.float32)
    sums = np.empty(3, np.float32)
    scales, dots = np.array([0.5, 0.5, 0.5], np.float32), np.array([[1, 4, 6], [-1, 1, -8]], np.float32)
    compiled.best_sums(codes, scales, dots, offsets, centroid_scores, sums)
    assert sums.tolist() == [2 + 2.5, 0, 3 - 4]  # (max(1.5, 2) + max(-.5, 2.5)), nothing, and (3 + -4)


@pytest.mark.parametrize("name", NAMES)
def test_columns_mapped_from_files(name, tmp_path):
    assert_works_on_mapped_files(lambda case: run_compiled(name, case), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_at_once_get_what_one_gets(name):
    assert_works_in_eight_threads(lambda case: run_compiled(name, case))


@pytest.mark.parametrize("name", ["nearest_dots", "unpack"])
def test_python_runs_beside_a_kernel(name):
    case = columns([1000], np.zeros(60), dim=64, query_tokens=64, centroids=64)
    if name == "unpack":
        tokens = np.zeros(200_000, np.int64)
        arguments = (case.packed, tokens, 4, np.zeros((len(tokens), 64), np.float32))
    else:
        out = np.zeros((60, 64), np.int64), np.zeros((60, 64), np.float32)
        arguments = (case.codes, case.packed, case.offsets, case.documents, case.scores, case.query, 4, *out)
    assert_python_runs_beside(getattr(compiled, name), arguments)


def test_every_kernel_is_made_to_release_the_gil():
    assert sorted(NAMES) == sorted(compiled.__all__) == sorted(reference.__all__)
    assert all(getattr(compiled, name).targetoptions["nogil"] for name in NAMES)
