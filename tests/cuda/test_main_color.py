"""Colour kernels of the main profile against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import empty, same, up
from strategies import STYLES, fill, seeds

from imfnb.color import cuda, half, join_fine, reference, split_fine


@st.composite
def stacks(draw: st.DrawFn, largest: int = 11):
    """Images of one shape, (B, H, W, C)."""
    side = st.integers(1, largest)
    shape = draw(st.integers(1, 2)), draw(side), draw(side), draw(st.sampled_from([3, 4]))
    return fill(shape, draw(st.sampled_from(STYLES)), draw(seeds))


def chroma_shape(images: np.ndarray, subsample: bool) -> tuple[int, ...]:
    count, height, width = images.shape[:3]
    return (count, half(height), half(width)) if subsample else (count, height, width)


def check_split(images: np.ndarray, subsample: bool) -> None:
    shape = chroma_shape(images, subsample)
    y, cb, cr = empty(images.shape[:3]), empty(shape), empty(shape)
    cuda.rgb_to_fine(up(images), y, cb, cr)
    expected = zip(*(reference.rgb_to_fine(image, subsample) for image in images), strict=True)
    for found, planes in zip((y, cb, cr), expected, strict=True):
        same(found, np.stack(planes))


def check_join(planes: list[np.ndarray], channels: int) -> None:
    y = planes[0]
    out = np.full((*y.shape, channels), 9, np.uint8)
    found = up(out)
    cuda.fine_to_rgb(*up(*planes), found)
    for number in range(len(y)):
        reference.fine_to_rgb(*(plane[number] for plane in planes), out[number])
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
    chroma = [rng.integers(-limit, limit, chroma_shape(images, subsample), dtype=np.int32) for _ in range(2)]
    check_join([y, *chroma], images.shape[3])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("shape", [(6, 68), (3, 36), (1, 4), (2, 64)])
def test_in_words(shape, channels, monkeypatch):
    """Rows that begin at multiples of four samples, and the same where the arrays do not."""
    rng = np.random.default_rng(shape[1])
    images = rng.integers(256, size=(2, *shape, channels), dtype=np.uint8)
    planes = [rng.integers(-2500, 2500, images.shape[:3], dtype=np.int32)]
    planes += [rng.integers(-2500, 2500, chroma_shape(images, True), dtype=np.int32) for _ in range(2)]
    for _ in range(2):
        check_split(images, True)
        check_join(planes, channels)
        monkeypatch.setattr(cuda, "starts_at_multiple", lambda *_: False)


@given(stacks(), st.integers(0, 2), seeds)
@settings(max_examples=8)
def test_gray(images, channel, seed):
    found = empty(images.shape[:3])
    cuda.gray_to_fine(up(images), channel, found)
    planes = np.stack([split_fine(image[:, :, channel, None], False, "reference")[0] for image in images])
    same(found, planes)
    planes += np.random.default_rng(seed).integers(-3000, 3000, planes.shape, dtype=np.int32)
    out, expected = up(images), images.copy()
    cuda.fine_to_gray(up(planes), out, channel)
    for plane, image in zip(planes, expected, strict=True):
        join_fine([plane], image[:, :, channel, None], "reference")
    same(out, expected)


@pytest.mark.gpu
@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("shape", [(3, 211, 333, 3), (2, 512, 768, 4), (1, 1, 5000, 3), (1, 300001, 1, 3)])
def test_large(shape, subsample):
    rng = np.random.default_rng(shape[1])
    images = rng.integers(256, size=shape, dtype=np.uint8)
    check_split(images, subsample)
    planes = [rng.integers(-2500, 2500, images.shape[:3], dtype=np.int32)]
    planes += [rng.integers(-2500, 2500, chroma_shape(images, subsample), dtype=np.int32) for _ in range(2)]
    check_join(planes, shape[3])
