"""The coder of maps: both backends give the same bytes, any bytes a map, and what the sizes must be."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from helpers import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import examples, seeds

import imfnb
from imfnb.entropy.maps import cpu, decode_map_checked, reference

pytestmark = pytest.mark.kernels


def blobs(height: int, width: int, count: int, seed: int) -> np.ndarray:
    """Smooth areas of symbols, as classes of alpha and local steps have them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    level = sum(np.sin(x * rng.uniform(0.01, 0.3) + y * rng.uniform(-0.3, 0.3) + rng.uniform(0, 6)) for _ in range(3))
    return np.clip((level + 3) / 6 * count, 0, count - 1).astype(np.uint8)


@st.composite
def maps(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """(symbols, count) of every nature: areas, noise, few exceptions in a flat map, text-like repetition, lines."""
    height, width = draw(st.integers(1, 14)), draw(st.integers(1, 17))
    count = draw(st.sampled_from([1, 2, 3, 4, 9, 12, 13, 40, 255, 256]))
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from(["areas", "noise", "flat", "rare", "repeated", "ends"]))
    if kind == "areas":
        symbols = blobs(height, width, count, int(rng.integers(99)))
    elif kind == "noise":
        symbols = rng.integers(0, count, (height, width))
    elif kind == "flat":
        symbols = np.full((height, width), rng.integers(count))
    elif kind == "rare":
        symbols = np.where(rng.random((height, width)) < 0.05, rng.integers(0, count, (height, width)), count // 2)
    elif kind == "repeated":
        symbols = np.tile(rng.integers(0, count, (3, 4)), (height, width))[:height, :width]
    else:
        symbols = rng.integers(0, 2, (height, width)) * (count - 1)
    return symbols.astype(np.uint8), count


@given(maps())
@settings(max_examples=examples(150))
def test_both_backends_write_the_same_bytes_and_read_them(case):
    symbols, count = case
    before = symbols.copy()
    data = reference.encode_map(symbols, count)
    assert cpu.encode_map(symbols, count) == data
    np.testing.assert_array_equal(symbols, before)
    for coder in (reference, cpu):
        found, overrun = coder.decode_map(data, *symbols.shape, count)
        assert not overrun and found.dtype == np.uint8
        np.testing.assert_array_equal(found, symbols)


@given(
    st.binary(max_size=60),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from([1, 2, 3, 9, 255, 256]),
    st.booleans(),
)
@settings(max_examples=examples(150))
def test_any_bytes_are_the_same_map_on_both(data, height, width, count, zeros):
    data += bytes(300) if zeros else b""
    one, two = (coder.decode_map(data, height, width, count) for coder in (reference, cpu))
    assert one[1] == two[1]
    if not one[1]:
        np.testing.assert_array_equal(one[0], two[0])
    for found, _ in (one, two):
        assert found.shape == (height, width) and found.max() < count


@pytest.mark.jit
@given(st.binary(max_size=400), st.integers(1, 90), st.integers(1, 90), st.integers(1, 256))
@settings(max_examples=examples(300))
def test_any_bytes_of_a_larger_map(data, height, width, count):
    found, _ = cpu.decode_map(data, height, width, count)
    assert found.shape == (height, width) and found.max() < count


def test_truncated_data_are_noticed():
    symbols = blobs(30, 40, 9, 1)
    data = cpu.encode_map(symbols, 9)
    for coder in (reference, cpu):
        np.testing.assert_array_equal(decode_map_checked(coder, data, 30, 40, 9), symbols)
        with pytest.raises(imfnb.FormatError, match="end too early"):
            decode_map_checked(coder, data[: len(data) // 2], 30, 40, 9)


@pytest.mark.jit
def test_noise_has_room():
    """More bytes than the encoder sets aside at first, with a restart."""
    rng = np.random.default_rng(5)
    extremes = np.where(rng.random((60, 80)) < 0.5, 0, rng.integers(0, 256, (60, 80))).astype(np.uint8)
    for symbols in (extremes, rng.integers(0, 256, (200, 300)).astype(np.uint8), extremes[:1], extremes[:, :1]):
        data = cpu.encode_map(symbols, 256)
        np.testing.assert_array_equal(cpu.decode_map(data, *symbols.shape, 256)[0], symbols)


@pytest.mark.jit
def test_sizes():
    """Flat maps cost next to nothing, areas and soft edges far less than deflate, and small maps learn fast."""
    assert len(cpu.encode_map(np.zeros((500, 500), np.uint8), 2)) <= 3
    assert cpu.encode_map(np.zeros((500, 500), np.uint8), 1) == b""
    disc = np.hypot(*np.mgrid[-128:128, -128:128])
    hard, soft = (disc < 100).astype(np.uint8), np.clip(128 + 24 * (100 - disc), 0, 255).astype(np.uint8)
    classes = ((soft > 0) + (soft == 255)).astype(np.uint8)
    steps = blobs(48, 32, 9, 3)
    for symbols, count, share in ((hard, 2, 0.3), (classes, 3, 0.35), (soft, 256, 0.6), (steps, 9, 0.6)):
        data = cpu.encode_map(symbols, count)
        assert len(data) < share * len(zlib.compress(symbols.tobytes(), 9)), (count, len(data))
    gray = picture(90, 110, 0)
    assert len(cpu.encode_map(gray, 256)) < 0.85 * len(zlib.compress(gray.tobytes(), 9))
