"""Scalar quantizers and factorizations of the low-rank rivals, against known optima and brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from imfnb import metrics
from imfnb.baselines import codec
from imfnb.baselines.quantizers import lloyd_max, quantize, uniform
from imfnb.baselines.svd import alternate, truncated_svd
from imfnb.baselines.tensors import truncated_hosvd, truncated_tensor_train


def squared_error(values: np.ndarray, codebook: np.ndarray) -> float:
    return float(np.sum((values - codebook[quantize(values, codebook)]) ** 2))


@given(seed=seeds, count=st.integers(1, 60), levels=st.integers(1, 9))
def test_quantize_takes_the_nearest(seed, count, levels):
    rng = np.random.default_rng(seed)
    values, codebook = rng.normal(0, 10, count), np.sort(rng.normal(0, 10, levels))
    found = codebook[quantize(values, codebook)]
    assert np.allclose(np.abs(values - found), np.abs(values[:, None] - codebook).min(axis=1))


def test_uniform_spans_the_values():
    assert np.array_equal(uniform(np.array([3.0, -1.0, 2.0]), 5), [-1, 0, 1, 2, 3])
    assert np.array_equal(uniform(np.full(4, 7.0), 3), [7, 7, 7])


@pytest.mark.parametrize(
    ("levels", "outer", "error"), [(2, 0.7979, 0.3634), (4, 1.510, 0.1175), (8, 2.152, 0.03454), (16, 2.733, 0.009497)]
)
def test_quantizer_of_a_normal_distribution(levels, outer, error):
    """Largest entry and mean squared error in table I of Max (1960)."""
    from scipy.special import ndtri

    values = ndtri((np.arange(200_000) + 0.5) / 200_000)
    codebook = lloyd_max(values, levels)
    assert codebook[-1] == pytest.approx(outer, rel=0.02) and codebook[0] == pytest.approx(-outer, rel=0.02)
    assert squared_error(values, codebook) / values.size == pytest.approx(error, rel=0.005)


@given(seed=seeds, count=st.integers(1, 200), levels=st.integers(1, 12))
def test_lloyd_is_never_worse_than_its_start(seed, count, levels):
    rng = np.random.default_rng(seed)
    values = rng.laplace(0, 5, count).round(int(rng.integers(3)))
    start = uniform(values, levels)
    codebook = lloyd_max(values, levels)
    assert np.all(np.diff(codebook) >= 0) and codebook.shape == (levels,)
    assert squared_error(values, codebook) <= squared_error(values, start) * (1 + 1e-6) + 1e-6
    # From where it stopped it hardly moves on.
    again = squared_error(values, lloyd_max(values, levels, codebook))
    assert again <= squared_error(values, codebook) * (1 + 1e-6) + 1e-6


@given(seed=seeds, count=st.integers(2, 9))
def test_lloyd_against_all_partitions(seed, count):
    """Two entries: no better than the best cut, and exactly as good as the cut that it ends with."""
    values = np.sort(np.random.default_rng(seed).normal(0, 3, count))
    best = min(np.var(values[:cut]) * cut + np.var(values[cut:]) * (count - cut) for cut in range(1, count))
    codebook = lloyd_max(values, 2).astype(np.float64)
    found = squared_error(values, codebook)
    assert found >= best - 1e-5
    cells = quantize(values, codebook)
    means = [values[cells == cell].mean() for cell in np.unique(cells)]
    assert np.allclose(codebook[np.unique(cells)], means, rtol=0.05, atol=0.05)


@given(seed=seeds)
def test_alternation_never_loses(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 40, (20, 3)) @ rng.normal(0, 1, (3, 12)) + rng.normal(0, 1, (20, 12))
    u, v = truncated_svd(x, 3)

    def error(rounds: int) -> float:
        a, b, book_a, book_b = alternate(x, u, v, 16, rounds)
        return float(np.sum((x - book_a[quantize(a, book_a)] @ book_b[quantize(b, book_b)].T) ** 2))

    once, often = error(1), error(5)
    assert often <= once
    assert once >= np.sum((x - u @ v.T) ** 2) - 1e-6  # Eckart and Young


def test_svd_has_the_error_of_its_rank():
    """With 8 bits the error is nearly that of the best approximation of the rank."""
    image = picture(64, 64, 0, seed=1)
    tiles = image.reshape(8, 8, 8, 8).transpose(0, 2, 1, 3).reshape(64, 64).astype(np.float64)
    s = np.linalg.svd(tiles, compute_uv=False)
    found = codec("svd")
    for rank in (1, 3, 6):
        decoded = found.decode(found.encode(image, 100 * rank / 64))
        best = 10 * np.log10(255**2 * image.size / np.sum(s[rank:] ** 2))
        assert best - 0.6 < metrics.psnr(image, decoded) < best + 0.1


def hosvd_product(core, first, color, rows, columns):
    return np.einsum("rcij,mr,dc,yi,xj->mdyx", core, first, color, rows, columns)


@given(seed=seeds, shape=st.sampled_from([(7, 3, 4), (20, 1, 4), (2, 3, 4), (1, 1, 8)]), rank=st.integers(1, 5))
def test_hosvd(seed, shape, rank):
    count, planes, side = shape
    rng = np.random.default_rng(seed)
    tensor = rng.normal(0, 10, (count, planes, side, side)).cumsum(axis=2).cumsum(axis=3)
    budget = min(rank, count, planes * side * side) * (count + planes * side * side)
    core, *factors = parts = truncated_hosvd(tensor, budget)
    assert sum(part.size for part in parts) <= budget
    for factor in factors:
        assert np.allclose(factor.T @ factor, np.eye(factor.shape[1]), atol=1e-9)
    error = np.sum((tensor - hosvd_product(*parts)) ** 2)
    assert error == pytest.approx(np.sum(tensor**2) - np.sum(core**2), rel=1e-6, abs=1e-6)
    # No other ranks within the budget are better.
    full, *wide = truncated_hosvd(tensor, 10**9)
    assert np.allclose(hosvd_product(full, *wide), tensor)
    for first, short in itertools.product(range(1, len(full) + 1), range(1, side + 1)):
        part = full[:first, :, :short, :short]
        if part.size + first * count + planes**2 + 2 * short * side <= budget:
            assert np.sum(part**2) <= np.sum(core**2) * (1 + 1e-9)


def train_product(first, second, third, last):
    return np.einsum("ma,acb,byd,dx->mcyx", first, second, third, last)


@given(seed=seeds, shape=st.sampled_from([(7, 3, 4), (20, 1, 4), (2, 3, 4), (1, 1, 8)]), rank=st.integers(1, 5))
def test_tensor_train(seed, shape, rank):
    count, planes, side = shape
    rng = np.random.default_rng(seed)
    tensor = rng.normal(0, 10, (count, planes, side, side)).cumsum(axis=2).cumsum(axis=3)
    columns = planes * side * side
    budget = min(rank, count, columns) * (count + columns)
    cores = truncated_tensor_train(tensor, budget)
    assert sum(core.size for core in cores) <= budget
    error = np.sum((tensor - train_product(*cores)) ** 2)
    # Never better than the best approximation of the rank of the first cut (Eckart and Young).
    s = np.linalg.svd(tensor.reshape(count, -1), compute_uv=False)
    assert error >= np.sum(s[cores[0].shape[1] :] ** 2) - 1e-6
    assert np.allclose(train_product(*truncated_tensor_train(tensor, 10**9)), tensor, atol=1e-3 * np.abs(tensor).max())


def test_tensors_of_nothing():
    zeros = np.zeros((5, 3, 4, 4))
    assert not np.any(train_product(*truncated_tensor_train(zeros, 53)))
    assert not np.any(hosvd_product(*truncated_hosvd(zeros, 53)))
