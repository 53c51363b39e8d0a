"""The residual codec against its definition in NumPy: what is exact, how large errors are, and its bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.quantization.codebook import Codebook, write_codebook
from late_interaction.engines.local.quantization.residual import BITS, ResidualCodec
from tests.engines.codec_oracle import SHARE_STEPS, decoded_by_definition, points_of, without
from tests.engines.helpers import codebook_on_disk, record, small_thresholds

LARGEST_ERROR = {1: 2.0, 2: 1.3, 3: 1.15, 4: 1.0, 8: 1.0}
"""Of a decoded vector, relative to the distance of the vector from its centroid, for any vectors.

The grid clips outliers. Where the centroid is the vector itself, rounded, the difference may be one large coordinate.
"""

MEAN_ERROR = {1: 0.76, 2: 0.37, 3: 0.2, 4: 0.115, 8: 0.02}
"""The same on average, for Gaussian residuals: √(D / (1 - D)) of the grid; at 8 bits that of a coefficient."""

pytestmark = pytest.mark.filterwarnings("error")


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def in_a_cone(dim, n, rng, *, common=1.0, centroids=7, spread=0.7):
    """Vectors around centers that share a common direction, (n, dim), and a codebook of the centers."""
    direction = unit(rng.normal(size=(1, dim)))
    centers = unit(unit(rng.normal(size=(centroids, dim))) + common * direction)
    vectors = centers[rng.integers(0, centroids, n)] + spread / np.sqrt(dim) * rng.normal(size=(n, dim))
    return vectors.astype(np.float32), Codebook.rounded(centers.astype(np.float32))


def encoded(codec, vectors, codebook, codes=None):
    """All columns of vectors."""
    codes = codebook.assign(vectors) if codes is None else np.asarray(codes, np.uint16)
    return {"codes": codes, **codec.encode(vectors, codes, codebook)}


def there_and_back(bits, vectors, codebook, codes=None):
    """Vectors as they come back, which are those of the definition, in double precision."""
    codec = ResidualCodec(vectors.shape[1], bits)
    columns = encoded(codec, np.ascontiguousarray(vectors, np.float32), codebook, codes)
    for name, (kind, row) in codec.columns.items():
        assert columns[name].dtype == kind
        assert columns[name].shape == (len(vectors), *row)
    found = codec.decode(columns, codebook)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    expected = decoded_by_definition(columns, codebook.centroids, codebook.direction, bits)
    size = np.linalg.norm(expected, axis=1) + np.linalg.norm(codebook.centroids[columns["codes"]], axis=1)
    assert (np.linalg.norm(found - expected, axis=1) <= 1e-5 * size + 1e-30).all()
    return found.astype(np.float64), columns


def errors_of(found, vectors, columns, codebook, bits):
    """Distances from the vectors relative to those of the centroids, without what half precision cannot tell from 0."""
    dim = vectors.shape[1]
    apart = np.linalg.norm(vectors - codebook.centroids[columns["codes"]].astype(np.float64), axis=1)
    # One step of the scale, in half precision without the bits of the share.
    subnormal = (32 if bits < 8 else 8) * 2.0**-24 * 2 ** (bits - 1) * np.sqrt(dim)
    rounding = 1e-6 * np.linalg.norm(vectors, axis=1)
    return np.maximum(np.linalg.norm(found - vectors, axis=1) - subnormal - rounding, 0) / np.maximum(apart, 1e-30)


cones = st.tuples(
    st.one_of(st.integers(1, 40), st.sampled_from([48, 64, 127, 128, 384])),  # dimensions
    st.sampled_from([0.0, 1.0, 3.0, 5.0]),  # of the common direction
    st.sampled_from([1, 2, 7, 60]),  # centroids
    st.sampled_from([0.05, 0.7]),
    st.integers(-3, 3),  # powers of ten of the lengths
    st.integers(0, 2**32 - 1),
)


@settings(deadline=None, max_examples=150)
@given(cone=cones, bits=st.sampled_from(BITS))
def test_any_vectors_come_back_as_defined(cone, bits):
    dim, common, centroids, spread, exponent, seed = cone
    rng = np.random.default_rng(seed)
    vectors, _ = in_a_cone(dim, 40, rng, common=common, centroids=centroids, spread=spread)
    vectors *= np.float32(10.0**exponent) * rng.uniform(0.5, 2, size=(40, 1)).astype(np.float32)
    codebook = Codebook.rounded(vectors[:centroids])
    found, columns = there_and_back(bits, vectors, codebook)
    assert errors_of(found, vectors, columns, codebook, bits).max() < LARGEST_ERROR[bits] + (0.5 if dim < 8 else 0)
    others = rng.permutation(np.arange(40) % centroids)  # not the nearest centroids
    found, columns = there_and_back(bits, vectors, codebook, others)
    assert errors_of(found, vectors, columns, codebook, bits).max() < LARGEST_ERROR[bits] + (0.5 if dim < 8 else 0)


@pytest.mark.parametrize("exponent", [-2, 0, 3])
@pytest.mark.parametrize("common", [0.0, 3.0])
@pytest.mark.parametrize("dim", [16, 48, 128, 384])
@pytest.mark.parametrize("bits", BITS)
def test_two_dot_products_are_exact(bits, dim, common, exponent):
    """Without the common direction, and up to the rounding of share and scale: with the vector, and its centroid.

    Where that needs a share beyond the range, or the residual is nearly parallel to the centroid, the scale is that of
    the grid alone.
    """
    size = np.float32(10.0**exponent)
    vectors, codebook = in_a_cone(dim, 300, np.random.default_rng(dim), common=common)
    vectors, codebook = vectors * size, Codebook.rounded(codebook.centroids * size)
    found, columns = there_and_back(bits, vectors, codebook)
    rest, back = without(vectors, codebook.direction), without(found, codebook.direction)
    centroids = without(codebook.centroids[columns["codes"]], codebook.direction)
    points = without(points_of(columns["residuals"], bits, dim), codebook.direction)
    matrices = np.array([[(one * other).sum(axis=1) for other in (centroids, points)] for one in (rest, centroids)])
    products = np.array([(one * rest).sum(axis=1) for one in (rest, centroids)])
    shares, scales = np.linalg.solve(matrices.transpose(2, 0, 1), products.T[:, :, None])[:, :, 0].T
    relative = matrices[1, 0] * ((rest - centroids) * points).sum(axis=1)
    is_solved = (np.linalg.det(matrices.transpose(2, 1, 0)) < -0.41 * relative) & (scales > 0)
    if bits < 8:
        is_solved &= np.abs(shares - 1) < 15 * SHARE_STEPS[bits]
    assert is_solved.mean() > (0.9 if dim > 100 else 0.5)
    share_error = np.abs(shares - 1) if bits == 8 else SHARE_STEPS[bits] / 2  # no share is kept with 8 bits
    scale_error = np.maximum(scales, 2.0**-14) * (1.25 * 2.0**-8 if bits == 8 else 2.0**-6)  # 8: rounded twice
    for row, one in zip(matrices, (rest, centroids), strict=True):
        allowed = share_error * np.abs(row[0]) + scale_error * np.abs(row[1])
        errors = np.abs((one * (back - rest)).sum(axis=1))
        assert (errors <= 1.02 * allowed + 1e-6 * matrices[0, 0])[is_solved].all()


@pytest.mark.parametrize("dim", [16, 48, 128, 384])
@pytest.mark.parametrize("bits", BITS)
def test_the_component_in_the_common_direction(bits, dim):
    """Half a level of its logarithm is 4.5 %; what is less than about a 150th of the rest is 0."""
    vectors, codebook = in_a_cone(dim, 300, np.random.default_rng(dim), common=3.0)
    found, columns = there_and_back(bits, vectors, codebook)
    direction = codebook.direction.astype(np.float64)
    apart = vectors - codebook.centroids[columns["codes"]].astype(np.float64)
    along = apart @ direction
    rest = np.linalg.norm(without(apart, direction), axis=1)
    error = np.abs((found - vectors) @ direction)
    assert (error <= np.maximum(0.045 * np.abs(along), rest / 140) + 1e-6).all()
    assert np.median(error) < 0.02 * np.median(np.abs(along)) + rest.mean() / 500


@pytest.mark.parametrize("common", [0.0, 3.0])
@pytest.mark.parametrize("bits", BITS)
def test_errors_are_those_of_the_grid(bits, common):
    vectors, codebook = in_a_cone(128, 2000, np.random.default_rng(0), common=common)
    found, columns = there_and_back(bits, vectors, codebook)
    assert errors_of(found, vectors, columns, codebook, bits).mean() < 1.03 * MEAN_ERROR[bits]


# Degenerate vectors


@pytest.mark.parametrize("dim", [1, 3, 16, 128])
@pytest.mark.parametrize("bits", BITS)
def test_degenerate_vectors(bits, dim):
    """Zeros, centroids, multiples of the common direction and of a centroid, huge and tiny ones."""
    rng = np.random.default_rng(0)
    vectors, codebook = in_a_cone(dim, 40, rng, common=3.0)
    direction, centroids = codebook.direction, codebook.centroids
    cases = {
        "zeros": np.zeros((5, dim)),
        "centroids": centroids,
        "along the direction": np.linspace(-3, 3, 9)[:, None] * (direction if dim >= 16 else np.ones(dim)),
        "along centroids": np.concatenate([size * centroids for size in (-1, 0.3, 0.9, 1.1, 2, 30)]),
        "huge": 65504 * np.sign(rng.normal(size=(40, dim))),
        "tiny": 6e-8 * np.sign(rng.normal(size=(40, dim))),
        "tinier": 1e-30 * vectors,
    }
    for case in cases.values():
        case = case.astype(np.float32)
        for codes in (None, np.arange(len(case)) % len(codebook)):
            found, columns = there_and_back(bits, case, codebook, codes)
            errors = errors_of(found, case, columns, codebook, bits)
            assert errors.max() < LARGEST_ERROR[bits] + (0.5 if dim < 8 else 0)
    found, _ = there_and_back(bits, centroids, codebook)
    np.testing.assert_allclose(found, centroids, atol=1e-6)


@pytest.mark.parametrize("bits", BITS)
def test_codebooks_of_equal_and_of_no_centroids(bits):
    """One centroid has nothing but the common direction; centroids of 0, and opposite ones, have none in common."""
    rng = np.random.default_rng(0)
    vectors, _ = in_a_cone(32, 200, rng, common=3.0)
    one, zero = vectors.mean(axis=0, keepdims=True), np.zeros((1, 32), np.float32)
    for centroids in (one, np.repeat(one, 5, axis=0), zero, np.concatenate([one, -one])):
        codebook = Codebook.rounded(centroids)
        found, columns = there_and_back(bits, vectors, codebook)
        assert errors_of(found, vectors, columns, codebook, bits).max() < LARGEST_ERROR[bits]
    assert not Codebook.rounded(zero).direction.any()


@pytest.mark.parametrize("bits", BITS)
def test_vectors_that_are_all_parallel(bits):
    """Nothing but rounding is left of centroids and residuals across the direction; of some vectors, a little is."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        vectors = rng.uniform(0.1, 3, size=(100, 1)) * unit(rng.normal(size=(1, 48)))
        for noise in (0, 1e-7, 1e-5, 1e-3):
            some = (vectors + noise * rng.normal(size=vectors.shape)).astype(np.float32)
            codebook = Codebook.rounded(some[:3])
            found, columns = there_and_back(bits, some, codebook)
            assert errors_of(found, some, columns, codebook, bits).max() < LARGEST_ERROR[bits]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", [2, 8, 16, 64, 128])
