"""Factorization stage: exact rounding, theorem 1 column by column, backends bit for bit, options of `factorize`."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import BOUNDS, STYLES, bounds, fill, planes, problems, seeds

import imfnb
from imfnb.factorization import bounds as rules
from imfnb.factorization import check_bounds, factor_dtype
from imfnb.factorization.bcd import bands, cpu, descend, download, reference
from imfnb.factorization.bounds import exact_in_float32
from imfnb.factorization.init import init_v
from imfnb.patches import LANES, from_blocks, to_blocks
from imfnb.runtime.run import HostRun

pytestmark = pytest.mark.kernels

BACKENDS = [cpu, reference]


def cost(x: np.ndarray, u: np.ndarray, v: np.ndarray) -> int:
    """|X - U V^T|^2 in exact integers."""
    error = x.astype(np.int64) - u.astype(np.int64) @ v.astype(np.int64).T
    return int((error * error).sum())


def factors_of(
    x: np.ndarray,
    rank: int,
    bounds: tuple[int, int] | None,
    iterations: int,
    device: str,
    threads: int = 1,
    history=None,
) -> tuple[np.ndarray, np.ndarray]:
    """U and V of one matrix, as the encoder gets them."""
    with HostRun(device, threads) as run:
        u, v = run.drive(descend(to_blocks(x)[None], len(x), rank, bounds, iterations, run, "", history))
        ((pair,),) = run.drive(download([(u, v, len(x))], run))
    return pair


def assert_same(x: np.ndarray, *arguments) -> None:
    """The descent on the CPU gives what the reference gives."""
    for mine, naive in zip(factors_of(x, *arguments, "cpu"), factors_of(x, *arguments, "reference"), strict=True):
        np.testing.assert_array_equal(mine, naive)


def start(x: np.ndarray, rank: int, bounds: tuple[int, int] | None, device: str) -> np.ndarray:
    """`init_v` of one matrix."""
    run = HostRun(device, 1)
    return run.drive(init_v(to_blocks(x)[None], len(x), rank, bounds, run))[0]


def each(function: Callable, items) -> list:
    return [function(item) for item in items]


def update_columns(kernels, a: np.ndarray, b: np.ndarray, factor: np.ndarray, bounds) -> None:
    """`update_columns` of one matrix."""
    kernels.update_columns(a.astype(float)[None], b.astype(float)[None], factor[None], *rules.limits(bounds))


def gram_of(kernels, blocks: np.ndarray) -> np.ndarray:
    """`gram` of one matrix."""
    out = np.zeros((1, blocks.shape[1], blocks.shape[1]))
    kernels.gram(blocks[None], len(blocks) * blocks.shape[2], out, each)
    return out[0]


def update_one(kernels, x, u, v, r, bounds) -> np.ndarray:
    """U with column r alone updated: a problem of rank 1 on what the other columns leave."""
    others = [s for s in range(u.shape[1]) if s != r]
    a = (x - u[:, others] @ v[:, others].T) @ v[:, r : r + 1]
    b = v[:, r : r + 1].T @ v[:, r : r + 1]
    column = u[:, r : r + 1].astype(float)
    update_columns(kernels, a, b, column, bounds)
    out = u.copy()
    out[:, r] = column[:, 0]
    return out


# ---------------------------------------------------------------------------------------------------- exact rounding


@given(st.integers(1 - 2**24, 2**24 - 1), st.integers(1, 2**20))
@example(5, 2)
@example(7, 2)
@example(-5, 2)
@example(2**24 - 1, 3)
@example(2**24 - 1, 2**20)
def test_quotient_is_rounded_exactly_in_float32(numerator, denominator):
    n, d = np.float32(numerator), np.float32(denominator)
    assert cpu._round_quotient(n, d, np.float32(1) / d) == round(Fraction(numerator, denominator))


@given(st.integers(-(2**45), 2**45), st.integers(1, 2**40))
@example(2**45 - 1, 3)
def test_quotient_is_rounded_exactly_in_float64(numerator, denominator):
    n, d = float(numerator), float(denominator)
    assert cpu._round_quotient(n, d, 1.0 / d) == round(Fraction(numerator, denominator))


@given(st.integers(-4000, 4000), st.integers(1, 2000), st.sampled_from([np.float32, np.float64]))
def test_halves_go_to_even(whole, half_denominator, dtype):
    """(2 w + 1) h / (2 h) is a tie, for every w and h."""
    n, d = dtype((2 * whole + 1) * half_denominator), dtype(2 * half_denominator)
    expected = whole if whole % 2 == 0 else whole + 1
    assert cpu._round_quotient(n, d, dtype(1) / d) == expected
    for kernels in BACKENDS:
        factor = np.zeros((1, 1))
        update_columns(kernels, np.array([[n]]), np.array([[d]]), factor, None)
        assert factor[0, 0] == expected


# --------------------------------------------------------------------------------------- one column: theorem 1 and best


@pytest.mark.parametrize("kernels", BACKENDS)
@given(problem=problems())
def test_theorem_1_no_column_update_raises_the_cost(kernels, problem):
    """Three sweeps over all columns of U and V; the exact integer cost after every single one of them."""
    x, u, v, limits = problem
    before = cost(x, u, v)
    for _ in range(3):
        for r in range(u.shape[1]):
            u = update_one(kernels, x, u, v, r, limits)
            after = cost(x, u, v)
            assert after <= before
            before = after
        for r in range(u.shape[1]):
            v = update_one(kernels, x.T, v, u, r, limits)
            after = cost(x, u, v)
            assert after <= before
            before = after
    assert limits[0] <= min(u.min(), v.min()) and max(u.max(), v.max()) <= limits[1]


@pytest.mark.parametrize("kernels", BACKENDS)
@given(problem=problems())
def test_updating_all_columns_is_updating_each_in_turn(kernels, problem):
    x, u, v, limits = problem
    together = u.astype(float)
    update_columns(kernels, x @ v, v.T @ v, together, limits)
    for r in range(u.shape[1]):
        u = update_one(kernels, x, u, v, r, limits)
    np.testing.assert_array_equal(together, u)


@pytest.mark.parametrize("kernels", BACKENDS)
@given(problem=problems(4))
def test_updated_column_is_the_best_of_all_integers(kernels, problem):
    """Entries of a column do not interact, so the best column is found by trying all values of each entry."""
    x, u, v, (low, high) = problem
    low, high = max(low, -40), min(high, 40)
    u, v = np.clip(u, low, high), np.clip(v, low, high)
    r = u.shape[1] - 1
    updated = update_one(kernels, x, u, v, r, (low, high))
    for i in range(x.shape[0]):
        trials = np.repeat(u[i : i + 1], high - low + 1, axis=0)
        trials[:, r] = np.arange(low, high + 1)
        best = min(cost(x[i : i + 1], trials[k : k + 1], v) for k in range(len(trials)))
        assert cost(x[i : i + 1], updated[i : i + 1], v) == best


# ------------------------------------------------------------------------------------------- the CPU and the reference


@given(problem=problems())
def test_update_columns_cpu_is_reference(problem):
    x, u, v, limits = problem
    results = []
    for kernels in BACKENDS:
        factor = u.astype(float)
        update_columns(kernels, x @ v, v.T @ v, factor, limits)
        results.append(factor)
    np.testing.assert_array_equal(*results)


@given(planes(st.integers(1, 40)), st.booleans())
def test_gram_cpu_is_reference_is_product(xt, as_float):
    exact = xt.astype(np.int64) @ xt.astype(np.int64).T
    blocks = to_blocks(xt.T.astype(np.float64) if as_float else xt.T)
    for kernels in BACKENDS:
        np.testing.assert_array_equal(gram_of(kernels, blocks), exact)


@pytest.mark.jit
@pytest.mark.parametrize("rows", [63, 64, 65, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("columns", [1, 3, 13])
def test_gram_is_exact_at_the_edge_of_float32(rows, columns):
    """All samples 255: the sums in float32 reach 256 * 255**2, just below 2**24."""
    blocks = to_blocks(np.full((rows, columns), 255, np.uint8))
    for gram in (gram_of(cpu, blocks), cpu._gram(blocks, np.float32)):
        np.testing.assert_array_equal(gram, np.full((columns, columns), 255.0**2 * rows))


@pytest.mark.jit
@pytest.mark.parametrize("rows", [70, 64 * 5, 64 * 270 + 9])
def test_all_sweeps_in_one_call_are_the_same_sweeps(rows, monkeypatch):
    """One block, several bands, more bytes than are kept in words; with a history of costs there is no such call."""
    monkeypatch.setattr(bands, "BAND", 2 if rows < 1000 else 100)
    x = np.random.default_rng(rows).integers(0, 256, (rows, 64), dtype=np.uint8)
    x[:, 8:] = x[:, :56] // 2 + x[:, 8:] // 2
    together = factors_of(x, 3, (-16, 15), 4, "cpu", 1)
    for device, threads in (("cpu", 1), ("cpu", 2), ("reference", 1)):
        one_by_one = factors_of(x, 3, (-16, 15), 4, device, threads, [])
        for found, expected in zip(together, one_by_one, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.jit
@pytest.mark.parametrize("low", [-128, 127])
def test_sums_of_bytes_are_exact_at_the_edge_of_int32(low, monkeypatch):
    """All samples 255 and all factors at a bound, over more blocks than the sums stay in int32."""
    rows = 64 * 520 + 3
    blocks = to_blocks(np.full((rows, 4), 255, np.uint8))
    np.testing.assert_array_equal(gram_of(cpu, blocks), np.full((4, 4), 255.0**2 * rows))
    u, v = np.zeros((1, len(blocks), 1, LANES), np.int8), np.full((1, 4, 1), 1.0 if low > 0 else -1.0)
    assert exact_in_float32(4, 1, -128, 127)
    monkeypatch.setattr(bands, "BAND", len(blocks))
    xtu, utu = cpu.update_u(blocks[None], v, u, rows, -128.0, 127.0, each)
    np.testing.assert_array_equal(from_blocks(u[0], rows), np.full((rows, 1), low))
    np.testing.assert_array_equal(xtu[0], np.full((4, 1), 255.0 * low * rows))
    np.testing.assert_array_equal(utu[0], [[float(low) ** 2 * rows]])


@given(
    problem=problems(),
    first=st.integers(0, 2),
    repeats=st.integers(1, 12),
    working=st.sampled_from([np.float32, np.float64]),
)
def test_bands_of_u_cpu_are_their_product(problem, first, repeats, working):
    """Both kernels behind `update_u`, on bands that begin anywhere."""
    x, u, v, limits = problem
    x, u = np.tile(np.clip(x, 0, 255).astype(np.uint8), (repeats, 1)), np.tile(u, (repeats, 1))
    exact = exact_in_float32(x.shape[1], u.shape[1], *limits)
    if not exact:
        working = np.float64
    blocks, rows = to_blocks(x), len(x)
    first = min(first, len(blocks) - 1)
    start = first * blocks.shape[2]
    results = []
    updates = [cpu._update_u_floats]
    if cpu._takes_bytes(blocks[None], to_blocks(u.astype(factor_dtype(limits)))[None], working):
        updates.append(lambda x, *rest: cpu._update_u_bytes(x, cpu._words_of(x, 1), *rest))
    for update_u in updates:
        factor = to_blocks(u.astype(factor_dtype(limits)))
        vt = np.ascontiguousarray(v.T, working)
        sums = update_u(blocks, rows, vt, factor, first, len(blocks), *map(float, limits))
        updated = from_blocks(factor, rows)
        np.testing.assert_array_equal(updated[:start], u[:start])  # patches outside the band are not touched
        np.testing.assert_array_equal(to_blocks(updated), factor)  # lanes beyond the last patch stay zero
        band = updated[start:].astype(np.int64)
        np.testing.assert_array_equal(sums[0], x[start:].T.astype(np.int64) @ band)
        np.testing.assert_array_equal(sums[1], band.T @ band)
        results.append(updated[start:])
    whole = to_blocks(u[start:].astype(factor_dtype(limits)))[None]
    reference.update_u(
        to_blocks(x[start:])[None], v.astype(float)[None], whole, rows - start, *map(float, limits), each
    )
    for updated in results:
        np.testing.assert_array_equal(updated, from_blocks(whole[0], rows - start))


@given(
    problem=problems(),
    count=st.integers(1, 3),
    repeats=st.integers(1, 12),
    band=st.integers(1, 3),
    as_float=st.booleans(),
)
def test_update_u_cpu_is_reference(problem, count, repeats, band, as_float):
    """Stacks of matrices, in bands of a few blocks; the sums are those of the factors."""
    x, u, v, limits = problem
    x, u = np.tile(np.clip(x, 0, 255).astype(np.uint8), (repeats, 1)), np.tile(u, (repeats, 1))
    x = x.astype(np.float64) if as_float else x
    stack, rows = np.stack([to_blocks(np.roll(x, k, axis=0)) for k in range(count)]), len(x)
    basis = np.stack([np.roll(v, k, axis=0).astype(float) for k in range(count)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "BAND", band)
        results = []
        for kernels in BACKENDS:
            factors = np.stack([to_blocks(u.astype(factor_dtype(limits)))] * count)
            sums = kernels.update_u(stack, basis, factors, rows, *map(float, limits), each)
            results.append((factors, *sums))
    for mine, naive in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, naive)
    for k, (factors, xtu, utu) in enumerate(zip(*results[0], strict=True)):
        updated = from_blocks(factors, rows).astype(np.int64)
        np.testing.assert_array_equal(to_blocks(updated), factors)  # lanes beyond the last patch stay zero
        np.testing.assert_array_equal(xtu, np.roll(x, k, axis=0).T.astype(np.int64) @ updated)
        np.testing.assert_array_equal(utu, updated.T @ updated)


@pytest.mark.jit
@pytest.mark.parametrize("rank", range(1, 20))
@pytest.mark.parametrize("columns", [1, 5, 64])
def test_register_tiles_of_every_size(rank, columns):
    """Every way to cut a rank and a number of pixels into tiles, over more blocks than sums stay in float32."""
    x = fill((64 * 17 + 5, columns), "noise", rank)
    assert_same(x, rank, (-16, 15), 2)


@pytest.mark.jit
@pytest.mark.parametrize("rows", [63, 64, 65, 128, 600])
@pytest.mark.parametrize("columns", [1, 3, 4, 7, 64])
def test_blocks_of_patches_have_no_seam(rows, columns):
    """Full blocks, one too few, one too many: still the reference, bit for bit."""
    x = np.asfortranarray(fill((rows, columns), "noise", rows + columns))
    for rank in (1, 2, 3):
        assert_same(x, rank, (-16, 15), 3)


@pytest.mark.jit
@pytest.mark.thorough
def test_float32_is_used_to_its_last_bit():
    """One column, bounds of 255: the largest sums for which the kernels still choose float32."""
    x = np.asfortranarray(fill((300, 1), "extremes", 3))
    assert exact_in_float32(1, 1, -255, 255) and not exact_in_float32(1, 1, -256, 256)
    assert not exact_in_float32(1, 1, *rules.limits(None))
    for bound in (255, 256):
        assert_same(x, 1, (-bound, bound), 4)


# ------------------------------------------------------------------------------------------------------ the descent


@given(
    st.integers(1, 30),
    st.integers(1, 20),
    st.integers(1, 8),
    st.sampled_from([*BOUNDS, None]),
    st.sampled_from(STYLES),
    st.sampled_from([np.uint8, np.int8, np.int16, np.int64, np.float32, np.float64, np.bool_, ">i2", ">f8"]),
    seeds,
)
def test_factorize_cpu_is_reference(rows, columns, rank, limits, style, dtype, seed):
    """Integer input of any dtype, any rank: the same integers on both backends, the true cost, and never a rise."""
    x = fill((rows, columns), style, seed)
    x = (x.astype(np.int64) - 128 if dtype == np.int8 else x).astype(dtype)
    u, v, history = imfnb.factorize(x, rank, limits, 4, device="cpu", return_cost=True)
    for mine, naive in zip((u, v), imfnb.factorize(x, rank, limits, 4, device="reference"), strict=True):
        assert mine.dtype == naive.dtype == factor_dtype(limits)
        np.testing.assert_array_equal(mine, naive)
    assert u.shape == (rows, rank) and v.shape == (columns, rank) and history.shape == (4,)
    assert history[-1] == cost(x, u, v)
    assert (np.diff(history) <= 0).all()
    if limits is not None:
        assert limits[0] <= min(u.min(), v.min()) and max(u.max(), v.max()) <= limits[1]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 4), bounds, seeds)
def test_fractions_are_factorized_alike_too(rows, columns, rank, limits, seed):
    """Multiples of 1/8 add up exactly in float64, so both backends must still agree on every bit."""
    x = np.random.default_rng(seed).integers(-800, 800, (rows, columns)) / 8
    for mine, naive in zip(
        imfnb.factorize(x, rank, limits, 3, device="cpu"),
        imfnb.factorize(x, rank, limits, 3, device="reference"),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, naive)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("limits", [(-16, 15), (0, 31), None])
def test_cost_of_real_numbers_never_rises(device, limits):
    x = np.random.default_rng(4).normal(20, 30, (13, 9))
    u, v, history = imfnb.factorize(x, 3, limits, 12, device=device, return_cost=True)
    assert (np.diff(history) <= 1e-9 * history[0]).all()
    assert history[-1] == pytest.approx(np.sum((x - u @ v.T) ** 2), rel=1e-9)
    assert history[-1] < np.sum(x**2)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_history_is_what_fewer_sweeps_give(device):
    x = fill((20, 16), "noise", 9)
    history = imfnb.factorize(x, 4, iterations=6, device=device, return_cost=True)[2]
    for sweeps in range(1, 7):
        u, v = imfnb.factorize(x, 4, iterations=sweeps, device=device)
        assert cost(x, u, v) == history[sweeps - 1]
    assert history[-1] < history[0]


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_more_columns_explain_more(device):
    x = fill((24, 16), "noise", 10)
    costs = [imfnb.factorize(x, rank, device=device, return_cost=True)[2][-1] for rank in (1, 2, 4, 8, 16)]
    assert costs == sorted(costs, reverse=True) and costs[-1] < 0.1 * costs[0]


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 7), (7, 1), (1, 1), (4, 4)])
def test_rank_above_both_sides(device, shape):
    """Columns beyond the rank of X are dead or redundant; unbounded factors still reach the matrix itself or nearly."""
    x = fill(shape, "noise", 11)
    u, v, history = imfnb.factorize(x, 9, (-16, 15), device=device, return_cost=True)
    assert u.shape == (shape[0], 9) and v.shape == (shape[1], 9)
    assert history[-1] == cost(x, u, v) <= 0.05 * np.sum(x.astype(float) ** 2)


@pytest.mark.parametrize("kernels", BACKENDS)
@pytest.mark.parametrize(("limits", "value"), [((-16, 15), 1), ((-5, 0), 0), ((-5, -2), -2), ((3, 9), 3)])
def test_dead_column_becomes_one_within_the_bounds(kernels, limits, value):
    factor = np.full((4, 2), -3.0)
    update_columns(kernels, np.zeros((4, 2)), np.diag([0.0, 4.0]), factor, limits)
    assert (factor[:, 0] == value).all()


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_zero_matrix(device):
    u, v, history = imfnb.factorize(np.zeros((5, 4)), 2, device=device, return_cost=True)
    assert (u @ v.T == 0).all() and (history == 0).all()


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float64])
def test_stack_is_its_matrices_one_by_one(device, dtype):
    x = fill((2, 3, 9, 7), "noise", 12).astype(dtype)
    u, v, history = imfnb.factorize(x, 3, iterations=2, device=device, return_cost=True)
    assert u.shape == (2, 3, 9, 3) and v.shape == (2, 3, 7, 3) and history.shape == (2, 3, 2)
    for index in np.ndindex(2, 3):
        alone = imfnb.factorize(x[index], 3, iterations=2, device=device, return_cost=True)
        for part, whole in zip(alone, (u, v, history), strict=True):
            np.testing.assert_array_equal(whole[index], part)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_empty_stack(device):
    """A stack of no matrices has no pixels, and says so."""
    with pytest.raises(imfnb.OptionError, match=r"\(0, 4, 4\)"):
        imfnb.factorize(np.zeros((0, 4, 4)), 1, device=device)


def test_memory_layout_does_not_matter():
    x = fill((22, 18), "noise", 13)
    plain = imfnb.factorize(x, 3, iterations=2)
    frozen = x.copy()
    frozen.flags.writeable = False
    layouts = [
        np.asfortranarray(x),
        np.repeat(x, 2, axis=1)[:, ::2],
        x[::-1, ::-1].copy()[::-1, ::-1],
        frozen,
        x.tolist(),
    ]
    for layout in layouts:
        for part, expected in zip(imfnb.factorize(layout, 3, iterations=2), plain, strict=True):
            np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@given(matrix=planes(st.integers(1, 24)), band=st.integers(1, 9), rank=st.integers(1, 4))
def test_bands_and_threads_change_nothing(device, matrix, band, rank):
    """Bands of a few rows, on one, two and three threads."""
    whole = imfnb.factorize(matrix, rank, iterations=3, device=device, threads=1, return_cost=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands, "BAND", band)
        for threads in (1, 2, 3):
            parts = imfnb.factorize(matrix, rank, iterations=3, device=device, threads=threads, return_cost=True)
            for part, expected in zip(parts, whole, strict=True):
                np.testing.assert_array_equal(part, expected)


def test_threads_change_nothing_for_real_numbers(monkeypatch):
    """The order of floating-point sums is fixed by the bands, not by the threads."""
    monkeypatch.setattr(bands, "BAND", 5)
    x = np.random.default_rng(5).normal(0, 50, (33, 8))
    one, three = (imfnb.factorize(x, 3, iterations=4, threads=threads, return_cost=True) for threads in (1, 3))
    for part, expected in zip(three, one, strict=True):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.jit
def test_more_rows_than_a_band():
    """The real width of a band, with threads: against the reference."""
    rows = bands.BAND * LANES + 77
    x = np.asfortranarray(fill((rows, 4), "noise", 14))
    for threads in (1, 2, 3):
        naive = factors_of(x, 2, (-16, 15), 2, "reference")
        for mine, expected in zip(factors_of(x, 2, (-16, 15), 2, "cpu", threads), naive, strict=True):
            np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_another_start(device):
    """A descent begins where it is told to, with the V that its own start would have found too."""
    x, run = fill((30, 16), "noise", 20), HostRun(device, 1)
    blocks = to_blocks(x)[None]
    v = run.drive(init_v(blocks, 30, 3, (-16, 15), run))

    def given_v(blocks, rows, rank, bounds, run, name):
        assert (rows, rank, bounds) == (30, 3, (-16, 15))
        return v.copy()
        yield

    for start, same in ((given_v, True), (lambda *_: _zeros(16, 3), False)):
        u, _ = run.drive(descend(blocks, 30, 3, (-16, 15), 2, run, start=start))
        expected, _ = run.drive(descend(blocks, 30, 3, (-16, 15), 2, run))
        assert np.array_equal(u, expected) == same


def _zeros(*shape: int):
    return np.zeros((1, *shape))
    yield


# --------------------------------------------------------------------------------------------------- start and bounds


@given(planes(), st.integers(1, 6), bounds)
def test_start_is_integer_within_bounds_on_the_fixed_side(x, rank, limits):
    x = np.asfortranarray(x)
    v = start(x, rank, limits, "cpu")
    np.testing.assert_array_equal(v, start(x, rank, limits, "reference"))
    assert v.shape == (x.shape[1], rank)
    np.testing.assert_array_equal(v, np.rint(v))
    assert limits[0] <= v.min() and v.max() <= limits[1]


@pytest.mark.parametrize(("limits", "sign"), [((-16, 15), -1), ((-15, 16), 1), ((0, 31), 1)])
def test_start_uses_the_larger_bound(limits, sign):
    """A positive matrix has a first singular vector of one sign, which is that of the larger bound."""
    v = start(np.asfortranarray(fill((12, 9), "noise", 15)), 1, limits, "cpu")
    assert (sign * v[:, 0] >= 0).all() and np.abs(v).max() > 1


def test_start_spans_what_the_svd_spans():
    """The first column of V is the first right singular vector scaled by the root of its value, rounded."""
    x = np.asfortranarray(fill((30, 12), "noise", 16))
    _, s, vt = np.linalg.svd(x.astype(float))
    v = start(x, 1, None, "cpu")[:, 0]
    assert np.abs(np.abs(v) - np.sqrt(s[0]) * np.abs(vt[0])).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("limits", "dtype"),
    [
        ((-16, 15), np.int8),
        ((-128, 127), np.int8),
        ((0, 128), np.int16),
        ((-129, 0), np.int16),
        ((-(2**15), 2**15), np.int32),
        ((-(2**31) - 1, 0), np.int64),
        (None, np.int64),
    ],
)
def test_factor_dtype_is_the_smallest_that_holds_the_bounds(limits, dtype):
    assert factor_dtype(limits) is dtype


@pytest.mark.parametrize("given_bounds", [(-16, 15), [-16, 15], np.array([-16, 15])])
def test_bounds_become_python_integers(given_bounds):
    assert check_bounds(given_bounds, 100) == (-16, 15)
    assert all(type(bound) is int for bound in check_bounds(given_bounds, 100))
