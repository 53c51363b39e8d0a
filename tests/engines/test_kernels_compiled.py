"""The compiled kernels against their plain numpy, and that against loops."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from late_interaction.engines.local.kernels import compiled, reference

STEPS = {1: 1.596, 2: 0.9957, 4: 0.3352, 8: 0.0308}
NAMES = (
    "quantize",
    "unpack",
    "fill_masks",
    "scan",
    "centroid_sums",
    "nearest_dots",
    "best_sums",
)


@dataclass
class Columns:
    """What the kernels take, made up at random."""

    bits: int
    residuals: Any  # (tokens, dim) f32
    codes: Any  # (tokens,) u16
    packed: Any  # (tokens, width) u8
    scales: Any  # (tokens,) f32
    offsets: Any  # (documents + 1,) i64
    documents: Any  # (n,) i64, in any order
    query: Any  # (query tokens, padded dim) f32
    scores: Any  # (centroids, query tokens) f32
    levels: int  # of a lane of a mask

    def frozen(self, freeze):
        """The same, every array passed through a function."""
        return Columns(*(freeze(one) if isinstance(one, np.ndarray) else one for one in vars(self).values()))


def columns(lengths, documents, *, bits=4, dim=12, query_tokens=5, centroids=9, levels=None, seed=0):
    rng = np.random.default_rng(seed)
    tokens, width = sum(lengths), -(-dim * bits // 8)
    residuals = rng.normal(size=(tokens, dim)) * 10.0 ** rng.integers(-6, 5, (tokens, 1))
    residuals[rng.random(tokens) < 0.05] = 0
    return Columns(
        bits=bits,
        residuals=residuals.astype(np.float32),
        codes=rng.integers(0, centroids, tokens).astype(np.uint16),
        packed=rng.integers(0, 256, (tokens, width)).astype(np.uint8),
        scales=(rng.random(tokens) * (rng.random(tokens) < 0.8)).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        documents=np.array(documents, np.int64),
        query=rng.normal(size=(query_tokens, width * 8 // bits)).astype(np.float32),
        scores=rng.normal(size=(centroids, query_tokens)).astype(np.float32),
        levels=levels or most_levels(query_tokens),
    )


def most_levels(query_tokens):
    """As many as there is room for in 64 bits; all 64 of a single lane are another test's matter."""
    return min(63, 64 // min(64, query_tokens))


@st.composite
def any_columns(draw):
    lengths = draw(st.lists(st.one_of(st.integers(0, 2), st.integers(3, 20)), min_size=1, max_size=12))
    query_tokens = draw(st.one_of(st.integers(1, 70), st.sampled_from([1, 2, 8, 31, 32, 33, 64, 65])))
    return columns(
        lengths,
        draw(st.lists(st.integers(0, len(lengths) - 1), max_size=15)),
        bits=draw(st.sampled_from([1, 2, 4, 8])),
        dim=draw(st.one_of(st.integers(1, 20), st.sampled_from([31, 48, 64, 127, 130]))),
        query_tokens=query_tokens,
        centroids=draw(st.one_of(st.integers(1, 4), st.integers(5, 300))),
        levels=draw(st.one_of(st.none(), st.integers(1, most_levels(query_tokens)))),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


def frozen(array):
    array.flags.writeable = False
    return array


def levels_of(packed, bits, dim):
    """Levels, unpacked one by one: with ``width`` bytes in a row, dimension d is in byte d % width."""
    width = packed.shape[1]
    shifts = np.array([d // width * bits for d in range(dim)], np.uint8)
    return ((packed[:, [d % width for d in range(dim)]] >> shifts) & (2**bits - 1)).astype(np.int64)


def lanes_of(case):
    """What `fill_masks` takes: the scores of the first query tokens, negative ones among them, and levels for each."""
    scores = np.ascontiguousarray(case.scores[:, :64])
    return scores, scores.mean(axis=0), np.float32(case.levels / 2), case.levels


def masks_of(case):
    """Masks for `scan`: thermometers, and a few words of any bits, since a union takes no notice of what they mean."""
    masks = reference.fill_masks(*lanes_of(case))
    rng = np.random.default_rng(len(case.codes))
    masks[::5] = rng.integers(0, 2**64, len(masks[::5]), np.uint64)
    return masks


def run_compiled(name, case):
    """The outputs of a compiled kernel."""
    tokens, documents, query_tokens = len(case.codes), len(case.documents), len(case.query)
    if name == "quantize":
        out = np.full(case.packed.shape, 0xAA, np.uint8), np.full(tokens, np.nan, np.float32)
        compiled.quantize(case.residuals, case.bits, np.float32(STEPS[case.bits]), *out)
    elif name == "unpack":
        out = (np.full((tokens, case.query.shape[1]), np.nan, np.float32),)
        compiled.unpack(case.packed, np.arange(tokens)[::-1].copy(), case.bits, *out)
    elif name == "fill_masks":
        out = (np.full(len(case.scores), 0xAA, np.uint64),)
        compiled.fill_masks(*lanes_of(case), *out)
    elif name == "scan":
        out = (np.full(documents, 7, np.int32),)
        compiled.scan(case.codes, case.offsets, case.documents, masks_of(case), *out)
        out[0][:] -= 7  # it adds to what is there
    elif name == "centroid_sums":
        out = (np.full(documents, np.nan, np.float32),)
        compiled.centroid_sums(case.codes, case.offsets, case.documents, case.scores, *out)
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
@given(case=any_columns(), freeze=st.booleans())
@example(case=columns([0], [0]), freeze=True)
@example(case=columns([0, 1, 0, 4, 8, 3], [5, 0, 3, 3, 1], query_tokens=64, bits=8), freeze=False)
@example(case=columns([5], [0], query_tokens=1, dim=1, bits=1, centroids=1), freeze=True)
@example(case=columns(range(12), range(12), query_tokens=32, levels=2, centroids=300), freeze=True)
@example(case=columns(range(12), range(12), query_tokens=8, levels=8, centroids=300), freeze=False)
def test_each_kernel_is_its_reference(case, freeze):
    if freeze:
        case = case.frozen(frozen)
    tokens, bits = np.arange(len(case.codes)), case.bits
    bounds, own = case.offsets, (case.codes, case.offsets, case.documents)

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
    assert np.array_equal(run_compiled("fill_masks", case)[0], reference.fill_masks(*lanes_of(case)))
    assert np.array_equal(run_compiled("scan", case)[0], reference.scan(*own, masks_of(case)))
    centroid_sums = reference.centroid_sums(*own, case.scores)
    assert centroid_sums.dtype == np.float32
    np.testing.assert_allclose(run_compiled("centroid_sums", case)[0], centroid_sums, rtol=1e-5, atol=2e-5)

    nearest, dots = run_compiled("nearest_dots", case)
    expected_nearest, expected_dots = reference.nearest_dots(
        case.codes, case.packed, case.offsets, case.documents, case.scores, case.query, bits
    )
    assert np.array_equal(nearest, expected_nearest)
    assert (np.abs(dots - expected_dots) <= 4e-6 * 2**bits * np.abs(case.query).sum(axis=1)).all()

    products = np.ascontiguousarray((reference.unpack(case.packed, tokens, bits) @ case.query.T).T)
    sums = reference.best_sums(case.codes, case.scales, products, bounds, case.scores)
    np.testing.assert_allclose(
        run_compiled("best_sums", case)[0], sums, rtol=1e-5, atol=1e-5 * np.abs(products).max(initial=1)
    )


def assert_thermometers(case, masks):
    """Of every lane, the lowest so many bits: one for every level that the score is no more than half away from."""
    scores, floor, inverse, levels = lanes_of(case)
    lanes = scores.shape[1]
    bits = (masks[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).astype(bool)
    assert not bits[:, lanes * levels :].any()
    bits = bits[:, : lanes * levels].reshape(-1, lanes, levels)
    beyond = ((scores.astype(np.float64) - floor) * inverse)[:, :, None] - (np.arange(levels) + 0.5)
    clear = np.abs(beyond) > 1e-4
    assert np.array_equal(bits[clear], beyond[clear] > 0)
    assert (bits[:, :, 1:] <= bits[:, :, :-1]).all()
    return bits.sum(axis=2)


@settings(deadline=None, max_examples=40)
@given(case=any_columns())
def test_the_reference_is_loops(case):
    reached = assert_thermometers(case, reference.fill_masks(*lanes_of(case)))
    scanned = reference.scan(case.codes, case.offsets, case.documents, reference.fill_masks(*lanes_of(case)))
    anything = masks_of(case)
    united = reference.scan(case.codes, case.offsets, case.documents, anything)
    summed = reference.centroid_sums(case.codes, case.offsets, case.documents, case.scores)
    nearest, dots = reference.nearest_dots(
        case.codes, case.packed, case.offsets, case.documents, case.scores, case.query, case.bits
    )
    points = levels_of(case.packed, case.bits, case.query.shape[1]) - (2 ** (case.bits - 1) - 0.5)
    products = np.ascontiguousarray((points @ case.query.T).T.astype(np.float32))
    sums = reference.best_sums(case.codes, case.scales, products, case.offsets, case.scores)
    assert np.array_equal(reference.unpack(case.packed, np.arange(len(points)), case.bits), points)
    for i, document in enumerate(case.documents):
        tokens = range(case.offsets[document], case.offsets[document + 1])
        assert scanned[i] == sum(
            max((int(reached[case.codes[t], q]) for t in tokens), default=0) for q in range(reached.shape[1])
        )
        bits = [{bit for bit in range(64) if int(anything[case.codes[t]]) >> bit & 1} for t in tokens]
        assert united[i] == len(set().union(*bits))
        expected = sum(max((float(case.scores[case.codes[t], q]) for t in tokens), default=0)
                       for q in range(case.scores.shape[1]))  # fmt: skip
        assert summed[i] == pytest.approx(expected, rel=1e-5, abs=2e-5)
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


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
@pytest.mark.parametrize("lanes", range(1, 65))
def test_masks_of_any_number_of_lanes(of, lanes):
    """All numbers of levels that 64 bits have room for, up to 64 bits exactly; scores on borders go up."""
    rng = np.random.default_rng(lanes)
    for levels in range(1, most_levels(lanes) + 1):
        eighths, floor = rng.integers(-9, 8 * levels + 9, (40, lanes)), rng.integers(-9, 9, lanes)
        eighths += floor
        halves = int(rng.choice([1, 2, 4]))  # of a level for a unit of score: all of it is exact in single precision
        arguments = (eighths / 8).astype(np.float32), (floor / 8).astype(np.float32), np.float32(halves / 2), levels
        expected = [
            sum(
                (1 << min(max((score - zero) * halves + 8, 0) // 16, levels)) - 1 << lane * levels
                for lane, (score, zero) in enumerate(zip(row, floor.tolist(), strict=True))
            )
            for row in eighths.tolist()
        ]
        assert filled(of, *arguments).tolist() == expected


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
def test_one_lane_of_all_64_levels(of):
    """Which fill the word: shifting by all its bits is what machines do each in their own way."""
    scores = np.array([[-3], [0], [1], [62], [63], [64], [99]], np.float32)
    masks = filled(of, scores, np.zeros(1, np.float32), np.float32(1), 64)
    assert [mask.bit_count() for mask in masks.tolist()] == [0, 0, 1, 62, 63, 64, 64]


def filled(of, scores, *arguments):
    if of is reference:
        return reference.fill_masks(scores, *arguments)
    masks = np.full(len(scores), 0xAA, np.uint64)
    compiled.fill_masks(scores, *arguments, masks)
    return masks


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
def test_masks_by_hand(of):
    # A level is half a unit above the floor of 1; the floor is level 0, 3 the most, and halves are rounded up.
    scores = np.array([[0.0, 1.0], [2.26, 1e9], [1.25, 1.24], [-1e9, 1.8]], np.float32)
    masks = filled(of, scores, np.array([1.0, 1.0], np.float32), np.float32(2), 3)
    assert masks.tolist() == [0, 0b111_111, 0b000_001, 0b011_000]


def test_scores_by_hand():
    offsets, documents = np.array([0, 2, 2, 3]), np.array([2, 0, 1])
    codes = np.array([0, 2, 1], np.uint16)
    counts = np.array([100, 10, 1], np.int32)
    compiled.scan(codes, offsets, documents, np.array([0b0011, 0b1000, 1 << 63 | 0b0110], np.uint64), counts)
    assert counts.tolist() == [100 + 1, 10 + 4, 1]
    compiled.scan(codes, offsets, documents, np.array([2**64 - 1, 0, 0], np.uint64), counts)
    assert counts.tolist() == [101, 14 + 64, 1]

    sums = np.full(3, np.nan, np.float32)
    compiled.centroid_sums(codes, offsets, documents, np.array([[1, -5], [-2, -3], [-4, 2]], np.float32), sums)
    assert sums.tolist() == [-2 - 3, 1 + 2, 0]

    centroid_scores = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]], np.float32)
    sums = np.empty(3, np.float32)
    scales, dots = np.array([0.5, 0.5, 0.5], np.float32), np.array([[1, 4, 6], [-1, 1, -8]], np.float32)
    compiled.best_sums(codes, scales, dots, offsets, centroid_scores, sums)
    assert sums.tolist() == [2 + 2.5, 0, 3 - 4]  # (max(1.5, 2) + max(-.5, 2.5)), nothing, and (3 + -4)


@pytest.mark.parametrize("name", NAMES)
def test_columns_mapped_from_files(name, tmp_path):
    case = columns([3, 0, 7, 1], [3, 0, 2, 1], dim=13, query_tokens=33)
    expected = run_compiled(name, case)

    def mapped(array):
        path = tmp_path / f"{id(array)}"
        array.tofile(path)
        return np.memmap(path, array.dtype, mode="r", shape=array.shape).view(np.ndarray)

    files = case.frozen(mapped)
    assert not files.codes.flags.writeable
    for found, other in zip(run_compiled(name, files), expected, strict=True):
        assert np.array_equal(found, other)


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_at_once_get_what_one_gets(name):
    cases = [columns([40] * 200, range(0, 200, step), dim=40, query_tokens=lanes, bits=bits, seed=bits)
             for step, lanes, bits in ((1, 32, 1), (3, 40, 2), (2, 64, 4), (7, 8, 8))]  # fmt: skip
    alone = [run_compiled(name, case) for case in cases]
    gate = threading.Barrier(8)

    def work(number):
        gate.wait()
        return [run_compiled(name, case) for case in cases[number % 4 :] + cases[: number % 4]]

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(work, range(8))):
            for outputs, expected in zip(found, alone[number % 4 :] + alone[: number % 4], strict=True):
                for output, other in zip(outputs, expected, strict=True):
                    assert np.array_equal(output, other)


@pytest.mark.parametrize("name", ["scan", "centroid_sums", "nearest_dots", "unpack"])
def test_python_runs_beside_a_kernel(name):
    documents = {"nearest_dots": 60, "centroid_sums": 500}.get(name, 40_000)
    case = columns([1000], np.zeros(documents), dim=64, query_tokens=64, centroids=64)
    if name == "unpack":
        tokens = np.zeros(200_000, np.int64)
        arguments = (case.packed, tokens, 4, np.zeros((len(tokens), 64), np.float32))
    elif name == "scan":
        arguments = (case.codes, case.offsets, case.documents, masks_of(case), np.zeros(documents, np.int32))
    elif name == "centroid_sums":
        arguments = (case.codes, case.offsets, case.documents, case.scores, np.zeros(documents, np.float32))
    else:
        out = np.zeros((60, 64), np.int64), np.zeros((60, 64), np.float32)
        arguments = (case.codes, case.packed, case.offsets, case.documents, case.scores, case.query, 4, *out)
    kernel = getattr(compiled, name)
    span = []

    def work():
        span.append(time.perf_counter())
        kernel(*arguments)
        span.append(time.perf_counter())

    # Whoever holds the GIL stops the clock of this thread, which must strike in the middle of one kernel call.
    for _ in range(20):
        span.clear()
        ticks = []
        thread = threading.Thread(target=work)
        thread.start()
        while thread.is_alive():
            ticks.append(time.perf_counter())
        thread.join()
        start, end = span
        quarter = (end - start) / 4
        if any(start + quarter < tick < end - quarter for tick in ticks):
            return
    pytest.fail(f"nothing else runs during {name}, which takes {end - start:.3f} s")


def test_every_kernel_is_made_to_release_the_gil():
    assert sorted(NAMES) == compiled.__all__ == reference.__all__
    assert all(getattr(compiled, name).targetoptions["nogil"] for name in NAMES)