def test_residuals_nearly_parallel_to_their_centroid(dim, bits):
    """The two conditions for share and scale are then nearly one, and their solution could be anything."""
    rng = np.random.default_rng(0)
    codebook = Codebook.rounded(unit(rng.normal(size=(200, dim))).astype(np.float32))
    codes = np.arange(200)
    for size in (-1, -0.5, 0.3, 0.9, 1.1, 2, 4):
        for noise in (0.01, 0.03, 0.1, 0.3):
            vectors = (size * codebook.centroids + noise * unit(rng.normal(size=(200, dim)))).astype(np.float32)
            found, columns = there_and_back(bits, vectors, codebook, codes)
            errors = errors_of(found, vectors, columns, codebook, bits)
            assert errors.max() < LARGEST_ERROR[bits] + (0.5 if dim < 16 else 0)


def test_no_vectors():
    _, codebook = in_a_cone(20, 10, np.random.default_rng(0))
    found, columns = there_and_back(4, np.empty((0, 20), np.float32), codebook, np.empty(0))
    assert found.shape == (0, 20)
    assert {name: column.shape for name, column in columns.items()} == {
        "codes": (0,), "scales": (0,), "along": (0,), "residuals": (0, 10),
    }  # fmt: skip


# The format on disk


def known():
    """Three vectors and two centroids of 16 dimensions, of sixteenths, so that they are the same on every machine."""
    rng = np.random.PCG64(7)
    whole = (rng.random_raw(5 * 16) % 33).astype(np.int64).reshape(5, 16) - 16
    centers = np.array([[24] * 16, [20, 28] * 8]) + whole[:2]
    vectors = centers[[0, 1, 1]] + whole[2:] + np.array([[4], [0], [-4]])
    return (vectors / 16).astype(np.float32), (centers / 16).astype(np.float32)


