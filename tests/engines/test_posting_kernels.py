"""The kernels that build posting lists: compiled ones equal their NumPy references, and both equal plain sets."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.engines.local.postings import compiled, reference


@st.composite
def segments(draw):
    """Codes, offsets, a block of documents and the number of centroids."""
    centroids = draw(st.integers(1, 12))
    lengths = draw(st.lists(st.integers(0, 9), min_size=1, max_size=30))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    codes = draw(st.lists(st.integers(0, centroids - 1), min_size=int(offsets[-1]), max_size=int(offsets[-1])))
    first = draw(st.integers(0, len(lengths)))
    last = draw(st.integers(first, len(lengths)))
    return np.array(codes, np.uint16), offsets, first, last, centroids


def lists_by(kernels, codes, offsets, first, last, centroids):
    scratch = np.full(centroids, 77, np.int32), np.full(centroids, 77, np.uint32)  # of an earlier block
    starts = np.full(centroids + 1, 77, np.uint32)
    kernels.count(codes, offsets, first, last, scratch[0], starts)
    lists = np.full(starts[-1], 77, np.uint16)
    kernels.fill(codes, offsets, first, last, starts, *scratch, lists)
    assert starts[0] == 0
    assert (np.diff(starts.astype(int)) >= 0).all()
    return [lists[start:end].tolist() for start, end in pairwise(starts)]


@settings(max_examples=200)
@given(segments())
def test_lists_are_the_sets_of_documents(segment):
    codes, offsets, first, last, centroids = segment
    expected = [
        [d - first for d in range(first, last) if centroid in set(codes[offsets[d] : offsets[d + 1]].tolist())]
        for centroid in range(centroids)
    ]
    assert lists_by(compiled, *segment) == lists_by(reference, *segment) == expected


@pytest.mark.parametrize("kernels", [compiled, reference])
def test_a_full_block_of_the_largest_codebook(kernels):
    documents = centroids = 65_536
    codes = np.tile(np.array([65_535, 0, 65_535], np.uint16), documents)
    lists = lists_by(kernels, codes, np.arange(0, 3 * documents + 1, 3), 0, documents, centroids)
    assert lists[0] == lists[-1] == list(range(documents))
    assert not any(lists[1:-1])
