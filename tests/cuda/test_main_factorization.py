"""Kernels of the rate-distortion factorization on the device against the reference, on stacks of planes."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import STEPS, chosen, inside, make_factors, multiplied, on_host, patch_sizes, steps
from stacks import DeviceRun, empty, same, up
from strategies import seeds
from warps import lanes_product

from imfnb.entropy import layout
from imfnb.factorization import rdoq
from imfnb.factorization.rdoq import basis, costs, cuda, pipeline, reference, tuning
from imfnb.format import basis as v0
from imfnb.format import context_model
from imfnb.format.basis_update import COLUMNS, ROWS, UPDATE_BITS, UPDATE_LIMIT
from imfnb.format.constants import STEP_MAX
from imfnb.format.masking import FACTORS
from imfnb.runtime.cuda import SIMULATED
from imfnb.runtime.run import finish

# Sums of the reference and of the simulator wrap on the way where the exact total fits.
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

LIMIT = 2**14 - 1  # the largest magnitude behind the lapped filter


def filtered(grid: tuple[int, int], p: int, style: str, seed: int) -> np.ndarray:
    """A plane as the factorization gets it, from flat to the largest samples."""
    rng = np.random.default_rng(seed)
    shape = grid[0] * p, grid[1] * p
    if style == "extremes":
        return rng.choice(np.array([-2048, 2032], np.int32), shape)
    y, x = np.mgrid[: shape[0], : shape[1]]
    plane = 900 * np.sin(x / 7 + seed % 5) + 700 * np.cos(y / 9) + rng.normal(0, 60, shape)
    return np.rint(plane if style == "smooth" else np.full(shape, plane[0, 0])).astype(np.int32)


@st.composite
def problems(draw: st.DrawFn, count: int = 2, rows: int = 3, columns: int = 4):
    """(planes, grid, step, patch size) over the whole range of steps."""
    p = draw(patch_sizes)
    grid = draw(st.integers(1, rows)), draw(st.integers(1, columns if p == 8 else 2))
    styles = st.sampled_from(["smooth", "extremes", "constant"])
    planes = [filtered(grid, p, draw(styles), draw(seeds)) for _ in range(draw(st.integers(1, count)))]
    return np.stack(planes), grid, draw(steps), p


def projections(planes: np.ndarray, grid: tuple[int, int], step: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    """X V of every plane and the squared lengths of V's columns."""
    x = pipeline.project(planes, step, p, on_host("reference"), "")
    return x.products, x.squares


def rounded(problem) -> tuple[np.ndarray, ...]:
    """Projections, squared lengths, U and ranks after plain rounding."""
    _, grid, step, _ = problem
    products, lengths = projections(*problem)
    factors, ranks = np.empty(products.shape, np.int16), np.empty((len(products), products.shape[2]), np.int32)
    reference.quantize(products, lengths, v0.scale_bits(step), tuning.TRAIL, grid, factors, ranks)
    return products, lengths, factors, ranks


def tables(counts: np.ndarray, sign: int) -> np.ndarray:
    """Costs of classes."""
    out = np.empty(counts.shape, np.int32)
    reference.cost_table(counts, sign, out)
    return out


def check_project(planes: np.ndarray, grid: tuple[int, int], step: int, p: int) -> None:
    expected, _ = projections(planes, grid, step, p)
    found = up(np.zeros(expected.shape, np.int32))
    cuda.project(up(planes), p, up(cuda.weights(v0.dct_basis(p, step).T)), found)
    same(found, expected)


def check_quantize(problem) -> None:
    _, grid, step, _ = problem
    products, lengths, factors, ranks = rounded(problem)
    products[:, :, 0] = 12345  # a guard, which is not read
    found, ends = empty(factors.shape, np.int16), empty(ranks.shape)
    cuda.quantize(*up(products, lengths), v0.scale_bits(step), tuning.TRAIL, grid, found, ends)
    same(found, factors)
    same(ends, ranks)


