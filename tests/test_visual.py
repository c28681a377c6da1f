"""tune="visual": weights of components and steps of patches, from the kernels to the files."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from main_helpers import patch_sizes, steps
from strategies import seeds

import imfnb
from imfnb.entropy.layout import padded_size
from imfnb.factorization.rdoq import cpu, reference
from imfnb.factorization.rdoq.basis import analysis_basis
from imfnb.format import basis
from imfnb.format.masking import FACTORS
from imfnb.profiles.tuning import PSNR, VISUAL

weightings = st.builds(
    basis.Weighting,
    st.integers(basis.FIRST_MIN, basis.FIRST_MAX),
    st.integers(0, basis.STRENGTH_MAX),
)


def local_steps(count: int, grid: tuple[int, int], seed: int) -> np.ndarray:
    """Any steps of patches."""
    return np.random.default_rng(seed).choice(FACTORS, (count, *grid)).astype(np.int32)


# ------------------------------------------------------------------------------------------------------------- kernels


@pytest.mark.kernels
@given(patch_sizes, st.integers(1, 4), st.integers(1, 5), seeds)
def test_normalize(p, rows, columns, seed):
    grid, size = (rows, columns), padded_size(rows, columns)[0]
    products = np.random.default_rng(seed).integers(-(2**31) + 1, 2**31, (2, p * p, size)).astype(np.int32)
    local, found = local_steps(2, grid, seed), [products.copy(), products.copy()]
    for kernels, copy in zip((reference, cpu), found, strict=True):
        kernels.normalize(copy, local, grid)
    inside = [copy.reshape(2, p * p, rows + 3, columns + 4)[:, :, 2:-1, 2:-2] for copy in (products, *found)]
    np.testing.assert_array_equal(inside[1], inside[2])
    np.testing.assert_array_equal(inside[1][:, 0], inside[0][:, 0])
    exact = np.clip(inside[0][:, 1:] * 16.0 / local[:, None], -(2**31) + 1, 2**31 - 1)
    np.testing.assert_allclose(inside[1][:, 1:], exact, rtol=2**-14, atol=1)


@pytest.mark.kernels
@given(patch_sizes, st.integers(1, 4), st.integers(1, 5), steps, seeds)
def test_denormalize(p, rows, columns, step, seed):
    rng, size = np.random.default_rng(seed), padded_size(rows, columns)[0]
    factors = rng.integers(-9000, 9000, (2, 3, size)).astype(np.int16)
    samples = rng.integers(-(2**24), 2**24, (2, rows * p, columns * p)).astype(np.int32)
    local, first = local_steps(2, (rows, columns), seed), int(basis.dct_basis(p, step)[0, 0])
    numbers = local, first, basis.magnitude_limit(step, p), basis.scale_bits(step), p
    found = [samples.copy(), samples.copy()]
    for kernels, copy in zip((reference, cpu), found, strict=True):
        kernels.denormalize(factors, *numbers, copy)
    np.testing.assert_array_equal(*found)


def test_denormalize_leaves_patches_of_the_planes_step_alone():
    factors, samples = (
        np.zeros((1, 1, padded_size(2, 3)[0]), np.int16),
        np.arange(16 * 24, dtype=np.int32).reshape(1, 16, 24),
    )
    found = samples.copy()
    reference.denormalize(factors, np.full((1, 2, 3), 16, np.int32), 512, 6145, 2, 8, found)
    np.testing.assert_array_equal(found, samples)


# --------------------------------------------------------------------------------------------------------------- basis


@given(patch_sizes, weightings)
def test_weights_rise_with_the_frequency(p, weighting):
    weights = np.array(basis.weights_of(p, weighting))
    order = basis.zigzag(p)
    square = (order**2).sum(axis=1)[1:]
    assert weights[0] == weighting.first
    assert (np.diff(weights[1:][np.argsort(square, kind="stable")]) >= 0).all()
    exact = np.minimum(64 * (1 + weighting.strength / 16 * (square / p**2) ** 0.75), basis.WEIGHT_MAX)
    np.testing.assert_allclose(weights[1:], exact, atol=0.51 + weighting.strength / 512)


@given(patch_sizes, steps, weightings)
def test_analysis_undoes_v(p, step, weighting):
    """X v' of X = 2**-s U V^T is U in one unit for all components, whatever their weights.

    Entries are rounded, which matters most for the least step and long columns: 0.0132 at most, of all weights.
    """
    v, back = (f(p, step, weighting).astype(np.float64) for f in (basis.dct_basis, analysis_basis))
    gram = back.T @ v / basis.column_length(step) ** 2
    np.testing.assert_allclose(gram, np.eye(p * p), atol=0.0135)


@given(patch_sizes, steps)
def test_products_stay_within_int32(p, step):
    """The longest columns that a file can ask for, the largest magnitudes; entries fit 16 bits."""
    v = np.abs(basis.dct_basis(p, step, basis.Weighting(basis.FIRST_MAX, basis.STRENGTH_MAX)).astype(np.int64))
    update = np.full((basis.ROWS, basis.COLUMNS), 2047, np.int32)
    moved = np.abs(basis.updated_basis(p, step, update, basis.Weighting(64, basis.STRENGTH_MAX)).astype(np.int64))
    for columns in (v, moved):
        assert columns.max() < 2**15
        assert columns.sum(axis=1).max() * basis.magnitude_limit(step, p) < 2**31


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("channels", "options"),
    [
        (0, {"quality": 80}),
        (0, {"step": 60, "patch_size": 16}),
        (3, {"quality": 35}),
        (3, {"quality": 80}),
        (3, {"bpp": 3}),
        (4, {"quality": 35}),
        (4, {"step": 60, "patch_size": 16}),
    ],
)
def test_every_backend_gives_the_same(channels, options):
    image = picture(25, 37, channels)
    data = imfnb.encode(image, tune="visual", device="reference", **options)
    assert imfnb.encode(image, tune="visual", device="cpu", threads=1, **options) == data
    np.testing.assert_array_equal(imfnb.decode(data, device="reference"), imfnb.decode(data, device="cpu"))
    np.testing.assert_array_equal(
        imfnb.decode(data, device="reference", max_rank=2), imfnb.decode(data, device="cpu", max_rank=2)
    )


@pytest.mark.jit
def test_a_large_picture_is_the_same_by_any_number_of_threads():
    """Several slices, own bases, strips."""
    image = np.tile(picture(256, 384, 3), (8, 6, 1))
    data = imfnb.encode(image, quality=30, threads=1)
    assert imfnb.info(data)["local_steps"] in (16, 32)
    assert imfnb.encode(image, quality=30, threads=2) == data
    np.testing.assert_array_equal(imfnb.decode(data, threads=1), imfnb.decode(data, threads=2))


def test_what_the_default_is():
    image = picture(16, 16, 3)
    plain = imfnb.encode(image, quality=60, tune="psnr")
    for options, tune in (({"quality": 60}, "visual"), ({"psnr": 33}, "psnr"), ({"bpp": 8}, "visual")):
        assert imfnb.encode(image, **options) == imfnb.encode(image, tune=tune, **options)
    assert imfnb.info(plain)["local_steps"] is None
    assert set(imfnb.info(plain)["weights"]) == {(1.0, 0.0)}
    assert imfnb.encode(image, step=10, tune="visual") != imfnb.encode(image, step=10, tune="psnr")


@pytest.mark.jit
def test_bytes_rise_with_the_quality():
    image = picture(120, 150, 3)
    sizes = [len(imfnb.encode(image, quality=quality)) for quality in range(0, 101, 10)]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tune": "eye"}, "expected 'visual' or 'psnr'"),
        ({"tune": "psnr", "profile": "baseline"}, "belongs to profile='main'"),
    ],
)
def test_wrong_tunes(options, message):
    with pytest.raises(imfnb.OptionError, match=message):
        imfnb.encode(picture(8, 8, 3), **options)


def test_tunes_are_within_the_format():
    for tune in (PSNR, VISUAL):
        for weighting in (tune.luma, tune.chroma):
            assert basis.FIRST_MIN <= weighting.first <= basis.FIRST_MAX
            assert 0 <= weighting.strength <= basis.STRENGTH_MAX
