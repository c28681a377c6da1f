"""Context coder: bytes of both backends, round trips up to the limits, cost estimates, and bytes that nobody wrote."""

from __future__ import annotations

import os

import numpy as np
import pytest
from helpers import assert_stays_inside
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import factors, inside, make_factors, patch_sizes
from strategies import examples, seeds

from imfnb import FormatError, entropy
from imfnb.entropy import cpu, layout, reference
from imfnb.entropy.model import COUNT_BITS, MODEL, initial_model, untrained_model
from imfnb.factorization.rdoq import costs
from imfnb.format import context_model
from imfnb.format.probability import SQUASH, STRETCH, WEIGHT_LIMIT, WEIGHT_ONE

pytestmark = pytest.mark.kernels

BOTH = (cpu, reference)


def both_encode(padded: np.ndarray, ranks: np.ndarray, grid: tuple[int, int], p: int) -> bytes:
    """The segment, the same from both backends."""
    mine, naive = (kernels.encode_factors(padded.copy(), ranks.copy(), *grid, p) for kernels in BOTH)
    assert mine == naive
    return mine


def both_decode(data: bytes, grid: tuple[int, int], p: int, max_rank: int | None = None):
    """Factors, ranks and the flag of overrun, the same from both backends, and so is what each part takes."""
    spent = [np.zeros(p * p + 1, np.int64) for _ in BOTH]
    results = [kernels.decode_factors(data, *grid, p, max_rank, s) for kernels, s in zip(BOTH, spent, strict=True)]
    np.testing.assert_array_equal(*spent)
    for mine, naive in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, naive)
    padded, ranks, overrun = results[0]
    assert padded.dtype == np.int16 and ranks.dtype == np.int32
    rank_max = min(data[0] + 1, p * p) if data else 1
    assert len(padded) == (rank_max if max_rank is None else min(rank_max, max_rank))
    assert padded.shape[1] == len(ranks) == layout.padded_size(*grid)[0]
    assert 0 <= ranks.min() and ranks.max() < rank_max
    assert np.abs(padded[0].astype(int)).max() <= layout.MAGNITUDE_LIMIT
    return padded, ranks, bool(overrun)


# --------------------------------------------------------------------------------------------------------- round trips


@settings(max_examples=examples(40))
@given(factors())
def test_round_trip(problem):
    padded, ranks, grid, p = problem
    data = both_encode(padded, ranks, grid, p)
    back, back_ranks, overrun = both_decode(data, grid, p)
    assert not overrun
    np.testing.assert_array_equal(inside(back_ranks, grid), inside(ranks, grid))
    rank = int(ranks.max()) + 1
    np.testing.assert_array_equal(inside(back, grid), inside(padded[:rank], grid))
    assert data[0] == rank - 1


@pytest.mark.jit
@settings(max_examples=examples(200))
@given(factors(rows=20, columns=30, cells=40_000))
def test_round_trip_of_larger_grids(problem):
    padded, ranks, grid, p = problem
    data = cpu.encode_factors(padded.copy(), ranks, *grid, p)
    back, back_ranks = entropy.decode_checked(cpu, data, *grid, p)
    np.testing.assert_array_equal(inside(back_ranks, grid), inside(ranks, grid))
    np.testing.assert_array_equal(inside(back, grid), inside(padded[: len(back)], grid))


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("sign", [-1, 1])
def test_round_trip_of_the_largest_numbers(p, sign):
    """Full rank and every entry at its limit: the longest code that there can be."""
    grid = 2, 2
    count = p * p if p == 8 else 60
    u = np.full((4, count), sign * layout.MAGNITUDE_LIMIT, np.int16)
    u[:, 0] = sign * np.array([1, -1, -1, 1]) * (layout.MAGNITUDE_LIMIT // 2)
    padded = layout.pad_factors(u, *grid)
    ranks = layout.active_ranks(padded)
    data = both_encode(padded, ranks, grid, p)
    back, back_ranks, overrun = both_decode(data, grid, p)
    assert not overrun and (inside(back_ranks, grid) == count - 1).all()
    np.testing.assert_array_equal(layout.unpad_factors(back, *grid), u)


@pytest.mark.jit
def test_round_trip_of_full_rank_256():
    padded, ranks = make_factors((2, 3), 256, 1.0, 4095, 8191, 1)
    data = both_encode(padded, ranks, (2, 3), 16)
    assert data[0] == 255
    back, _, overrun = both_decode(data, (2, 3), 16)
    assert not overrun
    np.testing.assert_array_equal(inside(back, (2, 3)), inside(padded, (2, 3)))


@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (5, 1), (3, 4)])
def test_nothing_but_zeros_takes_next_to_nothing(grid):
    padded, ranks = np.zeros((1, layout.padded_size(*grid)[0]), np.int16), np.zeros(layout.padded_size(*grid)[0], int)
    data = both_encode(padded, ranks.astype(np.int32), grid, 8)
    assert len(data) <= 4
    back, back_ranks, overrun = both_decode(data, grid, 8)
    assert not back.any() and not back_ranks.any() and not overrun


