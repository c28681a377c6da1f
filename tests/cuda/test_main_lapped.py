"""Lapped filter on the device against the reference: whole patches, continued and cut planes, chosen planes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import patch_sizes
from stacks import empty, same, up
from strategies import seeds

from imfnb.format import lapped as tables
from imfnb.lapped import cuda, reference


def whole(size: int, p: int) -> int:
    return size + -size % p


def check_forward(planes: np.ndarray, p: int, which: list[int]) -> None:
    height, width = planes.shape[1:]
    # All rows, and those in the middle as if they were all.
    for rows in (None, slice(height // 3, height // 3 + (height + 1) // 2)):
        tall = height if rows is None else rows.stop - rows.start
        expected = np.empty((len(which), whole(tall, p), whole(width, p)), np.int32)
        reference.forward(planes, p, expected, which, rows)
        found = empty(expected.shape)
        cuda.forward(up(planes), p, found, up(np.array(which, np.int32)), rows)
        same(found, expected)


def check_inverse(planes: np.ndarray, p: int, shape: tuple[int, int], which: list[int]) -> None:
    expected = np.full((max(which) + 2, *shape), 5, np.int32)
    found = up(expected)
    cuda.inverse(up(planes), p, found, up(np.array(which, np.int32)))
    reference.inverse(planes, p, expected, which)
    same(found, expected)


def samples(shape: tuple[int, ...], limit: int, style: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if style == "extremes":
        return rng.choice(np.array([-limit, limit], np.int32), shape)
    return rng.integers(-limit, limit, shape, dtype=np.int32, endpoint=True)


styles = st.sampled_from(["noise", "extremes"])


@given(patch_sizes, st.integers(1, 35), st.integers(1, 70), st.sampled_from([[0], [2, 0]]), styles, seeds)
@settings(max_examples=6)
def test_forward(p, height, width, which, style, seed):
    check_forward(samples((3, height, width), 2048, style, seed), p, which)


@given(patch_sizes, st.integers(1, 35), st.integers(1, 70), st.sampled_from([[0], [2, 0]]), styles, seeds)
@settings(max_examples=6)
def test_inverse(p, height, width, which, style, seed):
    limit = tables.INPUT_LIMIT if seed % 2 else 2**31 - 1  # beyond the limit samples are clamped
    planes = samples((len(which), whole(height, p), whole(width, p)), limit, style, seed)
    check_inverse(planes, p, (height, width), which)


@pytest.mark.gpu
@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("shape", [(768, 512), (1021, 333), (1, 4001), (5000, 3)])
def test_large(shape, p):
    check_forward(samples((5, *shape), 2048, "noise", shape[0]), p, [4, 1, 2])
    planes = samples((3, whole(shape[0], p), whole(shape[1], p)), 2**15, "noise", shape[1])
    check_inverse(planes, p, shape, [4, 1, 2])
