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
    with pytest.raises(OptionError, match="uint8"):
        metrics.psnr(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="shape"):
        metrics.psnr(np.zeros(3, np.uint8), np.zeros(4, np.uint8))


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
