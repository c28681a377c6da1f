"""Lapped filter: kernels against reference and unbounded integers, orthogonality, the ranges of format/lapped.py."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from main_helpers import patch_sizes
from strategies import seeds

from imfnb.format import lapped as tables
from imfnb.lapped import cpu, reference

pytestmark = pytest.mark.kernels

UNIT = 1 << tables.ROTATION_BITS
LIMIT = tables.INPUT_LIMIT
SAMPLE = 2048
PATCHES = [8, 16]
BOTH = (cpu, reference)


def naive_rows(plane: np.ndarray, p: int, matrix: np.ndarray) -> np.ndarray:
    """The filter of the definition across horizontal borders, in 64-bit integers."""
    out = plane.copy()
    for border in range(p, plane.shape[0], p):
        upper, lower = plane[border - p // 2 : border][::-1], plane[border : border + p // 2]
        total, turned = upper + lower, matrix @ (upper - lower)
        out[border - p // 2 : border] = ((total * UNIT + turned + UNIT) >> (tables.ROTATION_BITS + 1))[::-1]
        out[border : border + p // 2] = (total * UNIT - turned + UNIT) >> (tables.ROTATION_BITS + 1)
    return out


def naive(plane: np.ndarray, p: int, direction: str) -> np.ndarray:
    """Both passes in 64-bit integers; the inverse turns the other way round."""
    matrix = tables.rotation(p).astype(np.int64)
    wide = plane.astype(np.int64)
    if direction == "forward":
        return naive_rows(naive_rows(wide, p, matrix).T, p, matrix).T
    wide = np.clip(wide, -LIMIT, LIMIT)
    return naive_rows(naive_rows(wide.T, p, matrix.T).T, p, matrix.T)


def filtered(kernels: ModuleType, plane: np.ndarray, p: int, direction: str) -> np.ndarray:
    """What a backend makes of a plane of whole patches."""
    out = np.full((1, *plane.shape), 77, np.int32)
    getattr(kernels, direction)(plane[None], p, out, [0])
    return out[0]


def check(plane: np.ndarray, p: int, direction: str) -> np.ndarray:
    """Both backends give the integers of the definition and leave their input alone."""
    before, expected = plane.copy(), naive(plane, p, direction)
    for kernels in BOTH:
        np.testing.assert_array_equal(filtered(kernels, plane, p, direction), expected)
    np.testing.assert_array_equal(plane, before)
    return expected


def one_pass(p: int, direction: str) -> np.ndarray:
    """The matrix of one pass over three patches, in floats."""
    matrix = tables.rotation(p) / UNIT
    matrix = matrix if direction == "forward" else matrix.T
    out = np.eye(3 * p)
    for border in (p, 2 * p):
        upper, lower = out[border - p // 2 : border][::-1], out[border : border + p // 2]
        total, turned = upper + lower, matrix @ (upper - lower)
        out[border - p // 2 : border] = ((total + turned) / 2)[::-1]
        out[border : border + p // 2] = (total - turned) / 2
    return out


@st.composite
def filter_planes(draw: st.DrawFn, limit: int):
    """A plane of whole patches and its patch size."""
    p = draw(patch_sizes)
    shape = p * draw(st.integers(1, 3)), p * draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(seeds))
    style = draw(st.sampled_from(["noise", "extremes", "constant"]))
    if style == "noise":
        return rng.integers(-limit, limit, shape, dtype=np.int32, endpoint=True), p
    if style == "extremes":
        return rng.choice(np.array([-limit, limit], np.int32), shape), p
    return np.full(shape, rng.integers(-limit, limit, endpoint=True), np.int32), p


@given(filter_planes(SAMPLE))
def test_forward_of_backends_is_the_definition(problem):
    out = check(*problem, "forward")
    assert np.abs(out).max() <= LIMIT


@given(filter_planes(LIMIT))
def test_inverse_of_backends_is_the_definition(problem):
    check(*problem, "inverse")


@given(filter_planes(2**31 - 1))
def test_inverse_clamps_anything(problem):
    plane, p = problem
    plane[0, 0] = -(2**31)
    check(plane, p, "inverse")


@given(filter_planes(SAMPLE))
def test_inverse_undoes_forward_to_two_sixteenths(problem):
    plane, p = problem
    for kernels in BOTH:
        back = filtered(kernels, filtered(kernels, plane, p, "forward"), p, "inverse")
        assert np.abs(back - plane).max() <= 2


@pytest.mark.parametrize("p", PATCHES)
@pytest.mark.parametrize("style", ["noise", "extremes", "smooth"])
def test_energy_is_kept(p, style):
    """Orthogonal up to the rounding of entries and samples: the energy changes by less than a part in a thousand."""
    rng = np.random.default_rng(p)
    shape = 6 * p, 5 * p
    y, x = np.mgrid[: shape[0], : shape[1]]
    plane = {
        "noise": rng.integers(-SAMPLE, SAMPLE, shape),
        "extremes": rng.choice([-SAMPLE, SAMPLE], shape),
        "smooth": np.rint(1500 * np.sin(x / 11) * np.cos(y / 17 + 1)),
    }[style].astype(np.int32)
    energy = float(np.sum(np.square(plane, dtype=np.int64)))
    for direction in ("forward", "inverse"):
        out = filtered(reference, plane, p, direction)
        assert not np.array_equal(out, plane)
        assert abs(np.sum(np.square(out, dtype=np.int64)) / energy - 1) < 1e-3


@pytest.mark.parametrize("p", PATCHES)
def test_rotation_is_orthogonal_and_the_one_of_the_paper(p):
    """V = J C2^T C4 J with the orthonormal DCT matrices of types II and IV, entries rounded."""
    half = p // 2
    n, k = np.mgrid[:half, :half]
    c2 = np.sqrt(2 / half) * np.cos(np.pi * n * (2 * k + 1) / (2 * half))
    c2[0] /= np.sqrt(2)
    c4 = np.sqrt(2 / half) * np.cos(np.pi * (2 * n + 1) * (2 * k + 1) / (4 * half))
    flip = np.eye(half)[::-1]
    exact = flip @ c2.T @ c4 @ flip
    matrix = tables.rotation(p)
    assert matrix.dtype == np.int32
    assert np.abs(matrix - UNIT * exact).max() <= 1.0
    assert np.abs(matrix @ matrix.T / UNIT**2 - np.eye(half)).max() < 3e-4


@pytest.mark.parametrize("p", PATCHES)
def test_claimed_sums_of_one_pass(p):
    forward_rows = np.abs(one_pass(p, "forward")).sum(axis=1).max()
    inverse_rows = np.abs(one_pass(p, "inverse")).sum(axis=1).max()
    assert forward_rows <= 2.645 and inverse_rows <= 2.585
    assert SAMPLE * forward_rows**2 < 2**14
    assert max(np.abs(tables.rotation(p)).sum(axis=axis).max() for axis in (0, 1)) <= 2.17 * UNIT


@pytest.mark.parametrize("p", PATCHES)
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_ranges_hold_for_the_worst_signs(p, direction):
    """The plane that drives one sample as far as it goes, for every sample: exact, and within the claimed range."""
    limit = SAMPLE if direction == "forward" else LIMIT
    signs = np.sign(one_pass(p, direction)).astype(np.int32)
    rows = range(p // 2, 2 * p + p // 2)
    worst = 0
    for i in rows if p == 8 else rows[::3]:
        for j in (i, 2 * p + p // 2 - 1):
            for sign in (1, -1):
                plane = sign * limit * np.outer(signs[i], signs[j]).astype(np.int32)
                plane[plane == 0] = limit
                out = check(plane, p, direction)
                # Where the rounding of an outer sum is not in the way, this sample is the largest.
                worst = max(worst, int(np.abs(out).max()))
    reach = np.abs(one_pass(p, direction)).sum(axis=1).max() ** 2 * limit
    assert 0.95 * reach < worst <= (LIMIT if direction == "forward" else 113_900)


@pytest.mark.parametrize("p", PATCHES)
def test_a_single_patch_is_left_as_it_is(p):
    plane = np.random.default_rng(1).integers(-SAMPLE, SAMPLE, (p, p), dtype=np.int32)
    for kernels in BOTH:
        for direction in ("forward", "inverse"):
            np.testing.assert_array_equal(filtered(kernels, plane, p, direction), plane)


@pytest.mark.parametrize("p", PATCHES)
def test_borders_of_the_picture_are_left_as_they_are(p):
    """Only the half patches on both sides of an inner border change."""
    plane = np.random.default_rng(2).integers(-SAMPLE, SAMPLE, (2 * p, p), dtype=np.int32)
    for kernels in BOTH:
        out = filtered(kernels, plane, p, "forward")
        np.testing.assert_array_equal(out[: p // 2], plane[: p // 2])
        np.testing.assert_array_equal(out[-p // 2 :], plane[-p // 2 :])
        assert (out[p // 2 : -p // 2] != plane[p // 2 : -p // 2]).mean() > 0.9


@pytest.mark.parametrize("p", PATCHES)
def test_constant_plane_is_kept(p):
    plane = np.full((3 * p, 2 * p), -1234, np.int32)
    for kernels in BOTH:
        np.testing.assert_array_equal(filtered(kernels, plane, p, "forward"), plane)


@pytest.mark.parametrize("p", PATCHES)
def test_memory_layout_does_not_matter(p):
    plane = np.random.default_rng(3).integers(-SAMPLE, SAMPLE, (3 * p, 2 * p), dtype=np.int32)
    for direction in ("forward", "inverse"):
        expected = filtered(reference, plane, p, direction)
        for other in (np.asfortranarray(plane), plane[::-1].copy()[::-1], plane.repeat(2, axis=1)[:, ::2]):
            for kernels in BOTH:
                np.testing.assert_array_equal(filtered(kernels, other, p, direction), expected)


shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(patch_sizes, shapes, st.sampled_from([np.int16, np.int32]), st.sampled_from([None, slice(0, 9), slice(5, 30)]))
def test_forward_continues_chosen_planes_to_whole_patches(p, shape, dtype, rows):
    """Some planes of a stack, or some of their rows as if they were all; the last row and column are repeated."""
    shape = shape[0] + 30, shape[1]
    planes = np.random.default_rng(shape).integers(-SAMPLE, SAMPLE, (3, *shape), dtype=dtype)
    part = planes if rows is None else planes[:, rows]
    margin = (0, -part.shape[1] % p), (0, -part.shape[2] % p)
    expected = [naive(np.pad(part[n], margin, mode="edge"), p, "forward") for n in (2, 0)]
    for kernels in BOTH:
        out = np.full(np.shape(expected), 77, np.int32)
        kernels.forward(planes, p, out, [2, 0], rows)
        np.testing.assert_array_equal(out, expected)


@given(patch_sizes, shapes)
def test_inverse_cuts_chosen_planes_to_their_size(p, shape):
    whole = shape[0] + -shape[0] % p, shape[1] + -shape[1] % p
    planes = np.random.default_rng(shape).integers(-LIMIT, LIMIT, (2, *whole), dtype=np.int32)
    expected = np.full((4, *shape), 5, np.int32)
    for n, plane in zip((3, 1), planes, strict=True):
        expected[n] = naive(plane, p, "inverse")[: shape[0], : shape[1]]
    for kernels in BOTH:
        out = np.full(expected.shape, 5, np.int32)
        kernels.inverse(planes.copy(), p, out, [3, 1])
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("p", PATCHES)
@pytest.mark.parametrize("shape", [(32, 48), (32, 45), (31, 48), (9, 3), (600, 33)])
def test_inverse_in_place(p, shape):
    """A plane may stay where it is, also where rows become shorter: in pieces, in the order of memory."""
    whole = shape[0] + -shape[0] % p, shape[1] + -shape[1] % p
    planes = np.random.default_rng(p).integers(-LIMIT, LIMIT, (1, *whole), dtype=np.int32)
    expected = naive(planes[0], p, "inverse")[: shape[0], : shape[1]]
    for kernels in BOTH:
        memory = planes.copy()
        out = memory.reshape(-1)[: shape[0] * shape[1]].reshape(1, *shape)
        kernels.inverse(memory, p, out, [0])
        np.testing.assert_array_equal(out[0], expected)