BYTES = {
    1: ("923dcb3bb23d", [46, 42, 177], ["a91e", "53b1", "a5d5"]),
    2: ("33393036f938", [49, 47, 181], ["5638b90a", "b33653a1", "5ebae0d4"]),
    3: ("e6355b34b335", [50, 45, 181], ["fd656295a91e", "166cf94753b1", "f92189a9a5d5"]),
    4: ("9d328630cd32", [50, 46, 181], ["7ab3c53a6739a94a", "bcb96b97933674a3", "7aba83547c88b4c5"]),
    8: (
        "e024a922d124",
        [50, 46, 181],
        ["964f639b7c93909b7aaab1526f4f9959", "b091a2774d735a52a2a7708b8d4c759b", "98994c57b0835a6076aa89667589a8af"],
    ),
}
"""By bits, the columns ``scales``, ``along`` and ``residuals``. No value is near a border, where rounding differs."""


@pytest.mark.parametrize("bits", BITS)
def test_bytes_are_what_they_were(bits):
    """Format: three vectors of two centroids."""
    vectors, centers = known()
    codebook = Codebook.rounded(centers)
    columns = encoded(ResidualCodec(16, bits), vectors, codebook, [0, 1, 1])
    scales, along, residuals = BYTES[bits]
    assert [row.tobytes().hex() for row in columns["residuals"]] == residuals
    assert columns["along"].tolist() == along
    assert columns["scales"].astype("<f2").tobytes().hex() == scales


