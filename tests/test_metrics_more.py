"""MS-SSIM, MAE, rates, Bjontegaard's differences by two methods, and the SVD view of degradation."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import examples, fill, images, seeds

import imfnb
from imfnb import OptionError, metrics

pytestmark = pytest.mark.thorough

RATES, QUALITIES = [0.1, 0.2, 0.4, 0.8, 1.6], [25.0, 28.5, 31.0, 34.0, 38.5]
OTHER_RATES, OTHER_QUALITIES = [0.12, 0.19, 0.33, 0.7, 1.3], [26.1, 28.9, 31.2, 34.9, 38.0]


def direct_ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM of two planes by the formulas, with explicit windows and two-dimensional sums."""
    from scipy.signal import fftconvolve

    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    x, y, result = a.astype(float), b.astype(float), 1.0
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mx, my, xx, yy, xy = (fftconvolve(z, window, mode="valid") for z in (x, y, x * x, y * y, x * y))
        value = (2 * (xy - mx * my) + c2) / (xx - mx**2 + yy - my**2 + c2)
        if scale == 4:
            value = value * (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        result *= max(value.mean(), 0) ** weight
        x, y = halve(x), halve(y)
    return result


def halve(plane: np.ndarray) -> np.ndarray:
    rows = [plane[i : i + 2].mean(axis=0) for i in range(0, len(plane), 2)]
    return np.array([[row[j : j + 2].mean() for j in range(0, len(row), 2)] for row in rows])


@pytest.mark.parametrize("shape", [(161, 170), (176, 163)])
def test_ms_ssim_by_the_formulas(shape):
    a = picture(*shape, 0, seed=1)
    noisy = np.clip(a + np.random.default_rng(0).normal(0, 20, shape), 0, 255).astype(np.uint8)
    found = metrics.ms_ssim(a, noisy)
    assert found == pytest.approx(direct_ms_ssim(a, noisy), abs=1e-9) and 0.3 < found < 0.99


def test_one_scale_of_ms_ssim_is_the_ssim_of_scikit_image(monkeypatch):
    from skimage.metrics import structural_similarity

    from imfnb.metrics import structure

    monkeypatch.setattr(structure, "_WEIGHTS", (1.0,))
    a, b = picture(170, 165, seed=1), picture(170, 165, seed=2)
    expected = structural_similarity(
        a, b, data_range=255, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ms_ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_ms_ssim_of_equal_and_opposite_images():
    image = fill((161, 161, 3), "noise", 0)
    assert metrics.ms_ssim(image, image) == pytest.approx(1.0, abs=1e-12)
    assert metrics.ms_ssim(image, 255 - image) == 0.0
    gray = image[:, :, :1]
    assert metrics.ms_ssim(gray, gray // 2) == metrics.ms_ssim(gray[:, :, 0], gray[:, :, 0] // 2)


@pytest.mark.parametrize("shape", [(160, 400), (400, 160, 3), (1, 1)])
def test_ms_ssim_says_what_to_do_with_small_images(shape):
    image = np.zeros(shape, np.uint8)
    with pytest.raises(OptionError, match=r"longer than 160, found .* use ssim, or join"):
        metrics.ms_ssim(image, image)


@pytest.mark.parametrize("function", [metrics.ms_ssim, metrics.recompose, metrics.basis_distortion])
def test_shapes_that_are_no_images(function):
    with pytest.raises(OptionError, match=r"shape \(H, W\) or \(H, W, C\)"):
        function(np.zeros((200, 200, 3, 1), np.uint8), np.zeros((200, 200, 3, 1), np.uint8))


@given(images(), seeds)
def test_mae(image, seed):
    other = fill(image.shape, "noise", seed)
    assert metrics.mae(image, other) == pytest.approx(np.mean(np.abs(image.astype(float) - other)), abs=1e-9)
    with pytest.raises(OptionError):
        metrics.mae(image, other.astype(float))


def test_rates():
    image = np.zeros((10, 20, 3), np.uint8)
    assert metrics.bpp(b"12345", image) == metrics.bpp(5, image) == 40 / 200
    assert metrics.bpp(memoryview(np.zeros(3, np.int16)), image[:, :, 0]) == 48 / 200
    assert metrics.compression_ratio(b"12345", image) == 120 and metrics.compression_ratio(5, image[:, :, 0]) == 40
    with pytest.raises(OptionError, match="empty"):
        metrics.compression_ratio(b"", image)
    for function in (metrics.bpp, metrics.compression_ratio):
        with pytest.raises(OptionError, match="at least one pixel"):
            function(b"1", image[:0])


# By the bjontegaard package, version 1.3.0 (https://pypi.org/project/bjontegaard): bd_rate and bd_psnr of the curves
# above, and of their first two points.
BJONTEGAARD = {
    "pchip": (-19.051186682791187, 1.011011502598319, -7.339947089610899, 0.4191908073174703),
    "akima": (-19.13800814182286, 1.0137726632571513, -7.339947089610832, 0.4191908073174748),
}


@pytest.mark.parametrize("method", ["pchip", "akima"])
def test_bjontegaard_figures(method):
    curves = RATES, QUALITIES, OTHER_RATES, OTHER_QUALITIES
    ends = [values[:2] for values in curves]
    found = [f(*c, method=method) for c in (curves, ends) for f in (metrics.bd_rate, metrics.bd_psnr)]
    assert found == pytest.approx(BJONTEGAARD[method], rel=1e-9)


@given(
    seed=seeds,
    points=st.integers(4, 9),
    method=st.sampled_from(["pchip", "akima"]),
)
def test_against_the_bjontegaard_package(seed, points, method):
    bjontegaard = pytest.importorskip("bjontegaard")
    rng = np.random.default_rng(seed)
    rates = [np.cumprod(rng.uniform(1.2, 1.9, points)) for _ in range(2)]
    qualities = [25 + np.cumsum(rng.uniform(0.5, 2.5, points)) for _ in range(2)]
    assume(max(q[0] for q in qualities) < min(q[-1] for q in qualities))
    assume(max(r[0] for r in rates) < min(r[-1] for r in rates))
    curves = rates[0], qualities[0], rates[1], qualities[1]
    for ours, theirs in ((metrics.bd_rate, bjontegaard.bd_rate), (metrics.bd_psnr, bjontegaard.bd_psnr)):
        expected = theirs(*curves, method=method, min_overlap=0)
        assert ours(*curves, method=method) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("function", [metrics.bd_rate, metrics.bd_psnr])
def test_bjontegaard_methods(function):
    with pytest.raises(OptionError, match="method is 'cubic'; expected one of 'pchip', 'akima'"):
        function(RATES, QUALITIES, OTHER_RATES, OTHER_QUALITIES, method="cubic")


def coarse(image: np.ndarray, step: int) -> np.ndarray:
    return (image // step * step + step // 2).astype(np.uint8)


@given(images(side=st.integers(1, 16)), st.sampled_from([2, 9, 50]))
def test_recomposition_never_adds_error(image, step):
    """Mirsky's theorem: the singular values of two matrices are no further apart than the matrices."""
    degraded = coarse(image, step)
    error = np.sum((metrics.recompose(degraded, image) - image) ** 2)
    assert error <= np.sum((degraded.astype(float) - image) ** 2) * (1 + 1e-9) + 1e-6
    assert metrics.recompose(degraded, image).shape == image.shape


def test_recomposition_by_hand():
    """Channel by channel with NumPy; a picture recomposed with its own values is itself."""
    image = picture(20, 14)
    degraded = coarse(image, 40)
    expected = np.empty(image.shape)
    for c in range(3):
        u, _, vt = np.linalg.svd(image[:, :, c].astype(float), full_matrices=False)
        expected[:, :, c] = u @ np.diag(np.linalg.svd(degraded[:, :, c].astype(float), compute_uv=False)) @ vt
    assert np.allclose(metrics.recompose(degraded, image), expected)
    assert np.allclose(metrics.recompose(image, image), image)
    clipped = np.clip(np.rint(expected), 0, 255).astype(np.uint8)
    gain = metrics.psnr(clipped, image) - metrics.psnr(degraded, image)
    assert metrics.recomposition_gain(degraded, image) == pytest.approx(gain) and gain > 1
    assert metrics.recomposition_gain(image, image) == 0.0


def test_basis_distortion_is_that_of_the_polar_factors():
    from scipy.linalg import polar

    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 12, 9), np.uint8)
    expected = np.abs(polar(a.astype(float))[0] - polar(b.astype(float))[0]).mean()
    assert metrics.basis_distortion(a, b) == pytest.approx(expected)
    assert metrics.basis_distortion(a, a) == 0.0
    # Singular values alone make no difference.
    assert metrics.basis_distortion(a // 2, a // 2 * 2) == pytest.approx(0.0, abs=1e-12)
    assert metrics.basis_distortion(a // 2 * 2, a) > 1e-3


def test_basis_distortion_of_images_without_full_rank():
    flat, black = np.full((6, 8), 9, np.uint8), np.zeros((6, 8), np.uint8)
    assert metrics.basis_distortion(flat, flat * 3) == pytest.approx(0.0, abs=1e-12)
    assert metrics.basis_distortion(flat, black) == pytest.approx(48**-0.5)


def test_rate_distortion_cost():
    image = picture(16, 16)
    degraded = coarse(image, 16)
    error = np.mean((degraded / 255 - image / 255) ** 2)
    basis = metrics.basis_distortion(degraded, image)
    assert metrics.rd_cost(0.5, degraded, image, 3.0) == pytest.approx(0.5 + 3 * (error + 10 * basis))
    assert metrics.rd_cost(0.5, degraded, image, 3.0, mu=0) == pytest.approx(0.5 + 3 * error)
    assert metrics.rd_cost(0.5, image, image, 3.0) == 0.5


@pytest.mark.jit
@pytest.mark.parametrize("profile", ["main", "baseline"])
@pytest.mark.parametrize("channels", [0, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_objective(profile, channels):
    """Never more cost than the default; the same file where nothing is left open; a target is kept."""
    image = picture(40, 48, channels, seed=2)
    for target in ({"quality": 30}, {"bpp": 2.5}):
        plain = imfnb.encode(image, profile=profile, **target)
        chosen = imfnb.encode(image, profile=profile, objective="svd", **target)
        costs = [metrics.rd_cost(0.0, imfnb.decode(data), image, 1.0) for data in (plain, chosen)]
        rate = metrics.bpp(plain, image)
        weight = rate / (0.25 * costs[0])
        assert metrics.bpp(chosen, image) + weight * costs[1] <= rate + weight * costs[0] + 1e-9
        if "bpp" in target:
            assert metrics.bpp(chosen, image) <= 2.5
    fixed = {"patch_size": 8, "quality": 30, "profile": profile, "subsampling": "4:4:4"}
    assert imfnb.encode(image, **fixed) == imfnb.encode(image, objective="svd", **fixed)


@pytest.mark.jit
@pytest.mark.slow
def test_objective_finds_another_file():
    """On noise with fine colours it prefers the full resolution of chroma, or other patches."""
    images = [picture(64, 64, seed=seed) for seed in range(examples(6))]
    files = [[imfnb.encode(i, quality=50, objective=o) for o in ("mse", "svd")] for i in images]
    assert any(plain != chosen for plain, chosen in files)


def test_objective_that_is_none():
    with pytest.raises(OptionError, match="objective is 'ssim'; expected 'mse' or 'svd'"):
        imfnb.encode(picture(8, 8), objective="ssim")


def test_objective_with_a_target_out_of_reach():
    with pytest.raises(OptionError, match=r"bpp=0.0001 cannot be met"):
        imfnb.encode(picture(8, 8), objective="svd", bpp=0.0001)
