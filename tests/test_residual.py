"""The coder of residual arrays: both backends give the same bytes, any bytes an array, and what the sizes must be."""

from __future__ import annotations

import zlib

import format_decoder
import numpy as np
import pytest
from helpers import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import examples, seeds

import imfnb
from imfnb.entropy.residual import cpu, decode_residual_checked, reference

pytestmark = pytest.mark.kernels

LIMIT = 1 << 25


def scene(bands: int, height: int, width: int, seed: int, noise: float = 3.0) -> np.ndarray:
    """Bands of a scene, alike but for gain and noise, of about 12 bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    level = sum(np.sin(x * rng.uniform(0.01, 0.4) + y * rng.uniform(-0.4, 0.4) + rng.uniform(0, 6)) for _ in range(4))
    gains = rng.uniform(100, 300, bands)
    noisy = level + rng.normal(0, noise / 100, (height, width))
    return np.round(gains[:, None, None] * noisy + rng.normal(0, noise / 2, (bands, height, width)) + 2000).astype(
        np.int32
    )


@st.composite
def arrays(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray | None]:
    """(samples, valid) of every nature and scale, from one sample on."""
    shape = draw(st.sampled_from([1, 1, 2, 3, 4, 5, 7])), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    if draw(st.integers(0, 9)) == 0:
        shape = 2, 2, draw(st.integers(30, 70))  # more than one block
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from(["scene", "noise", "constant", "sparse", "doubled", "steps", "extremes", "signs"]))
    if kind == "scene":
        samples = scene(*shape, int(rng.integers(99)))
    elif kind == "noise":
        samples = rng.integers(-(2 ** rng.integers(1, 26)), 2 ** rng.integers(1, 25), shape)
    elif kind == "constant":
        samples = np.full(shape, rng.integers(-LIMIT, LIMIT))
    elif kind == "sparse":
        samples = rng.integers(0, 9, shape) * int(rng.integers(2, 300)) - 77
    elif kind == "doubled":
        samples = np.repeat(np.repeat(scene(*shape, 1), 2, 1), 2, 2)[:, : shape[1], : shape[2]]
    elif kind == "steps":
        samples = np.cumsum(rng.random(shape) < 0.1, axis=2) * 50
    elif kind == "extremes":
        samples = rng.choice([-LIMIT, LIMIT], shape)
    else:
        samples = rng.integers(-1, 2, shape)
    masks = {"all": None, "plane": shape[1:], "bands": shape}
    size = masks[draw(st.sampled_from(list(masks)))]
    valid = None if size is None else rng.random(size) < draw(st.sampled_from([0, 0.3, 0.9]))
    return samples.astype(np.int32), valid


def expected(samples: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """What comes back."""
    return samples if valid is None else np.where(valid, samples, 0)


@given(arrays())
@settings(max_examples=examples(60))
def test_both_backends_write_the_same_bytes_and_read_them(case):
    samples, valid = case
    before = samples.copy()
    data = reference.encode_residual(samples, valid)
    assert cpu.encode_residual(samples, valid) == data
    np.testing.assert_array_equal(samples, before)
    for coder in (reference, cpu):
        found, overrun = coder.decode_residual(data, samples.shape, valid)
        assert not overrun and found.dtype == np.int32
        np.testing.assert_array_equal(found, expected(samples, valid))
    every = np.broadcast_to(True if valid is None else valid, samples.shape)
    np.testing.assert_array_equal(format_decoder.decode_residual(data, *samples.shape, every), found)


@given(st.binary(max_size=60), st.integers(1, 5), st.integers(1, 7), st.integers(1, 7), st.booleans(), seeds)
@settings(max_examples=examples(60))
def test_any_bytes_are_the_same_array_on_both(data, bands, height, width, zeros, seed):
    data += bytes(300) if zeros else b""
    shape = bands, height, width
    valid = np.random.default_rng(seed).random(shape) < 0.9 if seed % 2 else None
    one, two = (coder.decode_residual(data, shape, valid) for coder in (reference, cpu))
    assert one[1] == two[1]
    every = np.ones(shape, np.bool_) if valid is None else valid
    if one[1]:
        with pytest.raises(format_decoder.Malformed):
            format_decoder.decode_residual(data, *shape, every)
    else:
        np.testing.assert_array_equal(one[0], two[0])
        np.testing.assert_array_equal(format_decoder.decode_residual(data, *shape, every), one[0])
    for found, _ in (one, two):
        assert found.shape == shape and np.abs(found).max() <= LIMIT
        assert valid is None or not found[~valid].any()


@pytest.mark.jit
@given(st.binary(max_size=2000), st.integers(1, 6), st.integers(1, 60), st.integers(1, 90))
@settings(max_examples=examples(200))
def test_any_bytes_of_a_larger_array(data, bands, height, width):
    found, _ = cpu.decode_residual(data, (bands, height, width))
    assert found.shape == (bands, height, width) and np.abs(found).max() <= LIMIT


@pytest.mark.jit
@given(seeds)
@settings(max_examples=examples(30))
def test_damaged_bytes_of_a_scene(seed):
    rng = np.random.default_rng(seed)
    data = bytearray(cpu.encode_residual(scene(4, 40, 50, 3)))
    for place in rng.integers(0, len(data), 3):
        data[place] = rng.integers(256)
    one = cpu.decode_residual(bytes(data), (4, 40, 50))
    assert np.abs(one[0]).max() <= LIMIT


def test_truncated_data_are_noticed():
    samples = scene(2, 9, 11, 1)
    data = cpu.encode_residual(samples)
    for coder in (reference, cpu):
        np.testing.assert_array_equal(decode_residual_checked(coder, data, samples.shape), samples)
        with pytest.raises(imfnb.FormatError, match="end too early"):
            decode_residual_checked(coder, data[: len(data) // 2], samples.shape)


@pytest.mark.jit
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (1, 1, 5000), (1, 5000, 1), (1024, 1, 3), (1024, 2, 2), (300, 1, 100), (2, 3, 40000), (13, 7, 95)],
)
def test_shapes(shape):
    """One row, one column, very many bands, more blocks than are kept: with every sample and with some."""
    rng = np.random.default_rng(1)
    samples = (np.cumsum(rng.normal(0, 30, shape), axis=2) + rng.normal(0, 9, shape)).astype(np.int32)
    for valid in (None, rng.random(shape[1:]) < 0.6, rng.random(shape) < 0.5):
        data = cpu.encode_residual(samples, valid)
        found, overrun = cpu.decode_residual(data, shape, valid)
        assert not overrun
        np.testing.assert_array_equal(found, expected(samples, valid))


@pytest.mark.jit
def test_noise_has_room():
    """More bytes than the encoder sets aside at first, with a restart."""
    rng = np.random.default_rng(5)
    extremes = rng.choice([-LIMIT, LIMIT], (3, 60, 80))
    for samples in (extremes, rng.integers(-LIMIT, LIMIT, (1, 200, 300)), extremes[:, :1], extremes[:, :, :1]):
        samples = samples.astype(np.int32)
        found, overrun = cpu.decode_residual(cpu.encode_residual(samples), samples.shape)
        assert not overrun
        np.testing.assert_array_equal(found, samples)


def _bits(samples: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Bits a sample."""
    return 8 * len(cpu.encode_residual(samples.astype(np.int32), valid)) / samples.size


