"""Samples that centroids are trained on, and how many there are."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from late_interaction.engines.first_stage import MIN_TRAINING_TOKENS, Sample, needs_extension, size_for, train
from tests.engines.helpers import CHILD_ENVIRONMENT
from tests.engines.token_vectors import documents, topics


def numbered(count, start=0):
    return np.arange(start, start + count, dtype=np.float32)[:, None]


def test_a_sample_holds_everything_up_to_its_limit():
    sample = Sample(100)
    for start in range(0, 90, 30):
        sample.add(numbered(30, start))
    assert sample.vectors[:, 0].tolist() == list(range(90))
    assert (sample.vectors.dtype, sample.seen) == (np.float32, 90)


def test_a_sample_is_uniform_and_bounded():
    sample = Sample(200)
    for start in range(0, 2000, 10):
        sample.add(numbered(10, start))
        assert sum(len(vectors) for _, vectors in sample._kept) <= 400
    chosen = sample.vectors[:, 0]
    assert (len(chosen), len(set(chosen.tolist())), sample.seen) == (200, 200, 2000)
    assert (np.diff(chosen) > 0).all()
    assert 50 < (chosen < 667).sum() < 85
    assert 50 < (chosen >= 1333).sum() < 85


def test_a_sample_can_be_read_in_between():
    one, other = Sample(50), Sample(50)
    for start in range(0, 500, 20):
        one.add(numbered(20, start))
        other.add(numbered(20, start))
        assert len(one.vectors) == min(50, start + 20)
    assert np.array_equal(one.vectors, other.vectors)


def test_an_empty_sample():
    sample = Sample(10)
    assert sample.vectors.shape == (0, 0)
    sample.add(np.empty((0, 4), np.float32))
    assert not len(sample.vectors)


@pytest.mark.parametrize("size", [1, 7, 100, 500])
def test_as_many_centroids_as_asked(size):
    sample = np.concatenate(documents(50, topics(20)))
    centroids = train(sample, size)
    assert (len(centroids), centroids.dim) == (size, 32)
    assert centroids.name == train(sample.copy(), size).name


def test_never_more_centroids_than_tokens():
    assert len(train(topics(5), 100)) == 5
    assert len(train(np.ones((20, 4), np.float32), 10)) == 10


def test_more_tokens_have_more_centroids():
    sizes = [size_for(tokens) for tokens in (0, 1, 1000, MIN_TRAINING_TOKENS, 10**6, 10**7, 10**9, 10**12)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert sizes[-1] == 32_768


def test_centroids_are_extended_when_an_index_has_grown():
    centroids = train(topics(2000), size_for(20_000))
    assert not needs_extension(centroids, 20_000)
    assert not needs_extension(centroids, 40_000)
    assert needs_extension(centroids, 400_000)


def test_a_query_needs_no_library_for_training():
    program = (
        "import sys, numpy as np\n"
        "from late_interaction.engines.first_stage import Centroids, mean_vector\n"
        "centroids = Centroids.from_bytes(Centroids(np.eye(300, dtype=np.float32)).to_bytes())\n"
        "assert len(centroids.query(np.ones((2, 300), np.float32) * np.arange(300, dtype=np.float32)).indices)\n"
        "print(*sorted({'torch', 'numba', 'scipy'} & sys.modules.keys()))\n"
        "centroids.document(np.eye(300, dtype=np.float32))\n"
        "print(*sorted({'torch', 'numba', 'scipy'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=CHILD_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["", "scipy"]
