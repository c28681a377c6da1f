"""Colour stage of the main profile: kernels against their reference, and both against unbounded integers."""

from __future__ import annotations

import numpy as np
import pytest
from color_helpers import chroma_shape, split
from hypothesis import given
from hypothesis import strategies as st
from strategies import fill, images, seeds, sides

from imfnb.color import cpu, reference
from imfnb.layout import half

pytestmark = pytest.mark.kernels

# ITU-T T.871, section 7: not taken from the library.
FORWARD = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
INVERSE = np.array([[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]])
WIDE = 2**14

#: Rounding errs by half a unit of 1/16; 16-bit coefficients add less than a tenth of a unit.
HALF_UNIT = 0.6


def q4_planes(shape: tuple[int, ...], style: str, seed: int) -> np.ndarray:
    """Centred samples, int32: what pictures have, or anything up to +-2**14."""
    rng = np.random.default_rng(seed)
    if style == "picture":
        return rng.integers(-2048, 2048, shape, dtype=np.int32)
    if style == "extremes":
        return rng.choice(np.array([-WIDE, WIDE], np.int32), shape)
    return rng.integers(-WIDE, WIDE, shape, dtype=np.int32, endpoint=True)


styles = st.sampled_from(["picture", "extremes", "wide"])


def naive_upsample(plane: np.ndarray, height: int, width: int) -> list[list[int]]:
    """Weights 9, 3, 3, 1 of 16 in Python integers, indices clamped to the plane."""
    rows, columns = plane.shape
    out = []
    for i in range(height):
        near, far = i // 2, min(max(i // 2 + (1 if i % 2 else -1), 0), rows - 1)
        line = []
        for j in range(width):
            left, right = j // 2, min(max(j // 2 + (1 if j % 2 else -1), 0), columns - 1)
            a, b, c, d = (int(plane[y, x]) for y, x in ((near, left), (far, left), (near, right), (far, right)))
            line.append((9 * a + 3 * b + 3 * c + d + 8) >> 4)
        out.append(line)
    return out


@given(images((3, 4)), st.booleans())
def test_forward_cpu_is_reference(image, subsample):
    both = (split(kernels, image[None], subsample, np.int32) for kernels in (cpu, reference))
    for mine, naive in zip(*both, strict=True):
        np.testing.assert_array_equal(mine, naive)
        assert np.abs(mine).max() <= 2048


@given(sides, sides, st.booleans(), st.sampled_from([3, 4]), styles, seeds)
def test_inverse_cpu_is_reference(height, width, subsample, channels, style, seed):
    y = q4_planes((1, height, width), style, seed)
    cb, cr = (q4_planes(chroma_shape(y.shape, subsample), style, seed + k) for k in (1, 2))
    mine, naive = (np.full((*y.shape, channels), 7, np.uint8) for _ in range(2))
    cpu.q4_to_rgb(y, cb, cr, mine)
    reference.q4_to_rgb(y, cb, cr, naive)
    np.testing.assert_array_equal(mine, naive)
    assert (mine[..., 3:] == 7).all()  # alpha is not the colour kernel's


@given(sides, sides, sides, styles, seeds)
def test_inverse_of_some_rows(above, rows, width, style, seed):
    """Chroma of half the size that begins a row before luma does and goes on below it."""
    top, height = 2 * above, 2 * above + rows + 3
    y = q4_planes((1, height, width), style, seed)
    cb, cr = (q4_planes(chroma_shape(y.shape, True), style, seed + k) for k in (1, 2))
    whole = np.zeros((1, height, width, 3), np.uint8)
    reference.q4_to_rgb(y, cb, cr, whole)
    chroma = slice(above - 1, half(top + rows) + 1)
    for kernels in (cpu, reference):
        part = np.zeros((1, rows, width, 3), np.uint8)
        if (half(top + rows) + 1 - (above - 1), half(width)) == (rows, width):
            continue  # taken for chroma of full size; strips are longer
        kernels.q4_to_rgb(y[:, top : top + rows], cb[:, chroma], cr[:, chroma], part, 2)
        np.testing.assert_array_equal(part, whole[:, top : top + rows])


