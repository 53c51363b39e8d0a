"""The kernels of the search over centroids against their NumPy reference, and that against loops."""

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

NAMES = ("centroid_scores", "count_levels", "fill_masks", "posting_entries", "scan_codes", "scan_postings", "take")
BASE = 1


def score_arguments(case):
    """What `centroid_scores` takes: points and a query of integers, and zeros up to a multiple of 16 lanes."""
    rng = np.random.default_rng(len(case.codes))
    dim = case.centroids.shape[1]
    points = rng.integers(-15, 16, case.centroids.shape).astype(np.int8)
    query = rng.integers(-8000, 8000, (len(case.query), dim)).astype(np.int16)
    units, along = (padded(rng.random(len(query)).astype(np.float32)) for _ in range(2))
    scales = rng.random(len(points)).astype(np.float32)
    return points, scales, case.centroids_along, query, units / 32_000, along


def padded(lanes):
    return np.concatenate([lanes, np.zeros(-len(lanes) % 16, np.float32)])


def lanes_of(case):
    """What `fill_masks` takes: the scores of some query tokens, negative ones among them, and levels for each."""
    first = len(case.query) // 3
    lanes = min(64, case.scores.shape[1] - first)
    floor = case.scores[:, first : first + lanes].mean(axis=0)
    return case.scores, first, floor, np.float32(case.levels / 2), case.levels


def masks_of(case):
    """Masks: thermometers, and a few words of any bits, since a union takes no notice of what they mean."""
    masks, _ = reference.fill_masks(*lanes_of(case))
    rng = np.random.default_rng(len(case.codes))
    masks[::5] = rng.integers(0, 2**64, len(masks[::5]), np.uint64)
    return masks


def allowed_of(case):
    allowed = np.zeros(len(case.offsets) - 1, np.uint8)
    allowed[case.documents] = 1
    return allowed


def postings_of(case):
    """Starts and lists of the one block that the documents of a case make."""
    lists = [set() for _ in case.scores]
    for document in range(len(case.offsets) - 1):
        for code in case.codes[case.offsets[document] : case.offsets[document + 1]]:
            lists[code].add(document)
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.uint32)
    return starts, np.array([document for one in lists for document in sorted(one)], np.uint16)


def counts_of(case):
    counts = np.random.default_rng(len(case.codes)).integers(0, 7, 5 * len(case.codes)).astype(np.uint16)
    return counts, 9


def run_compiled(name, case):
    """The outputs of a compiled kernel."""
    documents = len(case.offsets) - 1
    if name == "centroid_scores":
        arguments = score_arguments(case)
        lanes = len(arguments[4])
        out = np.full((len(case.centroids), lanes), np.nan, np.float32), np.full(lanes, -np.inf, np.float32)
        compiled.centroid_scores(*arguments, np.full(lanes, 77, np.int32), *out)
    elif name == "fill_masks":
        masks, active = np.full(len(case.scores), 0xAA, np.uint64), np.full(len(case.scores), -1, np.int64)
        out = masks, active[: compiled.fill_masks(*lanes_of(case), masks, active)]
    elif name == "posting_entries":
        out = (np.array(compiled.posting_entries(np.flatnonzero(masks_of(case)), postings_of(case)[0])),)
    elif name == "count_levels":
        counts, levels = counts_of(case)
        out = (np.full(levels, -1, np.int64),)
        compiled.count_levels(counts, np.full((4, levels), 5, np.int64), *out)
    elif name == "take":
        counts, _ = counts_of(case)
        given = counts.copy()
        documents, levels = np.empty((2, len(counts)), np.int64)
        n = compiled.take(counts, 4, 3, documents, levels)
        out = documents[:n].copy(), levels[:n].copy()
        assert not counts[out[0]].any()
        assert np.array_equal(np.delete(counts, out[0]), np.delete(given, out[0]))
    else:
        out = (np.full(documents, 7, np.uint16),)  # added to what is there
        masks = masks_of(case)
        if name == "scan_codes":
            compiled.scan_codes(masks, case.codes, case.offsets, allowed_of(case), BASE, *out)
        else:
            unions = np.zeros(65_536, np.uint64)
            lists = masks, np.flatnonzero(masks), *postings_of(case), allowed_of(case)
            compiled.scan_postings(*lists, BASE, unions, *out)
            assert not unions.any()
        out[0][:] -= 7
    return out


