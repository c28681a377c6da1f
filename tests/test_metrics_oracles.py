"""Metrics: against scikit-image, and on curves whose distance is known; every refused argument."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from strategies import fill, images, seeds

from imfnb import OptionError
from imfnb.metrics import bd_psnr, bd_rate, psnr, samples, ssim

RATES = np.array([0.1, 0.2, 0.4, 0.8, 1.6])
QUALITIES = np.array([25.0, 28.5, 31.0, 34.0, 38.5])


@given(images(), seeds)
def test_psnr_is_that_of_scikit_image(image, seed):
    other = fill(image.shape, "noise", seed)
    if np.array_equal(image, other):
        assert psnr(image, other) == math.inf
    else:
        assert psnr(image, other) == pytest.approx(peak_signal_noise_ratio(image, other, data_range=255), abs=1e-9)


def test_psnr_adds_up_over_pieces(monkeypatch):
    a, b = fill((30, 20), "noise", 1), fill((30, 20), "noise", 2)
    whole = psnr(a, b)
    monkeypatch.setattr(samples, "_PIECE", 7)
    assert psnr(a[::-1].T, b[::-1].T) == whole


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_ssim_is_that_of_scikit_image(channels):
    a, b = picture(20, 17, channels, 1), picture(20, 17, channels, 2)
    expected = structural_similarity(a, b, data_range=255, channel_axis=2 if channels else None)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-12) and ssim(a, a) == pytest.approx(1)


@pytest.mark.parametrize("function", [psnr, ssim])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((8, 8)), np.zeros((8, 8), np.uint8), "float64 and uint8"),
        (np.zeros((8, 8), np.uint8), np.zeros((8, 9), np.uint8), r"\(8, 8\) and \(8, 9\)"),
        (np.zeros((0, 8), np.uint8), np.zeros((0, 8), np.uint8), "at least one sample"),
    ],
)
def test_pairs_that_cannot_be_compared(function, a, b, message):
    with pytest.raises(OptionError, match=message):
        function(a, b)


@pytest.mark.parametrize("shape", [(6, 9), (9, 6, 3), (9,), (2, 9, 9, 3)])
def test_ssim_needs_a_window(shape):
    image = np.zeros(shape, np.uint8)
    with pytest.raises(OptionError, match=r"H, W >= 7, found"):
        ssim(image, image)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.25])
def test_bd_rate_of_a_constant_factor(factor):
    """A curve that needs `factor` times the bits everywhere."""
    assert bd_rate(RATES, QUALITIES, RATES * factor, QUALITIES) == pytest.approx(100 * (factor - 1), abs=1e-9)


@pytest.mark.parametrize("gain", [-1.5, 0.0, 0.75])
def test_bd_psnr_of_a_constant_gain(gain):
    assert bd_psnr(RATES, QUALITIES, RATES, QUALITIES + gain) == pytest.approx(gain, abs=1e-9)


def test_curves_may_come_in_any_order_with_useless_points():
    """Unsorted, with a point that costs more than a better one, a second point of equal rate, and a lossless one."""
    rate = [*RATES[::-1], 0.9, 0.4, 3.0]
    quality = [*QUALITIES[::-1], 33.0, 30.0, math.inf]
    assert bd_rate(RATES, QUALITIES, rate, quality) == pytest.approx(0, abs=1e-9)
    assert bd_psnr(rate, quality, RATES, QUALITIES) == pytest.approx(0, abs=1e-9)


def test_curves_of_other_ranges_are_compared_where_both_are():
    """On straight lines in log rate the mean over any part is that of the whole."""
    line = 30 + 5 * np.log2(RATES)
    assert bd_psnr(RATES, line, RATES[1:-1], line[1:-1] + 2) == pytest.approx(2, abs=1e-9)
    assert bd_rate(RATES, line, RATES[:3], line[:3] + 5) == pytest.approx(-50, abs=1e-9)


def test_curves_that_do_not_meet_have_no_distance():
    assert math.isnan(bd_rate(RATES, QUALITIES, RATES, QUALITIES + 50))
    assert math.isnan(bd_psnr(RATES, QUALITIES, RATES * 100, QUALITIES))
    assert math.isnan(bd_rate(RATES, QUALITIES, [1.0], [30.0]))


@pytest.mark.parametrize(
    ("rate", "quality", "message"),
    [
        ([1, 2, 3], [30, 31], r"found shapes \(3,\) and \(2,\)"),
        ([[1, 2]], [[30, 31]], "two vectors of one length"),
        ([0, 1], [30, 31], "rates must be positive"),
        ([-1, 1], [30, 31], "rates must be positive"),
        ([math.nan, 1], [30, 31], "rates must be positive"),
    ],
)
def test_curves_that_are_none(rate, quality, message):
    for function in (bd_rate, bd_psnr):
        with pytest.raises(OptionError, match=message):
            function(RATES, QUALITIES, rate, quality)