def check_rebase(problem, seed: int, density: float) -> None:
    """Projections on a V that has left the DCT basis, to its bounds."""
    _, grid, step, _ = problem
    products, _, factors, _ = rounded(problem)
    rng = np.random.default_rng(seed)
    update = rng.integers(-UPDATE_LIMIT, UPDATE_LIMIT + 1, (ROWS, COLUMNS)) * (rng.random((ROWS, COLUMNS)) < density)
    right, gram = basis.basis_update_matrices(update.astype(np.int32), step)
    expected, numbers = np.zeros_like(products), (UPDATE_BITS, v0.scale_bits(step), grid)
    reference.rebase(products, factors, right, gram, *numbers, expected)
    found = up(np.zeros_like(products))
    cuda.rebase(*up(products, factors, right, gram), *numbers, found)
    same(found, expected)


def check_first(problem, weight: int) -> None:
    """Counts, their table, and the choices of the first component."""
    planes, grid, step, _ = problem
    products, lengths, factors, _ = rounded(problem)
    counts = np.empty((len(planes), costs.FIRST_CONTEXTS, costs.FIRST_CLASSES), reference.COUNTS)
    reference.first_counts(factors, grid, counts)
    found, table, there = empty(counts.shape, cuda.COUNTS), empty(counts.shape), up(factors)
    cuda.first_counts(there, grid, found)
    same(found, counts)
    cuda.cost_table(found, 256, table)
    expected = tables(counts, 256)
    same(table, expected)
    numbers = lengths[0], v0.scale_bits(step), weight * basis.squared_length(step) >> 8
    cuda.choose_first(up(products), *numbers, table, grid, there)
    reference.choose_first(products, *numbers, expected, grid, factors)
    same(there, factors)


def check_prices(counts: np.ndarray) -> tuple[np.ndarray, Any]:
    """Prices of the reference and of the device."""
    expected, found = np.zeros(counts.shape, np.uint16), empty(counts.shape, np.uint16)
    reference.magnitude_prices(counts, expected)
    cuda.magnitude_prices(up(counts.astype(cuda.COUNTS)), found)
    same(found, expected)
    return expected, found


def check_choose(problem, weight: int) -> None:
    """Contexts, counts and prices, classes and costs of ranks, and the choices."""
    _, grid, step, p = problem
    products, lengths, factors, ranks = rounded(problem)
    count, components, size = factors.shape
    there, ends, table = up(factors), up(ranks), context_model.component_table(p)
    contexts = np.zeros((count, 2, components, size), np.uint16)
    counts = np.empty((count, costs.MAGNITUDE_CONTEXTS, costs.MAGNITUDE_CLASSES), reference.COUNTS)
    reference.count_magnitudes(factors, ranks, table, grid, contexts, counts)
    found, found_counts = up(np.zeros_like(contexts)), empty(counts.shape, cuda.COUNTS)
    assert cuda.extent(ends, components) == components
    cuda.count_magnitudes(there, ends, up(table), grid, found, found_counts)
    same(found, contexts)
    same(found_counts, counts)
    expected_prices, prices = check_prices(counts)

    sides = count, costs.RANK_CLASSES, costs.RANK_CLASSES
    classes, counts = np.empty_like(ranks), np.empty(sides, reference.COUNTS)
    reference.rank_classes(ranks, grid, classes, counts)
    found_classes, rank_counts, rank_table = up(np.zeros_like(classes)), empty(sides, cuda.COUNTS), empty(sides)
    cuda.rank_classes(ends, grid, found_classes, rank_counts)
    same(found_classes, classes)
    same(rank_counts, counts)
    cuda.cost_table(rank_counts, 0, rank_table)
    same(rank_table, tables(counts, 0))

    numbers = v0.scale_bits(step), weight * basis.squared_length(step) >> 8
    cuda.choose(*up(products, lengths), *numbers, found, prices, found_classes, rank_table, grid, there, ends)
    chosen_by = contexts, expected_prices, classes, tables(counts, 0), grid
    reference.choose(products, lengths, *numbers, *chosen_by, factors, ranks)
    same(there, factors)
    same(ends, ranks)


def check_product(grid: tuple[int, int], p: int, step: int, rank: int, largest: int, count: int, seed: int) -> None:
    pairs = [make_factors(grid, rank, 0.5, largest, largest, seed + n) for n in range(count)]
    factors, ranks = np.stack([u for u, _ in pairs]), np.stack([k for _, k in pairs])
    if rank % 2 == 0:  # a plane of rank 0 beside others
        factors[-1, 1:], ranks[-1] = 0, 0
    v, numbers = v0.dct_basis(p, step), (v0.magnitude_limit(step, p), v0.scale_bits(step), p)
    expected = np.empty((count, grid[0] * p, grid[1] * p), np.int32)
    reference.product(factors, ranks, reference.weights(v), *numbers, expected)
    found = empty(expected.shape)
    cuda.product(*up(factors, ranks, cuda.weights(v)), *numbers, found)
    same(found, expected)