@given(sides, sides, styles, seeds)
def test_upsample_is_the_bilinear_formula(height, width, style, seed):
    planes = q4_planes((2, half(height), half(width)), style, seed)
    out = reference.upsample(planes, height, width)
    assert out.dtype == np.int32
    np.testing.assert_array_equal(out, [naive_upsample(plane, height, width) for plane in planes])


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 5), (6, 6)])
@pytest.mark.parametrize("value", [-WIDE, -1, 0, 5, WIDE])
def test_upsample_keeps_a_constant(value, shape):
    planes = np.full((1, half(shape[0]), half(shape[1])), value, np.int32)
    assert (reference.upsample(planes, *shape) == value).all()


def test_upsample_keeps_a_slope():
    """Centred: samples of the wide plane lie a quarter of a step beside those of the narrow one."""
    y, x = np.mgrid[:5, :6]
    plane = (64 * x + 160 * y).astype(np.int32)
    wide_y, wide_x = np.mgrid[:10, :12]
    expected = 32 * wide_x - 16 + 80 * wide_y - 40
    np.testing.assert_array_equal(reference.upsample(plane[None], 10, 12)[0, 1:-1, 1:-1], expected[1:-1, 1:-1])


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_forward_is_bt601_to_a_sixteenth(kernels):
    images = np.stack([fill((40, 25, 3), style, 5) for style in ("noise", "extremes")])
    exact = images @ FORWARD.T - [128, 0, 0]
    planes = np.stack(split(kernels, images, False, np.int32), axis=-1)
    assert np.abs(planes - 16 * exact).max() <= HALF_UNIT


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_inverse_is_bt601_rounded_to_levels(kernels):
    rng = np.random.default_rng(6)
    planes = rng.integers(-2048, 2048, (1, 60, 50, 3), dtype=np.int32)
    exact = np.clip((planes / 16 + [128, 0, 0]) @ INVERSE.T, 0, 255)
    rgb = np.empty(planes.shape, np.uint8)
    kernels.q4_to_rgb(*(np.ascontiguousarray(planes[..., c]) for c in range(3)), rgb)
    assert np.abs(rgb - exact).max() <= 0.51


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (4, 4), (5, 7), (8, 3)])
@pytest.mark.parametrize("kernels", [cpu, reference])
def test_subsampled_chroma_is_the_mean_of_the_pixels_there(kernels, shape):
    image = fill((*shape, 3), "noise", 7)
    _, (cb,), (cr,) = split(kernels, image[None], True, np.int32)
    for i, j in np.ndindex(cb.shape):
        mean = image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(-1, 3).mean(axis=0)
        assert abs(cb[i, j] - 16 * FORWARD[1] @ mean) <= HALF_UNIT
        assert abs(cr[i, j] - 16 * FORWARD[2] @ mean) <= HALF_UNIT


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("kernels", [cpu, reference])
def test_gray_stays_gray(kernels, subsample):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    gray = np.repeat(levels[None, :, :, None], 3, axis=3)
    y, cb, cr = split(kernels, gray, subsample, np.int32)
    np.testing.assert_array_equal(y[0], 16 * levels.astype(int) - 2048)
    assert not cb.any() and not cr.any()
    out = np.empty_like(gray)
    kernels.q4_to_rgb(y, cb, cr, out)
    np.testing.assert_array_equal(out, gray)


