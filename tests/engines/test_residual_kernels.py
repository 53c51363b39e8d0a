"""The kernels of the residual codec against their NumPy reference, and that against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings

from late_interaction.engines.local.quantization.residual import compiled, reference
from tests.engines.codec_oracle import levels_of
from tests.engines.kernel_cases import (
    any_columns,
    assert_python_runs_beside,
    assert_works_in_eight_threads,
    assert_works_on_mapped_files,
    columns,
    frozen,
)

STEPS = {1: 1.596, 2: 0.9957, 3: 0.586, 4: 0.3352, 8: 0.0308}
NAMES = ("quantize", "unpack", "unpack_factors", "inner_products", "residuals", "widen")


def factor_columns(case):
    """What kernels take to unpack factors."""
    return case.scales, case.along, case.shares, case.alongs, case.centroids_along, case.codes


def factors_of(case):
    """The factors of all tokens, by the reference."""
    return reference.unpack_factors(*factor_columns(case), np.arange(len(case.codes)))


def projected_residuals(case):
    """The residuals without their components in the common direction."""
    residuals, direction = case.residuals.astype(np.float64), case.direction.astype(np.float64)
    return (residuals - (residuals @ direction)[:, None] * direction).astype(np.float32)


def run_compiled(name, case):
    """The outputs of a compiled kernel."""
    tokens = len(case.codes)
    if name == "quantize":
        out = np.full(case.packed.shape, 0xAA, np.uint8), np.full(tokens, np.nan, np.float32)
        levels = np.full(case.query.shape[1], 0xAA, np.uint8)
        compiled.quantize(case.residuals, case.bits, np.float32(STEPS[case.bits]), levels, *out)
    elif name == "unpack":
        out = (np.full((tokens, case.query.shape[1]), np.nan, np.float32),)
        compiled.unpack(case.packed, np.arange(tokens)[::-1].copy(), case.bits, *out)
    elif name == "unpack_factors":
        out = (np.full((3, tokens), np.nan, np.float32),)
        compiled.unpack_factors(*factor_columns(case), np.arange(tokens)[::-1].copy(), *out)
    elif name == "residuals":
        out = np.full(case.residuals.shape, np.nan, np.float32), np.full(tokens, np.nan, np.float32)
        compiled.residuals(case.residuals, case.codes, case.centroids, case.direction, *out)
    elif name == "widen":
        out = (np.full(case.packed.shape, np.nan, np.float32),)
        compiled.widen(halves_of(case), *out)
    else:
        out = (np.full((5, tokens), np.nan, np.float32),)
        arguments = case.centroids, case.codes, projected_residuals(case), case.packed, case.bits, case.direction
        compiled.inner_products(*arguments, np.full(case.query.shape[1], np.nan, np.float32), *out)
    return out


def halves_of(case):
    """The bits of finite half precision numbers, of all magnitudes."""
    halves = case.packed.astype(np.uint16) * 257
    return np.where(halves & 0x7C00 == 0x7C00, halves & 0x83FF, halves).astype(np.uint16)


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
@example(case=columns([5], [0], query_tokens=1, dim=1, bits=3, centroids=1))
@example(case=columns([4, 7], [1, 0], dim=128, bits=3))
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

    expected = factors_of(case)
    found = run_compiled("unpack_factors", case)[0][:, ::-1]
    assert np.array_equal(found[:2], expected[:2])
    if len(case.along):
        terms = np.abs(case.alongs).max() * expected[1] + np.abs(case.centroids_along[case.codes])
        assert (np.abs(found[2] - expected[2]) <= 1e-6 * terms).all()
    else:
        assert not found[2].any()

    found, expected = (
        run_compiled("residuals", case),
        reference.residuals(case.residuals, case.codes, case.centroids, case.direction),
    )
    lengths = 1 + np.linalg.norm(case.residuals, axis=1) + np.linalg.norm(case.centroids, axis=1).max()
    for one, other in zip(found, expected, strict=True):
        assert (1e-5 * lengths >= np.abs(one - other).T).all()

    assert np.array_equal(run_compiled("widen", case)[0], reference.widen(halves_of(case)))

    arguments = case.centroids, case.codes, projected_residuals(case), case.packed, bits, case.direction
    errors = np.abs(run_compiled("inner_products", case)[0] - reference.inner_products(*arguments))
    assert (errors <= 1e-5 * lengths_of_products(case)).all()


def lengths_of_products(case):
    """The lengths of the two vectors of each inner product, multiplied, (5, tokens)."""
    centroid = np.linalg.norm(case.centroids[case.codes].astype(np.float64), axis=1)
    residual = np.linalg.norm(case.residuals.astype(np.float64), axis=1)
    points = reference.unpack(case.packed, np.arange(len(case.codes)), case.bits)
    point = np.linalg.norm(points.astype(np.float64), axis=1)
    pairs = [(centroid, centroid), (centroid, residual), (centroid, point), (residual, point), (residual, residual)]
    return np.array([one * other for one, other in pairs])


def half(bits):
    """A half precision number by its definition: a sign, five bits of exponent and ten of fraction."""
    exponent, fraction = bits >> 10 & 31, bits & 1023
    return fraction * 2.0**-24 if exponent == 0 else (1024 + fraction) * 2.0 ** (exponent - 25)


@settings(deadline=None, max_examples=40)
@given(case=any_columns())
def test_the_reference_is_loops(case):
    tokens, dim = len(case.codes), case.residuals.shape[1]
    points = levels_of(case.packed, case.bits, case.query.shape[1]) - (2 ** (case.bits - 1) - 0.5)
    assert np.array_equal(reference.unpack(case.packed, np.arange(tokens), case.bits), points)

    factors = factors_of(case)
    for token in range(tokens):
        packed, levels = int(case.scales[token]), len(case.alongs) // 256
        low = max(len(case.shares), levels)
        share, scale = float(case.shares[packed % len(case.shares)]), half(packed % 2**15 // low * low)
        along = 0.0
        if len(case.along):
            along = float(case.alongs[int(case.along[token]) * levels + packed % levels]) * scale
            along += (1 - share) * float(case.centroids_along[case.codes[token]])
        assert factors[:2, token].tolist() == [share, scale]
        assert factors[2, token] == pytest.approx(along, rel=1e-5, abs=1e-6)

    residuals, direction = projected_residuals(case), case.direction.astype(np.float64)
    found = reference.inner_products(case.centroids, case.codes, residuals, case.packed, case.bits, case.direction)
    lengths = lengths_of_products(case)
    for token in range(tokens):
        centroid, point = case.centroids[case.codes[token]].astype(np.float64), points[token, :dim]
        centroid, point = (one - one @ direction * direction for one in (centroid, point))
        residual = residuals[token].astype(np.float64)
        pairs = [(centroid, centroid), (centroid, residual), (centroid, point), (residual, point), (residual, residual)]
        for pair, (one, other) in enumerate(pairs):
            assert found[pair, token] == pytest.approx(one @ other, abs=1e-5 * lengths[pair, token] + 1e-30)


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
def test_quantized_by_hand(of):
    def quantize(residuals, bits, step):
        residuals = np.array(residuals, np.float32)
        if of is reference:
            return reference.quantize(residuals, bits, step)
        width = -(-residuals.shape[1] * bits // 8)
        out = np.empty((len(residuals), width), np.uint8), np.empty(len(residuals), np.float32)
        compiled.quantize(residuals, bits, np.float32(step), np.empty(width * 8 // bits, np.uint8), *out)
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


def test_every_half_precision_number_is_a_scale():
    """Without its sign, and with the code of a share in its lowest bits; also the smallest, which are not normal."""
    scales = np.flatnonzero(np.arange(2**16) & 0x7C00 != 0x7C00).astype(np.uint16)
    tokens, codes = np.arange(len(scales)), np.zeros(len(scales), np.uint16)
    nothing, ones = np.empty(0, np.uint8), np.ones(1, np.float32)
    for shares in (ones, np.linspace(0.5, 1.5, 32, dtype=np.float32)):
        found = np.empty((3, len(scales)), np.float32)
        compiled.unpack_factors(scales, nothing, shares, np.zeros(256, np.float32), ones, codes, tokens, found)
        kept = scales // len(shares) * len(shares) % 2**15
        assert np.array_equal(found[1], kept.astype(np.uint16).view(np.float16).astype(np.float32))
        assert np.array_equal(found[0], shares[scales % len(shares)])
        assert not found[2].any()


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
def test_factors_by_hand(of):
    """A scale of .5 is 0x3800. Of a centroid with 2 in the direction, a share of 1.5 has 1 too much."""
    shares, alongs = np.array([1, 1.5], np.float32), np.zeros(256, np.float32)
    alongs[[7, 200]] = 4, -8
    scales, along = np.array([0x3800, 0x3801, 0x3801], np.uint16), np.array([7, 200, 0], np.uint8)
    arguments = scales, along, shares, alongs, np.array([9, 2], np.float32), np.array([0, 1, 1], np.uint16)
    found = np.empty((3, 2), np.float32)
    for tokens, expected in (([0, 1], [[1, 1.5], [0.5, 0.5], [2, -5]]), ([2, 0], [[1.5, 1], [0.5, 0.5], [-1, 2]])):
        if of is reference:
            found = reference.unpack_factors(*arguments, np.array(tokens))
        else:
            compiled.unpack_factors(*arguments, np.array(tokens), found)
        assert found.tolist() == expected


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
def test_inner_products_by_hand(of):
    """Of (3, 4), (0, 2) and the point (½, -½) of one bit, without the first dimension, which is the direction."""
    arguments = (
        np.array([[3, 4]], np.float32), np.zeros(1, np.uint16), np.array([[0, 2]], np.float32),
        np.array([[0b01]], np.uint8), 1, np.array([1, 0], np.float32),
    )  # fmt: skip
    found = np.empty((5, 1), np.float32)
    if of is reference:
        found = reference.inner_products(*arguments)
    else:
        compiled.inner_products(*arguments, np.empty(8, np.float32), found)
    assert found.T.tolist() == [[16, 8, -2, -1, 4]]


@pytest.mark.parametrize("name", NAMES)
def test_columns_mapped_from_files(name, tmp_path):
    assert_works_on_mapped_files(lambda case: run_compiled(name, case), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_at_once_get_what_one_gets(name):
    assert_works_in_eight_threads(lambda case: run_compiled(name, case))


def test_python_runs_beside_a_kernel():
    case, tokens = columns([1000], np.zeros(60), dim=64), np.zeros(200_000, np.int64)
    assert_python_runs_beside(compiled.unpack, (case.packed, tokens, 4, np.zeros((len(tokens), 64), np.float32)))


def test_every_kernel_has_a_reference():
    assert sorted(NAMES) == sorted(compiled.__all__) == sorted(reference.__all__)
