"""Colour and patches on the device against the NumPy reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from color_helpers import chroma_shape, split
from strategies import STYLES, fill

from imfnb import DeviceError
from imfnb.color import cuda as color
from imfnb.color import reference as color_reference
from imfnb.patches import cuda as patches
from imfnb.patches import from_blocks, patch_matrix
from imfnb.patches import reference as patches_reference

# Sides that are multiples of 8, of 4, and odd; as many pixels as several rows of threads have, in the simulator too.
SHAPES = [(1, 1), (1, 5), (4, 1), (5, 7), (8, 6), (9, 13), (3, 8), (7, 36), (18, 72)]


def planes(images: np.ndarray, subsample: bool, put) -> list[np.ndarray]:
    """Y, Cb and Cr of a batch, made on the device."""
    shape = images.shape[:3]
    out = [put(np.zeros(s, np.uint8)) for s in (shape, *[chroma_shape(shape, subsample)] * 2)]
    color.rgb_to_ycbcr(put(images), *out)
    return [plane.copy_to_host() for plane in out]


def check_color(shape: tuple[int, int], channels: int, subsample: bool, style: str, put, count: int = 2) -> None:
    images = fill((count, *shape, channels), style, shape[0] + channels)
    found = planes(images, subsample, put)
    out = put(np.full(images.shape, 7, np.uint8))
    color.ycbcr_to_rgb(*map(put, found), out)
    for mine, expected in zip(found, split(color_reference, images, subsample), strict=True):
        np.testing.assert_array_equal(mine, expected)
    rgb = np.full(images.shape, 7, np.uint8)
    color_reference.ycbcr_to_rgb(*found, rgb)
    np.testing.assert_array_equal(out.copy_to_host(), rgb)


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_color(shape, subsample, put):
    check_color(shape, 3 + shape[1] % 2, subsample, STYLES[(shape[0] + subsample) % len(STYLES)], put)


@pytest.mark.parametrize("subsample", [False, True])
def test_color_at_the_corners_of_the_cube(subsample, put):
    check_color((6, 5), 3, subsample, "extremes", put, 3)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(8, 64), (3, 36), (1, 4)])
def test_color_in_words(shape, channels, put, monkeypatch):
    """Rows that begin at multiples of four bytes, and the same where the arrays do not."""
    check_color(shape, channels, True, "noise", put)
    monkeypatch.setattr(color, "starts_at_multiple", lambda *_: False)
    check_color(shape, channels, True, "noise", put)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("offset", [1, 2, 4])
def test_arrays_that_begin_anywhere(channels, offset, put):
    images = fill((2, 4, 8, channels), "noise", offset)
    buffer = put(np.zeros(images.size + offset, np.uint8))
    moved = buffer[offset:].reshape(images.shape)
    moved.copy_to_device(images)
    expected = split(color_reference, images, True)
    found = [put(np.zeros_like(plane)) for plane in expected]
    color.rgb_to_ycbcr(moved, *found)
    for mine, plane in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine.copy_to_host(), plane)
    color.ycbcr_to_rgb(*found, moved)
    color_reference.ycbcr_to_rgb(*expected, images)
    np.testing.assert_array_equal(moved.copy_to_host(), images)
    assert not buffer[:offset].copy_to_host().any()


def test_division_by_the_blocks_side_by_side():
    """The multiplier and the shift of a launch give quotients of all numbers below 2**31."""
    rng = np.random.default_rng(0)
    for across in (1, 2, 3, 6, 7, 32, 641, 2**20 - 1, 2**24):
        width = 4 * color._ACROSS * across
        (count, _), (side, multiplier, shift) = color._blocks_of_eight(1, 1, width)
        assert count == side == across
        numbers = rng.integers(2**31, size=1000).tolist()
        multiples = [across * n + d for n in (1, 2, 2**31 // across - 1) for d in (-1, 0, across - 1)]
        for n in (0, 2**31 - 1, *numbers, *[m for m in multiples if m < 2**31]):
            assert 2 * n * multiplier >> 32 + int(shift) == n // across


def test_channels(put):
    images = fill((2, 5, 3, 4), "noise", 1)
    plane = put(np.zeros((2, 5, 3), np.uint8))
    assert color.take_channel(put(images), 3, plane) is plane
    np.testing.assert_array_equal(plane.copy_to_host(), images[..., 3])
    out = put(images)
    color.put_channel(put(images[..., 0]), 2, out)
    images[..., 2] = images[..., 0]
    np.testing.assert_array_equal(out.copy_to_host(), images)


def test_too_many_images(put):
    with pytest.raises(DeviceError, match="65536 images of 1 rows are more than a launch can take"):
        color._blocks_of_eight(65536, 1, 1)


def check_patches(shape: tuple[int, int], p: int, put, count: int = 2) -> None:
    batch = fill((count, *shape), "noise", p)
    rows, columns = -(-shape[0] // p), -(-shape[1] // p)
    out = put(np.zeros((count, 2 * p * p, patches.padded(rows * columns)), np.uint8))
    patches.patchify(put(batch), p, p, out, p * p)
    found = out.copy_to_host()
    assert not found[:, : p * p].any()
    for plane, mine in zip(batch, found, strict=True):
        np.testing.assert_array_equal(mine[p * p :, : rows * columns].T, patch_matrix(patches_reference, plane, p))


@pytest.mark.parametrize("p", [4, 8])
@pytest.mark.parametrize("shape", SHAPES)
def test_patchify(shape, p, put):
    check_patches(shape, p, put)


@pytest.mark.parametrize(("shape", "p"), [((17, 24), 16), ((9, 52), 32), ((16, 40), 16), ((21, 71), 8), ((6, 11), 5)])
def test_patchify_of_other_sizes(shape, p, put):
    """Reflection within a group of pixels, before one, and more than once; patches that are no whole words."""
    check_patches(shape, p, put)


@pytest.mark.parametrize("width", [7, 8, 20])
def test_rows_are_patches_without_patches(width, put):
    plane = fill((1, 5, width), "noise", 2)
    out = put(np.zeros((1, width, 8), np.uint8))
    patches.patchify(put(plane), 1, width, out)
    np.testing.assert_array_equal(out.copy_to_host()[0, :, :5], plane[0].T)
    v = np.eye(5, 5 * width, dtype=np.int8)[None, :, :width]
    patches.depatchify(put(np.full((1, 5, 8), 3, np.int8)), put(v), 5, 1, width, joined := put(plane), 3)
    np.testing.assert_array_equal(joined.copy_to_host()[0], np.full((5, 1), 3) * v[0].sum(axis=0))


def check_depatchify(
    shape: tuple[int, int], p: int, rank: int, used: int, dtype: type, put, count: int = 2, first: int = 3
) -> None:
    rng = np.random.default_rng(rank)
    rows, columns = -(-shape[0] // p), -(-shape[1] // p)
    bound = 15 if dtype is np.int8 else 2**15 - 1
    u = rng.integers(-bound, bound, (count, rank, patches.padded(rows * columns)), dtype, endpoint=True)
    v = rng.integers(-bound, bound, (count, rank, first + p * p), dtype, endpoint=True)
    u[:, :, 0], v[:, :, first::2] = bound, -bound - 1  # the largest sums
    out = put(np.zeros((count, *shape), np.uint8))
    patches.depatchify(put(u), put(v), used, p, p, out, bound + 1, first)
    expected = np.empty((count, *shape), np.uint8)
    patches_reference.depatchify(u, v, used, p, p, expected, bound + 1, first)
    np.testing.assert_array_equal(out.copy_to_host(), expected)


@pytest.mark.parametrize(
    ("rank", "used", "first"),
    [
        pytest.param(1, 1, 0, marks=pytest.mark.slow),
        (5, 5, 4),
        (9, 7, 64),
        pytest.param(20, 18, 0, marks=pytest.mark.slow),
    ],
)
def test_depatchify_in_words(rank, used, first, put):
    """Four bytes of U and V at a time: all kinds of widths, more than one block across, several tiles of components."""
    for shape, p in (((1, 1), 4), ((5, 7), 4), ((9, 24), 8), ((3, 300), 8), ((17, 20), 16), ((8, 136), 4)):
        check_depatchify(shape, p, rank, used, np.int8, put, 2, first)


def test_patches_where_arrays_begin_anywhere(put, monkeypatch):
    """The kernels that read and write bytes, where the others would do."""
    monkeypatch.setattr(patches, "starts_at_multiple", lambda *_: False)
    check_patches((9, 24), 8, put)
    check_depatchify((9, 24), 8, 5, 5, np.int8, put, 2, 0)
    monkeypatch.setattr(patches, "starts_at_multiple", lambda array, _: array.dtype == np.int8)
    check_depatchify((9, 24), 8, 5, 5, np.int8, put, 2, 0)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize(("rank", "used"), [(1, 1), (3, 2), (16, 16)])
def test_depatchify(rank, used, dtype, put):
    for shape in ((1, 1), (5, 7), (8, 4)):
        check_depatchify(shape, 4, rank, used, dtype, put)


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("p", [4, None])
def test_patches_of_color(subsample, p, put):
    images = fill((2, 5, 6, 3), "noise", 7)
    sides = [(5, 6), *[(3, 3) if subsample else (5, 6)] * 2]
    shapes = [side if p is None else (-(-side[0] // p) * -(-side[1] // p), p * p) for side in sides]
    mine = [put(np.zeros(patches.matrix_shape(2, *shape), np.uint8)) for shape in shapes]
    naive = [np.empty(patches_reference.matrix_shape(2, *shape), np.uint8) for shape in shapes]
    patches.patchify_ycbcr(put(images), subsample, p, *mine, lambda name, shape, dtype: put(np.zeros(shape, dtype)))
    patches_reference.patchify_ycbcr(images, subsample, p, *naive, lambda name, shape, dtype: np.empty(shape, dtype))
    for found, blocks, (rows, _) in zip(mine, naive, shapes, strict=True):
        for one, expected in zip(found.copy_to_host(), blocks, strict=True):
            np.testing.assert_array_equal(patches.host_matrix(one, rows), from_blocks(expected, rows))


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
@pytest.mark.parametrize("widest", [1 << 20, 4])
def test_matrices_of_any_origin(dtype, widest, put, monkeypatch):
    """Bytes as planes that are cut into rows, where those are not too many; the rest entry by entry."""
    monkeypatch.setattr(patches, "_WIDEST", widest)
    x = fill((2, 19, 7), "noise", 8).astype(dtype)
    there, back = put(np.zeros(patches.matrix_shape(2, 19, 7), dtype)), put(np.zeros_like(x))
    assert there.shape == (2, 7, 32)
    patches.from_matrices(put(x), there)
    np.testing.assert_array_equal(there.copy_to_host()[:, :, :19], x.transpose(0, 2, 1))
    patches.to_matrices(there, back)
    np.testing.assert_array_equal(back.copy_to_host(), x)
    found = patches.host_matrix(there.copy_to_host()[1], 19)
    assert found.flags.f_contiguous
    np.testing.assert_array_equal(found, x[1])


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(8))
def test_random_shapes(seed, put):
    """Hundreds of blocks, odd sides, batches."""
    rng = np.random.default_rng(seed)
    shape, count = (int(rng.integers(1, 900)), int(rng.integers(1, 900))), int(rng.integers(1, 5))
    for subsample in (False, True):
        check_color(shape, int(rng.integers(3, 5)), subsample, STYLES[seed % len(STYLES)], put, count)
    for whole in (shape, (shape[0], -(-shape[1] // 8) * 8)):
        check_patches(whole, (4, 8, 16, 32)[seed % 4], put, count)
        check_depatchify(whole, 8, 20, 13, (np.int8, np.int16)[seed % 2], put, count)
        check_depatchify(whole, (4, 8, 16, 32)[seed % 4], 45, 38, np.int8, put, count, 64)
        check_color(whole, 3 + seed % 2, True, "noise", put, count)
