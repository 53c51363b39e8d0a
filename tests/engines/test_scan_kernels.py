"""The kernels of the scan over centroids against their NumPy reference, and that against loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings

from late_interaction.engines.local.kernels import compiled, reference
from tests.engines.kernel_cases import (
    any_columns,
    assert_python_runs_beside,
    assert_works_in_eight_threads,
    assert_works_on_mapped_files,
    columns,
    frozen,
    most_levels,
)

NAMES = ("fill_masks", "scan", "centroid_sums")


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
    documents = len(case.documents)
    if name == "fill_masks":
        out = (np.full(len(case.scores), 0xAA, np.uint64),)
        compiled.fill_masks(*lanes_of(case), *out)
    elif name == "scan":
        out = (np.full(documents, 7, np.int32),)
        compiled.scan(case.codes, case.offsets, case.documents, masks_of(case), *out)
        out[0][:] -= 7  # it adds to what is there
    else:
        out = (np.full(documents, np.nan, np.float32),)
        compiled.centroid_sums(case.codes, case.offsets, case.documents, case.scores, *out)
    return out


@settings(deadline=None, max_examples=120)
@given(case=any_columns())
@example(case=columns([0], [0]))
@example(case=columns([0, 1, 0, 4, 8, 3], [5, 0, 3, 3, 1], query_tokens=64))
@example(case=columns([5], [0], query_tokens=1, centroids=1))
@example(case=columns(range(12), range(12), query_tokens=32, levels=2, centroids=300))
@example(case=columns(range(12), range(12), query_tokens=8, levels=8, centroids=300))
@pytest.mark.parametrize("freeze", [True, False])
def test_each_kernel_is_its_reference(case, freeze):
    if freeze:
        case = case.frozen(frozen)
    own = case.codes, case.offsets, case.documents
    assert np.array_equal(run_compiled("fill_masks", case)[0], reference.fill_masks(*lanes_of(case)))
    assert np.array_equal(run_compiled("scan", case)[0], reference.scan(*own, masks_of(case)))
    centroid_sums = reference.centroid_sums(*own, case.scores)
    assert centroid_sums.dtype == np.float32
    np.testing.assert_allclose(run_compiled("centroid_sums", case)[0], centroid_sums, rtol=1e-5, atol=2e-5)


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


def test_sums_by_hand():
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


@pytest.mark.parametrize("name", NAMES)
def test_columns_mapped_from_files(name, tmp_path):
    assert_works_on_mapped_files(lambda case: run_compiled(name, case), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_at_once_get_what_one_gets(name):
    assert_works_in_eight_threads(lambda case: run_compiled(name, case))


@pytest.mark.parametrize("name", ["scan", "centroid_sums"])
def test_python_runs_beside_a_kernel(name):
    documents = {"centroid_sums": 500, "scan": 40_000}[name]
    case = columns([1000], np.zeros(documents), dim=64, query_tokens=64, centroids=64)
    own = case.codes, case.offsets, case.documents
    if name == "scan":
        assert_python_runs_beside(compiled.scan, (*own, masks_of(case), np.zeros(documents, np.int32)))
    else:
        assert_python_runs_beside(compiled.centroid_sums, (*own, case.scores, np.zeros(documents, np.float32)))


def test_every_kernel_is_made_to_release_the_gil():
    assert sorted(NAMES) == sorted(compiled.__all__) == sorted(reference.__all__)
    assert all(getattr(compiled, name).targetoptions["nogil"] for name in NAMES)
