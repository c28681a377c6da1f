"""From factors to samples: strips of rows are those of the whole, whatever the slices, patches and runner."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import as_if_large, make_factors, on_host, patch_sizes
from strategies import examples, seeds

from imfnb import lapped, layout
from imfnb.factorization import rdoq
from imfnb.format.basis import PLAIN
from imfnb.format.main_header import Restoration
from imfnb.format.restoration import filter_set
from imfnb.lapped import reference as lapped_reference
from imfnb.layout import PatchGrid, PlaneSpec
from imfnb.profiles.restoring import Member, Region, widened
from imfnb.profiles.stacks import Stack
from imfnb.profiles.synthesis import Coding, Products, rows_of, units
from imfnb.restoration import reference as restoration_reference
from imfnb.runtime.run import HostRun


def slice_factors(grid: PatchGrid, seed: int) -> list[rdoq.Factors]:
    """Factors of every slice of a plane, with a few components."""
    found = []
    for number, part in enumerate(grid.slices):
        padded, ranks = make_factors(part.patches, 5, 0.5, 60, 9, seed + number)
        found.append(rdoq.Factors(padded, ranks, part.patches))
    return found


def samples_of(grid, factors, rows, step, chroma, which, run, overwrite=False, there=False):
    """Rows before and after restoration of a plane or, for lists of factors, of a stack of planes."""
    (unit,) = units(grid.shape, [grid.patch_size] * len(factors), "", run)
    spec = PlaneSpec(1, "chroma", grid.shape) if chroma else PlaneSpec(0, "luma", grid.shape)
    stack = Stack(spec, tuple((0, n) for n in range(len(factors))), "")
    region = Region([Member(stack, [unit], Coding(step, PLAIN, "context"), (Restoration.FILTER,))], [rows], run)
    for number, part in enumerate(grid.slices):
        mine = [planes[number] for planes in factors]
        run.drive(region.add(stack, unit, part, mine, run.drive(rdoq.upload(mine, run, "")) if there else None))
    before = region.decoded(0).copy()
    (after,) = region.restored([0], Restoration.FILTER, [which], overwrite)
    return before, after.copy()


def by_the_stages(grid, factors, step, chroma):
    """The same of a whole plane: the stages of the reference one after the other."""
    run, p = on_host("reference"), grid.patch_size
    product = np.empty((1, *grid.extended), np.int32)
    for part, each in zip(grid.slices, factors, strict=True):
        out = np.empty((1, part.patches[0] * p, grid.extended[1]), np.int32)
        rdoq.product(*run.drive(rdoq.upload([each], run, "")), step, p, None, out, run, "")
        product[:, part.samples] = out
    decoded = np.empty((1, *grid.shape), np.int32)
    lapped_reference.inverse(product, p, decoded, [0])
    restored = np.empty_like(decoded)
    restoration_reference.restore(decoded, step, *filter_set(step, chroma), restored, [0])
    return decoded, restored


@st.composite
def problems(draw: st.DrawFn):
    """A plane's geometry, the limit of its slices, rows of it, a step, and whether it is chroma."""
    shape = draw(st.integers(1, 90)), draw(st.integers(1, 40))
    grid = PatchGrid(shape, draw(patch_sizes))
    start = draw(st.integers(0, shape[0] - 1))
    rows = slice(start, draw(st.integers(start + 1, shape[0])))
    pixels, step = draw(st.sampled_from([1, 900, 1 << 22])), draw(st.sampled_from([64, 700, 3000]))
    return grid, pixels, rows, step, draw(st.booleans())


@settings(max_examples=examples(60))
@given(problems(), seeds, st.sampled_from(["cpu", "reference"]), st.booleans(), st.booleans())
def test_rows_are_those_of_the_whole_plane(problem, seed, device, overwrite, there):
    grid, samples, rows, step, chroma = problem
    with pytest.MonkeyPatch.context() as monkeypatch:
        as_if_large(monkeypatch, slices=samples)
        factors = slice_factors(grid, seed)
        expected = by_the_stages(grid, factors, step, chroma)
        found = samples_of(grid, [factors], rows, step, chroma, [0], on_host(device), overwrite, there)
    for whole, part in zip(expected, found, strict=True):
        np.testing.assert_array_equal(part, whole[:, rows])


