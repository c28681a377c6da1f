"""Encodings of what was decoded: a search for bytes finds the step that a picture was coded with."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from hypothesis import example, given, settings
from hypothesis import strategies as st
from main_helpers import encode
from strategies import examples

import imfnb
from imfnb.metrics import psnr
from imfnb.profiles import search
from imfnb.profiles.traces import earlier_step


def generations(image: np.ndarray, count: int, **target) -> list[np.ndarray]:
    """What is decoded of it, and of that, and so on."""
    found = []
    for _ in range(count):
        data = encode(found[-1] if found else image, **target)
        found.append(imfnb.decode(data))
    return found


@given(st.sampled_from([8, 16]), st.integers(6 * 64, 90 * 64), st.floats(0, 0.1), st.integers(0, 99))
@example(8, 4352, 0.0, 0)  # a seventeenth of this step is a whole number of gray levels
@settings(max_examples=examples(30), deadline=None)
def test_the_step_of_sums_near_its_multiples(patch_size, step, noise, seed):
    """Patches whose sums are multiples of a step but for some noise, of any shade."""
    rng = np.random.default_rng(seed)
    entries = np.rint(rng.normal(0, 400, (20, 20)) / (step / 64)) + rng.normal(0, noise, (20, 20))
    samples = np.rint(np.kron(entries, np.ones((patch_size, patch_size))) * step / 4 / patch_size).astype(np.int32)
    found = earlier_step([samples[: 12 * patch_size], samples[12 * patch_size :]], patch_size)
    assert found == pytest.approx(step, rel=0.01)


@given(st.sampled_from([8, 16]), st.integers(0, 99))
@settings(max_examples=examples(30), deadline=None)
def test_sums_of_any_value_have_no_step(patch_size, seed):
    rng = np.random.default_rng(seed)
    sums = rng.normal(0, 400, (20, 20))
    samples = np.rint(np.kron(sums, np.ones((patch_size, patch_size))) * 16 / patch_size).astype(np.int32)
    assert earlier_step([samples], patch_size) is None
    assert earlier_step([samples[:patch_size, :patch_size]], patch_size) is None  # a single patch


@pytest.mark.jit
@pytest.mark.parametrize("target", [{"bpp": 1.0}, {"size": 2200}, {"bpp": 1.0, "tune": "visual"}])
def test_a_search_for_bytes_finds_the_step_again(target):
    """And loses next to nothing by it: without, six generations cost more than two decibels and shift the colours."""
    image = picture(128, 128)
    decoded = generations(image, 6, **target)
    quality = [psnr(image, pixels) for pixels in decoded]
    assert quality[-1] >= quality[0] - 0.5, quality
    drift = (decoded[-1].astype(float) - decoded[0]).mean(axis=(0, 1))
    assert np.abs(drift).max() < 0.25


@pytest.mark.jit
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
def test_a_fixed_step_has_no_drift(subsampling):
    image = picture(96, 96)
    decoded = generations(image, 8, step=12, subsampling=subsampling)
    assert psnr(image, decoded[-1]) >= psnr(image, decoded[0]) - 1
    drift = (decoded[-1].astype(float) - image).mean(axis=(0, 1))
    assert np.abs(drift).max() < 0.3


@pytest.mark.jit
def test_another_step_is_taken_where_it_gives_more(monkeypatch):
    """A target far above what the picture was coded with: its own step would leave most of the bytes over."""
    image = imfnb.decode(encode(picture(128, 128), bpp=0.5))
    seen = []
    once = search._Trials.better
    monkeypatch.setattr(search._Trials, "better", lambda self, tried: seen.append(list(tried)) or once(self, seen[-1]))
    data = encode(image, bpp=3.0)
    assert len(seen[0]) == 2  # what the search found, and the step of before
    assert max(psnr(image, imfnb.decode(data)), 0) >= 45
    assert 8 * len(data) <= 3.0 * 128 * 128
