"""What luma masks, on the device against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import empty, same, up
from strategies import seeds

from imfnb.format.masking import SIDE_BITS, map_shape
from imfnb.masking import cuda, reference
from imfnb.masking.tuning import CELL


def check(planes: np.ndarray, bits: int) -> None:
    """The symbols of every block."""
    cells = np.zeros((len(planes), 2, *(-(-size // CELL) for size in planes.shape[1:])), np.int64)
    expected = np.empty((len(planes), *map_shape(*planes.shape[1:], bits)), np.int32)
    reference.classify(planes, bits, cells, expected)
    found = empty(expected.shape)
    cuda.classify(up(planes), bits, up(cells), found)
    same(found, expected)


def luma(count: int, height: int, width: int, seed: int) -> np.ndarray:
    """Flat and active columns, up to the largest values."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(0, 1, (count, height, width)) * rng.choice([0, 20, 100, 400, 3000], width)
    return np.clip(samples, -4096, 4095).astype(np.int32)


@given(st.integers(1, 2), st.integers(1, 40), st.integers(1, 70), st.integers(*SIDE_BITS), seeds)
@settings(max_examples=6)
def test_classify(count, height, width, bits, seed):
    check(luma(count, height, width, seed), bits)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(768, 512), (1021, 333), (1, 4001), (5000, 3)])
@pytest.mark.parametrize("bits", [3, 4, 5])
def test_large(shape, bits):
    check(luma(3, *shape, shape[0]), bits)
