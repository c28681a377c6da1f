"""Decoding on the device from bytes to samples: the coder in lanes, several segments by one launch."""

from __future__ import annotations

import sys
import zlib
from types import ModuleType

import interpreted
import numpy as np
import pytest
from helpers import assemble, picture, take_apart, varint
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import factors, make_factors
from stacks import DeviceRun
from strategies import seeds

import imfnb
from imfnb import FormatError
from imfnb.entropy.rans import cpu, cuda_stack, passes, reference
from imfnb.entropy.rans import lanes as lanes_of
from imfnb.entropy.rans.cuda_stack import Segment, decode_stack
from imfnb.profiles import slices
from imfnb.runtime.cuda import SIMULATED

batch = pytest.mark.skipif(interpreted.WANTED, reason="takes minutes; the simulator runs it")


@pytest.fixture(autouse=True, scope="module")
def often_switched():
    """Blocks of the simulator look after their threads without a pause, and keep Python from these for 5 ms otherwise.

    A barrier took that long: kernels with as many as this one twenty times as long.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def check(*groups: list[Segment], host: ModuleType = cpu) -> list[bool]:
    """Decode on the device, and each by itself on the host; return which end too early."""
    stacks, overruns = decode_stack(groups, DeviceRun(), "")
    flags = overruns.copy_to_host().astype(bool).tolist()
    expected = [[host.decode_factors(data, *grid, p) for data, grid, p in group] for group in groups]
    for group, (u, ranks) in zip(expected, stacks, strict=True):
        for one, found, ends in zip(group, u.copy_to_host(), ranks.copy_to_host(), strict=True):
            np.testing.assert_array_equal(found[: len(one[0])], one[0])
            np.testing.assert_array_equal(ends, one[1])
    assert flags == [overrun for group in expected for *_, overrun in group]
    return flags


def coded(grid: tuple[int, int], rank: int, p: int, *numbers: float, seed: int = 0) -> Segment:
    return Segment(cpu.encode_factors(*make_factors(grid, rank, *numbers, seed), *grid, p), grid, p)


@pytest.mark.slow
@settings(max_examples=6)
@given(factors(3, 4, 40), st.integers(0, 2), seeds)
def test_anything_whole_and_damaged(made, lanes, seed):
    padded, ranks, grid, p = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanes_of, "SYMBOLS_PER_LANE", [10**6, 16, 2][lanes])
        whole = cpu.encode_factors(padded, ranks, *grid, p)
    rng = np.random.default_rng(seed)
    damaged = bytearray(whole)
    for at in rng.integers(1, len(whole), 3):
        damaged[at] = rng.integers(256)
    cut = whole[: rng.integers(len(whole))]
    assert not check(*([Segment(data, grid, p)] for data in (whole, bytes(damaged), cut)))[0]


@pytest.mark.parametrize("per_lane", [pytest.param(20, marks=pytest.mark.slow), 2])
def test_several_lanes(per_lane, monkeypatch):
    """More lanes than threads of the simulator, and fewer than those of a warp."""
    monkeypatch.setattr(lanes_of, "SYMBOLS_PER_LANE", per_lane)
    grid = (5, 7) if interpreted.WANTED else (3, 5)
    segments = [coded(grid, 4, 8, 0.6, 300, 30, seed=seed) for seed in range(2)]
    assert all(segment.data[1] >= 1 for segment in segments)
    assert check(segments) == [False, False]


def test_stacks_of_different_shapes_and_ranks():
    first = [coded((2, 3), rank, 8, 0.5, 4095, 8191) for rank in (1, 7)]
    assert check(first, [coded((1, 1), 3, 16, 1.0, 9, 2), Segment(b"", (1, 1), 16)]) == [False, False, False, True]


@pytest.mark.skipif(not SIMULATED, reason="how many symbols are coded together is built into kernels")
def test_passes_of_several_runs(monkeypatch):
    for module in (passes, cuda_stack):
        monkeypatch.setattr(module, "RUN", 3)
    numbers = make_factors((3, 5), 3, 0.7, 40, 9, 0)
    assert check([Segment(reference.encode_factors(*numbers, 3, 5, 8), (3, 5), 8)], host=reference) == [False]


@pytest.mark.slow
@batch
@pytest.mark.parametrize("channels", [0, 3])
def test_pictures(channels):
    images = [picture(9, 17, channels, seed) for seed in range(2)]
    files = [imfnb.encode(image, effort="fast", step=60, device="cpu") for image in images]
    called = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "decode_checked", lambda *a, **k: called.append(a))
        found = imfnb.decode_batch(files, device="cuda", threads=2)
    assert not called
    for pixels, data in zip(found, files, strict=True):
        np.testing.assert_array_equal(pixels, imfnb.decode(data, device="cpu"))


@pytest.mark.slow
@batch
def test_damage_is_found():
    """Segments that end too early under a right checksum: the others of a batch are decoded nevertheless."""
    files = [imfnb.encode(picture(9, 17, 0, seed), effort="fast", step=30, device="cpu") for seed in range(2)]
    head, segments = take_apart(files[0])
    segment = segments[0]
    short = segment[: len(segment) // 2]
    size, checksum = (part(segment) for part in (len, zlib.crc32))
    before = varint(size) + checksum.to_bytes(4, "little")
    assert before in head
    damaged = assemble(
        head.replace(before, varint(len(short)) + zlib.crc32(short).to_bytes(4, "little")), [short, *segments[1:]]
    )
    with pytest.raises(FormatError, match="end too early"):
        imfnb.decode(damaged, device="cpu")
    with pytest.raises(FormatError, match="end too early"):
        imfnb.decode(damaged, device="cuda")
    found = imfnb.decode_batch([damaged, files[1]], device="cuda", threads=2, errors="return")
    assert isinstance(found[0], FormatError)
    np.testing.assert_array_equal(found[1], imfnb.decode(files[1], device="cpu"))
