"""The start of block coordinate descent: the backends bit for bit, and against LAPACK."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import BOUNDS, seeds

from imfnb.factorization import init
from imfnb.factorization.bounds import limits
from imfnb.factorization.init import cpu, find_v, init_v, own, reference
from imfnb.patches import to_blocks
from imfnb.runtime.run import HostRun

pytestmark = pytest.mark.kernels

CONTENTS = ("photograph", "noise", "constant", "zero", "deficient", "identity", "huge", "step")


def gram_of(size: int, content: str, seed: int) -> np.ndarray:
    """A Gram matrix of integers."""
    rng = np.random.default_rng(seed)
    if content == "identity":  # all eigenvalues are equal
        return np.eye(size) * float(rng.integers(1, 10**6))
    if content == "huge":  # the largest integers that float64 holds
        x = rng.integers(0, int(2.0**26 / size**0.5), (size + 5, size)).astype(np.float64)
    elif content == "noise":
        x = rng.integers(256, size=(3 * size, size)).astype(np.float64)
    elif content == "deficient":  # fewer patches than pixels
        x = rng.integers(256, size=(max(1, size // 3), size)).astype(np.float64)
    elif content == "step":  # two patches, many times
        x = np.repeat(rng.integers(256, size=(2, size)), 50, axis=0).astype(np.float64)
    elif content == "photograph":
        walk = np.cumsum(rng.normal(0, 6, (4 * size, size)), axis=1) + rng.normal(128, 40, (4 * size, 1))
        x = np.clip(np.rint(walk), 0, 255)
    else:
        x = np.full((9, size), 0.0 if content == "zero" else float(rng.integers(1, 256)))
    return x.T @ x


def start_v(backend, gram: np.ndarray, rank: int, low: float, high: float) -> np.ndarray:
    """`start_v` of one matrix."""
    assert backend.fits(len(gram), rank)
    out = np.full((1, len(gram), rank), np.nan)
    backend.start_v(gram[None], rank, low, high, out)
    return out[0]


def first_v(x: np.ndarray, rank: int, device: str) -> np.ndarray:
    """`init_v` of one matrix."""
    run = HostRun(device, 1)
    return run.drive(init_v(to_blocks(x)[None], len(x), rank, (-16, 15), run))[0]


def assert_same_bits(mine: np.ndarray, naive: np.ndarray) -> None:
    assert mine.dtype == naive.dtype == np.float64
    np.testing.assert_array_equal(np.ascontiguousarray(mine).view(np.int64), np.ascontiguousarray(naive).view(np.int64))


def exact(gram: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """LAPACK's largest eigenvalues and, as rows, their vectors."""
    values, vectors = np.linalg.eigh(gram)
    return values[::-1][:count], vectors.T[::-1][:count]


@given(
    st.integers(1, 70),
    st.integers(1, 30),
    st.sampled_from([*BOUNDS, None]),
    st.sampled_from(CONTENTS),
    seeds,
)
@example(1, 1, (-16, 15), "zero", 0)
@example(1, 3, (-16, 15), "constant", 0)
@example(64, 2, (-16, 15), "photograph", 0)
@example(64, 20, (-16, 15), "noise", 0)
@example(64, 5, (-16, 15), "identity", 0)
@example(63, 30, (-16, 15), "huge", 0)
def test_start_v_cpu_is_reference(size, rank, limit, content, seed):
    gram = gram_of(size, content, seed)
    low, high = limits(limit)
    before = gram.copy()
    mine = start_v(cpu, gram, rank, low, high)
    assert_same_bits(mine, start_v(reference, gram, rank, low, high))
    if own(size, rank, True):
        assert_same_bits(mine, find_v(gram, True, rank, limit, None, cpu))
    np.testing.assert_array_equal(gram, before)
    assert mine.shape == (size, rank) and low <= mine.min() and mine.max() <= high
    np.testing.assert_array_equal(mine, np.rint(mine))
    count = min(rank, size)
    for one, other in zip(cpu.eigenpairs(gram, count), reference.eigenpairs(gram, count), strict=True):
        np.testing.assert_array_equal(one, other)