def test_the_direction_is_what_it_was(tmp_path):
    """Format: of the mean of the centroids, of unit length, and their components in it, all in single precision."""
    _, centers = known()
    codebook = Codebook.rounded(centers)
    mean = centers.astype(np.float64).mean(axis=0)
    direction = mean / np.linalg.norm(mean)
    write_codebook(tmp_path, "0000000000000001", codebook, 0.5)
    (folder,) = (path.parent for path in tmp_path.rglob("direction.npy"))
    stored = {path.stem: np.load(path) for path in folder.iterdir()}
    assert {name: column.dtype.name for name, column in stored.items()} == {
        "centroids": "uint8", "scales": "float16", "along": "float32", "direction": "float32",
    }  # fmt: skip
    np.testing.assert_allclose(stored["direction"], direction, atol=1e-7)
    np.testing.assert_allclose(stored["along"], centers @ direction, atol=1e-6)
    across = points_of(stored["centroids"], 4, 16) * stored["scales"].astype(np.float64)[:, None]
    expected = without(across, direction) + np.outer(stored["along"], direction)
    np.testing.assert_allclose(codebook.centroids, expected, atol=1e-6)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", [1, 8, 15, 16, 64])
def test_few_dimensions_have_no_common_direction(root, dim, bits):
    rng = np.random.default_rng(0)
    vectors, _ = in_a_cone(dim, 300, rng, common=3.0)
    with small_thresholds(100, 50), LocalEngine.open(root, dim=dim, bits=bits) as engine:
        engine.upsert(record(f"d{at}", vectors=own) for at, own in enumerate(np.split(vectors, 60)))
        assert engine.info()["exact_tokens"] == 0
    (segment,) = (root / "segments").iterdir()
    along = np.load(segment / "along.npy")
    direction = np.load(root / "codebooks" / codebook_on_disk(root)["name"] / "direction.npy")
    if dim < 16:
        assert not direction.any()
        assert not along.any()
    else:
        assert np.linalg.norm(direction) == pytest.approx(1)
        assert len(set(along.tolist())) > 20


@pytest.mark.parametrize("device", [None, "cpu:0"])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("dim", [16, 127])
def test_scores_are_those_of_decoded_vectors(root, dim, bits, device):
    """Of vectors in a narrow cone, of other lengths than one, and of queries that point along it."""
    rng = np.random.default_rng(dim)
    vectors, _ = in_a_cone(dim, 900, rng, common=4.0, centroids=30)
    vectors *= rng.uniform(0.5, 5, size=(900, 1)).astype(np.float32)
    documents = np.split(vectors, 300)
    with small_thresholds(400, 200), LocalEngine.open(root, dim=dim, bits=bits, device=device) as engine:
        engine.upsert(record(f"d{at}", vectors=own) for at, own in enumerate(documents[:200]))
        engine.upsert(record(f"d{at}", vectors=own) for at, own in enumerate(documents[200:], 200))
        assert (engine.info()["exact_tokens"], engine.info()["segments"]) == (0, 2)
        stored = engine.vectors([f"d{at}" for at in range(300)])
        for number in range(3):
            query = unit(vectors[rng.integers(0, 900, 7)] + 0.3 * rng.normal(size=(7, dim)) / np.sqrt(dim))
            query = query.astype(np.float32)
            expected = {name: float((query @ own.T).max(axis=1).sum()) for name, own in stored.items()}
            found = {match.id: match.score for match in engine.search(query, 300 if number else 20)}
            assert found == pytest.approx({name: expected[name] for name in found}, rel=2e-5)
            nearly = np.sort(list(expected.values()))[-len(found) - 2 if number == 0 else 0]
            assert min(found.values()) >= nearly * (1 - 1e-5)
