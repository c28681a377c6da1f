"""The coder of U in parallel lanes: bytes of both backends, round trips up to the limits, lanes, any bytes, vectors."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import assert_stays_inside
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import factors, inside, make_factors, patch_sizes
from strategies import examples, seeds

from imfnb import FormatError, entropy
from imfnb.entropy import layout
from imfnb.entropy.rans import cpu, lanes, passes, reference, simd
from imfnb.entropy.rans.model import SIGN_ROWS, kernel_model, model_of
from imfnb.format import rans_model
from imfnb.format.rans_model import HIDDEN, INPUTS, LEVELS, NETS, SYMBOLS, networks

pytestmark = pytest.mark.kernels

BOTH = (cpu, reference)

_ONE = 1 << rans_model.FREQUENCY_BITS


def both_encode(padded, ranks, grid, p) -> bytes:
    """The segment, the same from both backends."""
    mine, naive = (kernels.encode_factors(padded.copy(), ranks.copy(), *grid, p) for kernels in BOTH)
    assert mine == naive
    return mine


def both_decode(data: bytes, grid, p, max_rank=None):
    """Factors, ranks and the flag of overrun, the same from both backends, and so is what each part takes."""
    spent = [np.zeros(p * p + 1, np.int64) for _ in BOTH]
    results = [kernels.decode_factors(data, *grid, p, max_rank, s) for kernels, s in zip(BOTH, spent, strict=True)]
    np.testing.assert_array_equal(*spent)
    for mine, naive in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, naive)
    padded, ranks, overrun = results[0]
    assert padded.dtype == np.int16 and ranks.dtype == np.int32
    assert 0 <= ranks.min() and ranks.max() < (min(data[0] + 1, p * p) if data else 1)
    assert np.abs(padded.astype(int)).max() <= layout.MAGNITUDE_LIMIT
    if not overrun:
        parts = spent[0][: min(len(padded), int(ranks.max()) + 1) + 1] if len(padded) > 1 else spent[0][:1]
        assert (np.diff(parts[parts > 0]) >= 0).all() and parts.max() <= len(data)
    return padded, ranks, bool(overrun)


# --------------------------------------------------------------------------------------------------------- round trips


@settings(max_examples=examples(40))
@given(factors(cells=300))
def test_round_trip(problem):
    padded, ranks, grid, p = problem
    data = both_encode(padded, ranks, grid, p)
    back, back_ranks, overrun = both_decode(data, grid, p)
    assert not overrun and data[0] == ranks.max()
    np.testing.assert_array_equal(inside(back_ranks, grid), inside(ranks, grid))
    np.testing.assert_array_equal(inside(back, grid), inside(padded[: len(back)], grid))


@settings(max_examples=examples(20))
@given(factors(cells=300), st.data())
def test_fewer_components_are_the_first_ones(problem, data):
    padded, ranks, grid, p = problem
    stop = data.draw(st.integers(1, len(padded) + 2))
    part, part_ranks, overrun = both_decode(cpu.encode_factors(padded.copy(), ranks, *grid, p), grid, p, stop)
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


@pytest.mark.jit
@pytest.mark.parametrize(("grid", "rank", "largest"), [((27, 41), 12, 300), ((270, 530), 2, 9), ((260, 3), 3, 40)])
def test_passes_of_several_runs(grid, rank, largest):
    """Of more patches than are coded together, on either side of the checkerboard, along the wave front, and both."""
    padded, ranks = make_factors(grid, rank, 0.6, 900, largest, 7)
    waves, half = max(len(m) for m in passes.wave(*grid)), np.count_nonzero(inside(ranks, grid)) // 2
    assert max(waves, half) > rans_model.RUN and (grid[1] < 300 or waves > rans_model.RUN)
    if grid[0] * grid[1] > 2000:  # the reference would take seconds
        data = cpu.encode_factors(padded.copy(), ranks, *grid, 8)
        back, back_ranks = entropy.decode_checked(cpu, data, *grid, 8)
    else:
        data = both_encode(padded, ranks, grid, 8)
        back, back_ranks, overrun = both_decode(data, grid, 8)
        assert not overrun
    np.testing.assert_array_equal(inside(back_ranks, grid), inside(ranks, grid))
    np.testing.assert_array_equal(inside(back, grid), inside(padded[: len(back)], grid))


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("sign", [-1, 1])
def test_round_trip_of_the_largest_numbers(p, sign):
    grid = 2, 2
    u = np.full((4, 60), sign * layout.MAGNITUDE_LIMIT, np.int16)
    u[:, 0] = sign * np.array([1, -1, -1, 1]) * layout.MAGNITUDE_LIMIT
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
    assert len(data) <= 9
    back, ranks, overrun = both_decode(data, grid, 8)
    assert not back.any() and not ranks.any() and not overrun


@pytest.mark.jit
@pytest.mark.parametrize("lanes", range(1, rans_model.LANES_MAX + 1))
def test_lanes(lanes):
    """As many as the symbols deserve; all of them give and take in turn."""
    side = int((reference.SYMBOLS_PER_LANE << lanes) ** 0.5) // 5 + 1
    padded, ranks = make_factors((side, side), 26, 1.0, 200, 5, lanes)
    encoder = cpu.encode_factors(padded.copy(), ranks, side, side, 8)
    assert encoder[1] == min(lanes, rans_model.LANES_MAX)
    back, _ = entropy.decode_checked(cpu, encoder, side, side, 8)
    np.testing.assert_array_equal(inside(back, (side, side)), inside(padded[: len(back)], (side, side)))
    if lanes < 3:
        assert reference.encode_factors(padded.copy(), ranks, side, side, 8) == encoder
        both_decode(encoder, (side, side), 8)


def test_many_lanes_of_few_symbols(monkeypatch):
    """Decoders take any number of lanes, so the encoders may choose."""
    padded, ranks = make_factors((3, 5), 20, 0.5, 50, 9, 2)
    for share, count in ((1, 5), (16, 4), (10**6, 0)):
        for module in (reference, lanes):
            monkeypatch.setattr(module, "SYMBOLS_PER_LANE", share)
        data = both_encode(padded, ranks, (3, 5), 8)
        assert data[1] == count
        back, _, overrun = both_decode(data, (3, 5), 8)
        assert not overrun
        np.testing.assert_array_equal(inside(back, (3, 5)), inside(padded[: len(back)], (3, 5)))


def test_bytes_that_end_too_early_are_an_error():
    padded, ranks = make_factors((3, 4), 20, 0.5, 50, 9, 2)
    data = both_encode(padded, ranks, (3, 4), 8)
    for coder in BOTH:
        back, _ = entropy.decode_checked(coder, data, 3, 4, 8)
        np.testing.assert_array_equal(inside(back, (3, 4)), inside(padded[: len(back)], (3, 4)))
        for part in (data[: len(data) // 2], data[:2], data[:1], b""):
            with pytest.raises(FormatError, match="end too early"):
                entropy.decode_checked(coder, part, 3, 4, 8)


def test_a_count_of_words_that_is_none_is_an_error():
    """Even where all that is needed would be there."""
    data = both_encode(np.zeros((1, layout.padded_size(1, 1)[0]), np.int16), np.zeros(20, np.int32), (1, 1), 8)
    assert len(data) == 7 and not both_decode(data, (1, 1), 8)[2]
    assert not both_decode(data[:1] + b"\5\0" + data[3:] * 32, (1, 1), 8)[2]
    for counts in (b"\0" + b"\x80" * 5, b"\6\0", b"\0\1", b"\1\0"):
        assert both_decode(data[:1] + counts + data[3:] + bytes(counts[0] == 6) * 300, (1, 1), 8)[2]


# ------------------------------------------------------------------------------------------------------- hostile bytes


@st.composite
def segments(draw: st.DrawFn, largest: int = 100) -> bytes:
    """Bytes that begin as a segment does, with counts that fit or nearly."""
    rank, lanes, words = draw(st.integers(0, 255)), draw(st.integers(0, 3)), draw(st.integers(0, 60))
    if draw(st.booleans()):  # long runs of one symbol: escapes at their limit, ranks and magnitudes at the extremes
        rest = bytes([draw(st.integers(0, 255))]) * (4 * (1 << lanes) + 2 * words + draw(st.integers(-1, largest)))
    else:
        rest = draw(st.binary(min_size=4, max_size=largest)) * 3
    return bytes([rank, lanes, words]) + rest


@settings(max_examples=examples(20))
@given(st.binary(max_size=100), st.integers(1, 4), st.integers(1, 5), patch_sizes)
def test_arbitrary_bytes(data, rows, columns, p):
    both_decode(data, (rows, columns), p)


@settings(max_examples=examples(60))
@given(segments(), st.integers(1, 4), st.integers(1, 5), patch_sizes)
def test_arbitrary_segments(data, rows, columns, p):
    both_decode(data, (rows, columns), p)


@settings(max_examples=examples(20))
@given(factors(cells=200), st.data())
def test_flipped_bits(problem, draw):
    padded, ranks, grid, p = problem
    data = bytearray(cpu.encode_factors(padded.copy(), ranks, *grid, p))
    data[draw.draw(st.integers(0, len(data) - 1))] ^= 1 << draw.draw(st.integers(0, 7))
    both_decode(bytes(data), grid, p)


def test_every_truncation():
    grid, p = (2, 3), 8
    padded, ranks = make_factors(grid, 6, 0.5, 100, 9, 6)
    data = both_encode(padded, ranks, grid, p)
    flags = [both_decode(data[:length], grid, p)[2] for length in range(len(data) + 1)]
    assert all(flags[:-1]) and not flags[-1]


@pytest.mark.jit
@settings(max_examples=examples(300))
@given(segments(2000), st.integers(1, 30), st.integers(1, 30), patch_sizes, st.integers(1, 300))
def test_arbitrary_bytes_in_large_grids(data, rows, columns, p, max_rank):
    padded, ranks, _ = cpu.decode_factors(data, rows, columns, p, max_rank)
    assert 0 <= ranks.min() and ranks.max() < p * p
    assert np.abs(padded.astype(int)).max() <= layout.MAGNITUDE_LIMIT
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
    from imfnb.entropy.rans import cpu

    # The check itself works: an index beyond the end raises.
    try:
        cpu._mean(np.zeros(1, np.int64))
    except IndexError:
        print("checked")
    rng = np.random.default_rng(1)
    for n in range(300):
        grid = int(rng.integers(1, 9)), int(rng.integers(1, 9))
        p = (8, 16)[n % 2]
        if n % 3 == 0:
            data = bytes([255, n % 4, n % 99]) + rng.bytes(int(rng.integers(0, 800)))
        elif n % 3 == 1:
            data = bytes([255, n % 4, n % 50]) + bytes([int(rng.integers(256))]) * int(rng.integers(1, 300))
        else:
            padded, ranks = make_factors(grid, int(rng.integers(1, 40)), 0.3, 4095, 8191, n)
            data = bytearray(cpu.encode_factors(padded, ranks, *grid, p))
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        cpu.decode_factors(bytes(data), *grid, p, None if n % 5 else 7)
    print("done")
"""