def test_bytes_follow_the_information():
    """Random signs and magnitudes cost what they must, a repeated picture a fraction of it."""
    grid, p = (20, 20), 8
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2, (400, 3)) * 2 - 1
    sizes = []
    for u in (noise, np.ones((400, 3), int)):
        padded = layout.pad_factors(u.astype(np.int16), *grid)
        sizes.append(len(cpu.encode_factors(padded, layout.active_ranks(padded), *grid, p)))
    assert 0.9 * 1200 / 8 < sizes[0] < 2.5 * 1200 / 8 and sizes[1] < sizes[0] / 3


@given(factors(), st.data())
@settings(max_examples=examples(30))
def test_fewer_components_are_the_first_ones(problem, data):
    """A preview holds the first components as they are, and the ranks of all, unless it is the first one alone."""
    padded, ranks, grid, p = problem
    coded = cpu.encode_factors(padded.copy(), ranks, *grid, p)
    whole, whole_ranks, _ = both_decode(coded, grid, p)
    stop = data.draw(st.integers(1, len(whole) + 2))
    part, part_ranks, overrun = both_decode(coded, grid, p, stop)
    assert not overrun
    np.testing.assert_array_equal(part, whole[:stop])
    np.testing.assert_array_equal(part_ranks, whole_ranks if stop > 1 else np.zeros_like(whole_ranks))


@settings(max_examples=examples(20))
@given(factors(cells=600), factors(cells=600))
def test_a_model_is_carried_from_plane_to_plane(one, two):
    """As the training does: both backends learn the same, and what was learned counts for the next plane."""
    models = [initial_model() for _ in BOTH]
    for padded, ranks, grid, p in (one, two):
        for model in models:
            for name in ("low", "position", "overrun"):
                model[name] = 0
            model["range"] = 0xFFFFFFFF
        mine, naive = (
            kernels.encode_factors(padded.copy(), ranks.copy(), *grid, p, model)
            for kernels, model in zip(BOTH, models, strict=True)
        )
        assert mine == naive
        for name in ("states", "weights", "maps"):
            np.testing.assert_array_equal(models[0][name], models[1][name])
    assert (models[0]["states"] != initial_model()["states"]).any()


def test_bytes_that_end_too_early_are_an_error():
    padded, ranks = make_factors((3, 4), 20, 0.5, 50, 9, 2)
    data = both_encode(padded, ranks, (3, 4), 8)
    for coder in BOTH:
        back, back_ranks = entropy.decode_checked(coder, data, 3, 4, 8)
        np.testing.assert_array_equal(inside(back, (3, 4)), inside(padded[: len(back)], (3, 4)))
        np.testing.assert_array_equal(inside(back_ranks, (3, 4)), inside(ranks, (3, 4)))
        for part in (data[: len(data) // 2], b""):
            with pytest.raises(FormatError, match="end too early"):
                entropy.decode_checked(coder, part, 3, 4, 8)


# ------------------------------------------------------------------------------------------------------ costs and bytes


@given(factors())
@settings(max_examples=examples(30))
def test_bytes_of_components_add_up(problem):
    padded, ranks, grid, p = problem
    data = cpu.encode_factors(padded.copy(), ranks, *grid, p)
    spent, _ = entropy.component_bytes(cpu, data, *grid, p)
    assert spent.shape == (p * p + 1,) and spent.min() >= 0 and spent[0] >= 1
    assert 0 <= len(data) - spent.sum() <= 4  # the coder reads ahead; the end may never be asked for
    assert not spent[int(ranks.max()) + 2 :].any()


@given(st.binary(max_size=60), st.integers(1, 5), st.integers(1, 5), patch_sizes)
def test_bytes_of_components_of_any_bytes(data, rows, columns, p):
    spent, _ = entropy.component_bytes(cpu, data, rows, columns, p)
    assert spent.min() >= 0 and spent.sum() <= len(data)


# ------------------------------------------------------------------------------------------------------- hostile bytes


@given(st.binary(max_size=120), st.integers(1, 4), st.integers(1, 5), patch_sizes)
def test_arbitrary_bytes(data, rows, columns, p):
    both_decode(data, (rows, columns), p)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 60), st.integers(1, 4), st.integers(1, 4), patch_sizes)
def test_repeated_bytes(first, value, count, rows, columns, p):
    """Long runs of one symbol: escapes at their limit, ranks and magnitudes at the extremes."""
    both_decode(bytes([first]) + bytes([value]) * count, (rows, columns), p)


