"""Block coordinate descent on the device against the NumPy reference, bit for bit."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import pytest
from strategies import BOUNDS, fill
from warps import simulated

import imfnb
from imfnb.factorization.bcd import cuda as general
from imfnb.factorization.bcd import cuda_bytes as kernels
from imfnb.factorization.bcd import reference
from imfnb.factorization.bounds import exact_in_float32, factor_dtype
from imfnb.patches import from_blocks, to_blocks
from imfnb.patches.cuda import padded
from imfnb.runtime.cuda import SIMULATED, device_function
from imfnb.runtime.run import HostRun


def problem(pixels: int, patches: int, rank: int, limits: tuple[int, int], count: int, style: str = "noise"):
    """X^T, V and U^T of a batch, with garbage where rows are padded, and one dead column where the bounds allow it."""
    rng = np.random.default_rng(pixels + patches + rank)
    xt = fill((count, pixels, padded(patches)), style, rank)
    v = rng.integers(*limits, (count, pixels, rank), endpoint=True).astype(np.float64)
    if limits[0] <= 0 and rank > 1:
        v[0, :, rank // 2] = 0
    ut = rng.integers(*limits, (count, rank, padded(patches)), endpoint=True).astype(factor_dtype(limits))
    return xt, v, ut


#: What applies a function to bands of blocks, one after the other.
serially = HostRun("reference", 1).each


def expect(xt, v, ut, patches: int, limits: tuple[int, int]):
    """The reference's U step and V step of one matrix: U^T, X^T U, U^T U, V."""
    blocks, u, new = to_blocks(xt[:, :patches].T)[None], to_blocks(ut[:, :patches].T)[None], v[None].copy()
    xtu, utu = reference.update_u(blocks, v[None], u, patches, *map(float, limits), serially)
    reference.update_columns(xtu, utu, new, *map(float, limits))
    return from_blocks(u[0], patches).T, xtu[0], utu[0], new[0]


def check_update(pixels: int, patches: int, rank: int, limits: tuple[int, int], put, count: int = 2) -> None:
    """`update_u` and `update_columns`, any bounds."""
    xt, v, ut = problem(pixels, patches, rank, limits, count)
    low, high = map(float, limits)
    device_u, together = put(ut), put(v)
    xtu, utu = general.update_u(put(xt), together, device_u, patches, low, high, serially)
    general.update_columns(xtu, utu, together, low, high)
    for i in range(count):
        u, a, b, new = expect(xt[i], v[i], ut[i], patches, limits)
        np.testing.assert_array_equal(device_u.copy_to_host()[i, :, :patches], u)
        np.testing.assert_array_equal(xtu.copy_to_host()[i], a)
        np.testing.assert_array_equal(utu.copy_to_host()[i], b)
        np.testing.assert_array_equal(together.copy_to_host()[i], new)


def check_sweep(pixels: int, patches: int, rank: int, limits: tuple[int, int], put, count: int = 2, sweeps: int = 1):
    """`sweep`, which is all of it in one launch."""
    assert exact_in_float32(pixels, rank, *limits) and kernels.warps_for(pixels, rank)
    xt, v, ut = problem(pixels, patches, rank, limits, count)
    words, factors, basis = put(xt.view(np.uint32)), put(ut.view(np.uint32)), put(v)
    sums, tickets = put(np.zeros((count, pixels + rank, rank), np.int64)), put(np.zeros(count, np.int32))
    kernels.sweep(words, basis, factors, sums, tickets, patches, *limits, sweeps)
    assert not sums.copy_to_host().any() and not tickets.copy_to_host().any()
    for i in range(count):
        u, new = ut[i], v[i]
        for _ in range(sweeps):
            u, _, _, new = expect(xt[i], new, u, patches, limits)
        np.testing.assert_array_equal(factors.copy_to_host().view(np.int8)[i, :, :patches], u)
        np.testing.assert_array_equal(basis.copy_to_host()[i], new)


