"""Colour kernels of the main profile against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from color_helpers import chroma_shape, split
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import empty, same, up
from strategies import STYLES, fill, seeds

from imfnb.color import cuda, reference


@st.composite
def stacks(draw: st.DrawFn, largest: int = 11):
    """Images of one shape, (B, H, W, C)."""
    side = st.integers(1, largest)
    shape = draw(st.integers(1, 2)), draw(side), draw(side), draw(st.sampled_from([3, 4]))
    return fill(shape, draw(st.sampled_from(STYLES)), draw(seeds))


def check_split(images: np.ndarray, subsample: bool) -> None:
    expected = split(reference, images, subsample, np.int32)
    found = [empty(plane.shape) for plane in expected]
    cuda.rgb_to_q4(up(images), *found)
    for mine, planes in zip(found, expected, strict=True):
        same(mine, planes)


def check_join(planes: list[np.ndarray], channels: int) -> None:
    out = np.full((*planes[0].shape, channels), 9, np.uint8)
    found = up(out)
    cuda.q4_to_rgb(*up(*planes), found)
    reference.q4_to_rgb(*planes, out)
    same(found, out)


@given(stacks(), st.booleans())
@settings(max_examples=12)
def test_split(images, subsample):
    check_split(images, subsample)


@given(stacks(), st.booleans(), st.sampled_from([300, 2048, 2**15, 2**31 - 1]), seeds)
@settings(max_examples=12)
def test_join_of_any_samples(images, subsample, limit, seed):
    """Beyond the clamp too, up to what the inverse filter can give; alone, without chroma, any int32."""
    rng = np.random.default_rng(seed)
    y = rng.integers(-limit, limit, images.shape[:3], dtype=np.int32, endpoint=True)
    limit = min(limit, 2**26)  # the sum of upsampling has weight 16
    chroma = [rng.integers(-limit, limit, chroma_shape(images.shape[:3], subsample), dtype=np.int32) for _ in range(2)]
    check_join([y, *chroma], images.shape[3])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(6, 68), (3, 36), (1, 4), (2, 64)])
def test_in_words(shape, channels, monkeypatch):
    """Rows that begin at multiples of four samples, and the same where the arrays do not."""
    rng = np.random.default_rng(shape[1])
    images = rng.integers(256, size=(2, *shape, channels), dtype=np.uint8)
    planes = [rng.integers(-2500, 2500, images.shape[:3], dtype=np.int32)]
    planes += [rng.integers(-2500, 2500, chroma_shape(images.shape[:3], True), dtype=np.int32) for _ in range(2)]
    for _ in range(2):
        check_split(images, True)
        check_join(planes, channels)
        monkeypatch.setattr(cuda, "starts_at_multiple", lambda *_: False)


@given(stacks(), st.integers(0, 2), seeds)
@settings(max_examples=8)
def test_gray(images, channel, seed):
    found, planes = empty(images.shape[:3]), np.empty(images.shape[:3], np.int32)
    cuda.gray_to_q4(up(images), channel, found)
    reference.gray_to_q4(images, channel, planes)
    same(found, planes)
    planes += np.random.default_rng(seed).integers(-3000, 3000, planes.shape, dtype=np.int32)
    out, expected = up(images), images.copy()
    cuda.q4_to_gray(up(planes), out, channel)
    reference.q4_to_gray(planes, expected, channel)
    same(out, expected)


def test_strips_are_refused():
    planes = up(*np.zeros((3, 1, 4, 4), np.int32))
    with pytest.raises(ValueError, match="above is 2; expected 0"):
        cuda.q4_to_rgb(*planes, up(np.zeros((1, 4, 4, 3), np.uint8)), above=2)


@pytest.mark.gpu
@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("shape", [(3, 211, 333, 3), (2, 512, 768, 4), (1, 1, 5000, 3), (1, 300001, 1, 3)])
def test_large(shape, subsample):
    rng = np.random.default_rng(shape[1])
    images = rng.integers(256, size=shape, dtype=np.uint8)
    check_split(images, subsample)
    planes = [rng.integers(-2500, 2500, images.shape[:3], dtype=np.int32)]
    planes += [rng.integers(-2500, 2500, chroma_shape(images.shape[:3], subsample), dtype=np.int32) for _ in range(2)]
    check_join(planes, shape[3])
