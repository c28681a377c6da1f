"""Codecs of arrays under one shape: round trips, bounds that hold, streams that are damaged, strong settings."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples, seeds

from imfnb import FormatError, OptionError, baselines, metrics
from imfnb.baselines import array_jpeg2000, array_streams, arrays, imf
from imfnb.baselines.arrays import array_codec, array_names

pytestmark = pytest.mark.thorough

RIVALS = [name for name in array_names() if not name.startswith("imf")]
DTYPES = {"uint8": 20.0, "int8": 15.0, "uint16": 1000.0, "int16": 3000.0, "float32": 2.0, "float64": 0.5}

needs_rivals = pytest.mark.skipif(not importlib.util.find_spec("imagecodecs"), reason="imagecodecs is not installed")


def scene(shape=(29, 37, 5), dtype="uint16", seed=0):
    """A few textures mixed into bands, with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    textures = np.stack([np.sin(x / 9) + np.cos(y / 7), (x + 2 * y > 60) * 1.0, x * y / 900], axis=-1)
    bands = textures @ rng.normal(size=(3, shape[2] if len(shape) == 3 else 1))
    samples = DTYPES[dtype] * (bands + rng.normal(0, 0.02, bands.shape))
    if dtype.startswith("u"):
        samples += 6 * DTYPES[dtype]
    if not dtype.startswith("float"):
        samples = np.clip(np.rint(samples), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return samples.astype(dtype).reshape(shape)


def test_names_of_arrays_and_of_pictures_are_looked_up_apart():
    assert array_names()[0] == "imf" and len(set(array_names())) == len(array_names())
    with pytest.raises(OptionError, match="expected one of imf, imf-step, klt-jpeg2000"):
        array_codec("webp")
    assert "klt-jpeg2000" not in baselines.names()


@needs_rivals
@pytest.mark.parametrize("shape", [(29, 37, 5), (30, 23), (1, 3, 2), (17, 1, 1)])
@pytest.mark.parametrize("name", RIVALS)
def test_round_trip(name, shape):
    codec = array_codec(name)
    assert codec.name == name and codec.description
    if codec.colours:
        assert not codec.takes(np.zeros(shape))
        with pytest.raises(OptionError, match="for pictures in colour: expected 3"):
            codec.encode(scene(shape), 10.0)
        shape = (*shape[:2], 3)
    for dtype, scale in DTYPES.items():
        array = scene(shape, dtype)
        if dtype.startswith("float") and not codec.floats:
            with pytest.raises(OptionError, match="expected integers"):
                codec.encode(array, 0)
            continue
        levels = [0.05 * scale] if codec.target == "noise" or dtype.startswith("float") else [0.0, 2.0]
        for level in [level for level in levels if level <= codec.largest]:
            data = codec.encode(array, level)
            decoded = codec.decode(data, array.shape, array.dtype)
            assert isinstance(data, bytes) and decoded.shape == shape and decoded.dtype == dtype
            if codec.target == "bound":
                assert metrics.max_error(array, decoded) <= level, (dtype, level)
            else:
                assert np.sqrt(np.mean((array.astype(float) - decoded) ** 2)) < 4 * level, (dtype, level)


@needs_rivals
@pytest.mark.parametrize("name", RIVALS)
def test_constant_arrays(name):
    codec = array_codec(name)
    array = np.full((9, 11, 3), 7, np.uint16)
    decoded = codec.decode(codec.encode(array, 0 if codec.target == "bound" else 2.0), array.shape, array.dtype)
    assert metrics.max_error(array, decoded) <= (0 if codec.target == "bound" else 2)


@needs_rivals
@pytest.mark.parametrize("name", [name for name in RIVALS if name not in ("jpegxl-lossless", "jpeg2000-lossless")])
def test_rate_falls_with_the_level(name):
    codec, array = array_codec(name), scene((40, 44, 3))
    assert len(codec.encode(array, 4.0)) > len(codec.encode(array, 90.0))
    for level in (-1, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="expected a positive number"):
            codec.encode(array, level)


@needs_rivals
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2, 2, 2), np.uint8), "expected .H, W. or .H, W, C."),
        (np.zeros((0, 3), np.uint8), "at least one sample"),
        (np.zeros((4, 4), np.int64), "samples of int64"),
        (np.array([[1.0, np.nan]]), "not finite"),
    ],
)
def test_arrays_that_rivals_cannot_code(array, message):
    for name in ("klt-jpeg2000", "sz3", "zfp-bounded"):
        with pytest.raises(OptionError, match=message):
            array_codec(name).encode(array, 1.0)


