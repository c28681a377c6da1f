"""Patch stage: kernels against their reference, and both against a walk that turns round at the borders."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import fill, planes, seeds, sides

from imfnb.color.reference import rgb_to_ycbcr
from imfnb.layout import half
from imfnb.patches import cpu, from_blocks, patch_matrix, reference, to_blocks

pytestmark = pytest.mark.kernels

BACKENDS = [cpu, reference]

patch_sizes = st.sampled_from([4, 8, 16, 32])


def bounce(size: int):
    """0, 1, .., size - 1, size - 2, .., 1, 0, 1, ..: the positions of an axis that is extended by reflection."""
    yield from itertools.cycle([*range(size), *range(size - 2, 0, -1)])


def grid_shape(shape: tuple[int, int], p: int) -> tuple[int, int]:
    """Patches down and across."""
    return -(-shape[0] // p), -(-shape[1] // p)


def naive_matrix(plane: np.ndarray, p: int) -> np.ndarray:
    """The patch matrix straight from its definition."""
    rows, columns = grid_shape(plane.shape, p)
    ys = list(itertools.islice(bounce(plane.shape[0]), rows * p))
    xs = list(itertools.islice(bounce(plane.shape[1]), columns * p))
    extended = plane[np.ix_(ys, xs)]
    blocks = [extended[i : i + p, j : j + p].ravel() for i in range(0, rows * p, p) for j in range(0, columns * p, p)]
    return np.array(blocks)


def array(name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
    return np.full(shape, 77, dtype)


def cut(backend, planes_: np.ndarray, p: int | None, first: int = 0, columns: int | None = None) -> np.ndarray:
    """Blocks of the patches of planes (B, H, W), over memory that was in use; of p = None, the planes themselves."""
    height, width = planes_.shape[1:]
    sides = (1, width) if p is None else (p, p)
    rows = -(-height // sides[0]) * -(-width // sides[1])
    out = array("", backend.matrix_shape(len(planes_), rows, columns or sides[0] * sides[1]), np.uint8)
    backend.patchify(planes_, *sides, out, first)
    return out


def cut_colors(backend, images: np.ndarray, subsample: bool, p: int | None) -> list[np.ndarray]:
    """Blocks of the patches of Y, Cb and Cr."""
    count, height, width = images.shape[:3]
    chroma = (half(height), half(width)) if subsample else (height, width)
    out = []
    for shape in ((height, width), chroma, chroma):
        rows, columns = shape if p is None else (np.prod(grid_shape(shape, p)), p * p)
        out.append(array("", backend.matrix_shape(count, int(rows), columns), np.uint8))
    backend.patchify_ycbcr(images, subsample, p, *out, array)
    return out


def multiplied(backend, u: np.ndarray, v: np.ndarray, shape, p: int | None, bound: int, rank: int | None = None):
    """Planes from U (M, R) and V (N, R): as many as V has rows for."""
    sides = (1, shape[1]) if p is None else (p, p)
    out = []
    for first in range(0, len(v), sides[0] * sides[1]):
        plane = np.empty((1, *shape), np.uint8)
        factors = np.ascontiguousarray(u.T)[None], np.ascontiguousarray(v.T)[None]
        backend.depatchify(*factors, rank or u.shape[1], *sides, plane, bound, first)
        out.append(plane[0])
    return out


def matrix(blocks: np.ndarray, shape: tuple[int, int], p: int) -> np.ndarray:
    """The patch matrix of a plane from its blocks, whose other lanes are zero."""
    rows, columns = grid_shape(shape, p)
    x = from_blocks(blocks, rows * columns)
    np.testing.assert_array_equal(to_blocks(x), blocks)
    return x


@given(planes(), patch_sizes)
def test_patchify_cpu_is_reference_is_definition(plane, p):
    stack = np.stack([plane, plane[::-1]])
    mine, naive = (cut(backend, stack, p) for backend in BACKENDS)
    np.testing.assert_array_equal(mine, naive)
    for blocks, one in zip(mine, stack, strict=True):
        np.testing.assert_array_equal(matrix(blocks, plane.shape, p), naive_matrix(one, p))
    np.testing.assert_array_equal(patch_matrix(cpu, plane, p), naive_matrix(plane, p))


@pytest.mark.jit
@pytest.mark.parametrize("p", [4, 8, 16, 32])
@pytest.mark.parametrize("patches", [15, 16, 17, 63, 64, 65, 100])
def test_rows_of_patches_that_do_not_fit_blocks(p, patches):
    plane = fill((3 * p - 1, patches * p - 3), "noise", patches)
    (x,) = cut(cpu, plane[None], p)
    np.testing.assert_array_equal(matrix(x, plane.shape, p), naive_matrix(plane, p))


@given(sides, sides, st.sampled_from([3, 4]), patch_sizes, st.booleans(), seeds)
def test_patches_of_color_are_those_of_its_planes(height, width, channels, p, subsample, seed):
    """The pass over strips of the image gives what the two stages give one after the other; without patches, too."""
    images = fill((2, height, width, channels), "noise", seed)
    chroma = (half(height), half(width)) if subsample else (height, width)
    stacks = [np.empty((2, *shape), np.uint8) for shape in ((height, width), chroma, chroma)]
    rgb_to_ycbcr(images, *stacks)
    for backend in BACKENDS:
        for stack, blocks in zip(stacks, cut_colors(backend, images, subsample, p), strict=True):
            for plane, x in zip(stack, blocks, strict=True):
                np.testing.assert_array_equal(matrix(x, plane.shape, p), naive_matrix(plane, p))
        for stack, blocks in zip(stacks, cut_colors(backend, images, subsample, None), strict=True):
            for plane, x in zip(stack, blocks, strict=True):
                np.testing.assert_array_equal(from_blocks(x, len(plane)), plane)


@pytest.mark.parametrize("backend", BACKENDS)
def test_channels_are_concatenated(backend):
    """Patches of channels of an image, which are not contiguous, side by side; columns of others are left alone."""
    image = fill((1, 7, 9, 4), "noise", 3)
    x = cut(backend, image[..., 1], 4, 16, 48)
    backend.patchify(image[..., 3], 4, 4, x, 32)
    assert x.shape[:3] == (1, 1, 48) and (x[:, :, :16] == 77).all()
    for first, c in ((16, 1), (32, 3)):
        part = x[0][:, first : first + 16]
        np.testing.assert_array_equal(matrix(part, (7, 9), 4), naive_matrix(image[0, :, :, c], 4))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("height", [5, 64, 130])
def test_no_patches_is_the_plane(backend, height):
    plane = fill((height, 8), "noise", 1)
    (x,) = cut(backend, plane[None], None)
    np.testing.assert_array_equal(from_blocks(x, height), plane)
    np.testing.assert_array_equal(x, to_blocks(plane))


@given(planes())
def test_blocks_of_any_matrix(plane):
    blocks = to_blocks(plane)
    np.testing.assert_array_equal(from_blocks(blocks, len(plane)), plane)
    np.testing.assert_array_equal(to_blocks(np.asfortranarray(plane)), blocks)
    for backend in BACKENDS:
        out = array("", backend.matrix_shape(2, *plane.shape), np.uint8)
        backend.from_matrices(np.stack([plane[::-1], plane]), out)
        np.testing.assert_array_equal(out[1], blocks)
        back = array("", (2, *plane.shape), np.uint8)
        backend.to_matrices(out, back)
        np.testing.assert_array_equal(back, [plane[::-1], plane])
        np.testing.assert_array_equal(backend.host_matrix(out[1], len(plane)), plane)
        assert backend.padded(17) == 17


@pytest.mark.parametrize("backend", BACKENDS)
@given(plane=planes(), p=st.sampled_from([4, 8]))
def test_depatchify_inverts_patchify(backend, plane, p):
    """With V the identity, U V^T is X."""
    x = matrix(cut(backend, plane[None], p)[0], plane.shape, p)
    planes_out = multiplied(backend, x.astype(np.int16), np.eye(p * p, dtype=np.int16), plane.shape, p, 255)
    assert len(planes_out) == 1
    np.testing.assert_array_equal(planes_out[0], plane)


@given(
    sides,
    sides,
    st.sampled_from([4, 8, 16, 32, None]),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 15),
    seeds,
)
def test_depatchify_is_the_clipped_product(height, width, p, rank, count, bits, seed):
    """Against the product in 64-bit integers, from one-bit factors up to the largest that a file can hold."""
    if p is None:
        rows, columns, count = height, width, 1
    else:
        grid = grid_shape((height, width), p)
        rows, columns = grid[0] * grid[1], count * p * p
    rng, bound = np.random.default_rng(seed), 2**bits - 1
    dtype = np.int8 if bits <= 7 and seed % 2 else np.int16
    u = rng.integers(-bound, bound, (rows, rank), dtype, endpoint=True)
    v = rng.integers(-bound, bound, (columns, rank), dtype, endpoint=True)
    x = np.clip(u.astype(np.int64) @ v.T.astype(np.int64), 0, 255)
    mine, naive = (multiplied(backend, u, v, (height, width), p, bound) for backend in BACKENDS)
    assert len(mine) == count
    for c, plane in enumerate(mine):
        assert plane.dtype == np.uint8
        np.testing.assert_array_equal(plane, naive[c])
        if p is None:
            np.testing.assert_array_equal(plane, x)
        else:
            tiles = x[:, c * p * p : (c + 1) * p * p].reshape(*grid, p, p)
            np.testing.assert_array_equal(plane, np.block([list(line) for line in tiles])[:height, :width])


@pytest.mark.parametrize("backend", BACKENDS)
def test_depatchify_of_stacks_uses_the_first_components(backend):
    """And of rows of U^T, which may go on beyond the last patch, as many as there are patches."""
    rng = np.random.default_rng(5)
    u, v = rng.integers(-9, 9, (2, 4, 6), np.int8), rng.integers(-9, 9, (2, 4, 16), np.int8)
    out = np.empty((2, 8, 12), np.uint8)
    backend.depatchify(u, v, 3, 4, 4, out, 9)
    for k in range(2):
        (expected,) = multiplied(backend, u[k, :3].T, v[k, :3].T, (8, 12), 4, 9)
        np.testing.assert_array_equal(out[k], expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_depatchify_keeps_every_bit_of_large_products(backend):
    """About 2**30, plus 7, minus the same: float32 would lose the 7."""
    u = np.array([[2**15 - 1, 7, 2**15 - 1]], np.int16)
    v = np.array([[2**15 - 1, 1, 1 - 2**15]], np.int16)
    assert multiplied(backend, u, v, (1, 1), None, 2**15 - 1)[0] == 7


@pytest.mark.parametrize("rank", [1, 3, 4, 5, 20, 64])
@pytest.mark.parametrize("p", [4, 8, 16])
def test_products_of_bytes_at_their_bounds(rank, p):
    """Factors of -128 and 127 in either kernel of the CPU; the largest sum is 64 * 128**2."""
    rng = np.random.default_rng(rank)
    u, v = (rng.choice(np.array([-128, 127, -1, 0, 1], np.int8), (count, rank)) for count in (6, p * p))
    expected = np.clip(u.astype(int) @ v.T.astype(int), 0, 255)
    plane = np.empty((2 * p - 1, 3 * p - 2), np.uint8)
    cpu._depatchify_floats(np.asfortranarray(u), np.ascontiguousarray(v.T, np.float32), p, p, plane)
    tiles = expected.reshape(2, 3, p, p).transpose(0, 2, 1, 3).reshape(2 * p, 3 * p)
    for found in (plane, *multiplied(cpu, u, v, plane.shape, p, 128)):
        np.testing.assert_array_equal(found, tiles[: plane.shape[0], : plane.shape[1]])
