"""The kernels that numba keeps on disk: whatever has become of these files, a search gives the right hits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import late_interaction
from late_interaction.engines import LocalEngine
from late_interaction.engines.local.kernels import compiled
from late_interaction.engines.local.kernels.cache import KernelCache
from late_interaction.engines.local.quantization.residual import compiled as residual
from tests.engines.helpers import CHILD_ENVIRONMENT, DIM, record, small_thresholds, unit_vectors

SEARCH = """
import json, resource, sys
import numpy as np
from late_interaction.engines import LocalEngine
query = np.load(sys.argv[1] + ".npy")
with LocalEngine.open(sys.argv[1], read_only=True) as engine:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    if sys.argv[2:]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), unlimited[1]))
    from late_interaction.engines.local.kernels import compiled
    from late_interaction.engines.local.quantization.residual import compiled as residual
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    found = engine.search(query, 5)
from late_interaction.engines.local.kernels import compiled
from late_interaction.engines.local.quantization.residual import compiled as residual
kernels = [getattr(module, name) for module in (compiled, residual) for name in module.__all__]
hits = sum(sum(kernel.stats.cache_hits.values()) for kernel in kernels)
print(json.dumps([[[match.id, match.score] for match in found], hits, compiled.__file__]))
"""
KERNELS = 10


@pytest.fixture(scope="module")
def index(make_directory):
    """A compressed index, a query beside it, and the hits, by numpy."""
    root = make_directory("kernels") / "index"
    with small_thresholds(40, 16), LocalEngine.open(root, dim=DIM) as engine:
        engine.upsert([record(f"d{number}", tokens=1 + number % 5) for number in range(100)])
        query = unit_vectors(7, 4)
        np.save(f"{root}.npy", query)
        stored = engine.vectors([f"d{number}" for number in range(100)])
    scores = {key: float((query @ own.T).max(axis=1).sum()) for key, own in stored.items()}
    best = sorted(scores, key=lambda key: -scores[key])[:5]
    return root, [(key, scores[key]) for key in best]


@pytest.fixture
def cache(tmp_path):
    """The directory of a copy of the package, with its compiled kernels, which the child imports."""
    sources = Path(late_interaction.__file__).parent
    ignored = shutil.ignore_patterns("*.nbi", "*.nbc", "*.checksums.json")
    shutil.copytree(sources, tmp_path / "package" / "late_interaction", ignore=ignored)  # with the same time stamps
    for module in (compiled, residual):
        copy = tmp_path / "package" / Path(module.__file__).relative_to(sources.parent).parent / "__pycache__"
        copy.mkdir(exist_ok=True)
        files = module._compiler.cache
        for path in [*files._files(), files._checksums]:
            shutil.copy2(path, copy)
    return tmp_path / "package"


def search(index, cache, *limit):
    """Search in a process of its own; how many kernels it found in the cache."""
    root, expected = index
    environment = {**CHILD_ENVIRONMENT, "PYTHONPATH": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, str(root), *map(str, limit)],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found, hits, source = json.loads(done.stdout)
    assert Path(source).is_relative_to(cache)
    assert [key for key, _ in found] == [key for key, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], rel=1e-5)
    return hits


def of_kernel(cache, kernel, suffix):
    """The newest file of a kernel; others may be of older sources."""
    return max(cache.rglob(f"compiled.{kernel}-*.{suffix}"), key=lambda path: path.stat().st_mtime)


def test_a_second_process_compiles_nothing(index, cache):
    assert search(index, cache) == KERNELS


@pytest.mark.slow
def test_damaged_files_are_compiled_again(index, cache):
    """Truncated ones, and machine code with another bit, which may do anything."""
    os.truncate(of_kernel(cache, "centroid_sums", "nbi"), 30)
    os.truncate(of_kernel(cache, "fill_masks", "nbc"), 1000)
    flip(of_kernel(cache, "scan", "nbc"), 40_000)
    assert search(index, cache) == KERNELS - 3
    assert search(index, cache) == KERNELS


def test_a_full_disk(index, cache):
    """What is there is still used; what is not is compiled for the process alone."""
    damaged = of_kernel(cache, "unpack", "nbc")
    os.truncate(damaged, 0)
    assert search(index, cache, 100) == KERNELS - 1
    assert not damaged.exists()


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a": 1}'])
def test_damaged_checksums_are_written_again(make_cache_files, content):
    directory, name, cache = make_cache_files
    next(directory.glob("*.checksums.json")).write_bytes(content)
    assert KernelCache(directory, "compiled").is_usable
    assert not (directory / name).exists()
    assert cache


@pytest.fixture
def make_cache_files(tmp_path):
    """A directory with one file of the cache, its checksum, and files of others."""
    name = f"compiled.scan-1.py{sys.version_info[0]}{sys.version_info[1]}{getattr(sys, 'abiflags', '')}.1.nbc"
    (tmp_path / name).write_bytes(b"code")
    for other in ("compiled.py", "compiled.cpython-311.pyc", "other.scan-1.py311.1.nbc", "compiled.scan-1.py27.1.nbc"):
        (tmp_path / other).write_bytes(b"of others")
    cache = KernelCache(tmp_path, "compiled")
    (tmp_path / name).write_bytes(b"code")
    cache.record()
    return tmp_path, name, cache


def test_files_of_others_are_left_alone(make_cache_files):
    directory, name, _ = make_cache_files
    others = {path for path in directory.iterdir() if path.name != name}
    (directory / name).write_bytes(b"c0de")
    KernelCache(directory, "compiled")
    assert set(directory.iterdir()) == others
    assert len(others) == 5  # the checksums among them


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 1, 1000, 5000, 20_000])
def test_a_full_disk_and_no_files(index, cache, limit):
    for path in cache.rglob("compiled.*.nb?"):
        path.unlink()
    search(index, cache, limit)
    search(index, cache)
    assert search(index, cache) == KERNELS


@pytest.mark.slow
def test_every_file_damaged_anywhere(index, cache):
    rng = np.random.default_rng(0)
    for _ in range(8):
        for path in cache.rglob("compiled.*.nb?"):
            size = path.stat().st_size
            if rng.random() < 0.3:
                os.truncate(path, rng.integers(size))
            elif rng.random() < 0.3:
                flip(path, int(rng.integers(8 * size)))
        search(index, cache)
        assert search(index, cache) == KERNELS


def test_damaged_files_that_cannot_be_removed(index, cache):
    """Of another user, for example: the kernels are compiled for the process alone."""
    if os.geteuid() == 0:
        pytest.skip("root may remove everything")
    path = of_kernel(cache, "scan", "nbc")
    os.truncate(path, 10)
    path.parent.chmod(0o500)
    try:
        assert search(index, cache) == 0
    finally:
        path.parent.chmod(0o700)
