"""The start on the device against the NumPy reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from strategies import fill

from imfnb.factorization.init import cuda as kernels
from imfnb.factorization.init import reference
from imfnb.runtime.cuda import cuda


def check(size: int, rank: int, style: str, put, patches: int = 60, limits: tuple[float, float] = (-16.0, 15.0)):
    """`start_v` of two matrices, one of them of the style."""
    assert kernels.fits(size, rank)
    x = np.stack([fill((patches, size), kind, size + rank) for kind in (style, "noise")]).astype(np.float64)
    gram = x.transpose(0, 2, 1) @ x
    out = put(np.full((2, size, rank), np.nan))
    kernels.start_v(put(gram), rank, *limits, out)
    expected = np.empty((2, size, rank))
    reference.start_v(gram, rank, *limits, expected)
    np.testing.assert_array_equal(out.copy_to_host().view(np.int64), expected.view(np.int64))


@pytest.mark.parametrize("style", ["constant", "ramp", "extremes", "sparse"])
def test_styles(style, put):
    check(9, 3, style, put)


@pytest.mark.parametrize(
    ("size", "rank", "patches"),
    [(1, 1, 3), (1, 3, 3), (2, 1, 1), (7, 7, 30), (21, 4, 5), pytest.param(64, 2, 90, marks=pytest.mark.slow)],
)
def test_shapes(size, rank, patches, put):
    """One pixel, more columns than pixels, an odd number of vectors, fewer patches than pixels, the codec's."""
    check(size, rank, "ramp", put, patches)


@pytest.mark.parametrize("limits", [(0.0, 31.0), (-1000.0, 1000.0), (1.0, 6.0), (-np.inf, np.inf)])
def test_bounds(limits, put):
    check(9, 2, "ramp", put, limits=limits)


@pytest.mark.parametrize("scale", [1.0, 2.0**47])
def test_equal_eigenvalues(scale, put):
    gram = np.eye(11)[None] * scale
    out = put(np.zeros((1, 11, 3)))
    kernels.start_v(put(gram), 3, -16.0, 15.0, out)
    expected = np.empty((1, 11, 3))
    reference.start_v(gram, 3, -16.0, 15.0, expected)
    np.testing.assert_array_equal(out.copy_to_host(), expected)


def test_what_fits():
    assert kernels.fits(64, 20) and kernels.fits(192, 5) and kernels.fits(256, 2)
    assert not kernels.fits(64, 30) and not kernels.fits(1024, 1)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(12))
def test_random_matrices(seed, put):
    rng = np.random.default_rng(seed)
    for size in (int(rng.integers(1, 65)), 64, 192):
        largest = max(rank for rank in range(1, 33) if kernels.fits(size, rank))
        for rank in {1, largest, int(rng.integers(1, largest + 1))}:
            style = ("noise", "ramp", "extremes", "sparse")[seed % 4]
            check(size, rank, style, put, int(rng.integers(1, 4000)))
    cuda.synchronize()
