"""Colour and patches on the device against the NumPy reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from strategies import STYLES, fill

from imfnb.color import cuda as color
from imfnb.color import reference as color_reference
from imfnb.patches import cuda as patches
from imfnb.patches import from_blocks, patchify
from imfnb.patches import reference as patches_reference

SHAPES = [(1, 1), (1, 5), (4, 1), (5, 7), (8, 6), (9, 13)]


def planes(images: np.ndarray, subsample: bool, put) -> list[np.ndarray]:
    """Y, Cb and Cr of a batch, made on the device."""
    count, height, width = images.shape[:3]
    half = ((height + 1) // 2, (width + 1) // 2) if subsample else (height, width)
    out = [put(np.zeros((count, *shape), np.uint8)) for shape in ((height, width), half, half)]
    color.rgb_to_ycbcr(put(images), subsample, *out)
    return [plane.copy_to_host() for plane in out]


def check_color(shape: tuple[int, int], channels: int, subsample: bool, style: str, put, count: int = 2) -> None:
    images = fill((count, *shape, channels), style, shape[0] + channels)
    found = planes(images, subsample, put)
    out = put(np.full(images.shape, 7, np.uint8))
    color.ycbcr_to_rgb(*map(put, found), out)
    pixels = out.copy_to_host()
    for i, image in enumerate(images):
        for mine, expected in zip(found, color_reference.rgb_to_ycbcr(image, subsample), strict=True):
            np.testing.assert_array_equal(mine[i], expected)
        rgb = np.full(image.shape, 7, np.uint8)
        color_reference.ycbcr_to_rgb(*(plane[i] for plane in found), rgb)
        np.testing.assert_array_equal(pixels[i], rgb)


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_color(shape, subsample, put):
    check_color(shape, 3 + shape[1] % 2, subsample, STYLES[(shape[0] + subsample) % len(STYLES)], put)


@pytest.mark.parametrize("subsample", [False, True])
def test_color_at_the_corners_of_the_cube(subsample, put):
    check_color((6, 5), 3, subsample, "extremes", put, 3)


def test_channels(put):
    images = fill((2, 5, 3, 4), "noise", 1)
    plane = put(np.zeros((2, 5, 3), np.uint8))
    color.take_channel(put(images), 3, plane)
    np.testing.assert_array_equal(plane.copy_to_host(), images[..., 3])
    out = put(images)
    color.put_channel(put(images[..., 0]), 2, out)
    images[..., 2] = images[..., 0]
    np.testing.assert_array_equal(out.copy_to_host(), images)


def check_patches(shape: tuple[int, int], p: int, put, count: int = 2) -> None:
    batch = fill((count, *shape), "noise", p)
    rows, columns = -(-shape[0] // p), -(-shape[1] // p)
    out = put(np.zeros((count, 2 * p * p, patches.padded(rows * columns)), np.uint8))
    patches.patchify(put(batch), p, p, out, p * p)
    found = out.copy_to_host()
    assert not found[:, : p * p].any()
    for plane, mine in zip(batch, found, strict=True):
        (expected,) = patchify(plane[:, :, None], "YCbCr", True, p, "reference")
        np.testing.assert_array_equal(mine[p * p :, : rows * columns].T, from_blocks(expected, rows * columns))


@pytest.mark.parametrize("p", [4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_patchify(shape, p, put):
    check_patches(shape, p, put)


def test_rows_are_patches_without_patches(put):
    plane = fill((1, 5, 7), "noise", 2)
    out = put(np.zeros((1, 7, 8), np.uint8))
    patches.patchify(put(plane), 1, 7, out)
    np.testing.assert_array_equal(out.copy_to_host()[0, :, :5], plane[0].T)


def check_depatchify(shape: tuple[int, int], p: int, rank: int, used: int, dtype: type, put, count: int = 2) -> None:
    rng = np.random.default_rng(rank)
    rows, columns = -(-shape[0] // p), -(-shape[1] // p)
    bound = 15 if dtype is np.int8 else 2**15 - 1
    u = rng.integers(-bound, bound, (count, rank, patches.padded(rows * columns)), dtype, endpoint=True)
    v = rng.integers(-bound, bound, (count, rank, p * p + 3), dtype, endpoint=True)
    out = put(np.zeros((count, *shape), np.uint8))
    patches.depatchify(put(u), put(v), used, p, p, out, 3)
    for i, mine in enumerate(out.copy_to_host()):
        expected = np.empty(shape, np.uint8)
        left, right = u[i, :used, : rows * columns].T, v[i, :used, 3:].astype(np.float64)
        patches_reference.depatchify(left, right, p, p, expected)
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize(("rank", "used"), [(1, 1), (3, 2), (16, 16)])
def test_depatchify(rank, used, dtype, put):
    for shape in ((1, 1), (5, 7), (8, 4)):
        check_depatchify(shape, 4, rank, used, dtype, put)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(8))
def test_random_shapes(seed, put):
    """Hundreds of blocks, odd sides, batches."""
    rng = np.random.default_rng(seed)
    shape, count = (int(rng.integers(1, 900)), int(rng.integers(1, 900))), int(rng.integers(1, 5))
    for subsample in (False, True):
        check_color(shape, int(rng.integers(3, 5)), subsample, STYLES[seed % len(STYLES)], put, count)
    check_patches(shape, (4, 8, 16, 32)[seed % 4], put, count)
    check_depatchify(shape, 8, 20, 13, (np.int8, np.int16)[seed % 2], put, count)
