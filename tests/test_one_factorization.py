"""The main profile's steps with lambda = 0 are the baseline's updates: one factorization, not two."""

from __future__ import annotations

import numpy as np
import pytest

from imfnb.entropy.layout import MAGNITUDE_LIMIT
from imfnb.factorization.bcd import cpu, reference
from imfnb.factorization.rdoq import cpu as rdoq_cpu
from imfnb.factorization.rdoq import reference as rdoq_reference
from imfnb.factorization.rdoq.basis_search import cpu as search_cpu
from imfnb.factorization.rdoq.basis_search import reference as search_reference
from imfnb.factorization.rdoq.costs import MAGNITUDE_CLASSES, MAGNITUDE_CONTEXTS, RANK_CLASSES

pytestmark = pytest.mark.kernels

V_STEPS = [(cpu, search_cpu), (reference, search_reference)]
U_STEPS = [(cpu, rdoq_cpu), (reference, rdoq_reference)]
BACKENDS = [(*steps, v_steps[1]) for steps, v_steps in zip(U_STEPS, V_STEPS, strict=True)]
BOUNDS = [(-16, 15), (-1, 1), (0, 7), (-128, 127)]

# A rank ends at its last coefficient of at least a half: none is left out.
HALF = 128


def update_columns(kernels, a: np.ndarray, b: np.ndarray, factor: np.ndarray, low: float, high: float) -> None:
    """The baseline's updates of one matrix."""
    kernels.update_columns(a.astype(float)[None], b.astype(float)[None], factor[None], low, high)


def problem(seed: int, rank: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Integer X (300 x 64) and factors to start from."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (300, 64))
    return x, rng.integers(-9, 10, (300, rank)), rng.integers(-9, 10, (64, rank))


def v_step(kernels, x, u, v, bounds) -> np.ndarray:
    """The main profile's V step without a price, from sums that its own kernel makes. The origin is no help."""
    a, b = np.empty((x.shape[1], u.shape[1]), np.int64), np.empty((x.shape[1], u.shape[1]), np.int64)
    kernels.moments(np.ascontiguousarray(x.T, np.int32), np.ascontiguousarray(u.T, np.int16), a, b)
    factor, rank = v.astype(float), u.shape[1]
    origin = np.clip(np.eye(*v.shape), *bounds)
    free = np.zeros(1 << 10)
    kernels.update_v(a.astype(float), b[:rank].astype(float), factor, origin, np.ones(rank), free, *map(float, bounds))
    return factor


def u_step(kernels, x, u, v) -> np.ndarray:
    """The main profile's U step without a price, for any V: projections, closed form, choice."""
    pixels, rank = v.shape
    full = np.eye(pixels, dtype=np.int64)
    full[:, :rank] = v
    gram = full.T @ full
    products, factors = np.ascontiguousarray(x.T, np.int32)[None], np.ascontiguousarray(u.T, np.int16)[None]
    rebased, grid = np.empty_like(products), (len(x), 1)
    kernels.rebase(products, factors, np.ascontiguousarray(full[:, :rank]), gram, 0, 0, grid, rebased)
    rebased, lengths = np.ascontiguousarray(rebased[:, :rank]), np.diagonal(gram)[:rank].copy()
    out, ranks = np.zeros((1, rank, len(x)), np.int16), np.zeros((1, len(x)), np.int32)
    kernels.quantize(rebased, lengths, 0, HALF, grid, out, ranks)
    classes, rank_table = np.zeros_like(ranks), np.zeros((1, RANK_CLASSES, RANK_CLASSES), np.int32)
    contexts = np.zeros((1, 2, rank, len(x)), np.uint16)
    prices = np.full((1, MAGNITUDE_CONTEXTS, MAGNITUDE_CLASSES), 77, np.uint16)
    kernels.choose(rebased, lengths, 0, 0, contexts, prices, classes, rank_table, grid, out, ranks)
    return out[0].T


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("baseline", "main"), V_STEPS)
def test_free_v_without_a_price_takes_the_baselines_v_step(baseline, main, seed, bounds):
    x, u, v = problem(seed)
    v = np.clip(v, *bounds)
    if seed == 2:
        u[:, 1] = 0  # a dead column
    expected = v.astype(float)
    update_columns(baseline, x.T @ u, u.T @ u, expected, *map(float, bounds))
    np.testing.assert_array_equal(v_step(main, x, u, v, bounds), expected)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("baseline", "main"), U_STEPS)
def test_u_without_a_price_takes_the_baselines_column_updates(baseline, main, seed):
    x, u, v = problem(seed, rank=3)
    v[0] += 1 - (v * v).sum(axis=0) % 2  # odd squared lengths: no quotient is a tie, which the two round differently
    limit = float(MAGNITUDE_LIMIT >> 1)
    expected = np.empty_like(u)
    for r in range(u.shape[1]):  # Jacobi: every column is updated given the previous others
        others = [s for s in range(3) if s != r]
        column, w = u[:, r : r + 1].astype(float), v[:, r : r + 1]
        update_columns(baseline, (x - u[:, others] @ v[:, others].T) @ w, w.T @ w, column, -limit, limit)
        expected[:, r] = column[:, 0]
    np.testing.assert_array_equal(u_step(main, x, u, v), expected)


@pytest.mark.parametrize(("baseline", "main", "search"), BACKENDS)
def test_sweeps_of_both_profiles_agree_at_rank_one(baseline, main, search):
    """With one column Jacobi is Gauss-Seidel, so whole sweeps of the two profiles are the same."""
    x, u, v = problem(7, rank=1)
    v[0] += 1 - (v * v).sum() % 2
    bounds = (-16, 15)
    for _ in range(4):
        left, right = u.astype(float), v.astype(float)
        limit = float(MAGNITUDE_LIMIT >> 1)
        update_columns(baseline, x @ v, v.T @ v, left, -limit, limit)
        found = u_step(main, x, u, v)
        tied = 2 * np.abs(x @ v) % (v.T @ v) == 0  # only here may halves differ
        np.testing.assert_array_equal(found[~tied], left[~tied])
        u = left.astype(np.int64)
        update_columns(baseline, x.T @ u, u.T @ u, right, *map(float, bounds))
        np.testing.assert_array_equal(v_step(search, x, u, v, bounds), right)
        v = right.astype(np.int64)


@pytest.mark.parametrize(("baseline", "main"), V_STEPS)
def test_a_price_keeps_v_at_its_origin(baseline, main):
    """The dearer the bits, the fewer entries move; none does for an infinite price."""
    x, u, v = problem(3)
    a, b = (x.T @ u).astype(float), (u.T @ u).astype(float)
    moved = []
    for price in (0.0, 1e3, 1e5, 1e30):
        factor, prices = v.astype(float), price * np.minimum(np.arange(1 << 10), 6.0)
        main.update_v(a, b, factor, v.astype(float), np.ones(5), prices, -np.inf, np.inf)
        moved.append(int((factor != v).sum()))
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > 0
    assert moved[-1] == 0
