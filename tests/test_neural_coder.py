"""The second coder of U: bytes of both backends, round trips up to the limits, companions, any bytes."""

from __future__ import annotations

import os
import zlib

import numpy as np
import pytest
from helpers import assert_stays_inside
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import factors, inside, make_factors, patch_sizes
from strategies import examples, seeds

from imfnb import FormatError, entropy
from imfnb.entropy import layout
from imfnb.entropy.model import COUNT_BITS
from imfnb.entropy.neural import cpu, reference, simd
from imfnb.entropy.neural.model import NEURAL_MODEL, initial_model, unpaired, untrained_model, with_networks
from imfnb.format import neural_model
from imfnb.format.neural_model import HIDDEN_LIMIT, NET_WEIGHT_LIMIT, NETS, SAID, SEEN
from imfnb.format.neural_states import LAYOUT, State, initial_state
from imfnb.format.probability import WEIGHT_LIMIT

pytestmark = pytest.mark.kernels

BOTH = (cpu, reference)

Plane = tuple[np.ndarray, np.ndarray]


@st.composite
def problems(draw: st.DrawFn, cells: int):
    """(padded, ranks, grid, patch size, companion or None)."""
    padded, ranks, grid, p = draw(factors(cells=cells))
    other = None
    if draw(st.booleans()):
        rank = draw(st.integers(1, min(p * p, 40)))
        other = make_factors(grid, rank, 0.4, draw(st.sampled_from([3, 4000])), 300, draw(seeds))
    return padded, ranks, grid, p, other


def both_encode(padded, ranks, grid, p, companion=None, models=(None, None)) -> bytes:
    """The segment, the same from both backends."""
    mine, naive = (
        kernels.encode_factors(padded.copy(), ranks.copy(), *grid, p, companion, model)
        for kernels, model in zip(BOTH, models, strict=True)
    )
    assert mine == naive
    return mine


def both_decode(data: bytes, grid, p, max_rank=None, companion=None):
    """Factors, ranks and the flag of overrun, the same from both backends, and so is what each part takes."""
    spent = [np.zeros(p * p + 1, np.int64) for _ in BOTH]
    results = [
        kernels.decode_factors(data, *grid, p, max_rank, s, companion) for kernels, s in zip(BOTH, spent, strict=True)
    ]
    np.testing.assert_array_equal(*spent)
    for mine, naive in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, naive)
    padded, ranks, overrun = results[0]
    assert padded.dtype == np.int16 and ranks.dtype == np.int32
    assert 0 <= ranks.min() and ranks.max() < (min(data[0] + 1, p * p) if data else 1)
    assert np.abs(padded[0].astype(int)).max() <= layout.MAGNITUDE_LIMIT and np.abs(padded.astype(int)).max() < 2**14
    return padded, ranks, bool(overrun)


# --------------------------------------------------------------------------------------------------------- round trips


@settings(max_examples=examples(20))
@given(problems(300))
def test_round_trip(problem):
    padded, ranks, grid, p, companion = problem
    data = both_encode(padded, ranks, grid, p, companion)
    back, back_ranks, overrun = both_decode(data, grid, p, None, companion)
    assert not overrun and data[0] == ranks.max()
    np.testing.assert_array_equal(inside(back_ranks, grid), inside(ranks, grid))
    np.testing.assert_array_equal(inside(back, grid), inside(padded[: len(back)], grid))


@settings(max_examples=examples(12))
@given(problems(300), st.data())
def test_fewer_components_are_the_first_ones(problem, data):
    """A preview needs no more of the companion than it decodes of it."""
    padded, ranks, grid, p, companion = problem
    stop = data.draw(st.integers(1, len(padded) + 2))
    coded = cpu.encode_factors(padded.copy(), ranks, *grid, p, companion)
    if companion is not None:
        whole = cpu.encode_factors(*(each.copy() for each in companion), *grid, p)
        companion = cpu.decode_factors(whole, *grid, p, stop)[:2]
    part, part_ranks, overrun = both_decode(coded, grid, p, stop, companion)
    assert not overrun
    np.testing.assert_array_equal(inside(part, grid), inside(padded[: len(part)], grid))
    np.testing.assert_array_equal(inside(part_ranks, grid), inside(ranks if stop > 1 else np.zeros_like(ranks), grid))