@pytest.mark.jit
@pytest.mark.slow
def test_kernels_stay_inside_their_arrays(tmp_path):
    """Compiled with bounds checks, the kernels neither trip over random bytes nor over their own."""
    assert_stays_inside(BOUNDS_CHECK, tmp_path)


# --------------------------------------------------------------------------------------------------- networks, tables


@cpu.kernel()
def _levels(words, net, weights_1, biases_1, weights_2, bias_2, count, length, out):
    simd.levels(words, net, weights_1, biases_1, weights_2, bias_2, count, length, out)


@cpu.kernel()
def _symbol(starts, row, slot):
    return simd.symbol_of(starts, row, slot)


@settings(max_examples=examples(40))
@given(seeds, st.sampled_from([50, 1000, 32767]), st.integers(1, INPUTS // 2), st.sampled_from([16, 48, 256]))
def test_networks_say_the_same(seed, largest, count, length):
    """Vectors and plain sums, up to the largest weights that there can be."""
    rng = np.random.default_rng(seed)
    known = networks()._replace(
        weights_1=rng.integers(-largest, largest + 1, (NETS, INPUTS, HIDDEN)).astype(np.int16),
        biases_1=rng.integers(-(1 << 20), 1 << 20, (NETS, HIDDEN)).astype(np.int32),
        weights_2=rng.integers(-8192, 8192, (NETS, HIDDEN)).astype(np.int16),
        biases_2=rng.integers(-(1 << 20), 1 << 20, NETS).astype(np.int32),
    )
    model, net = model_of(known), int(rng.integers(NETS))
    inputs = rng.integers(-255, 256, (length, 2 * count))
    words = np.zeros((INPUTS // 2, 256), np.int32)
    words[:count, :length] = ((inputs[:, 0::2] & 0xFFFF) | inputs[:, 1::2] << 16).T
    out = np.full(256, -1, np.int32)
    layers = model.pairs_1, model.biases_1[net], model.pairs_2, np.int64(model.biases_2[net])
    _levels(words, np.int64(net), *layers, np.int64(count), np.int64(length), out)
    np.testing.assert_array_equal(out[:length], reference.levels(known, net, inputs))
    assert (out[length:] == -1).all()


def test_sums_of_the_networks_fit():
    """What the reference says of ranges: with any inputs, of what is stored, both sums are below 2**31."""
    known = networks()
    first = 255 * np.abs(known.weights_1.astype(np.int64)).sum(1) + np.abs(known.biases_1.astype(np.int64))
    second = rans_model.UNIT_MAX * np.abs(known.weights_2.astype(np.int64)).sum(1)
    assert first.max() < 1 << 31
    assert (second + np.abs(known.biases_2.astype(np.int64))).max() < 1 << 31


def test_tables_add_up():
    """Every symbol that can be has slots, and those that cannot have none."""
    known = networks()
    said = known.frequencies.astype(int)
    assert (said.sum(-1) == _ONE).all()
    assert (said[:, 0] > 0).all() and (said[:, 1, :, 1:] > 0).all()
    for symbol, bits in enumerate(rans_model.COARSE_BITS):
        if bits:
            row = known.places[symbol].astype(int)
            some = 1 << min(bits, rans_model.PLACE_BITS)
            assert row.sum() == _ONE and (row[:some] > 0).all() and not row[some:].any()
    for ones in (known.first_signs, known.signs):
        assert 0 < ones.min() and ones.max() < _ONE
    assert len(kernel_model().starts) == SIGN_ROWS + known.signs.size


@settings(max_examples=examples(60))
@given(seeds)
def test_symbols_of_slots(seed):
    """The search of a table against its definition, at the ends of every symbol and between them."""
    rng = np.random.default_rng(seed)
    starts, slots = kernel_model().starts, kernel_model().slots.astype(np.int64)
    usable = np.flatnonzero((slots >> 16).sum(1) == _ONE)
    row = int(rng.choice(usable))
    ends = (slots[row] & 0xFFFF) + (slots[row] >> 16)
    for slot in {0, _ONE - 1, *rng.integers(0, _ONE, 5).tolist(), *np.clip(ends - 1, 0, None).tolist()}:
        symbol = int(_symbol(starts, np.int64(row), np.int64(slot)))
        assert symbol == np.searchsorted(ends, slot, side="right")
        assert 0 <= symbol < SYMBOLS and starts[row, symbol] <= slot < ends[symbol]


@pytest.mark.parametrize(
    ("starts", "bits"),
    [(rans_model.COARSE_STARTS, rans_model.COARSE_BITS), (rans_model.FINE_STARTS, rans_model.FINE_BITS)],
)
def test_ranges_of_symbols_leave_nothing_out(starts, bits):
    assert len(starts) == len(bits) == SYMBOLS and starts[0] == 0 and bits[-1] == 0
    assert all(starts[k + 1] == starts[k] + (1 << bits[k]) for k in range(SYMBOLS - 1))


def test_levels_of_tables_and_logarithms():
    assert rans_model.LOG[[0, 1, 3, rans_model.LOG_LIMIT]].tolist() == [0, 16, 32, 224]
    exact = 16 * np.log2(1 + np.arange(rans_model.LOG_LIMIT + 1))
    assert np.abs(rans_model.LOG - exact).max() < 2.4
    assert rans_model.LOG.max() // 8 > LEVELS // 4


@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (7, 1), (5, 9), (9, 5)])
def test_passes_along_the_wave_front_take_every_patch_once(grid):
    """And what a patch looks at, to the left, above and above to the right, belongs to earlier ones."""
    size, stride = layout.padded_size(*grid)
    number = np.full(size, -1)
    for k, m in enumerate(passes.wave(*grid)):  # of which some are empty where there is one column
        assert (number[m] == -1).all()
        number[m] = k
        for move in (1, 2, stride, stride + 1, stride - 1, 2 * stride):
            assert (number[m - move] < k).all()
    assert (inside(number, grid) >= 0).all() and (number >= 0).sum() == grid[0] * grid[1]