def test_every_truncation():
    grid, p = (2, 3), 8
    padded, ranks = make_factors(grid, 6, 0.5, 100, 9, 6)
    data = both_encode(padded, ranks, grid, p)
    flags = [both_decode(data[:length], grid, p)[2] for length in range(len(data) + 1)]
    assert flags[0] and not flags[-1]
    assert sum(flags) > 0.6 * len(data)  # a few prefixes are the code of something shorter


@pytest.mark.slow
@pytest.mark.thorough
def test_every_flipped_bit():
    grid, p = (2, 2), 8
    padded, ranks = make_factors(grid, 5, 0.5, 30, 5, 7)
    data = both_encode(padded, ranks, grid, p)
    whole = both_decode(data, grid, p)
    changed = 0
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            found = both_decode(bytes(damaged), grid, p)
            same = found[0].shape == whole[0].shape and np.array_equal(found[0], whole[0])
            changed += found[2] or not same
    assert changed > 7 * len(data)


@pytest.mark.jit
@settings(max_examples=examples(500))
@given(st.binary(max_size=2000), st.integers(1, 30), st.integers(1, 30), patch_sizes, st.integers(1, 300))
def test_arbitrary_bytes_in_large_grids(data, rows, columns, p, max_rank):
    """The kernel alone: whatever comes out is within the limits of what may come out."""
    padded, ranks, _ = cpu.decode_factors(data, rows, columns, p, max_rank)
    assert 0 <= ranks.min() and ranks.max() < p * p
    assert np.abs(padded[0].astype(int)).max() <= layout.MAGNITUDE_LIMIT
    assert np.abs(padded.astype(int)).max() < 2**14
    image = padded[1:].reshape(len(padded) - 1, rows + 3, columns + 4)
    guards = image.copy()
    guards[:, 2:-1, 2:-2] = 0
    assert not guards.any()  # nothing was written beside the patches


BOUNDS_CHECK = """
    import sys
    import numpy as np
    import numba
    assert numba.config.BOUNDSCHECK == 1
    sys.path[:0] = {folders!r}
    from helpers import assemble, header
    from main_helpers import main_fields, make_factors
    import imfnb
    from imfnb.entropy import cpu
    from imfnb.entropy.model import MODEL

    # The check itself works: an index beyond the end raises.
    try:
        cpu._predict(0, 0, 0, 10**6, np.zeros(1, MODEL)[0])
    except IndexError:
        print("checked")
    rng = np.random.default_rng(1)
    overruns = 0
    for n in range(400):
        grid = int(rng.integers(1, 9)), int(rng.integers(1, 9))
        p = (8, 16)[n % 2]
        kind = n % 5
        if kind < 2:
            data = rng.bytes(int(rng.integers(0, 400)))
        elif kind == 2:
            data = bytes([255]) + bytes([int(rng.integers(256))]) * int(rng.integers(1, 300))
        else:
            rank = int(rng.integers(1, 40))
            padded, ranks = make_factors(grid, rank, 0.3, 4095, 8191, n)
            data = bytearray(cpu.encode_factors(padded.copy(), ranks, *grid, p))
            for _ in range(n % 4):
                data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
            data = bytes(data[: len(data) - int(rng.integers(len(data))) * (kind == 4)])
        found = cpu.decode_factors(data, *grid, p, None if n % 3 else int(rng.integers(1, 99)))
        overruns += bool(found[2])
        if n % 8 == 0:
            try:
                fields = main_fields(1, 640, 640, *(rng.integers(0, 4, 3).tolist()))
                segments = [data] * 3
                imfnb.decode(assemble(header(19, 21, 3, fields, segments, profile=1), segments))
            except imfnb.ImfError:
                pass
    image = rng.integers(0, 256, (37, 29, 3), dtype=np.uint8)
    for options in ({{"step": 1}}, {{"quality": 50}}, {{"step": 200, "patch_size": 16}}):
        imfnb.decode(imfnb.encode(image, profile="main", **options))
    assert 40 < overruns < 200, overruns
    print("done")
"""


@pytest.mark.jit
@pytest.mark.slow
def test_kernels_stay_inside_their_arrays(tmp_path):
    """Compiled with bounds checks, the kernels neither trip over random bytes nor over their own."""
    assert_stays_inside(BOUNDS_CHECK, tmp_path)


# ---------------------------------------------------------------------------------------------- tables, states, layout


