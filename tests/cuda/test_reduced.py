"""Pictures that are decoded at a smaller size on the device: their kernels, and the pixels of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
from array_helpers import scene
from helpers import encode as encode_baseline
from helpers import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import encode, make_factors
from stacks import empty, same, up
from strategies import seeds

import imfnb
from imfnb.color import cuda as color
from imfnb.color import reference as plain_color
from imfnb.factorization.rdoq import cuda, reference
from imfnb.factorization.rdoq import factors as reduced
from imfnb.format import basis
from imfnb.format.masking import FACTORS
from imfnb.lapped import cuda as lapped
from imfnb.lapped import reference as plain_lapped

# Sides of a patch that is coded, and how many times smaller one is made of it.
CASES = [(16, 2), (16, 4), (8, 2), (8, 4)]

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")


@given(st.integers(1, 9), st.integers(1, 35), seeds)
@settings(max_examples=4)
def test_halve(height, width, seed):
    planes = np.random.default_rng(seed).integers(-(2**20), 2**20, (2, height, width), dtype=np.int32)
    expected = np.empty((2, (height + 1) // 2, (width + 1) // 2), np.int32)
    plain_color.halve(planes, expected)
    found = empty(expected.shape)
    color.halve(up(planes), found)
    same(found, expected)


@pytest.mark.parametrize("case", CASES)
def test_products_and_local_steps(case):
    (p, reduce), grid, step = case, (2, 3), 700
    side = p // reduce
    padded, ranks = make_factors(grid, side * side, 0.5, 900, 60, p + reduce)
    v = reduced.reduced_basis(basis.dct_basis(p, step), p, reduce)
    numbers = basis.magnitude_limit(step, p), basis.scale_bits(step), side
    expected = np.empty((2, grid[0] * side, grid[1] * side), np.int32)
    stack = np.stack([padded, -padded]), np.stack([ranks, ranks])
    reference.product(*stack, reference.weights(v), *numbers, expected)
    found = empty(expected.shape)
    cuda.product(*up(*stack, cuda.weights(v)), *numbers, found)
    same(found, expected)
    local = np.random.default_rng(step).choice(FACTORS, (2, *grid)).astype(np.int32)
    first = int(basis.dct_basis(p, step)[0, 0])
    reference.denormalize(stack[0], local, first, *numbers, expected)
    cuda.denormalize(*up(stack[0], local), first, *numbers, found)
    same(found, expected)


@pytest.mark.parametrize("side", [2, 4])
def test_lapped_filter_of_small_patches(side):
    planes = np.random.default_rng(side).integers(-20000, 20000, (1, 5 * side, 12 * side), dtype=np.int32)
    expected = np.zeros((2, 5 * side - 1, 12 * side - 1), np.int32)
    found = up(expected)
    plain_lapped.inverse(planes, side, expected, [1])
    lapped.inverse(up(planes), side, found, up(np.array([1], np.int32)))
    same(found, expected)


def check(data: bytes, reductions: tuple[int, ...] = (2, 4, 8)) -> None:
    for reduce in reductions:
        found = imfnb.decode(data, reduce=reduce, device="cuda")
        np.testing.assert_array_equal(found, imfnb.decode(data, reduce=reduce, device="cpu"))


def test_picture():
    check(encode(picture(9, 11), quality=60, subsampling="4:2:0", patch_size=8, tune="visual", device="cpu"), (4,))


@pytest.mark.slow
def test_more_pictures():
    image = picture(17, 19, 4)
    image[:, :5, 3], image[:, 12:, 3] = 0, 255
    options = {"device": "cpu", "quality": 60}
    check(encode(image, subsampling="4:2:0", patch_size=8, alpha_quality=60, tune="visual", **options))
    check(encode(picture(33, 20), subsampling="4:4:4", patch_size=16, tune="visual", **options))
    check(encode_baseline(picture(9, 13), subsampling="4:2:0", patch_size=4, **options))
    check(imfnb.encode(scene((21, 18, 3), "int16"), **options))
