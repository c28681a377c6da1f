"""Restoration filter: backends agree, ranges hold at the extremes, the shipped filters are within their bounds."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess
import sys
import zipfile
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import examples

import imfnb
from imfnb.format import restoration as numbers
from imfnb.format.restoration import CLIPPING_LIMITS, SHORT_LIMITS, STEP_BORDERS, filter_set, short_filter_set
from imfnb.restoration import cpu, reference

pytestmark = pytest.mark.kernels

STEPS = (1, 64, 200, 1000, 3000, 8000, 2**15, 2**20)


def smooth_planes(rng, count, height, width):
    """Noise over a slope and an edge, so that all classes occur."""
    y, x = np.mgrid[:height, :width]
    planes = 8 * x - 5 * y + 600 * (x + 2 * y > width) + rng.normal(0.0, 1.0 + x, (count, height, width))
    return np.rint(planes).astype(np.int32)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 9), (7, 1), (2, 3), (6, 6), (17, 12), pytest.param((64, 130), marks=pytest.mark.jit)]
)
@pytest.mark.parametrize("step", STEPS)
def test_backends_agree(shape, step):
    """On chosen planes of a stack, in other memory and in place; the planes that are not chosen are left alone."""
    planes = smooth_planes(np.random.default_rng(step), 3, *shape)
    for chroma in (False, True):
        filters = filter_set(step, chroma)
        before, expected, found = planes.copy(), np.full(planes.shape, 5, np.int32), np.full(planes.shape, 5, np.int32)
        for kernels, out in ((reference, expected), (cpu, found)):
            kernels.restore(planes, step, *filters, out, [2, 0])
            np.testing.assert_array_equal(planes, before)
            kernels.restore(before, step, *filters, before, [2, 0])
            np.testing.assert_array_equal(before[[2, 0]], out[[2, 0]])
            np.testing.assert_array_equal(before[1], planes[1])
            before = planes.copy()
        np.testing.assert_array_equal(found, expected)
        assert (found[1] == 5).all()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("step", [1, 2**15])
def test_extremes_stay_exact(sign, step):
    """Largest samples, coefficients and limits: int32 must equal unbounded Python integers."""
    rng = np.random.default_rng(0)
    limit = numbers.SAMPLE_LIMIT
    plane = rng.choice(np.array([-(2**31), -limit, limit, 2**31 - 1], np.int32), (1, 13, 17))
    plane[0, 4:9, 4:12] = sign * limit
    plane[0, 6, 8] = -sign * limit
    shape = (numbers.PASSES, numbers.CLASSES, numbers.LIMITS, len(numbers.TAPS))
    each = reference.COEFFICIENT_SUM_LIMIT // (numbers.LIMITS * len(numbers.TAPS))
    filters = np.full(shape, sign * each, np.int16)
    limits = np.full((numbers.PASSES, numbers.LIMITS), 4096, np.int32)
    expected, found, wide = (np.empty(plane.shape, np.int32) for _ in range(3))
    reference.restore(plane, step, filters, limits, expected, [0])
    cpu.restore(plane, step, filters, limits, found, [0])
    reference.restore(plane.astype(np.int64), step, filters, limits, wide, [0])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(wide, expected)
    assert np.abs(found).max() <= limit


@given(
    st.integers(1, 40),
    st.integers(1, 70),
    st.sampled_from(STEPS),
    st.booleans(),
    st.sampled_from([30, 2000, 2**13 + 1, 2**15]),
    st.integers(0, 99),
)
@settings(max_examples=examples(30))
def test_backends_agree_on_the_short_filter(height, width, step, chroma, size, seed):
    """On chosen planes of a stack, in other memory and in place."""
    rng = np.random.default_rng(seed)
    planes = smooth_planes(rng, 3, height, width) + rng.integers(-size, size, (3, height, width), dtype=np.int32)
    filters = short_filter_set(step, chroma)
    expected, found = np.full(planes.shape, 5, np.int32), np.full(planes.shape, 5, np.int32)
    reference.restore_short(planes, step, *filters, expected, [2, 0])
    cpu.restore_short(planes, step, *filters, found, [2, 0])
    np.testing.assert_array_equal(found, expected)
    assert (found[1] == 5).all()
    for kernels in (reference, cpu):
        inside = planes.copy()
        kernels.restore_short(inside, step, *filters, inside, [2, 0])
        np.testing.assert_array_equal(inside[[2, 0]], expected[[2, 0]])
        np.testing.assert_array_equal(inside[1], planes[1])


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("step", [1, 2**15])
def test_extremes_of_the_short_filter_stay_exact(sign, step):
    """Largest samples, coefficients and limits: int32 must equal unbounded Python integers."""
    limit = numbers.SAMPLE_LIMIT
    plane = np.random.default_rng(0).choice(np.array([-(2**31), -limit, limit, 2**31 - 1], np.int32), (1, 13, 37))
    plane[0, 4:9, 4:12] = sign * limit
    plane[0, 6, 8] = -sign * limit
    shape = (numbers.CLASSES, numbers.LIMITS, numbers.SHORT_TAPS)
    each = reference.COEFFICIENT_SUM_LIMIT // (numbers.LIMITS * numbers.SHORT_TAPS)
    filters, limits = np.full(shape, sign * each, np.int16), np.full(numbers.LIMITS, 4096, np.int32)
    expected, found, wide = (np.empty(plane.shape, np.int32) for _ in range(3))
    reference.restore_short(plane, step, filters, limits, expected, [0])
    cpu.restore_short(plane, step, filters, limits, found, [0])
    reference.restore_short(plane.astype(np.int64), step, filters, limits, wide, [0])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(wide, expected)
    assert np.abs(found).max() <= limit


def test_flat_plane_is_unchanged():
    plane, out = np.full((1, 20, 21), -777, np.int32), np.zeros((1, 20, 21), np.int32)
    cpu.restore(plane, 2000, *filter_set(2000, False), out, [0])
    np.testing.assert_array_equal(out, plane)
    cpu.restore_short(plane, 2000, *short_filter_set(2000, False), out, [0])
    np.testing.assert_array_equal(out, plane)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
@pytest.mark.parametrize("rows", [None, (0, 1, 1), (3, 5, 8), (96, 160, 256), (96, 160, 1000), (700, 900, 1000)])
@pytest.mark.parametrize("shape", [(1, 1), (7, 30), (97, 2), (700, 3)])
def test_squared_errors_are_added(shape, rows, dtype):
    rng = np.random.default_rng(shape)
    a, b = (rng.choice(np.array([-(2**14), 3, 2**14], np.int32), (3, *shape)) for _ in range(2))
    first, last, period = rows or (0, 1, 1)
    kept = [y for y in range(shape[0]) if first <= y % period < last]
    differences = a[:, kept].astype(object) - b[:, kept]  # Python's integers
    expected = [10 + (difference**2).sum() for difference in differences]
    for kernels in (cpu, reference):
        out = np.full(3, 10, np.int64)
        kernels.squared_error(a, b.astype(dtype), out, rows)
        assert out.tolist() == expected


@pytest.mark.parametrize("chroma", [False, True])
def test_filters_are_within_the_proven_ranges(chroma):
    assert list(STEP_BORDERS) == sorted(set(STEP_BORDERS))
    assert len(CLIPPING_LIMITS) == len(STEP_BORDERS) + 1
    for step in (1, *STEP_BORDERS):
        filters, limits = filter_set(step, chroma)
        sums = np.abs(filters.astype(np.int64)).sum(axis=(2, 3))
        assert sums.max() <= reference.COEFFICIENT_SUM_LIMIT
        assert 0 <= limits.min() <= limits.max() <= 4096
        assert not filters[1, :, :, numbers.TAPS_PER_PASS[1] :].any()
        short, limits = short_filter_set(step, chroma)
        assert np.abs(short.astype(np.int64)).sum(axis=(1, 2)).max() <= reference.COEFFICIENT_SUM_LIMIT
        assert 0 <= limits.min() <= limits.max() <= 4096


def test_filters_are_those_of_the_format():
    """A decoder depends on each of these numbers, and on where a range begins."""
    data = files("imfnb.format").joinpath("filters.bin").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "cec29dc6b419cb48634c48155a0924c5ca65b8fae550451965784380c4d4d04c"
    everything = hashlib.sha256()
    for chroma in (False, True):
        for step in (1, *(border + k for border in STEP_BORDERS for k in (-1, 0)), 2**20):
            filters, limits = filter_set(step, chroma)
            assert filters.dtype == np.int16 and filters.shape == (2, 25, 2, 12) and filters.flags.c_contiguous
            assert limits.dtype == np.int32 and limits.shape == (2, 2)
            assert not filters.flags.writeable and not limits.flags.writeable
            everything.update(filters.astype("<i2").tobytes() + limits.astype("<i4").tobytes())
    assert everything.hexdigest() == "aa43253e407749354db9821c4d9d578345dfb28b0ee63889e02aaf826f0980dc"
    centres = [3.2 * (200 / 3.2) ** ((index + 0.5) / 9) for index in range(9)]
    assert [round(64 * centre) for centre in centres] == list(STEP_BORDERS)
    # A line of the file: luma, third range, second pass, class 7, far limit.
    place = 2 * ((((2 * 2 + 1) * 25 + 7) * 2 + 1) * 12)
    assert filter_set(500, False)[0][1, 7, 1].tolist() == np.frombuffer(data, "<i2", 12, place).tolist()


def test_short_filters_are_those_of_the_format():
    data = files("imfnb.format").joinpath("filters_short.bin").read_bytes()
    assert hashlib.sha256(data).hexdigest() == "4dca6b8998dd510b25aaa123aef1a6142aa8a5b2cfa4db60df7f0192545be0c3"
    assert len(SHORT_LIMITS) == len(STEP_BORDERS) + 1
    for chroma in (False, True):
        for index, step in enumerate((1, *STEP_BORDERS)):
            filters, limits = short_filter_set(step, chroma)
            assert filters.dtype == np.int16 and filters.shape == (25, 2, 6) and filters.flags.c_contiguous
            assert limits.dtype == np.int32 and limits.tolist() == list(SHORT_LIMITS[index])
            assert not filters.flags.writeable and not limits.flags.writeable
            place = 2 * 300 * (10 * chroma + index)
            assert filters.astype("<i2").tobytes() == data[place : place + 600]


def test_filters_load_from_a_zip(tmp_path):
    package, archive = pathlib.Path(imfnb.__file__).parent, tmp_path / "imfnb.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in (package / "__init__.py", *(package / "format").glob("*.*")):
            out.write(path, path.relative_to(package.parent))
    code = f"import sys; sys.path.insert(0, {str(archive)!r}); from imfnb.format import restoration; "
    code += "print(restoration.__file__, restoration.filter_set(500, True)[0].tobytes().hex())"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert found[0].startswith(str(archive))
    assert found[1] == filter_set(500, True)[0].tobytes().hex()