@needs_rivals
def test_levels_that_cannot_be_met():
    for name in ("jpegxl-lossless", "jpeg2000-lossless"):
        with pytest.raises(OptionError, match="lossless: expected 0"):
            array_codec(name).encode(scene(), 1.0)
    with pytest.raises(OptionError, match="below the spacing"):
        array_codec("lerc").encode(scene(dtype="float32"), 1e-9)
    with pytest.raises(OptionError, match="JPEG 2000 has 22"):
        array_codec("jpeg2000").encode(scene(), 1e-4)


@needs_rivals
@pytest.mark.parametrize("name", ["klt-jpeg2000", "jpeg2000", "jpegxl", "jpegls", "jpegxl-lossless"])
def test_damaged_streams(name):
    """Not those of SPERR, SZ3, ZFP and LERC, whose libraries may end the process."""
    codec, array = array_codec(name), scene()
    data = codec.encode(array, 0 if codec.target == "bound" else 20.0)
    for cut in (0, 3, len(data) // 3):
        with pytest.raises(FormatError):
            codec.decode(data[:cut], array.shape, array.dtype)
    with pytest.raises(FormatError):
        codec.decode(data, (5, 4, 9), array.dtype)


@needs_rivals
def test_one_threshold_beats_one_error_for_every_component():
    """What the strength of the rival rests on: components of one codestream, few entries of V."""
    array = scene((96, 90, 6))
    codec = array_codec("klt-jpeg2000")
    data = codec.encode(array, 25.0)
    parts = [array_codec("jpeg2000").encode(np.ascontiguousarray(array[:, :, k]), 25.0) for k in range(6)]
    whole = array_codec("jpeg2000").encode(array, 25.0)
    assert len(data) < len(whole) < sum(map(len, parts))


@given(st.integers(1, 9), st.integers(1, 9), seeds)
def test_packed_bases_come_back(count, rank, seed):
    rank = min(rank, count)
    rng = np.random.default_rng(seed)
    exponents = rng.integers(1, 21, rank)
    basis = np.rint(rng.uniform(-1, 1, (count, rank)) * (2.0**exponents - 1))
    data = array_jpeg2000._pack(exponents, basis)
    found, position = array_jpeg2000._unpack(b"ab" + data + b"c", 2, count)
    np.testing.assert_array_equal(found, basis * 2.0**-exponents)
    assert position == 2 + len(data)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(-(2**40), 2**40))
def test_streams_and_numbers_come_back(streams, value):
    assert array_streams.parted(array_streams.joined(streams), len(streams)) == streams
    data = array_streams.write_number(value)
    assert array_streams.read_number(data, 0) == (value, len(data))
    assert examples(3) > 0


def test_streams_that_do_not_fit():
    with pytest.raises(FormatError, match="does not fit"):
        array_streams.parted(array_streams.write_number(9) + b"abc", 2)


def test_this_library_is_told_what_the_study_wants(monkeypatch):
    calls = []
    monkeypatch.setattr(imf, "encode", lambda array, **options: calls.append(options) or b"file")
    monkeypatch.setattr(imf, "decode", lambda data, threads: np.arange(12, dtype=np.uint16).reshape(2, 2, 3))
    array = np.zeros((2, 2, 3), np.uint16)
    assert array_codec("imf").encode(array, 65.535) == b"file"
    array_codec("imf-step").encode(array, 10.0)
    array_codec("imf-bounded").encode(array, 2.0)
    array_codec("imf-bounded").encode(array[:, :, 0], 0.0)
    bands = {"channels": "bands", "tune": "psnr", "threads": 1}
    expected = [{**bands, "psnr": 60.0}, {**bands, "step": 36.0}, {**bands, "max_error": 2.0}]
    assert calls == [*expected, {**bands, "channels": "gray", "lossless": True}]
    found = array_codec("imf").decode(b"file", (2, 2, 3), np.dtype(np.uint16))
    assert found.shape == (2, 2, 3) and found.dtype == np.uint16


def test_rivals_without_their_package(monkeypatch):
    def missing(module):
        raise OptionError(f"{module} is needed here")

    monkeypatch.setattr(array_streams, "need", missing)
    for name in RIVALS:
        with pytest.raises(OptionError, match="imagecodecs is needed"):
            arrays.array_codec(name)


@needs_rivals
def test_formats_that_imagecodecs_has_not_got():
    """Older ones do not know the name of all of them."""
    with pytest.raises(OptionError, match="imagecodecs was built without SZ9; install one of its wheels"):
        array_streams.codecs("SZ9")
