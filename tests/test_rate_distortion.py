"""Rate-distortion factorization: kernels against their reference, optimal choices, and exact sums at the extremes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from main_helpers import STEPS, chosen, inside, multiplied, on_host, patch_sizes, steps
from strategies import seeds

from imfnb.entropy import layout
from imfnb.factorization import rdoq
from imfnb.factorization.rdoq import basis, costs, cpu, pipeline, reference, spectra, tuning
from imfnb.format import basis as v0
from imfnb.format import context_model
from imfnb.lapped import reference as lapped
from imfnb.runtime.run import finish as run_to_end

pytestmark = pytest.mark.kernels

BOTH = (cpu, reference)
SAMPLE = 2048


def filtered(grid: tuple[int, int], p: int, style: str, seed: int) -> np.ndarray:
    """A plane as the factorization gets it: centred samples behind the lapped filter."""
    shape = grid[0] * p, grid[1] * p
    if style == "picture":
        plane = 16 * picture(*shape, 0, seed % 1000).astype(np.int32) - SAMPLE
    elif style == "constant":
        plane = np.full(shape, seed % (2 * SAMPLE) - SAMPLE, np.int32)
    else:
        rng = np.random.default_rng(seed)
        values = np.array([-SAMPLE, SAMPLE - 16]) if style == "extremes" else np.arange(-SAMPLE, SAMPLE)
        plane = rng.choice(values, shape).astype(np.int32)
    return through(lapped.forward, plane, p)


def through(function, plane: np.ndarray, p: int) -> np.ndarray:
    """A plane of whole patches behind the lapped filter or its inverse."""
    out = np.empty((1, *plane.shape), np.int32)
    function(plane[None], p, out, [0])
    return out[0]


@st.composite
def problems(draw: st.DrawFn, rows: int = 3, columns: int = 4):
    """(plane, grid, step, patch size) over the whole range of steps."""
    p = draw(patch_sizes)
    grid = draw(st.integers(1, rows)), draw(st.integers(1, columns if p == 8 else 2))
    style = draw(st.sampled_from(["picture", "noise", "extremes", "constant"]))
    return filtered(grid, p, style, draw(seeds)), grid, draw(steps), p


def start(plane: np.ndarray, grid: tuple[int, int], step: int, p: int):
    """Projections, lengths, scale, U and ranks after plain rounding, all by the reference."""
    run, scale = on_host("reference"), v0.scale_bits(step)
    x = pipeline.project(plane[None], step, p, run, "")
    factors, ranks = np.empty(x.products.shape, np.int16), np.empty((1, x.products.shape[2]), np.int32)
    reference.quantize(x.products, x.squares, scale, 190, grid, factors, ranks)
    return x.products, x.squares, scale, factors, ranks


def same(function: str, *arguments, changed: tuple[int, ...]) -> list:
    """Call both backends on copies; the arguments at `changed` must agree afterwards. Returns those."""
    results = []
    for kernels in BOTH:
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        assert getattr(kernels, function)(*copies) is None
        results.append([copies[i] for i in changed])
    for mine, naive in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, naive)
    return results[0]


def noise(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Memory in which something stands already."""
    return np.full(shape, 77, dtype)


# ------------------------------------------------------------------------------------------------------------- kernels


