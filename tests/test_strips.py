"""Decoding strip by strip gives the pixels of decoding in one go."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import as_if_large
from strategies import examples

import imfnb
from imfnb import layout
from imfnb.profiles import baseline, decide


def _picture(height, width, channels, seed):
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    y, x = y[:, :, None], x[:, :, None]
    waves = 90 * np.sin(y / 9 + np.arange(channels)) + 60 * np.cos(x / 5 - y / 17) + 120
    return np.clip(waves + rng.normal(0, 9, waves.shape), 0, 255).astype(np.uint8)


def _decode(data, unit, device="cpu", threads=1, **options):
    with patch.multiple(layout, _STRIP_HEIGHT=unit, _STRIP_UNIT=unit, _STRIP_PIXELS=1):
        return imfnb.decode(data, device=device, threads=threads, **options)


@settings(max_examples=examples(40))
@given(
    st.integers(1, 150),
    st.integers(1, 70),
    st.sampled_from([1, 3, 4]),
    st.floats(4, 120),
    st.sampled_from([8, 16]),
    st.sampled_from(["4:2:0", "4:4:4"]),
    st.sampled_from([6, 16, 30, 64]),  # a strip may begin anywhere but between two rows of one of chroma
    st.sampled_from([1 << 22, 1000]),
    st.integers(0, 9),
)
def test_main(height, width, channels, step, patch_size, subsampling, unit, samples, seed):
    picture = _picture(height, width, channels, seed)
    options = {"subsampling": subsampling} if channels > 1 else {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        as_if_large(monkeypatch, slices=samples)
        monkeypatch.setattr(decide, "restoration_pays", lambda *_: True)
        data = imfnb.encode(picture, step=step, patch_size=patch_size, **options)
        assert all(imfnb.info(data)["restoration"])
        assert np.array_equal(_decode(data, unit, threads=2), imfnb.decode(data))
        assert np.array_equal(_decode(data, unit, max_rank=3), imfnb.decode(data, max_rank=3))


@settings(max_examples=examples(40))
@given(
    st.integers(1, 150),
    st.integers(1, 70),
    st.sampled_from([1, 3, 4]),
    st.integers(1, 9),
    st.sampled_from([(4, 16), (8, 16), (16, 32), (32, 64), (None, 2)]),  # the least strip begins with whole patches
    st.sampled_from([("YCbCr", "4:2:0"), ("YCbCr", "4:4:4"), ("RGB", "4:4:4")]),
    st.integers(0, 9),
)
def test_baseline(height, width, channels, rank, patches, planes, seed):
    patch_size, unit = patches
    picture = _picture(height, width, channels, seed)
    options = {"color_space": planes[0], "subsampling": planes[1]} if channels > 1 else {}
    data = imfnb.encode(picture, profile="baseline", rank=rank, patch_size=patch_size, **options)
    with patch.object(baseline, "_DECODED_ALONE", 0):
        assert np.array_equal(_decode(data, unit, threads=2), imfnb.decode(data))
    assert np.array_equal(_decode(data, unit, max_rank=2), imfnb.decode(data, max_rank=2))
    assert layout._STRIP_UNIT % 64 == 0  # patches of 32, and chroma of half the size


@pytest.mark.parametrize("profile", ["main", "baseline"])
def test_reference(profile):
    data = imfnb.encode(_picture(100, 40, 3, 0), profile=profile, quality=40)
    assert np.array_equal(_decode(data, 32, "reference"), imfnb.decode(data))


def test_unread_pixels_stay_as_they_are():
    """A damaged segment is found before any pixel is written."""
    picture = _picture(100, 40, 3, 0)
    data = bytearray(imfnb.encode(picture, quality=40))
    data[-1] ^= 1
    out = picture.copy()
    with pytest.raises(imfnb.FormatError):
        _decode(bytes(data), 16, out=out)
    assert np.array_equal(out, picture)


@pytest.mark.jit
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (37, 29), (300, 300), (512, 768), (1000, 1000), (1500, 2000)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("patch_size", [8, 16])
@pytest.mark.thorough
def test_as_many_pixels_as_the_picture_has_are_enough(shape, channels, patch_size):
    """What decoding is said to need leaves room for every picture that `max_pixels` allows."""
    picture = np.zeros((*shape, channels), np.uint8)
    picture[..., -1] = np.arange(shape[1]) % 251  # an alpha plane that is coded as the others are
    options = {"subsampling": "4:4:4"} if channels > 1 else {}
    data = imfnb.encode(picture, step=100, patch_size=patch_size, **options)
    assert imfnb.info(data, max_pixels=shape[0] * shape[1])["shape"] == picture.shape
