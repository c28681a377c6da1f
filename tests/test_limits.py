"""The Gaussian rate-distortion function: closed forms, and what holds for any spectrum."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from strategies import images, seeds

import imfnb
from imfnb import OptionError, limits
from imfnb.limits import gaussian_rate_distortion, patch_spectrum, rate_distortion_limit


def spectra(seed: int, size: int) -> np.ndarray:
    values = np.exp(np.random.default_rng(seed).normal(0, 3, size))
    values[: size // 4] = 0
    return np.sort(values)[::-1]


def test_white_spectrum():
    """N components of variance s: R = N/2 log2(s N / D) bits (Cover and Thomas, theorem 10.3.2)."""
    rate, distortion = gaussian_rate_distortion(np.full(64, 100.0), [100.0, 25.0, 1.0, 400.0])
    assert rate == pytest.approx([0, 64, 32 * np.log2(100), 0])
    assert distortion == pytest.approx([6400, 1600, 64, 6400])


def test_two_components_by_hand():
    """Water at 4 over variances 16 and 1: one bit for the first, none for the second."""
    rate, distortion = gaussian_rate_distortion([16.0, 1.0], [4.0])
    assert rate == pytest.approx([1.0]) and distortion == pytest.approx([5.0])


@given(seed=seeds, size=st.integers(1, 40))
def test_rate_is_convex_and_falls(seed, size):
    spectrum = spectra(seed, size)
    top = max(spectrum[0], 1e-3)
    rate, distortion = gaussian_rate_distortion(spectrum, np.geomspace(top * 1e-6, top * 2, 200))
    assert np.all(np.diff(rate) <= 1e-9) and np.all(np.diff(distortion) >= -1e-9)
    assert rate[-1] == 0 and distortion[-1] == pytest.approx(spectrum.sum())
    moved = np.diff(distortion) > 1e-9 * max(spectrum.sum(), 1e-9)
    slopes = np.diff(rate)[moved] / np.diff(distortion)[moved]
    assert np.all(np.diff(slopes) >= -1e-6 * np.abs(slopes[:-1]))


@given(seed=seeds, size=st.integers(1, 40))
def test_slope_is_that_of_the_water_level(seed, size):
    """dR/dD = -1 / (2 t ln 2) wherever some component is above the water."""
    spectrum = spectra(seed, size)
    level = spectrum[0] * 0.37
    if not level:
        return
    rate, distortion = gaussian_rate_distortion(spectrum, [level * (1 - 1e-6), level * (1 + 1e-6)])
    assert np.diff(rate) / np.diff(distortion) == pytest.approx([-1 / (2 * level * np.log(2))], rel=1e-3)


@given(seed=seeds, size=st.integers(1, 40), share=st.floats(1e-6, 0.999))
def test_water_level_of_a_distortion(seed, size, share):
    spectrum = spectra(seed, size)
    if not spectrum.sum():
        return
    wanted = np.array([share * spectrum.sum()])
    _, found = gaussian_rate_distortion(spectrum, limits._water_levels(spectrum, wanted))
    assert found == pytest.approx(wanted, rel=1e-9)


@given(images(), st.sampled_from([4, 8, 16]), st.booleans())
@pytest.mark.thorough
def test_spectrum_holds_the_variance(image, patch_size, lapped):
    if lapped and patch_size == 4:
        patch_size = 8
    spectrum = patch_spectrum(image, patch_size=patch_size, lapped=lapped)
    channels = image.shape[2] if image.ndim == 3 else 1
    assert spectrum.shape == (channels * patch_size**2,)
    assert np.all(spectrum >= 0) and np.all(np.diff(spectrum) <= 1e-6)


def test_spectrum_of_whole_patches_is_that_of_the_covariance():
    image = picture(32, 40)
    rows = image.reshape(4, 8, 5, 8, 3).transpose(0, 2, 4, 1, 3).reshape(20, 192)
    expected = np.linalg.eigvalsh(np.cov(rows.T.astype(float), bias=True))[::-1]
    assert np.allclose(patch_spectrum(image), expected, atol=1e-6)


def test_white_noise_has_the_closed_form():
    """Independent samples of variance s^2: R = log2(s^2 / D) / 2 bits for a sample, nearly, and no gain by lapping."""
    image = np.clip(np.random.default_rng(0).normal(128, 20, (512, 512)), 0, 255).round().astype(np.uint8)
    for lapped in (False, True):
        bpp, psnr = rate_distortion_limit(image, lapped=lapped, psnr=[30.0, 36.0, 42.0])
        variance = image.astype(float).var()
        expected = np.log2(variance / (255**2 * 10 ** (-psnr / 10))) / 2
        assert bpp == pytest.approx(expected, abs=0.02)


def test_lapping_lowers_the_curve_of_a_smooth_picture():
    y, x = np.mgrid[:128, :128]
    smooth = np.clip(128 + 60 * np.sin(x / 17 + y / 29) + 50 * np.cos(y / 13), 0, 255).astype(np.uint8)
    plain, lapped = (rate_distortion_limit(smooth, lapped=flag, psnr=[32.0])[0] for flag in (False, True))
    assert lapped < plain


def test_default_points():
    bpp, psnr = rate_distortion_limit(picture(40, 40))
    assert psnr[-1] == 48 and np.all(np.diff(psnr) > 0) and np.all(np.diff(bpp) > 0) and bpp[0] >= 0
    flat = rate_distortion_limit(np.full((16, 16), 7, np.uint8))
    assert flat[0].size == flat[1].size == 0


def test_svd_codec_stays_above_the_limit():
    """Truncated SVD with the spectrum's own rank: the error of rank R needs at least the water-filling rate of it."""
    image = picture(64, 64, 0, seed=1)
    codec = imfnb.baselines.codec("svd")
    for level in (5.0, 20.0):
        data = codec.encode(image, level)
        quality = imfnb.metrics.psnr(image, codec.decode(data))
        bpp, _ = rate_distortion_limit(image, psnr=[quality])
        assert imfnb.metrics.bpp(data, image) > bpp[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_rate_distortion([], [1.0]), "spectrum"),
        (lambda: gaussian_rate_distortion([-1.0], [1.0]), "not negative"),
        (lambda: gaussian_rate_distortion([np.nan], [1.0]), "not negative"),
        (lambda: gaussian_rate_distortion([1.0], [0.0]), "positive water levels"),
        (lambda: gaussian_rate_distortion([1.0], 1.0), "positive water levels"),
        (lambda: patch_spectrum(np.zeros((8, 8))), "uint8"),
        (lambda: patch_spectrum(np.zeros((8, 8), np.uint8), patch_size=5), "patch_size is 5; expected one of 4, 8"),
        (lambda: patch_spectrum(np.zeros((8, 8), np.uint8), patch_size=4, lapped=True), "expected one of 8, 16"),
        (lambda: rate_distortion_limit(np.zeros((8, 8), np.uint8), psnr=30.0), "vector"),
        (lambda: rate_distortion_limit(np.zeros((8, 8), np.uint8), psnr=[np.inf]), "vector"),
    ],
)
def test_arguments_that_cannot_be_used(call, message):
    with pytest.raises(OptionError, match=message):
        call()
