"""Small tools of the main profile's tests: factors in the coder's layout, and the profile's header fields."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence

import numpy as np
import pytest
from helpers import varint
from hypothesis import strategies as st
from strategies import seeds

import imfnb
from imfnb import layout as geometry
from imfnb.entropy import layout
from imfnb.factorization import rdoq
from imfnb.factorization.rdoq import pipeline
from imfnb.profiles import decide, search, stacks
from imfnb.runtime.run import HostRun, finish

encode = functools.partial(imfnb.encode, profile="main", tune="psnr")

#: Number of the profile in the header.
MAIN = 1

#: Steps in 1/64 gray level: both ends, where the scale of V changes, and in between.
STEPS = (64, 65, 127, 128, 300, 1023, 1024, 2047, 2048, 5000, 16383, 16384)


steps = st.sampled_from(STEPS)
patch_sizes = st.sampled_from([8, 16])


def main_fields(flags: int, luma: int, chroma: int | None, *codings: int, alpha: int | None = None) -> bytes:
    """The main profile's header fields; `codings` has one byte per lossy plane: patch size 16, 2 for restoration.

    `alpha` is its step where it is lossy, or its value where it is constant.
    """
    return bytes([flags]) + b"".join(varint(n) for n in (luma, chroma, alpha) if n is not None) + bytes(codings)


def make_factors(
    grid: tuple[int, int], rank: int, density: float, first: int, largest: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Padded U and its active ranks: component 0 within +-`first`, the others within +-`largest`.

    A share `density` of the entries is not zero; magnitudes are spread over all orders.
    """
    rng = np.random.default_rng(seed)
    count = grid[0] * grid[1]
    magnitude = np.rint(largest ** rng.random((count, rank))) * (rng.random((count, rank)) < density)
    magnitude[:, 0] = np.rint(first ** rng.random(count))
    magnitude *= rng.choice([-1, 1], (count, rank))
    padded = layout.pad_factors(magnitude.astype(np.int16), *grid)
    return padded, layout.active_ranks(padded)


@st.composite
def factors(draw: st.DrawFn, rows: int = 6, columns: int = 9, cells: int = 1500):
    """(padded, ranks, grid, patch size) with at most about `cells` entries, small grids and ranks up to the largest."""
    patch_size = draw(patch_sizes)
    grid = draw(st.integers(1, rows)), draw(st.integers(1, columns))
    highest = min(patch_size * patch_size, max(1, cells // (grid[0] * grid[1])))
    rank = draw(st.integers(1, highest))
    density = draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    first = draw(st.sampled_from([1, 30, layout.MAGNITUDE_LIMIT // 2]))
    largest = draw(st.sampled_from([1, 3, 40, layout.MAGNITUDE_LIMIT]))
    padded, ranks = make_factors(grid, rank, density, first, largest, draw(seeds))
    return padded, ranks, grid, patch_size


def inside(image: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """The patches of padded component images, without the guards."""
    return image.reshape(*image.shape[:-1], grid[0] + 3, grid[1] + 4)[..., 2 : 2 + grid[0], 2 : 2 + grid[1]]


def on_host(device: str) -> HostRun:
    """A runner on one thread."""
    return HostRun(device, 1)


def chosen(
    planes: np.ndarray,
    step: int,
    p: int,
    device: str,
    lambda_scale: int = rdoq.LAMBDA_ONE,
    update: np.ndarray | None = None,
    settings: rdoq.Settings = pipeline.DEFAULT,
) -> list[rdoq.Factors]:
    """The factors of filtered planes."""
    run, grid = on_host(device), (planes.shape[1] // p, planes.shape[2] // p)
    last = rdoq.prepare(planes, step, p, run, "", update, settings)
    return finish(rdoq.download(*rdoq.choose_last(last, run, "", lambda_scale), grid, update, run, ""))


def multiplied(factors: Sequence[rdoq.Factors], step: int, p: int, device: str) -> np.ndarray:
    """The product of the factors of planes that share V."""
    run, (rows, columns) = on_host(device), factors[0].grid
    out = np.empty((len(factors), rows * p, columns * p), np.int32)
    there = finish(rdoq.upload(factors, run, ""))
    rdoq.product(*there, step, p, factors[0].basis_update, out, run, "")
    return out


def as_if_large(monkeypatch: pytest.MonkeyPatch, slices: int | None = None, adapted: int | None = None) -> None:
    """Treat small planes as the format and the encoder treat large ones.

    Parameters
    ----------
    monkeypatch : MonkeyPatch
        Takes it back.
    slices : int, optional
        Samples of a slice; planes of more are also sampled for choices and kept in 16 bits.
    adapted : int, optional
        Samples of a slice from which on its V may leave the DCT basis, and of a plane from which on that is tried.
    """
    if slices is not None:
        monkeypatch.setattr(geometry, "SLICE_SAMPLES", slices)
        monkeypatch.setattr(geometry, "_slices", inspect.unwrap(geometry._slices))  # which remembers what it once found
        monkeypatch.setattr(stacks, "COMPACT_SAMPLES", slices)
        monkeypatch.setattr(decide, "WHOLE_SAMPLES", slices)
        monkeypatch.setattr(search, "WHOLE_SAMPLES", slices)
    if adapted is not None:
        monkeypatch.setattr(geometry, "ADAPTED_SAMPLES", adapted)
        monkeypatch.setattr(decide, "SEARCHED_FROM", adapted)