@pytest.mark.jit
def test_what_is_predictable_costs_next_to_nothing():
    assert len(cpu.encode_residual(np.full((3, 500, 500), 77, np.int32))) <= 40
    assert len(cpu.encode_residual(np.add.outer(np.arange(300) * 3, np.arange(400) * 7)[None].astype(np.int32))) <= 80
    one = scene(1, 100, 120, 2)[0]
    twice = cpu.encode_residual(np.stack([one, 2 * one + 9]).astype(np.int32))
    assert len(twice) < 1.2 * len(cpu.encode_residual(one[None]))
    gap = np.ones(one.shape, np.bool_)
    gap[20:70, 30:100] = False
    assert len(cpu.encode_residual(one[None], gap)) < 0.75 * len(cpu.encode_residual(one[None]))


@pytest.mark.jit
def test_noise_costs_what_it_must():
    """Little more than the entropy on every scale and for values with gaps; bands that are alike help each other."""
    rng = np.random.default_rng(3)
    for deviation in (1.0, 8.0, 200.0, 50000.0):
        noise = np.round(rng.normal(0, deviation, (1, 256, 256)))
        assert _bits(noise) < np.log2(deviation * np.sqrt(2 * np.pi * np.e)) + 0.28, deviation
    assert _bits(rng.integers(0, 4096, (1, 256, 256)) * 16) < 12.5
    assert _bits(rng.integers(0, 2, (1, 256, 256)) * 1000) < 1.05
    apart = np.mean([_bits(band[None]) for band in scene(5, 120, 130, 4)])
    assert _bits(scene(5, 120, 130, 4)) < 0.85 * apart


@pytest.mark.jit
def test_doubled_pixels_and_drawings():
    """Bands resampled by repetition cost a quarter, and areas with sharp edges far less than deflate."""
    small = scene(3, 60, 70, 6)
    doubled = np.repeat(np.repeat(small, 2, 1), 2, 2)
    assert len(cpu.encode_residual(doubled)) < 1.25 * len(cpu.encode_residual(small))
    rng = np.random.default_rng(0)
    drawing = np.zeros((200, 200), np.uint8)
    for _ in range(80):
        y, x = rng.integers(0, 190, 2)
        drawing[y : y + 9, x : x + rng.integers(2, 9)] ^= rng.integers(255, dtype=np.uint8)
    assert len(cpu.encode_residual(drawing[None].astype(np.int32))) < 0.8 * len(zlib.compress(drawing.tobytes(), 9))
    gray = picture(90, 110, 0)
    assert len(cpu.encode_residual(gray[None].astype(np.int32))) < 0.8 * len(zlib.compress(gray.tobytes(), 9))