def gram(xt, patches: int, put) -> np.ndarray:
    """`gram` of a batch, on the host."""
    out = put(np.zeros((xt.shape[0], xt.shape[1], xt.shape[1])))
    general.gram(xt, patches, out, serially)
    return out.copy_to_host()


def reference_gram(x: np.ndarray) -> np.ndarray:
    """X^T X of X^T as the reference makes it."""
    out = np.zeros((1, len(x), len(x)))
    reference.gram(to_blocks(x.T)[None], x.shape[1], out, serially)
    return out[0]


@pytest.mark.parametrize("limits", BOUNDS)
def test_updates(limits, put):
    check_update(5, 9, 3, limits, put)


@pytest.mark.parametrize(("pixels", "patches", "rank"), [(1, 1, 1), (7, 1, 2), (1, 9, 3), (16, 20, 16), (20, 3, 5)])
def test_updates_of_every_shape(pixels, patches, rank, put):
    check_update(pixels, patches, rank, (-16, 15), put)


@pytest.mark.parametrize("limits", [limits for limits in BOUNDS if factor_dtype(limits) is np.int8])
def test_sweep(limits, put):
    check_sweep(2 if limits[0] == -128 else 5, 18, 3, limits, put, sweeps=2)


@pytest.mark.parametrize(
    ("pixels", "patches", "rank"), [(1, 1, 1), (3, 2, 7), (16, 5, 1), (16, 17, 16), (64, 16, 5), (48, 3, 2)]
)
def test_sweep_of_every_shape(pixels, patches, rank, put):
    check_sweep(pixels, patches, rank, (-16, 15), put, 1)


@pytest.mark.parametrize(
    ("pixels", "rank", "limits", "style", "fast"),
    [(16, 3, (-16, 15), np.uint8, True), (5, 2, (-1000, 1000), np.uint8, False), (5, 2, (-16, 15), np.float64, False)],
)
def test_sweeps_take_bytes(pixels, rank, limits, style, fast, put):
    """All sweeps in one call, with memory that is asked for, or nothing done."""
    xt, v, ut = problem(pixels, 9, rank, limits, 2)
    device_v, device_u, asked = put(v), put(ut), []

    def zeros(name, shape, dtype):
        asked.append(name)
        return put(np.zeros(shape, dtype))

    low, high = map(float, limits)
    assert general.sweeps(put(xt.astype(style)), 9, device_v, device_u, low, high, 2, zeros, 1) == fast
    assert asked == (["sums", "tickets"] if fast else [])
    for i in range(2):
        u, new = ut[i][:, :9], v[i]
        for _ in range(2 if fast else 0):
            u, _, _, new = expect(xt[i], new, u, 9, limits)
        np.testing.assert_array_equal(device_v.copy_to_host()[i], new)
        np.testing.assert_array_equal(device_u.copy_to_host()[i, :, :9], u)


@pytest.mark.parametrize("wanted", [1, 3])
def test_blocks_of_several_tiles(wanted, put, monkeypatch):
    """Few blocks, each with several tiles; and the sums of the blocks of a matrix meet."""
    monkeypatch.setattr(kernels, "_wanted", lambda *_: wanted)
    check_sweep(4, 70, 2, (-16, 15), put, 2, sweeps=2)


@pytest.mark.skipif(not SIMULATED, reason="on a GPU blocks are wide anyway")
def test_threads_share_the_rows(put, monkeypatch):
    """More threads than sums to make: subsets of the patches, added up in shared memory."""
    monkeypatch.setattr(kernels, "_WARPS", (6,))
    check_sweep(4, 150, 2, (-16, 15), put, 1)


@pytest.fixture
def as_on_a_device(monkeypatch):
    """Warps of 32 lanes in the simulator, which take their steps together, and the tensor cores imitated."""

    def prepare(**values) -> None:
        values |= {"_LANES": 32, "mma_uu": simulated("u8", "u8")}
        values |= {"mma_us": simulated("u8", "s8"), "mma_ss": simulated("s8", "s8")}
        for name, value in values.items():
            monkeypatch.setattr(kernels, name, value)
        kernels._sweep.cache_clear()

    yield prepare
    kernels._sweep.cache_clear()


