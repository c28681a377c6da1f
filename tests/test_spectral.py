"""Spectral stage: kernels against the reference, the choice of V, and its coding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spectral_helpers import bands_of, numbers, planes_and_v, samples_and_weights
from strategies import examples, seeds

from imfnb import FormatError
from imfnb.entropy.spectral_basis import decode_spectral_basis, encode_spectral_basis
from imfnb.format.lapped import INPUT_LIMIT
from imfnb.format.samples import CHANNEL_LIMIT, RANGE_LIMIT
from imfnb.format.spectral import ENTRY_LIMIT
from imfnb.spectral import basis, cpu, reference
from imfnb.spectral.basis import find_basis, half_range, measure
from imfnb.spectral.tuning import COARSE_LIMIT, PLANE_LIMIT, WEIGHT_BITS

pytestmark = pytest.mark.kernels

counts = st.integers(1, 12)
styles = st.sampled_from(["noise", "extremes", "small"])

#: Up to more pixels in a row than the kernels take at a time.
shapes = st.one_of(
    st.tuples(st.integers(1, 6), st.integers(1, 9)), st.sampled_from([(1, 255), (1, 256), (2, 257), (1, 600)])
)


def check_forward(shape: tuple[int, int], bands: int, columns: int, style: str, seed: int) -> None:
    samples, *numbers_of = samples_and_weights((*shape, bands), columns, style, seed)
    expected, found = np.empty((2, columns, *shape), np.int32)
    reference.forward(samples, *numbers_of, expected)
    cpu.forward(samples, *numbers_of, found)
    np.testing.assert_array_equal(found, expected)
    assert np.abs(expected).max() <= PLANE_LIMIT


def check_inverse(shape: tuple[int, int], bands: int, columns: int, style: str, seed: int) -> None:
    *arguments, low, high = planes_and_v((*shape, bands), columns, style, seed)
    expected, found = np.empty((2, *shape, bands), np.int32)
    reference.inverse(*arguments, low, high, expected)
    cpu.inverse(*arguments, low, high, found)
    np.testing.assert_array_equal(found, expected)
    assert low <= expected.min() and expected.max() <= high


@given(shapes, counts, counts, styles, seeds)
@settings(max_examples=examples(90))
def test_forward(shape, bands, columns, style, seed):
    check_forward(shape, bands, columns, style, seed)


@given(shapes, counts, counts, styles, seeds)
@settings(max_examples=examples(90))
def test_inverse(shape, bands, columns, style, seed):
    check_inverse(shape, bands, columns, style, seed)


@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("bands", [300, pytest.param(CHANNEL_LIMIT, marks=pytest.mark.jit)])
def test_many_bands_at_the_ends_of_all_ranges(bands, seed):
    """With an odd seed all terms have one sign: the largest sums that float64 has to hold."""
    check_forward((2, 3), bands, 3, "extremes", seed)
    check_inverse((2, 3), 3, bands, "extremes", seed)


@pytest.mark.parametrize("module", [reference, cpu], ids=["reference", "cpu"])
def test_rounding(module):
    """Half up, on both ways; and what is beyond a range becomes its end."""
    planes = np.empty((1, 1, 6), np.int32)
    samples = np.array([-3, -1, 1, 3, 5, 1 << 24], np.int32).reshape(1, 6, 1)
    module.forward(samples, np.zeros(1, np.int32), np.ones((1, 1), np.int32), 1, planes)
    assert planes.tolist() == [[[-1, 0, 1, 2, 3, PLANE_LIMIT]]]
    out = np.empty((1, 6, 1), np.int32)
    module.inverse(samples.reshape(1, 1, 6), np.full(1, 10, np.int32), np.ones((1, 1), np.int32), 1, 9, 13, out)
    assert out.ravel().tolist() == [9, 10, 11, 12, 13, 13]


@given(st.integers(1, 3), st.integers(1, 40), seeds)
@settings(max_examples=examples(30))
def test_limit(count, size, seed):
    planes = numbers(np.random.default_rng(seed), (count, size, 3), 2**31 - 1 >> seed % 20, "noise")
    found = planes.copy()
    cpu.limit(found)
    reference.limit(planes)
    np.testing.assert_array_equal(found, planes)
    assert np.abs(planes).max() <= INPUT_LIMIT


def same(found: np.ndarray, expected: np.ndarray) -> None:
    """Both kernels gave the same."""
    np.testing.assert_array_equal(found, expected)


@pytest.mark.jit
def test_views_and_read_only_inputs():
    """A decoder gives rows of V and of the array as they lie, and arrays of callers may be read-only."""
    samples, offsets, weights, shift = samples_and_weights((8, 9, 6), 4, "noise", 0)
    planes, _, matrix, v_shift, low, high = planes_and_v((8, 9, 6), 4, "noise", 1)
    for array in (samples, offsets, weights, planes, matrix):
        array.flags.writeable = False
    some = samples[::2, 1:, ::3], offsets[::3], weights[::3, 1:]
    expected, found = np.empty((2, 3, 4, 8), np.int32)
    reference.forward(*some, shift, expected)
    cpu.forward(*some, shift, found)
    same(found, expected)
    rows = planes[1:, 2:6], offsets[[4, 0]], matrix[[4, 0], 1:]
    expected, found = np.empty((2, 8, 9, 2), np.int32)
    reference.inverse(*rows, v_shift, low, high, expected[2:6])
    cpu.inverse(*rows, v_shift, low, high, found[2:6])
    same(found[2:6], expected[2:6])


# ------------------------------------------------------------------------------------------------------- the coding


@given(counts, counts, st.sampled_from(["noise", "extremes", "small", "zero", "even"]), seeds)
@settings(max_examples=examples(60))
def test_coding(bands, columns, style, seed):
    rng = np.random.default_rng(seed)
    kind = {"zero": "small", "even": "small"}.get(style, style)
    offsets, matrix = (numbers(rng, shape, ENTRY_LIMIT, kind) for shape in (bands, (bands, columns)))
    if style == "zero":
        offsets, matrix = 0 * offsets, 0 * matrix
    elif style == "even":
        matrix <<= rng.integers(0, 20, columns, dtype=np.int32)
    data = encode_spectral_basis(offsets, matrix)
    found = decode_spectral_basis(data, bands, columns)
    for one, other in zip(found, (offsets, matrix), strict=True):
        assert one.dtype == np.int32
        np.testing.assert_array_equal(one, other)


def test_a_quantum_saves_bits():
    matrix = numbers(np.random.default_rng(0), (30, 4), 99, "noise")
    sizes = [len(encode_spectral_basis(np.zeros(30, np.int32), matrix << n)) for n in (0, 12)]
    assert abs(sizes[1] - sizes[0]) <= 1 and sizes[0] < 165  # seven bits, a sign and what the contexts take


@given(st.binary(max_size=80), st.integers(1, 20), counts)
@settings(max_examples=examples(150))
def test_any_bytes_give_numbers_in_range_or_an_error(data, bands, columns):
    try:
        offsets, matrix = decode_spectral_basis(data, bands, columns)
    except FormatError:
        return
    assert offsets.shape == (bands,) and matrix.shape == (bands, columns)
    assert max(np.abs(offsets).max(), np.abs(matrix).max()) <= ENTRY_LIMIT


@given(st.integers(0, 60), st.integers(0, 255), seeds)
@settings(max_examples=examples(60))
def test_damaged_bytes(position, byte, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(encode_spectral_basis(numbers(rng, 6, 3000, "noise"), numbers(rng, (6, 3), 3000, "noise")))
    data[position % len(data)] = byte
    for hostile in (bytes(data), bytes(data[: position % len(data)])):
        try:
            offsets, matrix = decode_spectral_basis(hostile, 6, 3)
        except FormatError:
            continue
        assert max(np.abs(offsets).max(), np.abs(matrix).max()) <= ENTRY_LIMIT


def test_bytes_that_end_too_early():
    with pytest.raises(FormatError, match="end too early"):
        decode_spectral_basis(b"", CHANNEL_LIMIT, CHANNEL_LIMIT)


# -------------------------------------------------------------------------------------------------- the choice of V


def array_of(kind: str, shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """An array of int32 with bands that depend on each other in some way, or not at all."""
    rng = np.random.default_rng(seed)
    if kind == "mixed":
        return bands_of(shape, seed).astype(np.int32)
    if kind == "constant":
        return np.full(shape, int(rng.integers(-RANGE_LIMIT, RANGE_LIMIT)), np.int32)
    if kind == "equal":
        return np.repeat(numbers(rng, (*shape[:2], 1), 255, "noise"), shape[2], axis=2)
    return numbers(rng, shape, RANGE_LIMIT if kind == "wide" else 255, "noise")


kinds = st.sampled_from(["mixed", "constant", "equal", "wide", "narrow"])


@given(kinds, st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9)), seeds)
@settings(max_examples=examples(60))
def test_statistics(kind, shape, seed):
    samples = array_of(kind, shape, seed)
    found = measure(samples)
    pixels = samples.reshape(-1, shape[2]).astype(float)
    assert found.pixels == len(pixels)
    np.testing.assert_allclose(found.means, pixels.mean(axis=0), rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(shape[2]), atol=1e-9)
    centred = pixels - pixels.mean(axis=0)
    size = max(1.0, np.abs(pixels).max() ** 2)
    covariance = centred.T @ centred / len(pixels)
    np.testing.assert_allclose(found.variances, ((centred @ found.vectors) ** 2).mean(axis=0), atol=1e-9 * size)
    details = np.zeros_like(covariance)
    for axis in (0, 1):
        steps = np.diff(samples.astype(float), axis=axis).reshape(-1, shape[2])
        details += steps.T @ steps
    expected = basis.DETAIL * details / (np.trace(details) or 1) + covariance / (np.trace(covariance) or 1)
    if np.trace(covariance) > 1e-9 * size:
        np.testing.assert_allclose(found.weighted, expected, atol=1e-6)
        diagonal = found.vectors.T @ expected @ found.vectors
        np.testing.assert_allclose(diagonal, np.diag(np.diag(diagonal)), atol=1e-6)
    assert (np.diff(found.variances) <= 0).all() and (found.variances >= 0).all()
    projected = centred @ found.vectors
    np.testing.assert_allclose(found.low, np.minimum(projected.min(axis=0), 0), atol=1e-9 * size)
    np.testing.assert_allclose(found.high, np.maximum(projected.max(axis=0), 0), atol=1e-9 * size)


def test_statistics_of_large_arrays(monkeypatch):
    """Some rows stand for all but for the ranges; parts of an array give what the whole gives."""
    samples = array_of("mixed", (80, 9, 3), 0)
    whole = measure(samples)
    monkeypatch.setattr(basis, "CHUNK", 50)
    parts = measure(samples)
    np.testing.assert_allclose(parts.variances, whole.variances)
    np.testing.assert_allclose(parts.high, whole.high)
    monkeypatch.setattr(basis, "SAMPLED_PIXELS", 360)
    samples[1, 3] = 60000  # in none of the chosen rows
    some = measure(samples)
    assert 0.3 < some.variances.sum() / whole.variances.sum() < 3
    assert (some.high - some.low).max() > 2 * (whole.high - whole.low).max()


def shown(samples: np.ndarray, chosen: basis.Basis) -> tuple[np.ndarray, np.ndarray]:
    """The planes of an array, and what a decoder makes of them if nothing is lost."""
    columns = chosen.matrix.shape[1]
    planes, out = np.empty((columns, *samples.shape[:2]), np.int32), np.empty_like(samples)
    reference.forward(samples, chosen.offsets, chosen.weights, chosen.weight_shift, planes)
    reference.inverse(planes, chosen.offsets, chosen.matrix, chosen.shift, -(1 << 24), 1 << 24, out)
    return planes, out


@given(
    kinds,
    st.tuples(st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 2, 3, 9, 60])),
    st.sampled_from([1, 4, 64, 600]),
    seeds,
)
@settings(max_examples=examples(60))
def test_basis(kind, shape, length, seed):
    """For a step of `length` units of planes."""
    samples = array_of(kind, shape, seed)
    found = measure(samples)
    unit = half_range(found) / COARSE_LIMIT
    chosen = find_basis(found, length * unit, unit)
    matrix = chosen.matrix.astype(float)
    columns = matrix.shape[1]
    assert 1 <= columns <= shape[2] and np.linalg.matrix_rank(matrix) == columns
    assert np.abs(chosen.matrix).max() <= ENTRY_LIMIT and np.abs(chosen.offsets).max() <= ENTRY_LIMIT
    assert np.abs(chosen.weights).max() <= 1 << WEIGHT_BITS
    # W is the pseudoinverse of V^T, to the last bit of its entries.
    weights = np.linalg.pinv(matrix).T * 2.0 ** (chosen.shift + chosen.weight_shift)
    np.testing.assert_allclose(chosen.weights, weights, atol=0.5 + 1e-6 * np.abs(weights).max())
    planes, out = shown(samples, chosen)
    assert np.abs(planes).max() <= PLANE_LIMIT
    # Every column that is left out, and what rounding takes, is small beside the step.
    error = np.abs(out.astype(float) - samples)
    assert error.max() <= 1 + length * unit * (1 + np.sqrt(shape[2]))


def test_quanta_are_powers_of_two_and_grow_with_the_step():
    found = measure(array_of("mixed", (30, 30, 12), 0))
    unit = half_range(found) / COARSE_LIMIT
    quanta = []
    for length in (1, 16, 256):
        matrix = find_basis(found, length * unit, unit).matrix[:, :2]
        union = np.bitwise_or.reduce(np.abs(matrix), axis=0)
        quanta.append(union & -union)
    quanta = np.array(quanta)
    assert (np.diff(quanta, axis=0) >= 0).all() and (quanta[-1] > quanta[0]).all()
    assert (quanta[:, 0] <= quanta[:, 1]).all()  # the strongest column has the finest


def test_errors_of_v_are_small():
    """Where two patterns are all there is, two columns show them; beside the step, what V loses is nothing."""
    samples = bands_of((40, 40, 30)).astype(np.int32)
    found = measure(samples)
    unit = half_range(found) / COARSE_LIMIT
    for length in (110, 150, 500):
        chosen = find_basis(found, length * unit, unit)
        _, out = shown(samples, chosen)
        assert chosen.matrix.shape[1] == 2
        noise, rounding = found.variances[2:].sum() / 30, (length * unit) ** 2 / 12 * 2 / 30
        assert np.mean((out - samples) ** 2.0) < 1.02 * noise + rounding / 20


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 5), (2, 2, 60)], ids=str)
def test_fewer_pixels_than_bands(shape):
    samples = array_of("narrow", shape, 1)
    found = measure(samples)
    unit = half_range(found) / COARSE_LIMIT
    chosen = find_basis(found, unit, unit)
    assert chosen.matrix.shape[1] <= max(1, shape[0] * shape[1] - 1)
    np.testing.assert_allclose(shown(samples, chosen)[1], samples, atol=1)
