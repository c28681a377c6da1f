"""Geometry: planes, patches, slices as the format has them, and the rows that are worked on at a time."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from main_helpers import as_if_large

from imfnb import layout
from imfnb.layout import PatchGrid, PlaneSpec, half, main_planes, strips

shapes = st.tuples(st.integers(1, 200), st.integers(1, 200))
patch_sizes = st.sampled_from([8, 16])


# -------------------------------------------------------------------------------------------------------------- planes


@pytest.mark.parametrize(
    ("channels", "subsample", "alpha", "expected"),
    [
        (0, True, False, [("gray", 9, 15)]),
        (1, False, True, [("gray", 9, 15)]),
        (3, True, True, [("luma", 9, 15), ("chroma", 5, 8), ("chroma", 5, 8)]),
        (3, False, False, [("luma", 9, 15), ("chroma", 9, 15), ("chroma", 9, 15)]),
        (4, True, False, [("luma", 9, 15), ("chroma", 5, 8), ("chroma", 5, 8)]),
        (4, True, True, [("luma", 9, 15), ("chroma", 5, 8), ("chroma", 5, 8), ("alpha", 9, 15)]),
    ],
)
def test_planes_of_a_picture(channels, subsample, alpha, expected):
    planes = main_planes(9, 15, channels, subsample, alpha)
    assert [(plane.kind, *plane.shape) for plane in planes] == expected
    assert [plane.index for plane in planes] == list(range(len(planes)))
    assert all(plane.chroma == (plane.kind == "chroma") == (plane.index in (1, 2)) for plane in planes)
    assert all(plane.subsampled == (plane.shape == (5, 8)) for plane in planes)


@given(st.integers(1, 400), st.integers(0, 199), st.integers(1, 200))
def test_rows_that_rows_of_the_picture_depend_on(height, start, length):
    """A row of the picture is interpolated between the rows of chroma around it; those at the ends stand alone."""
    start = min(2 * (start // 2), 2 * ((height - 1) // 2))
    rows = slice(start, min(start + length, height))
    whole = PlaneSpec(0, "luma", (height, 9))
    assert whole.rows_of(rows, height) == rows and whole.above(rows) == 0
    chroma = PlaneSpec(1, "chroma", (half(height), 5), subsampled=True)
    found = chroma.rows_of(rows, height)
    assert 0 <= found.start < found.stop <= half(height)
    for row in range(rows.start, rows.stop):
        nearest = row // 2
        neighbour = nearest + (1 if row % 2 else -1)
        for needed in {nearest, min(max(neighbour, 0), half(height) - 1)}:
            assert found.start <= needed < found.stop
    assert chroma.above(rows) == rows.start - 2 * found.start


# ------------------------------------------------------------------------------------------------------ patches, slices


def slices_by_the_format(height: int, width: int, p: int, samples: int) -> list[tuple[int, int]]:
    """Section 5.2 of FORMAT.md, word by word."""
    rows, columns = math.ceil(height / p), math.ceil(width / p)
    count = math.ceil(rows * columns * p**2 / samples)
    size = math.ceil(rows / min(count, rows))
    found, k = [], 0
    while k * size < rows:
        found.append((k * size, min((k + 1) * size, rows)))
        k += 1
    return found


@given(shapes, patch_sizes, st.sampled_from([1, 64, 500, 5000, 1 << 22]))
def test_slices_are_those_of_the_format_and_cover_every_row_once(shape, p, samples):
    with pytest.MonkeyPatch.context() as monkeypatch:
        as_if_large(monkeypatch, slices=samples)
        grid = PatchGrid(shape, p)
        slices = grid.slices
    assert [(part.start, part.stop) for part in slices] == slices_by_the_format(*shape, p, samples)
    assert [row for part in slices for row in range(part.start, part.stop)] == list(range(grid.rows))
    assert [row for part in slices for row in range(part.samples.start, part.samples.stop)] == list(
        range(grid.extended[0])
    )
    assert all(part.patches == (part.stop - part.start, grid.columns) for part in slices)
    if samples >= grid.columns * p * p:
        assert max(part.patches[0] for part in slices) * grid.columns * p * p <= 2 * samples


@given(shapes, patch_sizes)
def test_patches_reach_to_the_end_of_a_plane_and_no_further_than_needed(shape, p):
    grid = PatchGrid(shape, p)
    for size, count, extended in zip(shape, (grid.rows, grid.columns), grid.extended, strict=True):
        assert extended == count * p and size <= extended < size + p


@pytest.mark.parametrize(
    ("shape", "p", "expected"),
    [
        ((2048, 2048), 8, 1),
        ((2049, 2048), 8, 2),
        ((2048, 2049), 16, 2),
        ((1, 1 << 22), 16, 1),
        ((10_000, 10_000), 16, 24),
    ],
)
def test_number_of_slices(shape, p, expected):
    """By the number that the format has; a plane of few rows of patches cannot have more slices than rows."""
    slices = PatchGrid(shape, p).slices
    assert len(slices) == expected == len(slices_by_the_format(*shape, p, 4194304))


@pytest.mark.parametrize(("shape", "adapts"), [((1024, 1024), True), ((1017, 1024), True), ((1016, 1024), False)])
def test_slices_of_a_megapixel_may_have_a_v_of_their_own(shape, adapts):
    """Samples count up to whole patches."""
    (part,) = PatchGrid(shape, 8).slices
    assert part.adapts == adapts


def test_geometry_is_immutable_and_compares_by_value():
    grid, other = PatchGrid((40, 30), 8), PatchGrid((40, 30), 8)
    assert grid == other and hash(grid) == hash(other) and grid.slices == other.slices
    assert len({*grid.slices, *other.slices}) == len(grid.slices)
    for value in (grid, grid.slices[0], PlaneSpec(0, "gray", (1, 1))):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, dataclasses.fields(value)[0].name, None)


# -------------------------------------------------------------------------------------------------------------- strips


@given(st.integers(1, 5000), st.integers(1, 1 << 24), st.integers(1, 64))
def test_strips_cover_every_row_once(height, width, threads):
    rows = strips(height, width, threads)
    assert rows[0].start == 0 and rows[-1].stop == height
    assert all(one.stop == other.start for one, other in itertools.pairwise(rows))
    assert all(part.start % layout._STRIP_UNIT == 0 for part in rows)
    # Every strip but a picture's only one is long enough for chroma of half its height to be told from luma.
    assert min(part.stop - part.start for part in rows) >= min(height, layout._STRIP_HEIGHT - layout._STRIP_UNIT)
    assert len(rows) <= max(1, height // layout._STRIP_HEIGHT)


def test_strips_in_practice():
    assert len(strips(512, 768, 1)) == 1  # the rows around a strip would cost more than the cache saves
    assert len(strips(512, 768, 2)) == 2
    assert len(strips(3000, 4000, 1)) == 11
    assert all(part.stop - part.start <= 320 for part in strips(8192, 12208, 1))