@pytest.mark.skipif(not SIMULATED, reason="a device has warps of its own")
@pytest.mark.parametrize(
    ("pixels", "patches", "rank", "warps"),
    [pytest.param(64, 517, 5, 1, marks=pytest.mark.slow), (20, 300, 3, 2), (16, 129, 10, 1), (3, 2, 1, 1)],
)
def test_warps(pixels, patches, rank, warps, put, as_on_a_device):
    steps = {f"_{step}": device_function(getattr(kernels, f"_warp_{step}")) for step in ("project", "correlate", "add")}
    as_on_a_device(_TURN=8, _PITCH=132, _WARPS=(warps,), _wanted=lambda *_: 1, _kept=kernels._warp_kept, **steps)
    check_sweep(pixels, patches, rank, (-128, 127) if pixels < 4 else (-16, 15), put, 1)


@pytest.mark.slow
@pytest.mark.skipif(not SIMULATED, reason="a device has warps of its own")
@pytest.mark.parametrize(
    ("pixels", "patches", "count"), [pytest.param(64, 150, 1, marks=pytest.mark.slow), (70, 37, 1)]
)
def test_warps_of_gram(pixels, patches, count, put, as_on_a_device):
    steps = {"_gram_step": device_function(kernels._warp_gram), "_gram_add": device_function(kernels._warp_gram_add)}
    as_on_a_device(_STEP=16, _GRAM_WARPS=1, _GRAM_WANTED=1, _GRAM_SUMS=128, **steps)
    xt = fill((count, pixels, padded(patches)), "extremes", 1)
    for mine, x in zip(gram(put(xt), patches, put), xt, strict=True):
        np.testing.assert_array_equal(mine, reference_gram(x[:, :patches]))


class Recorded:
    """Stands for a kernel; keeps what it is launched with."""

    def repeat(self, times, configuration, *arguments) -> None:
        self.configuration, self.arguments = configuration, arguments

    def __getitem__(self, configuration):
        return functools.partial(self.repeat, 1, configuration)


@pytest.mark.parametrize("count", [1, 5, 70000, 2**21 + 3, 2**28])
@pytest.mark.parametrize("images", [1, 3, 700])
def test_sums_of_a_block_fit(count, images, monkeypatch):
    """The largest samples and factors in every patch of a block; and that blocks have all patches between them."""
    gram, sweep = Recorded(), Recorded()
    monkeypatch.setattr(kernels, "_gram_bytes", gram)
    monkeypatch.setattr(kernels, "_sweep", lambda *constants: sweep)
    kernels.gram(SimpleNamespace(shape=(images, 64, padded(count)), view=lambda dtype: None), count, None)
    (tiles, parts, _), *_ = gram.configuration
    words = int(gram.arguments[1])
    assert tiles == 1 and parts < 65536 and parts * words * 4 >= count
    assert 4 * words * 255**2 < 2**31
    for rank in (1, 5, 20):
        kernels.sweep(None, SimpleNamespace(shape=(images, 64, rank)), None, None, None, count, -128, 127)
        (across, _), threads, *_ = sweep.configuration
        *_, each, _, _ = sweep.arguments
        assert across * int(each) * 4 * threads >= count
        assert int(each) * 4 * threads * 255 * 128 < 2**31


def test_largest_rank_of_every_patch_size():
    """Which shapes the fast kernel takes, and that it never asks for more shared memory than there is."""
    taken = {pixels: max(r for r in range(70) if r == 0 or kernels.warps_for(pixels, r)) for pixels in (16, 64, 256)}
    assert taken[16] >= 16 and taken[64] >= 20 and taken[256] >= 5
    assert not kernels.warps_for(1024, 1) or SIMULATED


