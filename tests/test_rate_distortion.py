"""Rate-distortion factorization: kernels against their reference, optimal choices, and exact sums at the extremes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from main_helpers import STEPS, inside, patch_sizes, steps
from strategies import seeds

from imfnb import lapped
from imfnb.color import split_fine
from imfnb.entropy import layout
from imfnb.factorization import rd
from imfnb.factorization.rd import basis, costs, cpu, reference

BOTH = (cpu, reference)
SAMPLE = 2048


def filtered(grid: tuple[int, int], p: int, style: str, seed: int) -> np.ndarray:
    """A plane as the factorization gets it: centred samples behind the lapped filter."""
    shape = grid[0] * p, grid[1] * p
    if style == "picture":
        plane = split_fine(picture(*shape, 1, seed % 1000), False, "reference")[0]
    elif style == "constant":
        plane = np.full(shape, seed % (2 * SAMPLE) - SAMPLE, np.int32)
    else:
        rng = np.random.default_rng(seed)
        values = np.array([-SAMPLE, SAMPLE - 16]) if style == "extremes" else np.arange(-SAMPLE, SAMPLE)
        plane = rng.choice(values, shape).astype(np.int32)
    return lapped.forward(plane, p, "reference")


@st.composite
def problems(draw: st.DrawFn, rows: int = 3, columns: int = 4):
    """(plane, grid, step, patch size) over the whole range of steps."""
    p = draw(patch_sizes)
    grid = draw(st.integers(1, rows)), draw(st.integers(1, columns if p == 8 else 2))
    style = draw(st.sampled_from(["picture", "noise", "extremes", "constant"]))
    return filtered(grid, p, style, draw(seeds)), grid, draw(steps), p


def start(plane: np.ndarray, grid: tuple[int, int], step: int, p: int):
    """Numerators, lengths, scale, U and ranks after plain rounding, all by the reference."""
    products, lengths = rd._numerators(plane, step, p, "reference")
    scale = basis.scale_bits(step)
    padded, ranks = np.zeros(products.shape, np.int16), np.zeros(products.shape[1], np.int32)
    reference.quantize(products, lengths, scale, 190, padded, ranks)
    return products, lengths, scale, padded, ranks


def same(function: str, *arguments, changed: tuple[int, ...]) -> list:
    """Call both kernels on copies; the arguments at `changed` must agree afterwards. Returns those."""
    results = []
    for kernels in BOTH:
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
        value = getattr(kernels, function)(*copies)
        results.append([copies[i] for i in changed] + ([] if value is None else [value]))
    for mine, naive in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, naive)
    return results[0]


# ------------------------------------------------------------------------------------------------------------- kernels


@given(problems())
def test_numerators(problem):
    plane, grid, step, p = problem
    v = basis.dct_basis(p, step)
    size, _ = layout.padded_size(*grid)
    (products,) = same("numerators", plane, p, v, np.zeros((p * p, size), np.int32), changed=(3,))
    patches = plane.astype(np.int64).reshape(grid[0], p, grid[1], p).transpose(0, 2, 1, 3).reshape(*grid, p * p)
    np.testing.assert_array_equal(np.moveaxis(inside(products, grid), 0, 2), patches @ v.astype(np.int64))
    assert np.count_nonzero(products) == np.count_nonzero(inside(products, grid))  # the guards stay zero


@given(problems(), st.sampled_from([128, 190, 256]))
def test_quantize(problem, trail):
    plane, grid, step, p = problem
    products, lengths, scale, _, _ = start(*problem)
    blank = np.zeros(products.shape, np.int16), np.zeros(products.shape[1], np.int32)
    padded, ranks = same("quantize", products, lengths, scale, trail, *blank, changed=(4, 5))
    c = np.abs(products.astype(np.int64)) << scale  # over lengths, the coefficient in steps
    rounded = (2 * c + lengths[:, None]) // (2 * lengths[:, None]) * np.sign(products)
    kept = np.arange(p * p)[:, None] <= np.maximum(ranks, 0)
    np.testing.assert_array_equal(padded, np.where(kept, np.clip(rounded, -4095, 4095), 0))
    late = (256 * c >= trail * lengths[:, None]) & (np.arange(p * p)[:, None] > ranks)
    assert not late[1:].any()


def test_quantize_keeps_to_the_limit():
    """A coefficient beyond what the coder can express is clamped, in every component."""
    products = np.array([[2**30, -(2**30)], [-(2**30), 2**30]], np.int32)
    lengths = np.array([1 << 22, 1 << 22], np.int64)
    blank = np.zeros((2, 2), np.int16), np.zeros(2, np.int32)
    padded, ranks = same("quantize", products, lengths, 7, 190, *blank, changed=(4, 5))
    limit = layout.MAGNITUDE_LIMIT // 2
    np.testing.assert_array_equal(padded, [[limit, -limit], [-limit, limit]])
    np.testing.assert_array_equal(ranks, [1, 1])


@given(problems(4, 6), st.sampled_from([0, 1, 7864]))
def test_first_component(problem, weight):
    plane, grid, step, p = problem
    products, lengths, scale, padded, _ = start(*problem)
    blank = np.zeros((costs.FIRST_CONTEXTS, costs.FIRST_CLASSES), np.int64)
    (counts,) = same("first_counts", padded[0], *grid, blank, changed=(3,))
    assert counts.sum() == grid[0] * grid[1]
    table = costs.cost_table(counts)
    square = (step << (scale - basis.SCALE_BITS)) ** 2
    lam = weight * square >> 8
    (chosen,) = same("choose_first", products[0], lengths[0], scale, lam, table, *grid, padded[0], changed=(7,))
    moved = np.abs(chosen.astype(int) - padded[0])
    assert moved.max() <= 1 and not (moved - _padded(inside(moved, grid))).any()
    if weight == 0:  # without a rate nothing is closer than the rounding
        np.testing.assert_array_equal(chosen, padded[0])


def _padded(image: np.ndarray) -> np.ndarray:
    return np.pad(image, ((2, 1), (2, 2))).ravel()


def test_first_component_takes_the_cheapest_of_three_at_a_single_patch():
    """One patch predicts nothing but itself: the choice is the least D + lambda bits by hand."""
    grid, den, scale = (1, 1), 1 << 22, 2
    table = np.zeros((costs.FIRST_CONTEXTS, costs.FIRST_CLASSES), np.int32)
    table[0, :4] = 0, 2560, 300, 5000
    for quotient in np.linspace(-3.0, 3.0, 41):
        num = np.zeros((4, 5), np.int32)
        num[2, 2] = round(quotient * den / 4)
        image = np.zeros((4, 5), np.int16)
        image[2, 2] = centre = round(quotient)
        lam = round(0.12 * 65536) * den >> 8
        (chosen,) = same("choose_first", num.ravel(), den, scale, lam, table, *grid, image.ravel(), changed=(7,))
        prices = [
            (u * (u * den - 8 * int(num[2, 2])) + (lam * int(table[0, abs(u)]) >> 16), k, u)
            for k, u in enumerate((centre, centre + 1, centre - 1))
        ]
        assert chosen.reshape(4, 5)[2, 2] == min(prices)[2]


@given(problems(5, 6))
def test_rank_classes(problem):
    plane, grid, step, p = problem
    rng = np.random.default_rng(step)
    ranks = _padded(rng.integers(0, p * p, grid)).astype(np.int32)
    (classes,) = same("rank_classes", ranks, *grid, np.zeros(len(ranks), np.int32), changed=(3,))
    image = ranks.reshape(grid[0] + 3, grid[1] + 4)
    for y, x in np.ndindex(grid):
        near = [image[y + 1, x + 2], image[y + 3, x + 2], image[y + 2, x + 1], image[y + 2, x + 3]]
        assert inside(classes, grid)[y, x] == ((int(sum(near)) + 2) // 4).bit_length()


KINDS = ("frequencies", "noise")


def counted(padded: np.ndarray, ranks: np.ndarray, grid: tuple[int, int], p: int) -> tuple[np.ndarray, np.ndarray]:
    """Contexts and counts of U."""
    contexts = np.zeros((2, int(ranks.max()) + 1, len(ranks)), np.uint16)
    counts = np.zeros((costs.MAGNITUDE_CONTEXTS, costs.MAGNITUDE_CLASSES), np.int64)
    table = layout.component_table(p)
    return same("count_magnitudes", padded, ranks, table, grid[1] + 4, contexts, counts, changed=(4, 5))


def priced(counts: np.ndarray) -> np.ndarray:
    (prices,) = same("magnitude_prices", counts, np.zeros(counts.shape, np.uint16), changed=(1,))
    return prices


def test_contexts_of_the_largest_numbers():
    """All 256 components at magnitudes beyond what a byte, or a sum of theirs, is told apart by."""
    rng = np.random.default_rng(0)
    u = rng.choice([0, 1, 39, 41, 254, 256, 8191], (6, 256)) * rng.choice([-1, 1], (6, 256))
    padded = layout.pad_factors(u.astype(np.int16), 2, 3)
    contexts, counts = counted(padded, layout.active_ranks(padded), (2, 3), 16)
    assert contexts.max() >= costs.INSIDE_CONTEXTS and counts.sum() > 2 * 6 * 200


def choice(kind: str, problem, weight: int, seed: int):
    """The arguments of `choose` for a plane: costs from frequencies, or any at all."""
    plane, grid, step, p = problem
    products, lengths, scale, padded, ranks = start(*problem)
    contexts, counts = counted(padded, ranks, grid, p)
    coded = int((_padded(np.ones(grid, int)) * ranks).sum())
    first = costs.INSIDE_CONTEXTS
    assert counts[:first].sum() == counts[first:].sum() == coded  # every coded entry once in each kind
    prices = priced(counts)
    if kind == "noise":
        rng = np.random.default_rng(seed)
        prices = rng.integers(0, 2 ** (1 + seed % 16), prices.shape).astype(np.uint16)
        contexts = rng.integers(0, costs.MAGNITUDE_CONTEXTS, contexts.shape).astype(np.uint16)
    classes = np.zeros(len(ranks), np.int32)
    reference.rank_classes(ranks, *grid, classes)
    table = costs.rank_costs(ranks, classes, *grid, int(ranks.max()) + 1)
    lam = weight * (step << (scale - basis.SCALE_BITS)) ** 2 >> 8
    return products, lengths, scale, lam, contexts, prices, classes, table, padded, ranks


@st.composite
def choices(draw: st.DrawFn):
    problem = draw(problems())
    weight = draw(st.sampled_from([0, 1, 8520, 65536]))
    return problem[1], choice(draw(st.sampled_from(KINDS)), problem, weight, draw(seeds))


def price_of(u: int, r: int, m: int, arguments) -> int:
    """D + lambda * bits of one entry, in Python integers; u is a magnitude among those that have a cost."""
    products, lengths, scale, lam, contexts, prices, _, _, padded, _ = arguments
    a = abs(int(padded[r, m]))
    top = min(a, costs.MAGNITUDE_CLASSES - 1)
    cost = sum(int(prices[kind[r, m], 0 if u == 0 else top if u == a else max(top - 1, 0)]) for kind in contexts)
    return u * (u * int(lengths[r]) - (abs(int(products[r, m])) << (scale + 1))) + (lam * cost >> 17)


def price_of_patch(magnitudes, rank: int, m: int, arguments) -> int:
    lam, classes, table = arguments[3], arguments[6], arguments[7]
    whole = lam * int(table[classes[m], rank]) >> 16
    return whole + sum(price_of(int(magnitudes[r]), r, m, arguments) for r in range(1, rank + 1))


@given(choices())
def test_choose_takes_the_cheapest_candidates_and_end(problem):
    grid, arguments = problem
    padded, ranks = arguments[-2:]
    chosen, kept = same("choose", *arguments, changed=(8, 9))
    np.testing.assert_array_equal(chosen[0], padded[0])
    for m in np.flatnonzero(_padded(np.ones(grid, int))):
        best = {}
        for r in range(1, int(ranks[m]) + 1):
            a = abs(int(padded[r, m]))
            best[r] = min({0, a, max(a - 1, 0)}, key=lambda u, r=r: (price_of(u, r, m, arguments), u))
        ends = [0] + [r for r in best if best[r]]
        magnitudes = [0, *best.values()]
        prices = [price_of_patch(magnitudes, end, m, arguments) for end in ends]
        mine = price_of_patch(np.abs(chosen[:, m].astype(int)), int(kept[m]), m, arguments)
        assert mine == min(prices)
        assert mine <= arguments[3] * int(arguments[7][arguments[6][m], 0]) >> 16  # that of dropping everything
        assert not chosen[kept[m] + 1 :, m].any() and (kept[m] == 0 or chosen[kept[m], m])
    assert (np.sign(chosen) * np.sign(padded) >= 0).all()


@given(choices())
def test_choose_without_a_rate_keeps_what_was_rounded(problem):
    """lambda = 0: nothing is nearer than the rounding itself, and as near only what a tie has made zero."""
    _, arguments = problem
    products, lengths, scale = arguments[:3]
    free = (*arguments[:3], 0, *arguments[4:])
    padded, ranks = same("choose", *free, changed=(8, 9))
    rounded = arguments[-2]
    assert set(np.unique(rounded[padded != rounded])) <= {-1, 1} and not padded[padded != rounded].any()

    def distortion(u: np.ndarray) -> np.ndarray:
        wide = u.astype(np.int64)
        return wide * (wide * lengths[:, None] - (products.astype(np.int64) << (scale + 1)))

    np.testing.assert_array_equal(distortion(padded)[1:], distortion(rounded)[1:])
    np.testing.assert_array_equal(ranks, layout.active_ranks(padded))


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", [64, 400, 1500, 6000])
def test_choices_never_cost_more_than_plain_rounding(p, step):
    """In the same static costs, over a whole plane."""
    grid = (4, 5) if p == 8 else (2, 3)
    for seed in range(2):
        arguments = choice("frequencies", (filtered(grid, p, "picture", seed), grid, step, p), 8520, seed)
        chosen, kept = same("choose", *arguments, changed=(8, 9))
        patches = np.flatnonzero(_padded(np.ones(grid, int)))
        before, after = (
            sum(price_of_patch(np.abs(u[:, m].astype(int)), int(k[m]), m, arguments) for m in patches)
            for u, k in (arguments[-2:], (chosen, kept))
        )
        assert after < before or (step == 6000 and after == before)


def test_contexts_of_magnitudes_by_hand():
    """Two patches side by side, components 1 and 2; the group of 24 is the component itself, level 15 is the most."""
    grid, p = (1, 2), 8
    u = np.array([[0, 3, -1], [0, 0, 20]], np.int16)
    padded = layout.pad_factors(u, *grid)
    contexts, counts = counted(padded, layout.active_ranks(padded), grid, p)
    table = layout.component_table(p)
    assert table[1, 3] == 1 and table[2, 3] == 2 and table[1, 4] == table[2, 4] == 0
    assert table[2, :2].tolist() == [0, 1] or table[2, :2].tolist() == [0, 0]

    def level(activity: int) -> int:
        return int(layout.LEVEL[activity])

    # Inside: nothing so far, one component to come; then component 1 of the same patch, none to come.
    one = (0 * 10 + level(1)) * 6
    assert inside(contexts[0], grid)[1, 0].tolist() == [one, one]
    assert inside(contexts[0], grid)[2, 0].tolist() == [level(3) * 60, 0]
    # Around: west of the second patch, twice; of the last component also relatives here, twice, and to the east.
    first, last = costs.INSIDE_CONTEXTS, costs.INSIDE_CONTEXTS + layout.GROUPS * 16
    assert inside(contexts[1], grid)[1, 0].tolist() == [first + 16, first + 16 + level(2 * 3)]
    relative = 2 * 3 * bool(table[2, 1])
    assert inside(contexts[1], grid)[2, 0].tolist() == [last + 32 + level(relative), last + 32 + level(2 * 1)]
    assert counts[:first].sum() == counts[first:].sum() == 4
    assert counts[one, 3] == counts[one, 0] == 1 and counts[first + 16, 3] == 1 and counts[:, 15].sum() == 2


def test_prices_of_magnitudes():
    """Against floats: shares with a prior, the sign, and a zero that is free where it is not coded."""
    rng = np.random.default_rng(0)
    first, last = costs.INSIDE_CONTEXTS, costs.INSIDE_CONTEXTS + layout.GROUPS * 16
    for largest in (3, 400, 40_000):
        counts = np.zeros((costs.MAGNITUDE_CONTEXTS, costs.MAGNITUDE_CLASSES), np.int64)
        counts[7, :5] = counts[first + 3, :5] = rng.integers(1, largest, 5)
        counts[first - 60, 1:4] = counts[last + 5, 1:4] = rng.integers(1, largest, 3)
        prices = priced(counts)
        total = counts[:first].sum(axis=0)
        weights = counts * float(total.sum()) + costs.PRIOR * total + 1
        exact = -256 * np.log2(weights / weights.sum(axis=1, keepdims=True))
        exact[:, 1:] += 256
        exact[last:, 0] = 0
        exact[[row for row in range(first) if row // 6 % 10 == 0], 0] = 0
        assert np.abs(prices - exact).max() <= 2
    assert (priced(np.zeros_like(counts))[:first][1:60, 1:] == 256 + 4 * 256).all()  # nothing known: 16 classes


@given(problems())
def test_proxy(problem):
    plane, grid, step, p = problem
    (value,) = same("proxy", plane, basis.proxy_cosines(p), step, changed=())
    assert int(value) >= 0
    assert {rd.estimate_cost(plane, step, p, device) for device in ("cpu", "reference")} == {int(value)}


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
    assert abs(rd.estimate_cost(plane, step, p, "reference") / 4096 / exact - 1) < 0.02


@pytest.mark.parametrize("p", [8, 16])
def test_proxy_of_the_worst_picture_does_not_overflow(p):
    """Filtered samples at the largest magnitude with the signs of every basis vector in turn."""
    cosines = basis.proxy_cosines(p)
    for i, j in ((0, 0), (0, 1), (1, 1), (p - 1, p - 1), (p // 2, 1)):
        signs = np.where(np.outer(cosines[i], cosines[j]) < 0, -1, 1)
        plane = np.tile((signs * (2**14 - 1)).astype(np.int32), (2, 2))
        same("proxy", plane, cosines, 64, changed=())


# ------------------------------------------------------------------------------------------------------------- spectra


@given(problems())
def test_spectrum(problem):
    plane, (rows, columns), _, p = problem
    counts = np.zeros(costs.SPECTRUM_CLASSES, np.int64)
    (counts,) = same("spectrum", plane, basis.proxy_cosines(p), counts, changed=(2,))
    assert counts.sum() == rows * columns * p * p


@pytest.mark.parametrize("p", [8, 16])
def test_spectrum_of_the_worst_picture_stays_inside_its_classes(p):
    cosines = basis.proxy_cosines(p)
    signs = np.where(np.outer(cosines[1], cosines[1]) < 0, -1, 1)
    plane = np.vstack([(signs * (2**14 - 1)).astype(np.int32), (-signs * (2**14 - 1)).astype(np.int32)])
    for worst in (plane, np.full((p, p), 2**14 - 1, np.int32)):
        same("spectrum", worst, cosines, np.zeros(costs.SPECTRUM_CLASSES, np.int64), changed=(2,))


def test_classes_of_a_spectrum_are_eighths_of_an_octave():
    """A patch with one coefficient of c gray levels is counted within 1/8 of c."""
    cosine = np.cos(np.pi * 3 * (2 * np.arange(8) + 1) / 16) / 2
    for c in (5.0, 37.0, 400.0):
        plane = np.rint(16 * c * np.outer(np.full(8, np.sqrt(1 / 8)), cosine)).astype(np.int32)
        counts = rd.spectrum(plane, "reference")
        found = costs._MIDDLES[np.flatnonzero(counts)[-1]] / 64
        assert abs(found / c - 1) < 0.13


@given(seeds, st.integers(1, 200), st.sampled_from(["laplace", "normal"]))
def test_models_of_spectra_are_monotone_and_smooth(seed, scale, kind):
    """Rates fall and errors rise with the step, and where coefficients tell of each other neither jumps."""
    values = getattr(np.random.default_rng(seed), kind)(0, scale, 4096)
    counts = np.bincount(np.searchsorted(costs._MIDDLES, 64 * np.abs(values)), minlength=costs.SPECTRUM_CLASSES)
    for model in rd.SPECTRUM_MODELS:
        bits, error = model.bits(counts), model.error(counts)
        assert bits.shape == error.shape == rd.SPECTRUM_STEPS.shape
        assert (np.diff(bits) <= 1e-9 * bits[1:]).all() and (np.diff(error) > -1e-9 * error[1:]).all()
        if model is costs.Clustered:
            assert np.abs(np.diff(bits)).max() <= 6 / 8 * counts.sum()
            assert np.diff(np.log2(error)).max() < 1


# ------------------------------------------------------------------------------------------------------ reconstruction


def naive_product(padded, ranks, grid, p, step, limit):
    """2^-s U V^T in 64-bit integers, patch by patch, rounded half up."""
    scale = basis.scale_bits(step)
    v = basis.dct_basis(p, step).astype(np.int64)
    out = np.empty((grid[0] * p, grid[1] * p), np.int64)
    for y, x in np.ndindex(grid):
        k = int(inside(ranks, grid)[y, x])
        u = np.clip(inside(padded, grid)[: k + 1, y, x].astype(np.int64), -limit, limit)
        patch = (v[:, : len(u)] @ u + (1 << (scale - 1))) >> scale
        out[y * p : y * p + p, x * p : x * p + p] = patch.reshape(p, p)
    return out


@given(problems(), st.sampled_from([1, 40, 8191, 32767]), seeds)
def test_reconstruct(problem, largest, seed):
    plane, grid, step, p = problem
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
        out = np.empty(plane.shape, np.int32)
        rd.reconstruct(rd.Factors(padded, ranks, grid), step, p, out, device)
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", STEPS)
def test_reconstruct_is_exact_for_the_worst_factors(p, step):
    """Every entry at +-32767 with the signs that drive one sample furthest, at full rank: clamped, never wrapped."""
    v = basis.dct_basis(p, step)
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
            out = np.empty((p, 2 * p), np.int32)
            rd.reconstruct(rd.Factors(padded, ranks, grid), step, p, out, device)
            np.testing.assert_array_equal(out, expected)


# --------------------------------------------------------------------------------------------------------------- whole


@given(problems(), st.sampled_from([rd.PLAIN_THRIFT, 300, rd.LARGEST_THRIFT]))
def test_factorize_reference_is_cpu(problem, thrift):
    plane, grid, step, p = problem
    one, two = (rd.factorize(plane, step, p, device, thrift) for device in ("cpu", "reference"))
    assert one.grid == two.grid == grid
    assert one.padded.dtype == two.padded.dtype == np.int16
    np.testing.assert_array_equal(one.padded, two.padded)
    np.testing.assert_array_equal(one.ranks, two.ranks)
    np.testing.assert_array_equal(inside(layout.active_ranks(one.padded), grid), inside(one.ranks, grid))
    assert len(one.padded) == one.ranks.max() + 1
    assert np.abs(one.padded[0].astype(int)).max() <= layout.MAGNITUDE_LIMIT // 2
    assert np.abs(one.padded.astype(int)).max() <= layout.MAGNITUDE_LIMIT


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", STEPS[::2] + STEPS[-1:])
def test_error_of_the_factors_is_that_of_the_step(p, step):
    """No entry is further than one step (dropped ones are smaller than two), so the error stays in proportion."""
    plane = filtered((4, 4) if p == 8 else (1, 2), p, "noise", 3)
    out = np.empty(plane.shape, np.int32)
    rd.reconstruct(rd.factorize(plane, step, p, "cpu"), step, p, out, "cpu")
    error = np.sqrt(np.mean(np.square(out - plane, dtype=np.float64))) / 16
    assert error < 0.75 * step / 64 + 0.1
    if step > 300:
        assert error > 0.1 * min(step / 64, 70)


@given(problems())
def test_thrift_only_takes_away(problem):
    """With a larger lambda in the last sweep entries move towards zero, patch by patch from the same first sweep."""
    plane, grid, step, p = problem
    plain, thrifty = (rd.factorize(plane, step, p, "cpu", thrift) for thrift in (rd.PLAIN_THRIFT, rd.LARGEST_THRIFT))
    assert thrifty.ranks.max() <= plain.ranks.max()
    assert np.abs(thrifty.padded[1:].astype(int)).sum() <= np.abs(plain.padded[1:].astype(int)).sum()
    np.testing.assert_array_equal(inside(thrifty.padded[0], grid), inside(plain.padded[0], grid))


@given(problems(), st.floats(0, 1))
def test_a_draft_serves_for_every_thrift_and_blends_take_patches_whole(problem, share):
    plane, grid, step, p = problem
    draft = rd.draft(plane, step, p, "cpu")
    one, other = (rd.finish(draft, "cpu", thrift) for thrift in (rd.PLAIN_THRIFT, 1000))
    for factors, thrift in ((one, rd.PLAIN_THRIFT), (other, 1000)):
        whole = rd.factorize(plane, step, p, "cpu", thrift)
        np.testing.assert_array_equal(factors.padded, whole.padded)
        np.testing.assert_array_equal(factors.ranks, whole.ranks)
    blend = rd.blend(one, other, share)
    count = round(share * grid[0] * grid[1])
    assert len(blend.padded) == blend.ranks.max() + 1
    for m in range(grid[0] * grid[1]):
        source = other if m < count else one
        k = inside(source.ranks, grid).ravel()[m]
        assert inside(blend.ranks, grid).ravel()[m] == k
        u, v = (inside(f.padded, grid).reshape(len(f.padded), -1)[:, m] for f in (blend, source))
        np.testing.assert_array_equal(u[: k + 1], v[: k + 1])
        assert not u[k + 1 :].any()


@pytest.mark.parametrize("p", [8, 16])
def test_numerators_stay_in_range_for_the_worst_picture(p):
    """Samples with the signs that drive one product furthest, at the longest step: int32 holds it exactly."""
    step, grid = 16384, (3, 3)
    v = basis.dct_basis(p, step)
    for r in (0, 1, p * p // 2, p * p - 1):
        target = np.zeros((3 * p, 3 * p), np.int32)
        # The filter is orthogonal: its adjoint is its inverse.
        target[p : 2 * p, p : 2 * p] = v[:, r].reshape(p, p)
        signs = np.where(lapped.inverse(target, p, "reference") < 0, -SAMPLE, SAMPLE).astype(np.int32)
        plane = lapped.forward(signs, p, "reference")
        size, _ = layout.padded_size(*grid)
        (products,) = same("numerators", plane, p, v, np.zeros((p * p, size), np.int32), changed=(3,))
        exact = int(np.sum(plane[p : 2 * p, p : 2 * p].astype(np.int64) * v[:, r].reshape(p, p)))
        assert inside(products, grid)[r, 1, 1] == exact
        assert abs(exact) < 2**31 and abs(exact) > 2**24


# ----------------------------------------------------------------------------------------------------------- the basis


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("step", STEPS)
def test_columns_are_dct_vectors_of_the_length_of_the_step(p, step):
    v = basis.dct_basis(p, step)
    scale = basis.scale_bits(step)
    length = step << (scale - basis.SCALE_BITS)
    assert v.shape == (p * p, p * p) and v.dtype == np.int32 and not v.flags.writeable
    assert length >= 1 << 11 and (scale == basis.SCALE_BITS or length < 1 << 12)
    k, n = np.mgrid[:p, :p]
    dct = np.sqrt(2 / p) * np.cos(np.pi * k * (2 * n + 1) / (2 * p))
    dct[0] /= np.sqrt(2)
    order = layout.zigzag(p)
    exact = length * np.einsum("ry,rx->yxr", dct[order[:, 0]], dct[order[:, 1]]).reshape(p * p, p * p)
    assert np.abs(v - exact).max() <= 0.51 + length * 2.0**-15
    gram = v.T.astype(np.int64) @ v.astype(np.int64) / length**2
    assert np.abs(np.diag(gram) - 1).max() < 7e-3
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 7e-3


@pytest.mark.parametrize("p", [8, 16])
def test_order_is_zigzag(p):
    order = [tuple(pair) for pair in layout.zigzag(p).tolist()]
    assert order[:6] == [(0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2)]
    assert sorted(order) == [(i, j) for i in range(p) for j in range(p)] and order[-1] == (p - 1, p - 1)
    for (i, j), (y, x) in zip(order, order[1:], strict=False):
        assert (y + x) - (i + j) in (0, 1) and max(abs(y - i), abs(x - j)) == 1


def test_costs_are_logarithms_of_frequencies():
    counts = np.array([[0, 0, 0], [1, 2, 5], [100, 0, 10**6]], np.int64)
    smooth = 16 * counts + 1
    exact = -256 * np.log2(smooth / smooth.sum(axis=1, keepdims=True))
    table = costs.cost_table(counts)
    assert np.abs(table - exact).max() <= 1.01
    ranks = np.zeros((4, 5), np.int32)
    ranks[2, 2] = 6
    prices = costs.rank_costs(ranks.ravel(), np.zeros(20, np.int32), 1, 1, 10)
    assert prices.shape == (9, 10)
    # Length 3 was seen once: log2(25 / 17) bits, and two bits of mantissa; the unseen lengths share the rest.
    assert abs(prices[0, 6] - 256 * (np.log2(25 / 17) + 2)) <= 2
    assert abs(prices[0, 9] - 256 * (np.log2(25) + 3)) <= 2
    assert abs(prices[5, 1] - 256 * np.log2(9)) <= 2
