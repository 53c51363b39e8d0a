"""Random inputs for the kernels, and a way to run a kernel in eight threads and on mapped files."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from tests.engines.codec_oracle import width_of


@dataclass
class Columns:
    """What the kernels take, made up at random."""

    bits: int
    residuals: Any  # (tokens, dim) f32
    codes: Any  # (tokens,) u16
    packed: Any  # (tokens, width) u8
    scales: Any  # (tokens,) u16: the bits of a float16, with the code of a share in the lowest
    along: Any  # (tokens,) u8; empty as in segments of old formats
    shares: Any  # (a power of two,) f32
    alongs: Any  # (256 times a power of two,) f32
    centroids: Any  # (centroids, dim) f32
    direction: Any  # (dim,) f32, of unit length; or zeros
    centroids_along: Any  # (centroids,) f32
    offsets: Any  # (documents + 1,) i64
    documents: Any  # (n,) i64, in any order
    query: Any  # (query tokens, padded dim) f32
    query_along: Any  # (query tokens,) f32
    scores: Any  # (centroids, query tokens) f32
    levels: int  # of a lane of a mask

    def frozen(self, freeze):
        """The same, every array passed through a function."""
        return Columns(*(freeze(one) if isinstance(one, np.ndarray) else one for one in vars(self).values()))


def columns(
    lengths, documents, *, bits=4, dim=12, query_tokens=5, centroids=9, levels=None, seed=0, shares=32, old=False
):
    rng = np.random.default_rng(seed)
    tokens, width = sum(lengths), width_of(dim, bits)
    residuals = rng.normal(size=(tokens, dim)) * 10.0 ** rng.integers(-6, 5, (tokens, 1))
    residuals[rng.random(tokens) < 0.05] = 0
    centers = rng.normal(size=(centroids, dim))
    direction = rng.normal(size=dim).astype(np.float32)
    direction *= np.float32((seed % 5 > 0) / np.linalg.norm(direction))
    return Columns(
        bits=bits,
        residuals=residuals.astype(np.float32),
        codes=rng.integers(0, centroids, tokens).astype(np.uint16),
        packed=rng.integers(0, 256, (tokens, width)).astype(np.uint8),
        scales=_any_scales(rng, tokens),
        along=rng.integers(0, 256, 0 if old else tokens).astype(np.uint8),
        shares=rng.uniform(0.5, 1.5, shares).astype(np.float32),
        alongs=rng.normal(size=256 * (16 if shares == 1 and not old else 1)).astype(np.float32),
        centroids=centers.astype(np.float32),
        direction=direction,
        centroids_along=(centers @ direction).astype(np.float32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        documents=np.array(documents, np.int64),
        query=rng.normal(size=(query_tokens, width * 8 // bits)).astype(np.float32),
        query_along=rng.normal(size=query_tokens).astype(np.float32),
        scores=rng.normal(size=(centroids, query_tokens)).astype(np.float32),
        levels=levels or most_levels(query_tokens),
    )


def _any_scales(rng, tokens):
    """Finite halves, most about as large as those of vectors, some any, subnormal or zero, and few negative."""
    usual = rng.random(tokens).astype(np.float16).view(np.uint16)
    other = rng.integers(0, 0x7C00, tokens).astype(np.uint16) | (rng.random(tokens) < 0.3).astype(np.uint16) << 15
    kind = rng.random(tokens)
    return np.where(kind < 0.7, usual, np.where(kind < 0.85, other, np.where(kind < 0.95, other & 0x3FF, 0))).astype(
        np.uint16
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
        bits=draw(st.sampled_from([1, 2, 3, 4, 8])),
        dim=draw(st.one_of(st.integers(1, 20), st.sampled_from([31, 48, 64, 127, 130]))),
        query_tokens=query_tokens,
        centroids=draw(st.one_of(st.integers(1, 4), st.integers(5, 300))),
        levels=draw(st.one_of(st.none(), st.integers(1, most_levels(query_tokens)))),
        seed=draw(st.integers(0, 2**32 - 1)),
        shares=draw(st.sampled_from([1, 8, 32])),
        old=draw(st.booleans()),
    )


def frozen(array):
    array.flags.writeable = False
    return array


def assert_works_on_mapped_files(run, tmp_path):
    """``run`` gives the outputs of a kernel for a case: the same for columns that are mapped from files."""
    case = columns([3, 0, 7, 1], [3, 0, 2, 1], dim=13, query_tokens=33)
    expected = run(case)

    def mapped(array):
        path = tmp_path / f"{id(array)}"
        array.tofile(path)
        return np.memmap(path, array.dtype, mode="r", shape=array.shape).view(np.ndarray)

    files = case.frozen(mapped)
    assert not files.codes.flags.writeable
    for found, other in zip(run(files), expected, strict=True):
        assert np.array_equal(found, other)


def assert_works_in_eight_threads(run):
    """``run`` gives the outputs of a kernel for a case: eight threads at once get what one gets."""
    cases = [columns([40] * 200, range(0, 200, step), dim=40, query_tokens=lanes, bits=bits, seed=bits)
             for step, lanes, bits in ((1, 32, 1), (3, 40, 2), (5, 24, 3), (2, 64, 4), (7, 8, 8))]  # fmt: skip
    alone = [run(case) for case in cases]
    gate = threading.Barrier(8)

    def work(number):
        gate.wait()
        return [run(case) for case in cases[number % 4 :] + cases[: number % 4]]

    with ThreadPoolExecutor(8) as pool:
        for number, found in enumerate(pool.map(work, range(8))):
            for outputs, expected in zip(found, alone[number % 4 :] + alone[: number % 4], strict=True):
                for output, other in zip(outputs, expected, strict=True):
                    assert np.array_equal(output, other)


def assert_python_runs_beside(kernel, arguments):
    """Whoever holds the GIL stops the clock of this thread, which must tick in the middle of one kernel call."""
    span = []

    def work():
        span.append(time.perf_counter())
        kernel(*arguments)
        span.append(time.perf_counter())

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
    pytest.fail(f"nothing else runs during {kernel.__name__}, which takes {end - start:.3f} s")
