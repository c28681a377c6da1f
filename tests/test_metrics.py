"""Metrics against values known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imfnb import OptionError, metrics

RATE = np.array([0.1, 0.2, 0.4, 0.8])
PSNR = np.array([27.0, 30.0, 33.0, 36.0])


def test_psnr_of_a_known_error():
    a = np.full((5, 7, 3), 100, np.uint8)
    assert metrics.psnr(a, a) == math.inf
    assert metrics.psnr(a, a + np.uint8(1)) == pytest.approx(20 * math.log10(255))
    assert metrics.psnr(np.zeros(4, np.uint8), np.full(4, 255, np.uint8)) == pytest.approx(0.0)


def test_psnr_rejects_other_types_and_shapes():
    with pytest.raises(OptionError, match="one dtype of integers or floats, found uint8 and float64"):
        metrics.psnr(np.zeros(3, np.uint8), np.zeros(3))
    with pytest.raises(OptionError, match="found complex128"):
        metrics.psnr(np.zeros(3, complex), np.zeros(3, complex))
    with pytest.raises(ValueError, match="shape"):
        metrics.psnr(np.zeros(3, np.uint8), np.zeros(4, np.uint8))


def pair_of(dtype, shape=(13, 11, 4)):
    """An array over most of its range and a noisy one."""
    rng = np.random.default_rng(len(dtype))
    if dtype.startswith("float"):
        a = rng.normal(3, 50, shape)
        return a.astype(dtype), (a + rng.normal(0, 2, shape)).astype(dtype)
    limits = np.iinfo(dtype)
    a = rng.integers(limits.min, limits.max, shape, endpoint=True)
    return a.astype(dtype), np.clip(a + rng.integers(-9, 9, shape), limits.min, limits.max).astype(dtype)


@pytest.mark.parametrize("masked", [None, "pixels", "samples"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32", "float64"])
def test_measures_of_any_dtype_against_numpy(dtype, masked, monkeypatch):
    monkeypatch.setattr("imfnb.metrics.samples._PIECE", 50)
    a, b = pair_of(dtype)
    mask = None if masked is None else np.random.default_rng(5).random(a.shape[: 2 if masked == "pixels" else 3]) < 0.3
    counted = np.ones(a.shape, bool)
    if mask is not None:
        counted &= ~(mask if masked == "samples" else mask[:, :, None])
        if dtype.startswith("float"):
            a = np.where(counted, a, np.nan).astype(dtype)
    x, y = a[counted].astype(float), b[counted].astype(float)
    error = np.mean((x - y) ** 2)
    peak = x.max() - x.min() if dtype.startswith("float") else 255 if dtype.endswith("int8") else 65535
    assert metrics.psnr(a, b, mask=mask) == pytest.approx(10 * np.log10(peak**2 / error), abs=1e-9)
    assert metrics.psnr(a, b, peak=100, mask=mask) == pytest.approx(10 * np.log10(1e4 / error), abs=1e-9)
    assert metrics.snr(a, b, mask) == pytest.approx(10 * np.log10(x.var() / error), abs=1e-9)
    assert metrics.max_error(a, b, mask) == np.abs(x - y).max()
    u, v = (np.where(counted, array, 0).astype(float).reshape(-1, 4) for array in (a, b))
    alive = counted.reshape(-1, 4).any(axis=1)
    cosine = (u * v).sum(axis=1) / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1) + 1e-300)
    cosine[(u == 0).all(axis=1) & (v == 0).all(axis=1)] = 1
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))[alive].mean()
    assert metrics.spectral_angle(a, b, mask) == pytest.approx(angle, rel=1e-3, abs=1e-5)


def test_small_and_special_angles():
    a = np.zeros((1, 4, 2))
    b = a.copy()
    a[0], b[0] = [[1, 0], [0, 0], [3, 3], [1, 0]], [[1, 1e-9], [0, 0], [5, 5], [-2, 0]]
    angles = [metrics.spectral_angle(a[:, i : i + 1], b[:, i : i + 1]) for i in range(4)]
    assert angles == pytest.approx([math.degrees(1e-9), 0, 0, 180], rel=1e-12)
    assert metrics.spectral_angle(a[:, :1], a[:, 1:2]) == 90.0


def test_equal_and_constant_arrays():
    a = np.full((3, 4, 2), 7, np.uint16)
    assert metrics.psnr(a, a) == metrics.snr(a, a) == math.inf and metrics.max_error(a, a) == 0
    assert metrics.snr(a, a + np.uint16(1)) == -math.inf
    with pytest.raises(OptionError, match="floats that are all equal"):
        metrics.psnr(a.astype(float), a + 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": np.ones((2, 3), bool)}, "leaves no sample"),
        ({"mask": np.zeros((2, 2), bool)}, "expected bool, shape"),
        ({"mask": np.zeros((2, 3))}, "samples of float64"),
        ({"peak": 0}, "expected a positive number"),
    ],
)
def test_masks_and_peaks_that_do_not_fit(options, message):
    with pytest.raises(OptionError, match=message):
        metrics.psnr(np.zeros((2, 3, 2), np.uint16), np.ones((2, 3, 2), np.uint16), **options)


def test_samples_that_cannot_be_measured():
    a = np.array([[[np.nan, 1.0]]])
    for measure in (metrics.psnr, metrics.snr, metrics.max_error, metrics.spectral_angle):
        with pytest.raises(OptionError, match="must be finite"):
            measure(a, a)
    with pytest.raises(OptionError, match="no peak of their own"):
        metrics.psnr(np.zeros(2, np.int32), np.ones(2, np.int32))
    with pytest.raises(OptionError, match=r"expected \(H, W, C\)"):
        metrics.spectral_angle(np.ones((2, 2)), np.ones((2, 2)))


def test_bd_of_a_shifted_curve():
    pytest.importorskip("scipy")
    assert metrics.bd_rate(RATE, PSNR, 0.8 * RATE, PSNR) == pytest.approx(-20.0)
    assert metrics.bd_psnr(RATE, PSNR, RATE, PSNR + 0.7) == pytest.approx(0.7)
    # On the straight line of 3 dB per doubling, 3 dB better is half the rate.
    assert metrics.bd_rate(RATE, PSNR, RATE, PSNR + 3.0) == pytest.approx(-50.0)


def test_bd_ignores_order_and_inefficient_points():
    pytest.importorskip("scipy")
    rate, psnr = np.append(RATE[::-1], [0.5, 0.9]), np.append(PSNR[::-1], [32.0, math.inf])
    assert metrics.bd_rate(RATE, PSNR, rate, psnr) == pytest.approx(0.0)


def test_bd_without_overlap_is_nan():
    pytest.importorskip("scipy")
    assert math.isnan(metrics.bd_rate(RATE, PSNR, RATE, PSNR + 20.0))
    assert math.isnan(metrics.bd_rate(RATE, PSNR, RATE[:1], PSNR[:1]))
    with pytest.raises(ValueError, match="positive"):
        metrics.bd_rate(RATE, PSNR, -RATE, PSNR)


def test_ssim():
    pytest.importorskip("skimage")
    a = np.random.default_rng(0).integers(0, 256, (16, 19, 3), np.uint8)
    assert metrics.ssim(a, a) == pytest.approx(1.0)
    assert metrics.ssim(a, 255 - a) < 0.0
    with pytest.raises(ValueError, match="7"):
        metrics.ssim(a[:5], a[:5])