def check_local(grid: tuple[int, int], p: int, step: int, count: int, seed: int) -> None:
    """Steps of patches of their own, there and back."""
    rng = np.random.default_rng(seed)
    local = rng.choice(FACTORS, (count, *grid)).astype(np.int32)
    products = rng.integers(-(2**31) + 1, 2**31, (count, p * p, layout.padded_size(*grid)[0])).astype(np.int32)
    found, expected = up(products), products.copy()
    cuda.normalize(found, up(local), grid)
    reference.normalize(expected, local, grid)
    np.testing.assert_array_equal(inside(found.copy_to_host(), grid), inside(expected, grid))
    factors, _ = make_factors(grid, 3, 0.5, 9000, 90, seed)
    stack = np.stack([factors] * count)
    samples = rng.integers(-(2**24), 2**24, (count, grid[0] * p, grid[1] * p)).astype(np.int32)
    numbers = int(v0.dct_basis(p, step)[0, 0]), v0.magnitude_limit(step, p), v0.scale_bits(step), p
    found, expected = up(samples), samples.copy()
    cuda.denormalize(*up(stack, local), *numbers, found)
    reference.denormalize(stack, local, *numbers, expected)
    same(found, expected)


def check_proxy(planes: np.ndarray, step: int, p: int) -> None:
    found, expected = up(np.full(len(planes), 7, np.int64)), np.full(len(planes), 7, np.int64)
    cuda.proxy(up(planes), p, step, found)
    reference.proxy(planes, p, step, expected)
    same(found, expected)


