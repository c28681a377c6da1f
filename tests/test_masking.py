"""Masking stage: kernels against the reference, and what it calls active; steps of patches from a map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from imfnb.format.masking import FACTORS, SIDE_BITS, map_shape, steps_of_patches
from imfnb.layout import PatchGrid, PlaneSpec
from imfnb.masking import cpu, reference
from imfnb.masking.tuning import CELL, EDGES, SYMBOLS

pytestmark = pytest.mark.kernels

sides = st.integers(*SIDE_BITS)


def classified(kernels, planes: np.ndarray, bits: int) -> np.ndarray:
    """The symbols by a backend."""
    out = np.full((len(planes), *map_shape(*planes.shape[1:], bits)), 77, np.int32)
    cells = np.full((len(planes), 2, *(-(-size // CELL) for size in planes.shape[1:])), 77, np.int64)
    kernels.classify(planes, bits, cells, out)
    return out


def plane(height: int, width: int, seed: int) -> np.ndarray:
    """Luma with flat and with active columns, up to the largest values."""
    rng = np.random.default_rng(seed)
    scale = rng.choice([0, 20, 100, 400, 3000], width)
    return np.clip(rng.normal(rng.integers(-2000, 2000), 1, (height, width)) * scale, -4096, 4095).astype(np.int32)


@given(st.integers(1, 70), st.integers(1, 70), sides, seeds, st.booleans())
def test_both_backends_agree(height, width, bits, seed, narrow):
    planes = np.stack([plane(height, width, seed), plane(height, width, seed + 1)])
    planes = planes.astype(np.int16) if narrow else planes
    expected = classified(reference, planes, bits)
    np.testing.assert_array_equal(classified(cpu, planes, bits), expected)
    assert set(np.unique(expected)) <= set(SYMBOLS)


def test_activity_is_the_harmonic_mean_of_variances():
    """A block of noise has a long step, a flat one a short one, and one that is flat in part counts as flat."""
    rng = np.random.default_rng(1)
    luma = np.zeros((1, 96, 96), np.int32)
    luma[0, :, 32:] = rng.choice([-2048, 2047], (96, 64))
    luma[0, 36:64, 68:96] = 0
    found = classified(reference, luma, 5)[0]
    assert (found[:, 0] == SYMBOLS[0]).all()
    assert (found[0, 1:] == SYMBOLS[-1]).all()
    assert found[1, 2] < SYMBOLS[-1]


def test_edges_rise_and_symbols_stand_for_rising_steps():
    assert list(EDGES) == sorted(EDGES) and len(SYMBOLS) == len(EDGES) + 1
    assert list(FACTORS) == sorted(FACTORS) and FACTORS[len(FACTORS) // 2] == 16
    assert set(SYMBOLS) <= set(range(len(FACTORS)))


@pytest.mark.parametrize("subsampled", [False, True])
@pytest.mark.parametrize("p", [8, 16])
@given(st.integers(1, 80), st.integers(1, 80), sides, seeds)
def test_a_patch_has_the_step_of_the_block_around_its_centre(p, subsampled, height, width, bits, seed):
    shape = (-(-height // 2), -(-width // 2)) if subsampled else (height, width)
    spec, grid = PlaneSpec(1, "chroma", shape, subsampled), PatchGrid(shape, p)
    symbols = np.random.default_rng(seed).integers(0, len(FACTORS), map_shape(height, width, bits)).astype(np.uint8)
    found = steps_of_patches(symbols, bits, spec, grid)
    assert found.shape == (grid.rows, grid.columns) and found.dtype == np.int32
    y, x = grid.rows - 1, grid.columns // 2
    row, column = (
        min((1 + subsampled) * (n * p + p // 2) >> bits, size - 1)
        for n, size in zip((y, x), symbols.shape, strict=True)
    )
    assert found[y, x] == FACTORS[symbols[row, column]]