@given(st.integers(1, 70), st.integers(1, 30), st.sampled_from(CONTENTS), seeds)
def test_eigenpairs_are_orthonormal_and_catch_the_energy(size, rank, content, seed):
    """Also where eigenvalues repeat, and where there are fewer than wanted."""
    gram, count = gram_of(size, content, seed), min(size, rank)
    values, vectors = cpu.eigenpairs(gram, count)
    expected, _ = exact(gram, count)
    assert (np.diff(values) <= 0).all()
    assert values.sum() <= expected.sum() * (1 + 1e-9)
    assert values.sum() >= expected.sum() * (0.97 if content in ("noise", "huge") else 0.9999)
    alive = values > values[0] * reference.DEAD
    products = vectors[alive] @ vectors[alive].T
    np.testing.assert_allclose(products, np.eye(alive.sum()), rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.sum((vectors @ gram) * vectors, axis=1)[alive], values[alive], rtol=1e-7)


@given(st.integers(20, 70), st.integers(1, 6), seeds)
def test_subspace_of_a_photograph_is_that_of_lapack(size, rank, seed):
    gram = gram_of(size, "photograph", seed)
    _, mine = cpu.eigenpairs(gram, rank)
    values, vectors = exact(gram, rank + 1)
    if values[rank] < 0.8 * values[rank - 1]:  # else the last vector is no particular one
        assert np.linalg.svd(mine @ vectors[:rank].T)[1].min() > 0.999


@given(st.integers(1, 24), seeds)
def test_all_eigenvalues(size, seed):
    """With as many vectors as rows there is nothing to iterate, only to rotate."""
    gram = gram_of(size, "photograph", seed)
    values, vectors = cpu.eigenpairs(gram, size)
    np.testing.assert_allclose(values, exact(gram, size)[0], rtol=1e-6, atol=1e-10 * values[0])
    np.testing.assert_allclose(vectors.T * values @ vectors, gram, rtol=0, atol=1e-7 * values[0])


def test_start_of_a_photograph_is_that_of_lapack(monkeypatch):
    """Entries differ by one at most, where they were close to a half."""
    gram = gram_of(64, "photograph", 3)
    mine = find_v(gram, True, 5, (-16, 15), None, cpu)
    monkeypatch.setattr(init, "own", lambda *_: False)
    other = find_v(gram, True, 5, (-16, 15), None, cpu)
    assert np.abs(mine - other).max() <= 1 and (mine != other).mean() < 0.01


@given(st.integers(1, 20), st.integers(1, 40), st.integers(1, 8), st.sampled_from(CONTENTS), st.booleans(), seeds)
def test_fewer_patches_than_pixels(rows, extra, rank, content, as_float, seed):
    """V of X and of what has the same Gram matrix is the same, up to the rounding of entries close to a half."""
    x = np.random.default_rng(seed).integers(256, size=(rows, rows + extra), dtype=np.uint8)
    x[:] = x[:1] if content == "constant" else 0 if content == "zero" else x
    mine, naive = (first_v(x.astype(float) if as_float else x, rank, device) for device in ("cpu", "reference"))
    assert_same_bits(mine, naive)
    assert mine.shape == (rows + extra, rank) and not mine[:, rows:].any()
    y = x.astype(np.float64)
    _, s, vt = np.linalg.svd(y, full_matrices=False)
    expected = np.abs(np.clip(np.rint(np.sqrt(s[0]) * vt[0]), -16, 16))
    assert np.abs(np.abs(mine[:, 0]) - expected).max() <= 1


def test_small_columns_are_scaled_up_and_dead_ones_are_zero():
    gram = np.diag([16.0, 1.0, 0.0, 0.0])
    for backend in (cpu, reference):
        v = start_v(backend, gram, 3, -16.0, 15.0)
        np.testing.assert_array_equal(v[:, :2], [[-2, 0], [0, -2], [0, 0], [0, 0]])
        assert not v[:, 2].any()
        assert not np.signbit(start_v(backend, gram, 3, -15.0, 16.0)[2:]).any()
        np.testing.assert_array_equal(start_v(backend, gram, 6, 1.0, 6.0)[:, 4:], np.ones((4, 2)))


def test_which_matrices_take_the_own_method():
    assert own(64, 20, True) and own(192, 6, True) and own(16, 16, True)
    assert not own(64, 33, True) and not own(64, 2, False)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("shape", [(50, 44), (44, 50)])
def test_lapack_where_the_block_is_large(device, shape):
    x = np.random.default_rng(1).integers(256, size=shape, dtype=np.uint8)
    v = first_v(x, 44, device)
    assert v.shape == (shape[1], 44) and not own(44, 44, True)
    assert np.abs(v).max(axis=0).min() >= 1