class Warp:
    """32 threads that multiply matrices of bytes together."""

    def __init__(self) -> None:
        self.barrier, self.lane, self.operands = threading.Barrier(32), threading.local(), [None] * 32

    def run(self, function) -> list[Any]:
        results = [None] * 32

        def thread(lane: int) -> None:
            self.lane.number = lane
            results[lane] = function(np.uint32(lane))

        threads = [threading.Thread(target=thread, args=(lane,)) for lane in range(32)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        return results

    def multiply(self, *operands: Any) -> tuple[np.int32, ...]:
        lane = self.lane.number
        self.operands[lane] = operands
        self.barrier.wait()
        sums = lanes_product(self.operands, lane, "s8", "s8")
        self.barrier.wait()
        return sums


@pytest.mark.skipif(not SIMULATED, reason="a device has warps of its own")
@pytest.mark.parametrize("p", [8, 16])
def test_a_warp_multiplies_like_its_lanes(p, monkeypatch):
    """The device's product, with the instruction of the tensor cores imitated, and the simulator's product."""
    rng, warp = np.random.default_rng(p), Warp()
    v = v0.dct_basis(p, STEP_MAX)
    entries = np.zeros((2, p * p // 8, 36), np.uint64)
    values = rng.integers(-LIMIT, LIMIT + 1, (p * p, 32)).astype(np.int32)
    for lane in range(32):
        for octet in range(p * p // 8):
            cuda._split(entries, octet, lane, *values[8 * octet : 8 * octet + 8, lane])
    monkeypatch.setattr(cuda, "mma_ss", warp.multiply)
    monkeypatch.setattr(cuda, "_accumulate", cuda._accumulate.fn)
    local = SimpleNamespace(array=lambda shape, _: np.zeros(shape, np.int32))
    monkeypatch.setattr(cuda, "_cuda", SimpleNamespace(local=local))
    steps, tile = p * p // 32, p * p // 16 - 1
    for used in (1, steps):
        numbers = cuda.weights(v), entries, np.uint32(tile), steps, used

        def product(function, lane, numbers=numbers):
            sums = np.zeros((4, 4), np.int32)
            function(*numbers, lane, sums)
            return sums

        together = warp.run(lambda lane: product(cuda._warp_product, lane))
        expected = (v[-16:, : 32 * used].astype(np.int64) @ values[: 32 * used]).astype(np.int32)
        for lane, found in enumerate(together):
            np.testing.assert_array_equal(found, product(cuda._lane_product, np.uint32(lane)))
            for (j, i), value in np.ndenumerate(found):
                assert value == expected[lane // 4 + i // 2 * 8, 8 * j + lane % 4 * 2 + i % 2]


@given(patch_sizes, st.integers(1, 3), st.integers(1, 4), steps, st.integers(1, 2), seeds)
@settings(max_examples=3)
def test_steps_of_patches(p, rows, columns, step, count, seed):
    check_local((rows, columns), p, step, count, seed)


@given(problems())
@settings(max_examples=3)
def test_project(problem):
    check_project(*problem)


@pytest.mark.parametrize("p", [8, 16])
def test_projections_of_the_largest_samples(p):
    """Samples with the signs of a column of V: partial sums may wrap, the totals do not."""
    v = v0.dct_basis(p, STEP_MAX)
    planes = np.where(v[:, p + 1] < 0, -LIMIT, LIMIT).astype(np.int32).reshape(1, p, p)
    check_project(planes, (1, 1), STEP_MAX, p)


@given(problems())
@settings(max_examples=8)
def test_quantize(problem):
    check_quantize(problem)


@given(problems(), seeds, st.sampled_from([0.0, 0.1, 1.0]))
@settings(max_examples=3)
def test_rebase(problem, seed, density):
    check_rebase(problem, seed, density)


def test_quantize_keeps_to_the_limit():
    """A coefficient beyond what the coder can express is clamped, in every component."""
    products = np.zeros((1, 2, 24), np.int32)
    inside(products, (1, 2))[0, :, 0] = [[2**30, -(2**30)], [-(2**30), 2**30]]
    found, ends = empty(products.shape, np.int16), empty((1, 24))
    cuda.quantize(up(products), up(np.array([1 << 22, 1 << 22], np.int64)), 7, tuning.TRAIL, (1, 2), found, ends)
    same(found, np.clip(products, -4095, 4095))
    assert inside(ends.copy_to_host(), (1, 2)).tolist() == [[[1, 1]]]


@given(problems(rows=6, columns=7), st.sampled_from([0, 7864, 65536]))
@settings(max_examples=8)
def test_first_component(problem, weight):
    check_first(problem, weight)


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 4), (7, 11)])
def test_the_wavefront_sees_the_values_of_the_raster_order(grid):
    """Noise so weak that every choice changes the contexts around it, whatever the shape of the grid.

    A slope of two fails in the simulator, which runs the patches of a wave in any order.
    """
    rng = np.random.default_rng(grid[0])
    size, _ = layout.padded_size(*grid)
    den, scale = 1 << 22, 2
    exact = np.zeros((4, 1, size))
    inside(exact, grid)[...] = rng.normal(0, 0.8, (4, 1, *grid))
    products = np.rint(exact * den / 4).astype(np.int32)
    padded = np.rint(exact).astype(np.int16)
    table = rng.integers(0, 3000, (4, costs.FIRST_CONTEXTS, costs.FIRST_CLASSES), dtype=np.int32)
    lam = round(0.12 * 65536) * den >> 8
    factors = up(padded)
    cuda.choose_first(up(products), den, scale, lam, up(table), grid, factors)
    before = padded.copy()
    reference.choose_first(products, den, scale, lam, table, grid, padded)
    same(factors, padded)
    assert (before != padded).any() or grid == (1, 1)


@given(problems(), st.sampled_from([0, 6226, 65536]))
@settings(max_examples=5)
def test_choose(problem, weight):
    check_choose(problem, weight)


@given(st.integers(1, 2), st.sampled_from([1, 300, 5000, 2**18]), seeds)
@settings(max_examples=6)
def test_costs_from_large_counts(count, largest, seed):
    """Frequencies as pictures of any size have them, where logarithms take more than their leading bits."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((count, costs.MAGNITUDE_CONTEXTS, costs.MAGNITUDE_CLASSES), np.int64)
    for image in counts:
        for _ in range(60):
            image[rng.integers(len(image)), rng.integers(costs.MAGNITUDE_CLASSES)] = rng.integers(largest)
    check_prices(counts)
    counts = rng.integers(0, largest, (count, costs.FIRST_CONTEXTS, costs.FIRST_CLASSES))
    found = empty(counts.shape)
    cuda.cost_table(up(counts.astype(np.int32)), 256, found)
    same(found, tables(counts, 256))


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("full", [False, True])
def test_product(p, full):
    """Rank 1 and the largest one; magnitudes beyond the limit; every scale of V; more than one tile of patches."""
    for step in (64, 1023, 16384) if p == 8 else (300,):
        grid = (1, 1) if full else (3, 12) if p == 8 else (1, 2)
        check_product(grid, p, step, p * p if full else 1, layout.MAGNITUDE_LIMIT // (1 if full else 2), 2, step)


@given(problems())
@settings(max_examples=6)
def test_proxy(problem):
    planes, _, step, p = problem
    check_proxy(planes, step, p)


@pytest.mark.parametrize("p", [8, 16])
def test_proxy_of_the_worst_picture(p):
    """Filtered samples at the largest magnitude with the signs of a basis vector, and their change of sign below."""
    cosines = basis.proxy_cosines(p)
    signs = [np.where(np.outer(cosines[i], cosines[j]) < 0, -1, 1) for i, j in ((0, 0), (p - 1, 1))]
    planes = np.stack([np.vstack([s, -s]) * LIMIT for s in signs]).astype(np.int32)
    check_proxy(planes, 64, p)


def check_pipeline(planes: np.ndarray, step: int, p: int, update: np.ndarray | None, rate: bool, scale: int) -> None:
    """Factors and products by the pipeline of every runner, with and without a second use of the last choice."""
    run, settings = DeviceRun(), rdoq.Settings(rate=rate)
    grid = planes.shape[1] // p, planes.shape[2] // p
    last = rdoq.prepare(up(planes), step, p, run, "x ", update, settings)
    for lambda_scale, keep in ((scale, True), (rdoq.LAMBDA_ONE, False)):
        there = rdoq.choose_last(last, run, "x ", lambda_scale, keep)
        factors = finish(rdoq.download(*there, grid, update, run, "x "))
        expected = chosen(planes, step, p, "reference", lambda_scale, update, settings)
        for mine, naive in zip(factors, expected, strict=True):
            np.testing.assert_array_equal(mine.padded, naive.padded)
            np.testing.assert_array_equal(mine.ranks, naive.ranks)
            assert mine.grid == grid and mine.basis_update is update
        products, out = multiplied(expected, step, p, "reference"), empty(planes.shape)
        rdoq.product(*there, step, p, update, out, run, "x ")
        same(out, products)
        there, out = finish(rdoq.upload(factors, run, "x ")), empty(planes.shape)
        rdoq.product(*there, step, p, update, out, run, "x ")
        same(out, products)


@pytest.mark.parametrize(
    ("p", "rate"),
    [
        (8, True),
        pytest.param(16, True, marks=pytest.mark.slow),
        pytest.param(8, False, marks=pytest.mark.slow),
        pytest.param(16, False, marks=pytest.mark.slow),
    ],
)
def test_pipeline(p, rate):
    """Planes of different depth; V in the DCT basis and, for the larger patches, out of it."""
    grid = (2, 3) if p == 8 else (1, 2)
    planes = np.stack([filtered(grid, p, style, 3) for style in ("smooth", "constant")])
    rng = np.random.default_rng(p)
    update = rng.integers(-200, 201, (ROWS, COLUMNS)) * (rng.random((ROWS, COLUMNS)) < 0.1)
    check_pipeline(planes, 640, p, update.astype(np.int32) if p == 16 else None, rate, 700)


@pytest.mark.gpu
@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", STEPS[::3])
def test_large(step, p):
    for grid in ((48, 64), (1, 300), (257, 3)):
        styles = ("smooth", "extremes", "constant")
        problem = np.stack([filtered(grid, p, style, step) for style in styles]), grid, step, p
        check_project(*problem)
        check_quantize(problem)
        check_rebase(problem, step, 0.5)
        check_first(problem, 7864)
        check_choose(problem, 6226)
        check_proxy(problem[0], step, p)
        for rank in (1, 17, p * p):
            check_product(grid, p, step, rank, layout.MAGNITUDE_LIMIT // 2, 3, rank)
