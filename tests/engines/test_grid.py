"""The grid and the rotation: what they lose, and what must never change, since old indexes must stay readable."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late_interaction.engines import LocalEngine
from late_interaction.engines.local.quantization.residual import BITS, Grid
from late_interaction.engines.local.quantization.rotation import rotation
from late_interaction.errors import InvalidRequestError
from tests.engines.codec_oracle import width_of
from tests.engines.helpers import CHILD_ENVIRONMENT

DISTORTION = {1: 0.3634, 2: 0.1188, 3: 0.03744, 4: 0.01154, 8: 0.000115}
"""Mean squared error of the best uniform quantizer of a unit Gaussian (Max 1960, table II; 8 bits computed)."""

DIMS = (1, 3, 48, 127, 384)


def decoded(dim, bits, residuals):
    """Residuals as they come back."""
    grid = Grid(dim, bits)
    packed, scales = grid.encode(residuals)
    points = grid.points(packed, np.arange(len(residuals)))
    return points[:, :dim].astype(np.float64) * scales.astype(np.float64)[:, None]


def gaussians(dim, n=2000, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.parametrize("dim", DIMS)
def test_the_rotation_is_orthogonal(dim):
    turn = rotation(dim).astype(np.float64)
    assert turn.shape == (dim, dim)
    assert rotation(dim).dtype == np.float32
    assert rotation(dim).flags.c_contiguous
    np.testing.assert_allclose(turn @ turn.T, np.eye(dim), atol=1e-6)


def test_the_rotation_is_what_it_was():
    """Format: an index holds rotated vectors, and not the rotation."""
    assert rotation(1).tolist() == [[1.0]]
    expected = [[0.285918325, -0.95825398], [-0.95825398, -0.285918325]]
    np.testing.assert_allclose(rotation(2), expected, atol=1e-6)
    corners = {
        3: ([0.26662433, -0.44895241, -0.85285002], [0.20758866, 0.89086366, -0.4040654]),
        48: ([0.06316791, -0.09400984, -0.22704904], [0.06215253, 0.15845816, 0.03818487]),
        384: ([0.02384095, -0.04250146, -0.08285773], [-0.04926972, 0.06815894, 0.05718756]),
    }
    for dim, (first, last) in corners.items():
        np.testing.assert_allclose(rotation(dim)[0, :3], first, atol=1e-6)
        np.testing.assert_allclose(rotation(dim)[-1, -3:], last, atol=1e-6)


def test_the_rotation_is_the_same_in_a_new_process():
    script = (
        "import sys; from late_interaction.engines.local.quantization.rotation import rotation; "
        "sys.stdout.buffer.write(rotation(48).tobytes())"
    )
    found = subprocess.run([sys.executable, "-c", script], env=CHILD_ENVIRONMENT, capture_output=True, check=True)
    np.testing.assert_allclose(np.frombuffer(found.stdout, np.float32).reshape(48, 48), rotation(48), atol=1e-7)


@pytest.mark.parametrize(
    ("bits", "packed", "scales"),
    [
        (1, ["031e", "1f1f", "001f"], [1.95703125, 0, 0.416748046875]),
        (2, ["8b251e", "aa2a2a", "dd371d"], [0.8017578125, 0, 0.1785888671875]),
        (3, ["3e0f0404031e", "000000001f1f", "2a2a0a0a001f"], [0.416015625, 0, 0.09613037109375]),
        (4, ["eb36a86887", "8888888888", "b66bb66bb6"], [0.235595703125, 0, 0.07354736328125]),
        (8, ["a96e85827ec64b977480", "80" * 10, "6ba9" * 5], [0.02130126953125, 0, 0.006038665771484375]),
    ],
)
def test_bytes_are_what_they_were(bits, packed, scales):
    """Format: the grid and the order of dimensions in a byte."""
    residuals = np.array([[7, -3, 1, 0.5, -0.25, 12, -9, 4, -2, 0.125], [0] * 10, [-1, 2] * 5], np.float32) / 8
    found = Grid(10, bits).encode(residuals)
    assert found[0].dtype == np.uint8
    assert found[1].dtype == np.float16
    assert [row.tobytes().hex() for row in found[0]] == packed
    np.testing.assert_allclose(found[1].astype(np.float64), scales, rtol=1e-3)


@pytest.mark.parametrize("bits", BITS)
def test_points_are_what_they_were(bits):
    """Format: byte ``j`` of a row holds dimensions ``j, j + width, …``, level 0 is the lowest point.

    With 3 bits, the last third of a row has the highest bit of each level.
    """
    rows = np.array([[0x1B, 0xE4, 0xB1], [0x00, 0xFF, 0x0F]], np.uint8)
    packed = np.ascontiguousarray(rows[:, : 3 if bits == 3 else 2])
    expected = {
        1: [[1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1], [0, 1] * 8],
        2: [[3, 0, 2, 1, 1, 2, 0, 3], [0, 3] * 4],
        3: [[7, 0, 2, 1, 5, 6, 0, 7], [4, 7, 4, 7, 0, 3, 0, 3]],
        4: [[11, 4, 1, 14], [0, 15] * 2],
        8: [[27, 228], [0, 255]],
    }[bits]
    grid = Grid(16 // bits, bits)
    middle = (2**bits - 1) / 2
    assert np.array_equal(grid.points(packed, np.arange(2)) + middle, expected)
    assert np.array_equal(grid.points(packed, np.array([1, 0, 1])) + middle, [expected[1], expected[0], expected[1]])


@pytest.mark.parametrize("dim", [48, 127, 384])
@pytest.mark.parametrize("bits", BITS)
def test_the_error_is_that_of_a_uniform_grid(bits, dim):
    """Of direction √D; of the vector √(D / (1 - D)), as the scale is not the closest one but the unbiased one."""
    residuals = gaussians(dim)
    found = decoded(dim, bits, residuals)
    norms = (residuals.astype(np.float64) ** 2).sum(axis=1)
    cosines = (found * residuals).sum(axis=1) / np.sqrt((found**2).sum(axis=1) * norms)
    across = np.sqrt(1 - (cosines**2).mean())
    error = np.sqrt(((found - residuals) ** 2).sum() / norms.sum())
    known = DISTORTION[bits]
    if bits == 8:
        assert across < 0.012
        assert error < 0.012
    else:
        assert across == pytest.approx(np.sqrt(known), rel=0.05)
        assert error == pytest.approx(np.sqrt(known / (1 - known)), rel=0.05)


@pytest.mark.parametrize("bits", BITS)
def test_the_rotation_makes_any_residual_as_good_as_a_gaussian_one(bits):
    """Those of one coordinate are the worst for a grid."""
    dim = 128
    axes = np.eye(dim, dtype=np.float32) * np.linspace(0.1, 10, dim, dtype=np.float32)
    found = decoded(dim, bits, np.ascontiguousarray(axes @ rotation(dim).T)) @ rotation(dim)
    error = np.sqrt(((found - axes) ** 2).sum() / (axes**2).sum())
    known = DISTORTION[bits]
    assert error < (0.015 if bits == 8 else 1.1 * np.sqrt(known / (1 - known)))


@pytest.mark.parametrize("bits", BITS)
def test_dot_products_are_unbiased(bits):
    """Also with queries that a residual was chosen for: MaxSim looks at the tokens that are nearest."""
    dim, n = 64, 20_000
    residuals, noise = gaussians(dim, n), gaussians(dim, n, seed=1).astype(np.float64)
    found = decoded(dim, bits, residuals)
    for share in (0.0, 0.5, 1.0):
        queries = share * residuals + (1 - share) * noise
        truth = (queries * residuals).sum(axis=1)
        errors = (queries * found).sum(axis=1) - truth
        standard_error = errors.std() / np.sqrt(n)
        rounded_scales = 2**-11 / np.sqrt(n) * np.abs(truth).mean() * 4
        assert abs(errors.mean()) < 4 * standard_error + rounded_scales


@settings(deadline=None, max_examples=60)
@given(
    dim=st.sampled_from([1, 2, 3, 7, 8, 48, 127]),
    bits=st.sampled_from(BITS),
    exponent=st.integers(-2, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_residual_keeps_its_dot_product_with_itself(dim, bits, exponent, seed):
    """By construction of the scale, up to its half precision; with one dimension that is all there is."""
    residuals = gaussians(dim, 20, seed) * np.float32(10.0**exponent)
    found = decoded(dim, bits, residuals)
    assert found.shape == residuals.shape
    norms = (residuals.astype(np.float64) ** 2).sum(axis=1)
    usable = np.sqrt(norms / dim) > 0.01  # below, half precision has fewer digits
    np.testing.assert_allclose((found * residuals).sum(axis=1)[usable], norms[usable], rtol=2e-3)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("bits", BITS)
def test_widths(bits, dim):
    grid = Grid(dim, bits)
    width = width_of(dim, bits)
    packed, scales = grid.encode(gaussians(dim, 5))
    assert grid.width == width
    assert grid.padded_dim == width * 8 // bits >= dim
    assert packed.shape == (5, width)
    assert scales.shape == (5,)
    assert grid.points(packed, np.array([4, 4, 0])).shape == (3, grid.padded_dim)
    nothing = grid.encode(np.empty((0, dim), np.float32))
    assert [part.shape for part in nothing] == [(0, width), (0,)]


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("bits", BITS)
def test_a_zero_residual_comes_back_as_zero(bits, dim):
    residuals = gaussians(dim, 3)
    residuals[1] = 0
    grid = Grid(dim, bits)
    assert grid.encode(residuals)[1][1] == 0
    assert not decoded(dim, bits, residuals)[1].any()
    assert np.array_equal(decoded(dim, bits, residuals)[[0, 2]], decoded(dim, bits, residuals[[0, 2]]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("bits", BITS)
def test_huge_residuals(bits, dim):
    """The largest vectors that half precision holds, turned, and twice as far from their centroid."""
    signs = np.sign(gaussians(dim, 40))
    for size in (2e4, 6e4, 2 * 65504.0):
        residuals = (signs * np.float32(size)) @ rotation(dim).T
        found = decoded(dim, bits, residuals)
        assert np.isfinite(found).all()
        assert (np.linalg.norm(found - residuals, axis=1) < np.linalg.norm(residuals, axis=1)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("bits", BITS)
def test_tiny_residuals(bits, dim):
    """What half precision cannot tell from zero comes back as about zero."""
    for size in (1e-3, 1e-6, 1e-8, 1e-30):
        residuals = gaussians(dim, 40) * np.float32(size)
        found = decoded(dim, bits, residuals)
        assert np.isfinite(found).all()
        # A scale is at most half the smallest step of half precision off.
        spacing = 2.0**-25 * 2 ** (bits - 1) * np.sqrt(dim)
        error = {1: 1.5, 2: 1.2, 3: 1.0, 4: 0.8, 8: 0.5}[bits] * np.linalg.norm(residuals, axis=1)
        assert (np.linalg.norm(found - residuals, axis=1) <= error + spacing).all()


@pytest.mark.parametrize("bits", [0, 1, 2, 3, 4, 8, None])
def test_bits_stay_what_an_index_was_made_with(root, bits):
    LocalEngine.open(root, dim=8, bits=bits).close()
    for same in ({}, {"bits": bits}, {"bits": bits, "dim": 8}):
        with LocalEngine.open(root, **same) as engine:
            assert engine.bits == engine.info()["bits"] == bits
    for other in {0, 1, 2, 3, 4, 8, None} - {bits}:
        for read_only in (False, True):
            with pytest.raises(InvalidRequestError, match=f"bits={bits}"):
                LocalEngine.open(root, bits=other, read_only=read_only)
    with LocalEngine.open(root) as engine:  # and the lock was given back
        assert engine.bits == bits


def test_four_bits_are_the_default(root):
    with LocalEngine.open(root, dim=8) as engine:
        assert engine.bits == 4


@pytest.mark.parametrize("bits", [5, 16, -1, 2.5, "4", "", b"4", [4], True, False, 4.0])
def test_bits_there_are_not(root, bits):
    with pytest.raises(InvalidRequestError, match="bits must be one of"):
        LocalEngine.open(root, dim=8, bits=bits).close()
    assert not root.exists()
    LocalEngine.open(root, dim=8, bits=1).close()
    with pytest.raises(InvalidRequestError, match="bits must be one of"):
        LocalEngine.open(root, bits=bits)