def run_reference(name, case):
    if name == "centroid_scores":
        return reference.centroid_scores(*score_arguments(case))
    if name == "fill_masks":
        return reference.fill_masks(*lanes_of(case))
    if name == "posting_entries":
        return (np.array(reference.posting_entries(np.flatnonzero(masks_of(case)), postings_of(case)[0])),)
    if name == "count_levels":
        return (reference.count_levels(*counts_of(case)),)
    if name == "take":
        return reference.take(counts_of(case)[0], 4, 3)
    masks = masks_of(case)
    if name == "scan_codes":
        return (reference.scan_codes(masks, case.codes, case.offsets, allowed_of(case), BASE),)
    return (reference.scan_postings(masks, np.flatnonzero(masks), *postings_of(case), allowed_of(case), BASE),)


@settings(deadline=None, max_examples=80)
@given(case=any_columns())
@example(case=columns([0], [0]))
@example(case=columns([0, 1, 0, 4, 8, 3], [5, 0, 3, 3, 1], query_tokens=64))
@example(case=columns([5], [0], query_tokens=1, centroids=1))
@example(case=columns(range(12), range(12), query_tokens=32, levels=2, centroids=300))
@example(case=columns(range(12), range(12), query_tokens=8, levels=8, centroids=300, dim=128))
@pytest.mark.parametrize("freeze", [True, False])
def test_each_kernel_is_its_reference(case, freeze):
    if freeze:
        case = case.frozen(frozen)
    for name in NAMES:
        for found, expected in zip(run_compiled(name, case), run_reference(name, case), strict=True):
            assert found.dtype == expected.dtype or found.ndim == 0
            if name == "centroid_scores":
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
            else:
                assert np.array_equal(found, expected)
    assert np.array_equal(run_compiled("scan_codes", case)[0], run_compiled("scan_postings", case)[0])