def both_products(planes: np.ndarray, p: int, v: np.ndarray) -> np.ndarray:
    """X V by both backends, zero in the guards."""
    size, _ = layout.padded_size(planes.shape[1] // p, planes.shape[2] // p)
    weights = cpu.weights(v.T)
    np.testing.assert_array_equal(weights, reference.weights(v.T))
    (products,) = same("project", planes, p, weights, noise((len(planes), p * p, size), np.int32), changed=(3,))
    return products


@given(problems())
def test_project(problem):
    plane, grid, step, p = problem
    v = v0.dct_basis(p, step)
    planes = np.stack([plane, plane[::-1]])
    products = both_products(planes, p, v)
    for image, found in zip(planes.astype(np.int64), products, strict=True):
        patches = image.reshape(grid[0], p, grid[1], p).transpose(0, 2, 1, 3).reshape(*grid, p * p)
        np.testing.assert_array_equal(np.moveaxis(inside(found, grid), 0, 2), patches @ v.astype(np.int64))
    assert np.count_nonzero(products) == np.count_nonzero(inside(products, grid))


@given(problems(), st.sampled_from([128, 190, 256]))
def test_quantize(problem, trail):
    _, grid, _, p = problem
    products, lengths, scale, _, _ = start(*problem)
    products = np.concatenate([products, -products])
    blank = noise(products.shape, np.int16), noise(products.shape[::2], np.int32)
    both, ends = same("quantize", products, lengths, scale, trail, grid, *blank, changed=(5, 6))
    np.testing.assert_array_equal(both[1], -both[0])
    np.testing.assert_array_equal(ends[1], ends[0])
    padded, ranks = both[0], ends[0]
    c = np.abs(products[0].astype(np.int64)) << scale  # over lengths, the coefficient in steps
    rounded = (2 * c + lengths[:, None]) // (2 * lengths[:, None]) * np.sign(products[0])
    kept = np.arange(p * p)[:, None] <= np.maximum(ranks, 0)
    np.testing.assert_array_equal(padded, np.where(kept, np.clip(rounded, -4095, 4095), 0))
    late = (256 * c >= trail * lengths[:, None]) & (np.arange(p * p)[:, None] > ranks)
    assert not late[1:].any()


def test_quantize_keeps_to_the_limit():
    """A coefficient beyond what the coder can express is clamped, in every component."""
    products = np.zeros((1, 2, 24), np.int32)
    inside(products, (1, 2))[0, :, 0] = [[2**30, -(2**30)], [-(2**30), 2**30]]
    lengths = np.array([1 << 22, 1 << 22], np.int64)
    blank = noise((1, 2, 24), np.int16), noise((1, 24), np.int32)
    factors, ranks = same("quantize", products, lengths, 7, 190, (1, 2), *blank, changed=(5, 6))
    limit = layout.MAGNITUDE_LIMIT // 2
    np.testing.assert_array_equal(inside(factors, (1, 2))[0, :, 0], [[limit, -limit], [-limit, limit]])
    np.testing.assert_array_equal(inside(ranks, (1, 2)), [[[1, 1]]])


def table_of(counts: np.ndarray, sign: int) -> np.ndarray:
    (table,) = same("cost_table", counts, sign, noise(counts.shape, np.int32), changed=(2,))
    return table


@given(problems(4, 6), st.sampled_from([0, 1, 7864]))
def test_first_component(problem, weight):
    _, grid, step, _ = problem
    products, lengths, scale, factors, _ = start(*problem)
    blank = noise((1, costs.FIRST_CONTEXTS, costs.FIRST_CLASSES), np.int64)
    (counts,) = same("first_counts", factors, grid, blank, changed=(2,))
    assert counts.sum() == grid[0] * grid[1]
    lam = weight * basis.squared_length(step) >> 8
    arguments = products, lengths[0], scale, lam, table_of(counts, 0), grid, factors
    (found,) = same("choose_first", *arguments, changed=(6,))
    np.testing.assert_array_equal(found[:, 1:], factors[:, 1:])
    moved = np.abs(found[0, 0].astype(int) - factors[0, 0])
    assert moved.max() <= 1 and not (moved - _padded(inside(moved, grid))).any()
    if weight == 0:  # without a rate nothing is closer than the rounding
        np.testing.assert_array_equal(found, factors)


def _padded(image: np.ndarray) -> np.ndarray:
    return np.pad(image, ((2, 1), (2, 2))).ravel()


def test_first_component_takes_the_cheapest_of_three_at_a_single_patch():
    """One patch predicts nothing but itself: the choice is the least D + lambda bits by hand."""
    grid, den, scale = (1, 1), 1 << 22, 2
    table = np.zeros((1, costs.FIRST_CONTEXTS, costs.FIRST_CLASSES), np.int32)
    table[0, 0, :4] = 0, 2560, 300, 5000
    for quotient in np.linspace(-3.0, 3.0, 41):
        num, factors = np.zeros((1, 1, 20), np.int32), np.zeros((1, 1, 20), np.int16)
        inside(num, grid)[...] = numerator = round(quotient * den / 4)
        inside(factors, grid)[...] = centre = round(quotient)
        lam = round(0.12 * 65536) * den >> 8
        (found,) = same("choose_first", num, den, scale, lam, table, grid, factors, changed=(6,))
        prices = [
            (u * (u * den - 8 * numerator) + (lam * int(table[0, 0, abs(u)]) >> 16), k, u)
            for k, u in enumerate((centre, centre + 1, centre - 1))
        ]
        assert inside(found, grid).item() == min(prices)[2]


@given(problems(5, 6))
def test_rank_classes(problem):
    _, grid, step, p = problem
    rng = np.random.default_rng(step)
    ranks = np.stack([_padded(rng.integers(0, p * p, grid)) for _ in range(2)]).astype(np.int32)
    blank = noise(ranks.shape, np.int32), noise((2, costs.RANK_CLASSES, costs.RANK_CLASSES), np.int64)
    classes, counts = same("rank_classes", ranks, grid, *blank, changed=(2, 3))
    assert not (classes - np.stack([_padded(c) for c in inside(classes, grid)])).any()
    for some, kinds, table in zip(ranks, classes, counts, strict=True):
        image, expected = some.reshape(grid[0] + 3, grid[1] + 4), np.zeros_like(table)
        for y, x in np.ndindex(grid):
            near = [image[y + 1, x + 2], image[y + 3, x + 2], image[y + 2, x + 1], image[y + 2, x + 3]]
            assert inside(kinds, grid)[y, x] == ((int(sum(near)) + 2) // 4).bit_length()
            expected[inside(kinds, grid)[y, x], int(image[y + 2, x + 2]).bit_length()] += 1
        np.testing.assert_array_equal(table, expected)


KINDS = ("frequencies", "noise")


def counted(factors: np.ndarray, ranks: np.ndarray, grid: tuple[int, int], p: int) -> tuple[np.ndarray, np.ndarray]:
    """Contexts and counts of U."""
    used = reference.extent(ranks, p * p)
    assert used == cpu.extent(ranks, p * p) == ranks.max() + 1
    contexts = np.zeros((len(ranks), 2, used, ranks.shape[1]), np.uint16)
    counts = noise((len(ranks), costs.MAGNITUDE_CONTEXTS, costs.MAGNITUDE_CLASSES), np.int64)
    table = context_model.component_table(p)
    return same("count_magnitudes", factors, ranks, table, grid, contexts, counts, changed=(4, 5))


def priced(counts: np.ndarray) -> np.ndarray:
    (prices,) = same("magnitude_prices", counts, noise(counts.shape, np.uint16), changed=(1,))
    return prices


def test_contexts_of_the_largest_numbers():
    """All 256 components at magnitudes beyond what a byte, or a sum of theirs, is told apart by."""
    rng = np.random.default_rng(0)
    u = rng.choice([0, 1, 39, 41, 254, 256, 8191], (6, 256)) * rng.choice([-1, 1], (6, 256))
    padded = layout.pad_factors(u.astype(np.int16), 2, 3)
    contexts, counts = counted(padded[None], layout.active_ranks(padded)[None], (2, 3), 16)
    assert contexts.max() >= costs.INSIDE_CONTEXTS and counts.sum() > 2 * 6 * 200


def choice(kind: str, problem, weight: int, seed: int):
    """The arguments of `choose` for a plane: costs from frequencies, or any at all."""
    _, grid, step, p = problem
    products, lengths, scale, factors, ranks = start(*problem)
    contexts, counts = counted(factors, ranks, grid, p)
    coded = int((_padded(np.ones(grid, int)) * ranks).sum())
    first = costs.INSIDE_CONTEXTS
    assert counts[0, :first].sum() == counts[0, first:].sum() == coded  # every coded entry once in each kind
    prices = priced(counts)
    if kind == "noise":
        rng = np.random.default_rng(seed)
        prices = rng.integers(0, 2 ** (1 + seed % 16), prices.shape).astype(np.uint16)
        contexts = rng.integers(0, costs.MAGNITUDE_CONTEXTS, contexts.shape).astype(np.uint16)
    classes, table = np.empty_like(ranks), np.empty((1, costs.RANK_CLASSES, costs.RANK_CLASSES), np.int64)
    reference.rank_classes(ranks, grid, classes, table)
    lam = weight * basis.squared_length(step) >> 8
    return products, lengths, scale, lam, contexts, prices, classes, table_of(table, 0), grid, factors, ranks


@st.composite
def choices(draw: st.DrawFn):
    problem = draw(problems())
    weight = draw(st.sampled_from([0, 1, 8520, 65536]))
    return choice(draw(st.sampled_from(KINDS)), problem, weight, draw(seeds))


class Prices:
    """What the choices of `choose` cost, in Python integers."""

    def __init__(self, arguments) -> None:
        products, self.lengths, self.scale, self.lam, contexts, prices, classes, table, _, factors, _ = arguments
        self.products, self.contexts, self.prices = products[0], contexts[0], prices[0]
        self.classes, self.table, self.padded = classes[0], table[0], factors[0]

    def rank(self, rank: int, m: int) -> int:
        length = rank.bit_length()
        cost = int(self.table[self.classes[m], length]) + 256 * max(length - 1, 0)
        return self.lam * cost >> 16

    def entry(self, u: int, r: int, m: int) -> int:
        """D + lambda * bits of one entry; u is a magnitude among those that have a cost."""
        a = abs(int(self.padded[r, m]))
        top = min(a, costs.MAGNITUDE_CLASSES - 1)
        magnitude = 0 if u == 0 else top if u == a else max(top - 1, 0)
        cost = sum(int(self.prices[kind[r, m], magnitude]) for kind in self.contexts)
        v = abs(int(self.products[r, m])) << (self.scale + 1)
        return u * (u * int(self.lengths[r]) - v) + (self.lam * cost >> 17)

    def patch(self, magnitudes, rank: int, m: int) -> int:
        return self.rank(rank, m) + sum(self.entry(int(magnitudes[r]), r, m) for r in range(1, rank + 1))


@given(choices())
def test_choose_takes_the_cheapest_candidates_and_end(arguments):
    grid, (padded,), (ranks,) = arguments[-3:]
    prices = Prices(arguments)
    (found,), (kept,) = same("choose", *arguments, changed=(9, 10))
    np.testing.assert_array_equal(found[0], padded[0])
    for m in np.flatnonzero(_padded(np.ones(grid, int))):
        best = {}
        for r in range(1, int(ranks[m]) + 1):
            a = abs(int(padded[r, m]))
            best[r] = min({0, a, max(a - 1, 0)}, key=lambda u, r=r: (prices.entry(u, r, m), u))
        ends = [0] + [r for r in best if best[r]]
        magnitudes = [0, *best.values()]
        possible = [prices.patch(magnitudes, end, m) for end in ends]
        mine = prices.patch(np.abs(found[:, m].astype(int)), int(kept[m]), m)
        assert mine == min(possible)
        assert mine <= prices.rank(0, m)  # that of dropping everything
        assert not found[kept[m] + 1 :, m].any() and (kept[m] == 0 or found[kept[m], m])
    assert (np.sign(found) * np.sign(padded) >= 0).all()


@given(choices())
def test_choose_without_a_rate_keeps_what_was_rounded(arguments):
    """lambda = 0: nothing is nearer than the rounding itself, and as near only what a tie has made zero."""
    products, lengths, scale = arguments[:3]
    free = (*arguments[:3], 0, *arguments[4:])
    (padded,), (ranks,) = same("choose", *free, changed=(9, 10))
    (rounded,) = arguments[-2]
    assert set(np.unique(rounded[padded != rounded])) <= {-1, 1} and not padded[padded != rounded].any()

    def distortion(u: np.ndarray) -> np.ndarray:
        wide = u.astype(np.int64)
        return wide * (wide * lengths[:, None] - (products[0].astype(np.int64) << (scale + 1)))

    np.testing.assert_array_equal(distortion(padded)[1:], distortion(rounded)[1:])
    np.testing.assert_array_equal(ranks, layout.active_ranks(padded))


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", [64, 400, 1500, 6000])
def test_choices_never_cost_more_than_plain_rounding(p, step):
    """In the same static costs, over a whole plane."""
    grid = (4, 5) if p == 8 else (2, 3)
    for seed in range(2):
        arguments = choice("frequencies", (filtered(grid, p, "picture", seed), grid, step, p), 8520, seed)
        prices = Prices(arguments)
        patches = np.flatnonzero(_padded(np.ones(grid, int)))
        before, after = (
            sum(prices.patch(np.abs(u[0, :, m].astype(int)), int(k[0, m]), m) for m in patches)
            for u, k in (arguments[-2:], same("choose", *arguments, changed=(9, 10)))
        )
        assert after < before or (step == 6000 and after == before)


def test_planes_of_a_stack_are_chosen_by_their_own_tables():
    """Two planes at once, of different ranks: each as if it were alone."""
    problems = [(filtered((3, 4), 8, style, 5), (3, 4), 400, 8) for style in ("constant", "picture")]
    alone = [choice("frequencies", problem, 8520, 0) for problem in problems]
    assert alone[0][4].shape != alone[1][4].shape
    together = list(alone[1])
    together[4] = np.zeros((2, *alone[1][4].shape[1:]), np.uint16)
    for n, arguments in enumerate(alone):
        together[4][n, :, : arguments[4].shape[2]] = arguments[4]
    for i in (0, 5, 6, 7, 9, 10):
        together[i] = np.concatenate([arguments[i] for arguments in alone])
    both = same("choose", *together, changed=(9, 10))
    for n, arguments in enumerate(alone):
        for found, expected in zip(both, same("choose", *arguments, changed=(9, 10)), strict=True):
            np.testing.assert_array_equal(found[n], expected[0])


def test_contexts_of_magnitudes_by_hand():
    """Two patches side by side, components 1 and 2; the group of 24 is the component itself, level 15 is the most."""
    grid, p = (1, 2), 8
    u = np.array([[0, 3, -1], [0, 0, 20]], np.int16)
    padded = layout.pad_factors(u, *grid)
    (contexts,), (counts,) = counted(padded[None], layout.active_ranks(padded)[None], grid, p)
    table = context_model.component_table(p)
    assert table[1, 3] == 1 and table[2, 3] == 2 and table[1, 4] == table[2, 4] == 0
    assert table[2, :2].tolist() == [0, 1] or table[2, :2].tolist() == [0, 0]

    def level(activity: int) -> int:
        return int(context_model.LEVEL[activity])

    # Inside: nothing so far, one component to come; then component 1 of the same patch, none to come.
    one = (0 * 10 + level(1)) * 6
    assert inside(contexts[0], grid)[1, 0].tolist() == [one, one]
    assert inside(contexts[0], grid)[2, 0].tolist() == [level(3) * 60, 0]
    # Around: west of the second patch, twice; of the last component also parents here, twice, and to the east.
    first, last = costs.INSIDE_CONTEXTS, costs.INSIDE_CONTEXTS + context_model.GROUPS * 16
    assert inside(contexts[1], grid)[1, 0].tolist() == [first + 16, first + 16 + level(2 * 3)]
    parent = 2 * 3 * bool(table[2, 1])
    assert inside(contexts[1], grid)[2, 0].tolist() == [last + 32 + level(parent), last + 32 + level(2 * 1)]
    assert counts[:first].sum() == counts[first:].sum() == 4
    assert counts[one, 3] == counts[one, 0] == 1 and counts[first + 16, 3] == 1 and counts[:, 15].sum() == 2


def test_prices_of_magnitudes():
    """Against floats: shares with a prior, the sign, and a zero that is free where it is not coded."""
    rng = np.random.default_rng(0)
    first, last = costs.INSIDE_CONTEXTS, costs.INSIDE_CONTEXTS + context_model.GROUPS * 16
    for largest in (3, 400, 40_000):
        counts = np.zeros((costs.MAGNITUDE_CONTEXTS, costs.MAGNITUDE_CLASSES), np.int64)
        counts[7, :5] = counts[first + 3, :5] = rng.integers(1, largest, 5)
        counts[first - 60, 1:4] = counts[last + 5, 1:4] = rng.integers(1, largest, 3)
        (prices,) = priced(counts[None])
        total = counts[:first].sum(axis=0)
        weights = counts * float(total.sum()) + tuning.PRIOR * total + 1
        exact = -256 * np.log2(weights / weights.sum(axis=1, keepdims=True))
        exact[:, 1:] += 256
        exact[last:, 0] = 0
        exact[[row for row in range(first) if row // 6 % 10 == 0], 0] = 0
        assert np.abs(prices - exact).max() <= 2
    assert (
        priced(np.zeros_like(counts)[None])[0, :first][1:60, 1:] == 256 + 4 * 256
    ).all()  # nothing known: 16 classes


def cost_of(plane: np.ndarray, step: int, p: int) -> int:
    """Estimate of both backends, which add it to what stands there."""
    (sums,) = same("proxy", np.stack([plane, plane]), p, step, np.array([0, 5]), changed=(3,))
    assert sums[1] == sums[0] + 5
    return int(sums[0])


@given(problems())
def test_proxy(problem):
    plane, _, step, p = problem
    assert cost_of(plane, step, p) >= 0


@pytest.mark.parametrize("p", [8, 16])
def test_proxy_adds_up_what_the_coefficients_cost(p):
    """Against the exact transform in floats; its own is in 1/1024 and 1/16 of a step."""
    step = 1600
    plane = filtered((3, 4), p, "picture", 7)
    k, n = np.mgrid[:p, :p]
    dct = np.sqrt(2 / p) * np.cos(np.pi * k * (2 * n + 1) / (2 * p))
    dct[0] /= np.sqrt(2)
    blocks = plane.reshape(3, p, 4, p).transpose(0, 2, 1, 3)
    c = np.floor(np.abs(dct @ blocks @ dct.T) * 64 / step) / 16
    kept = 0.08 + 0.13 * (6 + 2 * np.log2(1 + c))
    exact = np.minimum(c**2, kept).sum() - np.minimum(c**2, kept)[:, :, 0, 0].sum()
    first = (dct @ blocks @ dct.T)[:, :, 0, 0] * 4 / step
    change = np.floor(16 * np.abs(np.diff(first, axis=0, prepend=first[:1]))) / 16
    exact += (0.13 * (2 + 1.5 * np.log2(1 + change))).sum()
    assert abs(cost_of(plane, step, p) / 4096 / exact - 1) < 0.02


@pytest.mark.parametrize("p", [8, 16])
def test_proxy_of_the_worst_picture_does_not_overflow(p):
    """Filtered samples at the largest magnitude with the signs of every basis vector in turn."""
    cosines = basis.proxy_cosines(p)
    for i, j in ((0, 0), (0, 1), (1, 1), (p - 1, p - 1), (p // 2, 1)):
        signs = np.where(np.outer(cosines[i], cosines[j]) < 0, -1, 1)
        plane = np.tile((signs * (2**14 - 1)).astype(np.int32), (2, 2))
        cost_of(plane, 64, p)


# ------------------------------------------------------------------------------------------------------------- spectra


def counted_spectrum(plane: np.ndarray, p: int) -> np.ndarray:
    """Counts by both backends."""
    found = [np.zeros(spectra.SPECTRUM_CLASSES, np.int64) for _ in range(2)]
    for device, counts in zip(("cpu", "reference"), found, strict=True):
        on_host(device).kernels("factorization.rdoq.spectra").spectrum(plane, basis.proxy_cosines(p), counts)
    np.testing.assert_array_equal(*found)
    return found[0]


@given(problems())
def test_spectrum(problem):
    plane, (rows, columns), _, p = problem
    counts = counted_spectrum(plane, p)
    if p == rdoq.SPECTRUM_PATCH:
        np.testing.assert_array_equal(counts, rdoq.spectrum(plane, "cpu"))
    assert counts.sum() == rows * columns * p * p


@pytest.mark.parametrize("p", [8, 16])
def test_spectrum_of_the_worst_picture_stays_inside_its_classes(p):
    cosines = basis.proxy_cosines(p)
    signs = np.where(np.outer(cosines[1], cosines[1]) < 0, -1, 1)
    plane = np.vstack([(signs * (2**14 - 1)).astype(np.int32), (-signs * (2**14 - 1)).astype(np.int32)])
    for worst in (plane, np.full((p, p), 2**14 - 1, np.int32)):
        counted_spectrum(worst, p)


def test_classes_of_a_spectrum_are_eighths_of_an_octave():
    """A patch with one coefficient of c gray levels is counted within 1/8 of c."""
    cosine = np.cos(np.pi * 3 * (2 * np.arange(8) + 1) / 16) / 2
    for c in (5.0, 37.0, 400.0):
        plane = np.rint(16 * c * np.outer(np.full(8, np.sqrt(1 / 8)), cosine)).astype(np.int32)
        counts = rdoq.spectrum(plane, "reference")
        found = spectra._MIDDLES[np.flatnonzero(counts)[-1]] / 64
        assert abs(found / c - 1) < 0.13


@given(seeds, st.integers(1, 200), st.sampled_from(["laplace", "normal"]))
def test_models_of_spectra_are_monotone_and_smooth(seed, scale, kind):
    """Rates fall and errors rise with the step, and where coefficients tell of each other neither jumps."""
    values = getattr(np.random.default_rng(seed), kind)(0, scale, 4096)
    counts = np.bincount(np.searchsorted(spectra._MIDDLES, 64 * np.abs(values)), minlength=spectra.SPECTRUM_CLASSES)
    for model in rdoq.SPECTRUM_MODELS:
        bits, error = model.bits(counts), model.error(counts)
        assert bits.shape == error.shape == rdoq.SPECTRUM_STEPS.shape
        assert (np.diff(bits) <= 1e-9 * bits[1:]).all() and (np.diff(error) > -1e-9 * error[1:]).all()
        if model is spectra.Clustered:
            assert np.abs(np.diff(bits)).max() <= 6 / 8 * counts.sum()
            assert np.diff(np.log2(error)).max() < 1


# -------------------------------------------------------------------------------------------------------- the product


def naive_product(padded, ranks, grid, p, step, limit):
    """2^-s U V^T in 64-bit integers, patch by patch, rounded half up."""
    scale = v0.scale_bits(step)
    v = v0.dct_basis(p, step).astype(np.int64)
    out = np.empty((grid[0] * p, grid[1] * p), np.int64)
    for y, x in np.ndindex(grid):
        k = int(inside(ranks, grid)[y, x])
        u = np.clip(inside(padded, grid)[: k + 1, y, x].astype(np.int64), -limit, limit)
        patch = (v[:, : len(u)] @ u + (1 << (scale - 1))) >> scale
        out[y * p : y * p + p, x * p : x * p + p] = patch.reshape(p, p)
    return out


@given(problems(), st.sampled_from([1, 40, 8191, 32767]), seeds)
def test_product(problem, largest, seed):
    _, grid, step, p = problem
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, p * p, endpoint=True))
    u = rng.integers(-largest, largest, (rank, *grid), endpoint=True) * (rng.random((rank, *grid)) < 0.2)
    padded = np.zeros((rank, grid[0] + 3, grid[1] + 4), np.int16)
    padded[:, 2:-1, 2:-2] = u
    padded = padded.reshape(rank, -1)
    # Ranks may point beyond the components there are: that is how a preview is decoded.
    ranks = _padded(rng.integers(0, p * p, grid)).astype(np.int32)
    limit = min(8191, 3 * 128 * 64 * p // step + 1)
    expected = naive_product(padded, ranks, grid, p, step, limit)
    for device in ("cpu", "reference"):
        np.testing.assert_array_equal(multiplied([rdoq.Factors(padded, ranks, grid)], step, p, device)[0], expected)


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", STEPS)
def test_product_is_exact_for_the_worst_factors(p, step):
    """Every entry at +-32767 with the signs that drive one sample furthest, at full rank: clamped, never wrapped."""
    v = v0.dct_basis(p, step)
    grid = 1, 2
    limit = min(8191, 3 * 128 * 64 * p // step + 1)
    worst = np.argmax(np.abs(v.astype(np.int64)).sum(axis=1))
    for sample in (0, p * p - 1, int(worst)):
        u = np.where(v[sample] < 0, -32768, 32767)
        padded = np.zeros((p * p, 4, 6), np.int16)
        padded[:, 2, 2], padded[:, 2, 3] = u, -1 - u
        padded = padded.reshape(p * p, -1)
        ranks = np.full(padded.shape[1], p * p - 1, np.int32)
        expected = naive_product(padded, ranks, grid, p, step, limit)
        sums = np.abs(v.astype(np.int64)).sum(axis=1).max() * limit
        assert sums < 2**31 and np.abs(expected).max() >= 3 * SAMPLE
        for device in ("cpu", "reference"):
            found = multiplied([rdoq.Factors(padded, ranks, grid)], step, p, device)
            np.testing.assert_array_equal(found[0], expected)


# --------------------------------------------------------------------------------------------------------------- whole


def factorize(plane: np.ndarray, step: int, p: int, device: str, lambda_scale: int = rdoq.LAMBDA_ONE) -> rdoq.Factors:
    return chosen(plane[None], step, p, device, lambda_scale)[0]


@given(problems(), st.sampled_from([rdoq.LAMBDA_ONE, 300, rdoq.LAMBDA_LARGEST]))
def test_factors_of_the_reference_are_those_of_the_cpu(problem, lambda_scale):
    plane, grid, step, p = problem
    one, two = (factorize(plane, step, p, device, lambda_scale) for device in ("cpu", "reference"))
    assert one.grid == two.grid == grid
    assert one.padded.dtype == two.padded.dtype == np.int16
    np.testing.assert_array_equal(one.padded, two.padded)
    np.testing.assert_array_equal(one.ranks, two.ranks)
    np.testing.assert_array_equal(inside(layout.active_ranks(one.padded), grid), inside(one.ranks, grid))
    assert len(one.padded) == one.ranks.max() + 1
    assert np.abs(one.padded[0].astype(int)).max() <= layout.MAGNITUDE_LIMIT // 2
    assert np.abs(one.padded.astype(int)).max() <= layout.MAGNITUDE_LIMIT


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_a_stack_is_its_planes(device):
    """Factors and products of planes of different depth, together and alone."""
    planes = np.stack([filtered((2, 3), 8, style, 5) for style in ("constant", "picture", "noise")])
    together = chosen(planes, 2500, 8, device)
    assert len({len(factors.padded) for factors in together}) == 3
    products = multiplied(together, 2500, 8, device)
    for plane, factors, product in zip(planes, together, products, strict=True):
        alone = factorize(plane, 2500, 8, device)
        np.testing.assert_array_equal(factors.padded, alone.padded)
        np.testing.assert_array_equal(factors.ranks, alone.ranks)
        np.testing.assert_array_equal(product, multiplied([alone], 2500, 8, device)[0])


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", STEPS[::2] + STEPS[-1:])
def test_error_of_the_factors_is_that_of_the_step(p, step):
    """No entry is further than one step (dropped ones are smaller than two), so the error stays in proportion."""
    plane = filtered((4, 4) if p == 8 else (1, 2), p, "noise", 3)
    out = multiplied([factorize(plane, step, p, "cpu")], step, p, "cpu")[0]
    error = np.sqrt(np.mean(np.square(out - plane, dtype=np.float64))) / 16
    assert error < 0.75 * step / 64 + 0.1
    if step > 300:
        assert error > 0.1 * min(step / 64, 70)


@given(problems())
def test_a_larger_lambda_only_takes_away(problem):
    """In the last sweep entries move towards zero, patch by patch from the same first sweep."""
    plane, grid, step, p = problem
    plain, short = (factorize(plane, step, p, "cpu", scale) for scale in (rdoq.LAMBDA_ONE, rdoq.LAMBDA_LARGEST))
    assert short.ranks.max() <= plain.ranks.max()
    assert np.abs(short.padded[1:].astype(int)).sum() <= np.abs(plain.padded[1:].astype(int)).sum()
    np.testing.assert_array_equal(inside(short.padded[0], grid), inside(plain.padded[0], grid))


@given(problems(), st.floats(0, 1))
def test_a_last_choice_serves_for_every_lambda_and_splices_take_patches_whole(problem, share):
    plane, grid, step, p = problem
    run, scales = on_host("cpu"), (rdoq.LAMBDA_ONE, 1000)
    last = rdoq.prepare(plane[None], step, p, run, "")
    one, other = (
        run_to_end(rdoq.download(*rdoq.choose_last(last, run, "", scale, keep=True), grid, None, run, ""))[0]
        for scale in scales
    )
    for factors, scale in zip((one, other), scales, strict=True):
        whole = factorize(plane, step, p, "cpu", scale)
        np.testing.assert_array_equal(factors.padded, whole.padded)
        np.testing.assert_array_equal(factors.ranks, whole.ranks)
    both = rdoq.splice(one, other, share)
    count = round(share * grid[0] * grid[1])
    assert len(both.padded) == both.ranks.max() + 1
    for m in range(grid[0] * grid[1]):
        source = other if m < count else one
        k = inside(source.ranks, grid).ravel()[m]
        assert inside(both.ranks, grid).ravel()[m] == k
        u, v = (inside(f.padded, grid).reshape(len(f.padded), -1)[:, m] for f in (both, source))
        np.testing.assert_array_equal(u[: k + 1], v[: k + 1])
        assert not u[k + 1 :].any()


@given(problems())
def test_rows_of_factors_have_the_rows_of_the_product(problem):
    plane, grid, step, p = problem
    factors = factorize(plane, step, p, "cpu")
    whole = multiplied([factors], step, p, "cpu")[0]
    for start, stop in ((0, 1), (grid[0] - 1, grid[0])):
        part = multiplied([rdoq.rows_of(factors, start, stop)], step, p, "cpu")[0]
        np.testing.assert_array_equal(part, whole[start * p : stop * p])


@given(problems())
def test_settings_of_studies(problem):
    """Without a rate every entry is rounded to the nearest integer; with one sweep less is known of the bits."""
    plane, grid, step, p = problem
    products, lengths, scale, _, _ = start(*problem)
    (free,), (short,) = (
        chosen(plane[None], step, p, "cpu", settings=settings)
        for settings in (rdoq.Settings(rate=False), rdoq.Settings(sweeps=1))
    )
    exact = products[0].astype(np.float64) * 2.0**scale / lengths[:, None]
    error = np.abs(np.clip(exact, -4095, 4095)[: len(free.padded)] - free.padded)
    assert inside(error, grid).max() <= 0.5
    assert (np.abs(exact[len(free.padded) :]) <= 0.5).all()
    assert np.abs(short.padded.astype(int)).sum() <= np.abs(free.padded.astype(int)).sum() + grid[0] * grid[1]


@pytest.mark.parametrize("p", [8, 16])
def test_projections_stay_in_range_for_the_worst_picture(p):
    """Samples with the signs that drive one product furthest, at the longest step: int32 holds it exactly."""
    step, grid = 16384, (3, 3)
    v = v0.dct_basis(p, step)
    for r in (0, 1, p * p // 2, p * p - 1):
        target = np.zeros((3 * p, 3 * p), np.int32)
        # The filter is orthogonal: its adjoint is its inverse.
        target[p : 2 * p, p : 2 * p] = v[:, r].reshape(p, p)
        signs = np.where(through(lapped.inverse, target, p) < 0, -SAMPLE, SAMPLE).astype(np.int32)
        plane = through(lapped.forward, signs, p)
        products = both_products(plane[None], p, v)[0]
        exact = int(np.sum(plane[p : 2 * p, p : 2 * p].astype(np.int64) * v[:, r].reshape(p, p)))
        assert inside(products, grid)[r, 1, 1] == exact
        assert abs(exact) < 2**31 and abs(exact) > 2**24


# ----------------------------------------------------------------------------------------------------------- the basis


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", STEPS)
def test_columns_are_dct_vectors_of_the_length_of_the_step(p, step):
    v = v0.dct_basis(p, step)
    scale = v0.scale_bits(step)
    length = step << (scale - v0.SCALE_BITS)
    assert v.shape == (p * p, p * p) and v.dtype == np.int32 and not v.flags.writeable
    assert length >= 1 << 11 and (scale == v0.SCALE_BITS or length < 1 << 12)
    k, n = np.mgrid[:p, :p]
    dct = np.sqrt(2 / p) * np.cos(np.pi * k * (2 * n + 1) / (2 * p))
    dct[0] /= np.sqrt(2)
    order = context_model.zigzag(p)
    exact = length * np.einsum("ry,rx->yxr", dct[order[:, 0]], dct[order[:, 1]]).reshape(p * p, p * p)
    assert np.abs(v - exact).max() <= 0.51 + length * 2.0**-15
    gram = v.T.astype(np.int64) @ v.astype(np.int64) / length**2
    assert np.abs(np.diag(gram) - 1).max() < 7e-3
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 7e-3


@pytest.mark.parametrize("p", [8, 16])
def test_order_is_zigzag(p):
    order = [tuple(pair) for pair in context_model.zigzag(p).tolist()]
    assert order[:6] == [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2)]
    assert sorted(order) == [(i, j) for i in range(p) for j in range(p)] and order[-1] == (p - 1, p - 1)
    for (i, j), (y, x) in itertools.pairwise(order):
        assert (y + x) - (i + j) in (0, 1) and max(abs(y - i), abs(x - j)) == 1


def test_costs_are_logarithms_of_frequencies():
    counts = np.array([[0, 0, 0], [1, 2, 5], [100, 0, 10**6]], np.int64)
    smooth = 16 * counts + 1
    exact = -256 * np.log2(smooth / smooth.sum(axis=1, keepdims=True))
    (table,) = table_of(counts[None], 0)
    assert np.abs(table - exact).max() <= 1.01
    np.testing.assert_array_equal(table_of(counts[None], 256)[0] - table, [[0, 256, 256]] * 3)


def test_ranks_cost_their_bit_length_and_further_bits():
    ranks = np.zeros((1, 20), np.int32)
    ranks[0, 12] = 6
    counts = np.zeros((1, costs.RANK_CLASSES, costs.RANK_CLASSES), np.int64)
    same("rank_classes", ranks, (1, 1), np.zeros_like(ranks), counts, changed=(2,))
    cpu.rank_classes(ranks, (1, 1), np.zeros_like(ranks), counts)
    prices = costs.rank_costs(table_of(counts, 0)[0], 10)
    assert prices.shape == (9, 10)
    # Length 3 was seen once: log2(25 / 17) bits, and two bits of mantissa; the unseen lengths share the rest.
    assert abs(prices[0, 6] - 256 * (np.log2(25 / 17) + 2)) <= 2
    assert abs(prices[0, 9] - 256 * (np.log2(25) + 3)) <= 2
    assert abs(prices[5, 1] - 256 * np.log2(9)) <= 2