@pytest.mark.parametrize("kernels", [cpu, reference])
@pytest.mark.parametrize("subsample", [False, True])
def test_extremes_do_not_overflow(kernels, subsample):
    """Every corner of the cube of +-2**14 (and of the clamp): int32 must equal unbounded integers."""
    values = [-WIDE, -4097, -4096, -4095, -2048, 0, 2047, 4094, 4095, 4096, WIDE]
    corners = np.array(np.meshgrid(values, values, values)).reshape(3, -1)
    y, cb, cr = (np.ascontiguousarray(plane.reshape(1, 11, 121).astype(np.int32)) for plane in corners)
    if subsample:  # one column, chroma of every second row
        y = y.reshape(1, -1, 1)
        cb, cr = cb.reshape(1, -1, 1)[:, ::2].copy(), cr.reshape(1, -1, 1)[:, ::2].copy()
    out = np.empty((*y.shape, 3), np.uint8)
    kernels.q4_to_rgb(y, cb, cr, out)
    if subsample:
        cb, cr = (np.array([naive_upsample(planes[0], *y.shape[1:])]) for planes in (cb, cr))
    luma, blue, red = (np.clip(plane.astype(np.int64), -4096, 4095) for plane in (y, cb, cr))
    luma = ((luma + 2048) << 16) + (1 << 19)
    exact = [luma + 91881 * red, luma - 22554 * blue - 46802 * red, luma + 116130 * blue]
    assert max(np.abs(channel).max() for channel in exact) < 2**31
    np.testing.assert_array_equal(out, np.clip(np.stack(exact, axis=-1) >> 20, 0, 255))


@given(images((3,)))
def test_full_resolution_is_lossless(image):
    for kernels in (cpu, reference):
        out = np.empty_like(image)
        kernels.q4_to_rgb(*split(kernels, image[None], False, np.int32), out[None])
        np.testing.assert_array_equal(out, image)


@pytest.mark.jit
@pytest.mark.parametrize("red", range(0, 256, 16))
def test_every_colour_comes_back(red):
    """All 2**24 colours, in 16 parts."""
    reds, greens, blues = np.meshgrid(
        np.arange(red, red + 16, dtype=np.uint8),
        np.arange(256, dtype=np.uint8),
        np.arange(256, dtype=np.uint8),
        indexing="ij",
    )
    image = np.ascontiguousarray(np.stack([reds, greens, blues], axis=-1).reshape(1024, 1024, 3))
    out = np.empty_like(image)
    cpu.q4_to_rgb(*split(cpu, image[None], False, np.int32), out[None])
    np.testing.assert_array_equal(out, image)


@pytest.mark.parametrize("kernels", [cpu, reference])
@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_split_and_join(channels, subsample, kernels):
    images = fill((2, 9, 5, channels), "ramp", 8)
    single = np.full(images.shape[:3], 77, np.int32)  # gray or alpha
    kernels.gray_to_q4(images, channels - 1, single)
    np.testing.assert_array_equal(single, 16 * images[..., -1].astype(int) - 2048)
    out = np.empty_like(images)
    if channels > 1:
        kernels.q4_to_rgb(*split(kernels, images, subsample, np.int32), out)
    if channels != 3:
        kernels.q4_to_gray(single, out, channels - 1)
    if channels == 1 or not subsample:
        np.testing.assert_array_equal(out, images)
    else:
        np.testing.assert_array_equal(out[..., 3:], images[..., 3:])
        assert np.abs(out.astype(int) - images).max() < 40


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_planes_beyond_the_range_are_clipped(kernels):
    """Gray and alpha of any size end at 0 and 255, halves rounded up; other channels stay."""
    planes = np.array(
        [[[-(2**31), -WIDE, -2049, -2048, -2041, -2040], [2024, 2031, 2032, 2048, WIDE, 2**31 - 1]]], np.int32
    )
    before = planes.copy()
    rgba = np.full((*planes.shape, 4), 128, np.uint8)
    kernels.q4_to_gray(planes, rgba, 3)
    np.testing.assert_array_equal(rgba[0, :, :, 3], [[0, 0, 0, 0, 0, 1], [255] * 6])
    assert (rgba[..., :3] == 128).all()
    np.testing.assert_array_equal(planes, before)
