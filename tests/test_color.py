"""Colour stage: kernels against their reference, and both against the formulas of BT.601 in floats."""

from __future__ import annotations

import numpy as np
import pytest
from color_helpers import chroma_shape, split
from hypothesis import given
from hypothesis import strategies as st
from strategies import STYLES, fill, images, seeds, sides

from imfnb.color import cpu, reference
from imfnb.layout import half

pytestmark = pytest.mark.kernels

# ITU-T T.871, section 7: not taken from the library.
FORWARD = np.array([[0.299, 0.587, 0.114], [-0.168735892, -0.331264108, 0.5], [0.5, -0.418687589, -0.081312411]])
INVERSE = np.array([[1, 0, 1.402], [1, -0.344136286, -0.714136286], [1, 1.772, 0]])


@given(images((3, 4)), st.booleans())
def test_forward_cpu_is_reference(image, subsample):
    for mine, naive in zip(split(cpu, image[None], subsample), split(reference, image[None], subsample), strict=True):
        np.testing.assert_array_equal(mine, naive)


@given(sides, sides, st.booleans(), st.sampled_from([3, 4]), st.sampled_from(["noise", "extremes", "ramp"]), seeds)
def test_inverse_cpu_is_reference(height, width, subsample, channels, style, seed):
    y = fill((1, height, width), style, seed)
    cb, cr = (fill(chroma_shape(y.shape, subsample), style, seed + k) for k in (1, 2))
    mine, naive = (np.full((*y.shape, channels), 7, np.uint8) for _ in range(2))
    cpu.ycbcr_to_rgb(y, cb, cr, mine)
    reference.ycbcr_to_rgb(y, cb, cr, naive)
    np.testing.assert_array_equal(mine, naive)
    assert (mine[..., 3:] == 7).all()  # alpha is not the colour kernel's


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_forward_is_bt601_rounded(kernels):
    """Rounding errs by half a level; 16-bit coefficients add less than 0.01."""
    images = np.stack([fill((40, 25, 3), style, 5) for style in ("noise", "extremes")])
    exact = images @ FORWARD.T + [0, 128, 128]
    planes = np.stack(split(kernels, images, False), axis=-1)
    assert np.abs(planes - np.minimum(exact, 255)).max() <= 0.51


@pytest.mark.parametrize("kernels", [cpu, reference])
def test_inverse_is_bt601_rounded(kernels):
    planes = np.stack([fill((40, 25, 3), style, 6) for style in ("noise", "extremes")])
    exact = np.clip((planes - [0, 128.0, 128]) @ INVERSE.T, 0, 255)
    rgb = np.empty(planes.shape, np.uint8)
    kernels.ycbcr_to_rgb(*(np.ascontiguousarray(planes[..., c]) for c in range(3)), rgb)
    assert np.abs(rgb - exact).max() <= 0.51


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (4, 4), (5, 7), (8, 3)])
@pytest.mark.parametrize("kernels", [cpu, reference])
def test_subsampled_chroma_is_the_mean_of_the_pixels_there(kernels, shape):
    """At an odd border a block has fewer pixels; counting the border twice makes it the mean of those."""
    image = fill((*shape, 3), "noise", 7)
    _, (cb,), (cr,) = split(kernels, image[None], True)
    for i, j in np.ndindex(cb.shape):
        mean = image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].reshape(-1, 3).mean(axis=0)
        assert abs(cb[i, j] - min(FORWARD[1] @ mean + 128, 255)) <= 0.51
        assert abs(cr[i, j] - min(FORWARD[2] @ mean + 128, 255)) <= 0.51


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("kernels", [cpu, reference])
def test_gray_stays_gray(kernels, subsample):
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    levels = levels.repeat(2, axis=0).repeat(2, axis=1)
    gray = np.repeat(levels[None, :, :, None], 3, axis=3)
    y, cb, cr = split(kernels, gray, subsample)
    np.testing.assert_array_equal(y[0], levels)
    assert (cb == 128).all() and (cr == 128).all()
    out = np.empty_like(gray)
    kernels.ycbcr_to_rgb(y, cb, cr, out)
    np.testing.assert_array_equal(out, gray)


@given(images((3,)))
def test_round_trip_errs_by_two_levels_at_most(image):
    """Three roundings of half a level through coefficients up to 1.772, plus one level for Cb = 255.5."""
    out = np.empty_like(image)
    cpu.ycbcr_to_rgb(*split(cpu, image[None], False), out[None])
    assert np.abs(out.astype(int) - image).max() <= 2


@pytest.mark.parametrize("kernels", [cpu, reference])
@given(image=images((1, 3, 4)))
def test_planes_without_conversion_are_the_channels(kernels, image):
    planes = [kernels.take_channel(image[None], c, None) for c in range(image.shape[2])]
    assert all(np.shares_memory(plane, image) for plane in planes)
    np.testing.assert_array_equal(np.stack(planes, axis=-1)[0], image)
    out = np.empty_like(image)
    for c, plane in enumerate(planes):
        kernels.put_channel(plane, c, out[None])
    np.testing.assert_array_equal(out, image)


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (9, 40)])
def test_stacks_are_their_images_one_by_one(shape, dtype, subsample):
    images = np.stack([fill((*shape, 3), style, 9) for style in STYLES])
    out = np.empty((2, *images.shape), np.uint8)
    for kernels, target in zip((cpu, reference), out, strict=True):
        planes = split(kernels, images, subsample, dtype)
        for b, image in enumerate(images):
            for one, many in zip(split(kernels, image[None], subsample, dtype), planes, strict=True):
                np.testing.assert_array_equal(one[0], many[b])
        back = kernels.ycbcr_to_rgb if dtype is np.uint8 else kernels.q4_to_rgb
        back(*planes, target)
        for b in range(len(images)):
            one = np.empty((1, *shape, 3), np.uint8)
            back(*(plane[b : b + 1] for plane in planes), one)
            np.testing.assert_array_equal(one[0], target[b])
    np.testing.assert_array_equal(*out)


def test_half_rounds_up():
    assert [half(n) for n in (1, 2, 3, 4, 5)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("width", [15, 16, 17, 31, 32, 33, 64, 65])
def test_rows_of_whole_vectors_and_what_is_left_of_them(width, subsample, channels):
    """Both directions, bytes and q4; what is not a colour of the image stays."""
    rng = np.random.default_rng(width)
    images = rng.integers(0, 256, (1, 3, width, channels), np.uint8)
    for dtype, back, low, high in ((np.uint8, "ycbcr_to_rgb", 0, 256), (np.int32, "q4_to_rgb", -5000, 5000)):
        planes = [split(kernels, images, subsample, dtype) for kernels in (cpu, reference)]
        for found, expected in zip(*planes, strict=True):
            np.testing.assert_array_equal(found, expected)
        wild = [rng.integers(low, high, p.shape).astype(dtype) for p in planes[0]]
        out = [rng.integers(0, 256, images.shape, np.uint8)] * 2
        out[1] = out[0].copy()
        for kernels, target in zip((cpu, reference), out, strict=True):
            getattr(kernels, back)(*wild, target)
        np.testing.assert_array_equal(*out)