@pytest.mark.parametrize("p", [8, 16])
@pytest.mark.parametrize("rows", [slice(0, 50), slice(17, 31)])
def test_rows_that_others_do_not_reach_are_never_computed(p, rows):
    """What decoded rows need beside themselves: what the filter mixes."""
    grid = PatchGrid((50, 20), p)
    (unit,) = units(grid.shape, [p], "", on_host("cpu"))
    asked = []

    class Asking(HostRun):
        def array(self, name, shape, dtype):
            asked.append(shape)
            return super().array(name, shape, dtype)

    Products([unit], rows, Coding(640, PLAIN, "context"), "", Asking("cpu", 1))
    reach = lapped.halo(p)
    needed = range(max(rows.start - reach, 0) // p, -(-min(rows.stop + reach, grid.extended[0]) // p))
    assert asked == [(1, len(needed) * p, grid.extended[1])]


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 20), st.integers(0, 9))
def test_rows_that_restoration_reads(start, count, halo, below):
    """All within its reach, in blocks of four rows from the first row of the plane on."""
    stop, height = start + count, start + count + below
    found = widened(slice(start, stop), halo, height)
    assert found.start % 4 == 0 and (found.stop % 4 == 0 or found.stop == height)
    assert max(start - halo, 0) - 3 <= found.start <= max(start - halo, 0)
    assert min(stop + halo, height) <= found.stop <= min(stop + halo + 3, height)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_a_stack_is_its_planes(device):
    """With restoration of some of them."""
    grid, step = PatchGrid((21, 30), 8), 900
    stack = [slice_factors(grid, seed) for seed in range(3)]
    decoded, restored = samples_of(grid, stack, slice(0, 21), step, True, [0, 2], on_host(device), overwrite=True)
    for number, factors in enumerate(stack):
        before, after = by_the_stages(grid, factors, step, True)
        np.testing.assert_array_equal(decoded[number], before[0])
        np.testing.assert_array_equal(restored[number], (before if number == 1 else after)[0])


def test_patches_of_both_sizes_in_one_stack():
    shape, step, run = (21, 30), 900, on_host("cpu")
    sizes = [16, 8, 16]
    parts = units(shape, sizes, "", run)
    assert [(unit.grid.patch_size, unit.which) for unit in parts] == [(8, (1,)), (16, (0, 2))]
    stack = [slice_factors(PatchGrid(shape, p), seed) for seed, p in enumerate(sizes)]
    products = Products(parts, slice(0, 21), Coding(step, PLAIN, "context"), "", run)
    for unit in parts:
        (part,) = unit.grid.slices
        run.drive(products.add(unit, part, [stack[n][0] for n in unit.which], None))
    decoded = products.samples().part(slice(0, 21))
    for number, (p, factors) in enumerate(zip(sizes, stack, strict=True)):
        np.testing.assert_array_equal(decoded[number], by_the_stages(PatchGrid(shape, p), factors, step, False)[0][0])


def test_large_planes_go_one_by_one(monkeypatch):
    """Those of several slices, and those whose V may be their own, of which each has another."""
    run = on_host("cpu")
    assert [unit.which for unit in units((40, 40), [8, 8], "", run)] == [(0, 1)]
    monkeypatch.setattr(layout, "ADAPTED_SAMPLES", 1600)
    assert [unit.which for unit in units((40, 40), [8, 8, 16], "", run)] == [(0,), (1,), (2,)]
    monkeypatch.setattr(layout, "ADAPTED_SAMPLES", 1 << 20)
    as_if_large(monkeypatch, slices=800)
    assert [unit.which for unit in units((40, 40), [8, 8], "", run)] == [(0,), (1,)]


@given(st.integers(1, 9), st.integers(1, 5), st.data())
def test_rows_of_a_single_plane(height, width, data):
    plane = np.arange(height * width).reshape(1, height, width)
    start = data.draw(st.integers(0, height - 1))
    rows = slice(start, data.draw(st.integers(start + 1, height)))
    found = rows_of(plane, rows)
    np.testing.assert_array_equal(found, plane[:, rows])
    assert found.flags.c_contiguous and np.shares_memory(found, plane)
    stack = np.zeros((3, height, width))
    assert rows_of(stack, slice(0, height)) is stack