def assert_thermometers(case, masks):
    """Of every lane, the lowest so many bits: one for every level that the score is no more than half away from."""
    scores, first, floor, inverse, levels = lanes_of(case)
    lanes = len(floor)
    bits = (masks[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).astype(bool)
    assert not bits[:, lanes * levels :].any()
    bits = bits[:, : lanes * levels].reshape(-1, lanes, levels)
    beyond = (scores[:, first : first + lanes].astype(np.float64) - floor) * inverse
    beyond = beyond[:, :, None] - (np.arange(levels) + 0.5)
    clear = np.abs(beyond) > 1e-4
    assert np.array_equal(bits[clear], beyond[clear] > 0)
    assert (bits[:, :, 1:] <= bits[:, :, :-1]).all()
    return bits.sum(axis=2)


@settings(deadline=None, max_examples=30)
@given(case=any_columns())
def test_the_reference_is_loops(case):
    masks, active = reference.fill_masks(*lanes_of(case))
    reached = assert_thermometers(case, masks)
    assert active.tolist() == [at for at, mask in enumerate(masks.tolist()) if mask]
    allowed = allowed_of(case)
    scanned = reference.scan_codes(masks, case.codes, case.offsets, allowed, BASE)
    anything = masks_of(case)
    united = reference.scan_codes(anything, case.codes, case.offsets, allowed, BASE)
    for document in range(len(allowed)):
        tokens = range(case.offsets[document], case.offsets[document + 1])
        if not allowed[document]:
            assert scanned[document] == united[document] == 0
            continue
        assert scanned[document] == BASE + sum(
            max((int(reached[case.codes[t], q]) for t in tokens), default=0) for q in range(reached.shape[1])
        )
        bits = [{bit for bit in range(64) if int(anything[case.codes[t]]) >> bit & 1} for t in tokens]
        assert united[document] == BASE + len(set().union(*bits))
    points, scales, along, query, units, query_along = score_arguments(case)
    scores, highest = reference.centroid_scores(points, scales, along, query, units, query_along)
    assert not scores[:, len(query) :].any()
    for centroid in range(0, len(points), 7):
        for lane in range(len(query)):
            expected = float(scales[centroid]) * float(units[lane]) * int(points[centroid] @ query[lane].astype(int))
            expected += float(along[centroid]) * float(query_along[lane])
            assert scores[centroid, lane] == pytest.approx(expected, rel=1e-5, abs=1e-5)
    assert np.array_equal(highest, scores.max(axis=0))
    counts, levels = counts_of(case)
    assert reference.count_levels(counts, levels).tolist() == [sum(counts >= level) for level in range(levels)]
    above = [(at, count) for at, count in enumerate(counts.tolist()) if count > 4]
    on = [(at, count) for at, count in enumerate(counts.tolist()) if count == 4][:3]
    taken = reference.take(counts, 4, 3)
    assert sorted(above + on) == list(zip(*(one.tolist() for one in taken), strict=True))


@pytest.mark.parametrize("lanes", range(1, 65))
def test_masks_of_any_number_of_lanes(lanes):
    """All numbers of levels that 64 bits have room for, up to 64 bits exactly; scores on borders go up."""
    rng = np.random.default_rng(lanes)
    for levels in range(1, most_levels(lanes) + 1):
        eighths, floor = rng.integers(-9, 8 * levels + 9, (40, lanes)), rng.integers(-9, 9, lanes)
        eighths += floor
        halves = int(rng.choice([1, 2, 4]))  # of a level for a unit of score: all of it is exact in single precision
        arguments = (eighths / 8).astype(np.float32), 0, (floor / 8).astype(np.float32), np.float32(halves / 2), levels
        expected = [
            sum(
                (1 << min(max((score - zero) * halves + 8, 0) // 16, levels)) - 1 << lane * levels
                for lane, (score, zero) in enumerate(zip(row, floor.tolist(), strict=True))
            )
            for row in eighths.tolist()
        ]
        for of in (reference, compiled):
            assert filled(of, *arguments).tolist() == expected


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
def test_one_lane_of_all_64_levels(of):
    """Which fill the word: shifting by all its bits is what machines do each in their own way."""
    scores = np.array([[-3], [0], [1], [62], [63], [64], [99]], np.float32)
    masks = filled(of, scores, 0, np.zeros(1, np.float32), np.float32(1), 64)
    assert [mask.bit_count() for mask in masks.tolist()] == [0, 0, 1, 62, 63, 64, 64]


def filled(of, scores, *arguments):
    if of is reference:
        return reference.fill_masks(scores, *arguments)[0]
    masks = np.full(len(scores), 0xAA, np.uint64)
    compiled.fill_masks(scores, *arguments, masks, np.empty(len(scores), np.int64))
    return masks


@pytest.mark.parametrize("of", [reference, compiled], ids=["reference", "compiled"])
def test_masks_by_hand(of):
    # A level is half a unit above the floor of 1; the floor is level 0, 3 the most, and halves are rounded up.
    scores = np.array([[9, 0.0, 1.0], [9, 2.26, 1e9], [9, 1.25, 1.24], [9, -1e9, 1.8]], np.float32)
    masks = filled(of, scores, 1, np.array([1.0, 1.0], np.float32), np.float32(2), 3)
    assert masks.tolist() == [0, 0b111_111, 0b000_001, 0b011_000]


def test_counts_by_hand():
    offsets, allowed = np.array([0, 2, 2, 3]), np.array([1, 1, 0], np.uint8)
    codes, counts = np.array([0, 2, 1], np.uint16), np.array([10, 1, 100], np.uint16)
    masks = np.array([0b0011, 0b1000, 1 << 63 | 0b0110], np.uint64)
    compiled.scan_codes(masks, codes, offsets, allowed, 1, counts)
    assert counts.tolist() == [10 + 4 + 1, 1 + 1, 100]
    starts, lists = np.array([0, 1, 2, 3], np.uint32), np.array([0, 2, 0], np.uint16)
    unions = np.zeros(65_536, np.uint64)
    compiled.scan_postings(masks, np.arange(3), starts, lists, allowed, 0, unions, counts)
    assert counts.tolist() == [15 + 4, 2, 100]
    assert not unions.any()


@pytest.mark.parametrize("name", NAMES)
def test_columns_mapped_from_files(name, tmp_path):
    assert_works_on_mapped_files(lambda case: run_compiled(name, case), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_eight_threads_at_once_get_what_one_gets(name):
    assert_works_in_eight_threads(lambda case: run_compiled(name, case))


def test_python_runs_beside_a_scan():
    documents = 40_000
    case = columns([1000], np.zeros(1), dim=64, query_tokens=64, centroids=64)
    offsets = np.arange(documents + 1) % 2 * 1000
    allowed = (np.arange(documents) % 2 == 0).astype(np.uint8)
    counts = np.zeros(documents, np.uint16)
    assert_python_runs_beside(compiled.scan_codes, (masks_of(case), case.codes, offsets, allowed, 1, counts))


def test_every_kernel_has_a_reference():
    assert sorted(NAMES) == sorted(compiled.__all__) == sorted(reference.__all__)