def test_squash_and_stretch_are_each_others_inverse():
    x = np.arange(4096)
    exact = 65536 / (1 + np.exp(-(x - 2048) / 256))
    assert np.abs(SQUASH - np.clip(exact, 24, 65536 - 24)).max() <= 0.51
    assert (np.diff(SQUASH) >= 0).all() and (np.diff(STRETCH) >= 0).all()
    probability = (np.arange(4096) + 0.5) / 4096
    exact = 256 * np.log(probability / (1 - probability))
    error = np.abs(STRETCH - np.clip(exact, -2047, 2047))
    assert error.max() < 32 and error[np.abs(exact) < 1200].max() <= 1.01  # near 0 and 1 squash has steps


def test_levels():
    """The tables without comparisons hold what comparisons would give, for four clamped sums or 14 bytes together."""
    index = np.arange(max(4 * layout.SUM_LIMIT, 14 * 255) + 1)
    levels = context_model.LEVEL[np.minimum(index, 1023)]
    for table, limit in ((layout.LEVELS, 15), (layout.LEVELS_6, 6), (layout.LEVELS_7, 7), (layout.LEVELS_9, 9)):
        np.testing.assert_array_equal(table[index], np.minimum(levels, limit))
    np.testing.assert_array_equal(layout.LEVELS_11[index], np.minimum(levels, 11))
    # A clamped sum has the highest level anyhow.
    assert context_model.LEVEL[layout.SUM_LIMIT >> 2] == context_model.LEVEL.max()
    values = -99, -16, -15, -8, -7, -4, -3, -2, -1, 0, 1, 2, 3, 4, 7, 8, 15, 16, 99
    signed = [reference.signed_level(value) for value in values]
    assert signed == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 7, 8, 8, 9, 9, 10, 10]


def test_fixed_point_logarithms():
    n = np.array([1, 2, 3, 5, 1000, 65537, 2**31 - 1])
    for bits in (8, 12):
        assert np.abs(costs.log2_fixed(n, bits) / 2**bits - np.log2(n)).max() <= 0.51 / 2**bits


def test_learned_states_fill_the_model_and_stay_in_range():
    model = initial_model()
    assert model.shape == (1,) and model.dtype == MODEL
    probability = model["states"][0] >> COUNT_BITS
    counts = model["states"][0] & ((1 << COUNT_BITS) - 1)
    assert 0 <= probability.min() and probability.max() < 1 << 22 and counts.max() <= 25  # COUNT_CAP of train_states
    assert np.abs(model["weights"]).max() <= WEIGHT_LIMIT
    assert 0 <= model["maps"].min() and model["maps"].max() < 65536
    assert model["range"] == 0xFFFFFFFF and not model["low"].any() and not model["overrun"].any()
    model["states"] = 0
    assert initial_model()["states"].any()  # a copy each time


def test_packing_the_untrained_model_keeps_it(monkeypatch):
    """The inverse of reading: probabilities to 12 bits, weights and maps as they are."""
    import zlib

    monkeypatch.syspath_prepend(os.path.join(os.path.dirname(__file__), os.pardir, "benchmarks"))
    from train_states import pack_model

    model = untrained_model()
    packed = zlib.decompress(pack_model(model))
    sizes = [model[name].size for name in ("states", "weights", "maps")]
    assert len(packed) == 2 * sum(sizes)
    numbers = np.frombuffer(packed, "<u2").astype(int)
    assert (numbers[: sizes[0]] == 2048 << 4).all()
    assert (numbers[sizes[0] : sizes[0] + sizes[1]] == (WEIGHT_ONE // 6 + 4) >> 3).all()
    np.testing.assert_array_equal(numbers[-sizes[2] :], model["maps"][0])


@pytest.mark.parametrize("p", [8, 16])
def test_parents_have_lower_frequencies(p):
    table = context_model.component_table(p)
    order = context_model.zigzag(p)
    assert table.shape == (p * p, 5) and not table.flags.writeable
    for r in range(1, p * p):
        first, second, direction, group, ring = table[r]
        assert first < r and second < r and (order[first] <= order[r]).all()
        assert 0 <= direction <= 2 and 0 <= group < context_model.GROUPS and 0 <= ring <= 5
    assert table[:15, 3].tolist() == list(range(15)) and (np.diff(table[:, 3]) >= 0).all()


@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 9), seeds)
def test_padding_comes_off_again(rows, columns, rank, seed):
    u = np.random.default_rng(seed).integers(-9, 9, (rows * columns, rank)).astype(np.int16)
    padded = layout.pad_factors(u, rows, columns)
    assert padded.shape == (rank, layout.padded_size(rows, columns)[0])
    np.testing.assert_array_equal(layout.unpad_factors(padded, rows, columns), u)
    last = [max([r for r in range(1, rank) if row[r]], default=0) for row in u]
    np.testing.assert_array_equal(inside(layout.active_ranks(padded), (rows, columns)).ravel(), last)