@pytest.mark.jit
@settings(max_examples=examples(100))
@given(factors(rows=20, columns=30, cells=30_000))
def test_round_trip_of_larger_grids(problem):
    padded, ranks, grid, p = problem
    data = cpu.encode_factors(padded.copy(), ranks, *grid, p)
    back, back_ranks = entropy.decode_checked(cpu, data, *grid, p)
    np.testing.assert_array_equal(inside(back_ranks, grid), inside(ranks, grid))
    np.testing.assert_array_equal(inside(back, grid), inside(padded[: len(back)], grid))


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("sign", [-1, 1])
def test_round_trip_of_the_largest_numbers(p, sign):
    grid = 2, 2
    u = np.full((4, 60), sign * layout.MAGNITUDE_LIMIT, np.int16)
    u[:, 0] = sign * np.array([1, -1, -1, 1]) * (layout.MAGNITUDE_LIMIT // 2)
    padded = layout.pad_factors(u, *grid)
    ranks = layout.active_ranks(padded)
    data = both_encode(padded, ranks, grid, p)
    back, _, overrun = both_decode(data, grid, p)
    assert not overrun
    np.testing.assert_array_equal(inside(back, grid), inside(padded, grid))


@pytest.mark.parametrize("grid", [(1, 1), (1, 7), (5, 1), (3, 4)])
def test_nothing_but_zeros_takes_next_to_nothing(grid):
    size = layout.padded_size(*grid)[0]
    data = both_encode(np.zeros((1, size), np.int16), np.zeros(size, np.int32), grid, 8)
    assert len(data) <= 5
    back, ranks, overrun = both_decode(data, grid, 8)
    assert not back.any() and not ranks.any() and not overrun


@settings(max_examples=examples(10))
@given(problems(200), problems(200))
def test_a_model_is_carried_from_plane_to_plane(one, two):
    """As the training does: both backends learn the same, and what was learned counts for the next plane."""
    models = [initial_model() for _ in BOTH]
    for problem in (one, two):
        for model in models:
            for name in ("low", "position", "overrun"):
                model[name] = 0
            model["range"] = 0xFFFFFFFF
        both_encode(*problem, models=models)
        for name in ("states", "weights", "last", "maps"):
            np.testing.assert_array_equal(models[0][name], models[1][name])
    assert (models[0]["states"] != initial_model()["states"]).any()


def test_bytes_that_end_too_early_are_an_error():
    padded, ranks = make_factors((3, 4), 20, 0.5, 50, 9, 2)
    data = both_encode(padded, ranks, (3, 4), 8)
    for coder in BOTH:
        back, _ = entropy.decode_checked(coder, data, 3, 4, 8)
        np.testing.assert_array_equal(inside(back, (3, 4)), inside(padded[: len(back)], (3, 4)))
        for part in (data[: len(data) // 2], b""):
            with pytest.raises(FormatError, match="end too early"):
                entropy.decode_checked(coder, part, 3, 4, 8)


# ------------------------------------------------------------------------------------------------------- hostile bytes


@settings(max_examples=examples(30))
@given(st.binary(max_size=100), st.integers(1, 4), st.integers(1, 5), patch_sizes)
def test_arbitrary_bytes(data, rows, columns, p):
    both_decode(data, (rows, columns), p)


@settings(max_examples=examples(30))
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 60), st.integers(1, 4), st.integers(1, 4), patch_sizes)
def test_repeated_bytes(first, value, count, rows, columns, p):
    """Long runs of one symbol: escapes at their limit, ranks and magnitudes at the extremes."""
    both_decode(bytes([first]) + bytes([value]) * count, (rows, columns), p)


@settings(max_examples=examples(20))
@given(st.binary(min_size=2, max_size=60), st.binary(max_size=60), st.integers(1, 3), st.integers(1, 4), patch_sizes)
def test_arbitrary_bytes_beside_arbitrary_bytes(one, two, rows, columns, p):
    """Whatever a companion holds."""
    companion = both_decode(one, (rows, columns), p)[:2]
    both_decode(two, (rows, columns), p, None, companion)


def test_every_truncation():
    grid, p = (2, 3), 8
    padded, ranks = make_factors(grid, 6, 0.5, 100, 9, 6)
    data = both_encode(padded, ranks, grid, p)
    flags = [both_decode(data[:length], grid, p)[2] for length in range(len(data) + 1)]
    assert flags[0] and not flags[-1] and sum(flags) > 0.4 * len(data)


@pytest.mark.jit
@settings(max_examples=examples(300))
@given(st.binary(max_size=2000), st.integers(1, 30), st.integers(1, 30), patch_sizes, st.integers(1, 300))
def test_arbitrary_bytes_in_large_grids(data, rows, columns, p, max_rank):
    padded, ranks, _ = cpu.decode_factors(data, rows, columns, p, max_rank)
    assert 0 <= ranks.min() and ranks.max() < p * p
    assert np.abs(padded[0].astype(int)).max() <= layout.MAGNITUDE_LIMIT and np.abs(padded.astype(int)).max() < 2**14
    guards = padded[1:].reshape(len(padded) - 1, rows + 3, columns + 4).copy()
    guards[:, 2:-1, 2:-2] = 0
    assert not guards.any()


BOUNDS_CHECK = """
    import sys
    import numpy as np
    import numba
    assert numba.config.BOUNDSCHECK == 1
    sys.path[:0] = {folders!r}
    from main_helpers import make_factors
    from imfnb.entropy.neural import cpu

    # The check itself works: an index beyond the end raises.
    try:
        cpu._ends(np.zeros(4, np.int32), 9, 9)
    except IndexError:
        print("checked")
    rng = np.random.default_rng(1)
    for n in range(300):
        grid = int(rng.integers(1, 9)), int(rng.integers(1, 9))
        p = (8, 16)[n % 2]
        beside = make_factors(grid, int(rng.integers(1, 40)), 0.3, 4095, 8191, n) if n % 4 else None
        if n % 3 == 0:
            data = rng.bytes(int(rng.integers(0, 400)))
        elif n % 3 == 1:
            data = bytes([255]) + bytes([int(rng.integers(256))]) * int(rng.integers(1, 300))
        else:
            padded, ranks = make_factors(grid, int(rng.integers(1, 40)), 0.3, 4095, 8191, n)
            data = bytearray(cpu.encode_factors(padded, ranks, *grid, p, beside))
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        cpu.decode_factors(bytes(data), *grid, p, None if n % 5 else 7, None, beside)
    print("done")
"""


@pytest.mark.jit
@pytest.mark.slow
def test_kernels_stay_inside_their_arrays(tmp_path):
    """Compiled with bounds checks, the kernels neither trip over random bytes nor over their own."""
    assert_stays_inside(BOUNDS_CHECK, tmp_path)


# --------------------------------------------------------------------------------------------- networks, tables, states


@settings(max_examples=examples(40))
@given(seeds, st.sampled_from([50, 1000, 32767]), st.integers(0, NETS - 1))
def test_networks_say_the_same(seed, largest, number):
    """Vectors and plain sums, up to the largest weights that there can be."""
    rng = np.random.default_rng(seed)
    arrays = {
        name: rng.integers(-1, 2, shape) * rng.integers(largest // 2, largest + 1, shape)
        for name, (_, shape) in LAYOUT.items()
    }
    for name in ("layer_2", "layer_3"):
        arrays[name] = np.clip(arrays[name], -NET_WEIGHT_LIMIT, NET_WEIGHT_LIMIT)
    state = State(**{name: value.astype(LAYOUT[name][0]) for name, value in arrays.items()})
    model = with_networks(untrained_model(), state)
    for layer, found in zip((state.layer_1, state.layer_2, state.layer_3), unpaired(model), strict=True):
        np.testing.assert_array_equal(layer, found)
    row = int(rng.integers(neural_model.NET_START[-1]))
    inputs = [int(v) for v in rng.integers(-255, 256, SEEN)]
    said = np.zeros(SAID, np.int32)
    record = model[0]
    _ask(np.array(inputs, np.int16), record, number, row, said)
    assert said.tolist() == reference.Networks(model).ask(number, row, inputs)
    assert HIDDEN_LIMIT * NET_WEIGHT_LIMIT * 32 + (32767 << 10) < 2**31


def _ask(seen, record, number, row, said):
    layers = record["layer_1"], record["layer_2"], record["layer_3"]
    _network(seen, layers, (record["bias_1"], record["bias_2"], record["bias_3"]), number, row, said)


@cpu.kernel()
def _network(seen, layers, biases, number, row, said):
    simd.network(seen, layers, biases, number, row, said)


def test_logarithms():
    exact = 20 * np.log2(1 + np.arange(16384))
    assert np.abs(neural_model.LOGARITHM - np.minimum(exact, 255)).max() <= 0.5


@pytest.mark.parametrize("p", [8, 16])
def test_relations_have_lower_numbers(p):
    table = neural_model.relation_table(p)
    relatives = np.delete(table, [2, 3, 4, 5, neural_model.BAND], axis=1)
    assert (relatives < np.maximum(np.arange(p * p), 1)[:, None]).all() and not table.flags.writeable
    positions = table[:, neural_model.POSITION]
    assert table[:, neural_model.BAND].max() == neural_model.BANDS - 1
    assert positions[:28].tolist() == list(range(28)) and positions.max() < neural_model.POSITIONS


def test_learned_states_stay_in_range():
    model = initial_model()
    assert model.shape == (1,) and model.dtype == NEURAL_MODEL
    probability = model["states"][0] >> COUNT_BITS
    assert 0 <= probability.min() and probability.max() < 1 << 22
    assert np.abs(model["weights"]).max() <= WEIGHT_LIMIT and np.abs(model["last"]).max() <= WEIGHT_LIMIT
    assert 0 <= model["maps"].min() and model["maps"].max() < 65536
    for layer in unpaired(model)[1:]:
        assert np.abs(layer.astype(int)).max() <= NET_WEIGHT_LIMIT
    assert not model["sink"].any() and not model["low"].any() and not model["overrun"].any()
    model["states"] = 0
    assert initial_model()["states"].any()  # a copy each time


def test_packing_the_initial_model_keeps_it(monkeypatch):
    """The inverse of reading: networks as they are, states to 12 bits; what was hardly seen begins anew."""
    monkeypatch.syspath_prepend(os.path.join(os.path.dirname(__file__), os.pardir, "benchmarks"))
    from train_neural import NETWORKS, pack_model

    state, model = initial_state(), initial_model()
    data = zlib.decompress(pack_model(model, {name: getattr(state, name) for name in NETWORKS}))
    start = 0
    for name, (kind, shape) in LAYOUT.items():
        found = np.frombuffer(data, kind, int(np.prod(shape)), start).reshape(shape)
        start += 2 * found.size
        if name != "states":
            np.testing.assert_array_equal(found, getattr(state, name), name)
    assert start == len(data)