@pytest.mark.parametrize(("style", "dtype"), [("noise", np.uint8), ("extremes", np.uint8), ("noise", np.float64)])
def test_gram(style, dtype, put, monkeypatch):
    monkeypatch.setattr(general, "CHUNK", 16)
    general._accumulate.cache_clear()
    xt = fill((2, 19, padded(37)), style, 3)
    found = gram(put(xt.astype(dtype)), 37, put)
    for mine, x in zip(found, xt, strict=True):
        np.testing.assert_array_equal(mine, reference_gram(x[:, :37]))
    general._accumulate.cache_clear()


def test_quotients_are_rounded_to_even(put):
    """Ties of every sign: numerators (2 w + 1) h over 2 h."""
    whole, halves = np.arange(-40, 40), np.array([1, 3, 500])
    a = (2 * whole + 1)[:, None, None] * halves[None, :, None].astype(np.float64)
    expected = np.rint((2 * whole + 1) / 2)
    for j, half in enumerate(halves):
        factor = put(np.zeros((1, len(whole), 1)))
        general.update_columns(put(a[None, :, j]), put(np.full((1, 1, 1), 2.0 * half)), factor, -np.inf, np.inf)
        np.testing.assert_array_equal(factor.copy_to_host()[0, :, 0], expected)


# ------------------------------------------------------------------------------------------------------- public calls


@pytest.mark.parametrize("with_cost", [False, True])
@pytest.mark.parametrize(
    ("shape", "dtype", "rank", "limits"),
    [
        ((9, 7), np.uint8, 3, (-16, 15)),
        ((3, 11), np.uint8, 5, (-16, 15)),
        ((2, 2, 6, 4), np.uint8, 2, (0, 31)),
        ((8, 5), np.uint8, 2, (-1000, 1000)),
        ((8, 5), np.int16, 2, None),
        ((1, 1), np.float32, 1, (-(2**20), 2**20)),
    ],
)
def test_factorize(shape, dtype, rank, limits, with_cost):
    """Factors and the history of the cost."""
    x = fill(shape, "noise", rank).astype(dtype)
    naive = imfnb.factorize(x, rank, limits, 3, device="reference", return_cost=with_cost)
    for mine, expected in zip(
        imfnb.factorize(x, rank, limits, 3, device="cuda", return_cost=with_cost), naive, strict=True
    ):
        assert mine.dtype == expected.dtype
        np.testing.assert_array_equal(mine, expected)


def test_cost_of_real_numbers_never_rises():
    x = np.random.default_rng(4).normal(20, 30, (13, 9))
    u, v, history = imfnb.factorize(x, 3, iterations=4, device="cuda", return_cost=True)
    assert (np.diff(history) <= 1e-9 * history[0]).all()
    assert history[-1] == pytest.approx(np.sum((x - u @ v.T) ** 2), rel=1e-9)
    again = imfnb.factorize(x, 3, iterations=4, device="cuda", return_cost=True)
    for first, second in zip((u, v, history), again, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(12))
def test_random_problems(seed, put):
    """Thousands of patches, all patch sizes, ranks up to the largest."""
    rng = np.random.default_rng(seed)
    pixels, patches, count = int(rng.choice([16, 64, 192, 256])), int(rng.integers(1, 70000)), int(rng.integers(1, 4))
    largest = max(r for r in range(1, 65) if kernels.warps_for(pixels, r) and exact_in_float32(pixels, r, -16, 15))
    for rank in {1, largest, int(rng.integers(1, largest + 1))}:
        check_sweep(pixels, patches, rank, (-16, 15), put, count, sweeps=3)
    check_update(pixels, patches // 8 + 1, int(rng.integers(1, 40)), BOUNDS[seed % len(BOUNDS)], put, count)
    xt = fill((count, pixels, padded(patches)), "extremes", seed)
    found = gram(put(xt), patches, put)
    for mine, x in zip(found, xt, strict=True):
        np.testing.assert_array_equal(mine, reference_gram(x[:, :patches]))
