"""Targets on drawings of few tones, whose sizes and PSNRs jump to and fro with the step."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from main_helpers import encode

import imfnb
from imfnb.metrics import psnr
from imfnb.profiles import search

y, x = np.mgrid[:96, :96]

DRAWINGS = {
    "one pixel": np.uint8(255 * ((y + x) % 2)),
    "squares of 3": np.uint8(255 * ((y // 3 + x // 3) % 2)),
    "squares of 8": np.uint8(255 * ((y // 8 + x // 8) % 2)),
    "diagonal": np.uint8(255 * (y + x > 90)),
    "stripes": np.uint8(30 + 190 * ((x // 6) % 2)),
    "discs": np.uint8(20 + 210 * (((y % 40 - 17) ** 2 + (x % 33 - 15) ** 2) < 150)),
    "two colours": np.where(
        ((y // 20 + x // 30) % 2 > 0)[:, :, None], np.uint8([180, 20, 20]), np.uint8([255, 255, 200])
    ),
}


@pytest.mark.jit
@pytest.mark.parametrize("name", DRAWINGS)
def test_less_quality_takes_no_more_bytes(name):
    """But for a tenth and eight bytes: searches for different targets try different steps."""
    image, sizes = DRAWINGS[name], []
    for target in (26, 28, 30, 32, 33, 34, 36, 40):
        data = encode(image, psnr=target)
        assert psnr(image, imfnb.decode(data)) >= target
        sizes.append(len(data))
    assert all(small <= 1.1 * min(sizes[n:]) + 8 for n, small in enumerate(sizes)), sizes


@pytest.mark.jit
@pytest.mark.parametrize("name", DRAWINGS)
def test_more_bytes_give_no_less_quality(name):
    """But for half a decibel."""
    image, found = DRAWINGS[name], []
    for target in (0.3, 0.4, 0.6, 0.9, 1.3):
        data = encode(image, bpp=target)
        assert 8 * len(data) <= target * 96 * 96
        found.append(min(psnr(image, imfnb.decode(data)), 60))
    assert all(quality >= max(found[: n + 1]) - 0.5 for n, quality in enumerate(found)), found


@pytest.mark.jit
@pytest.mark.parametrize("target", [{"psnr": 33}, {"bpp": 0.7}])
def test_photographs_are_spared_other_steps(target, monkeypatch):
    seen = []
    once = search._Trials.nearby
    monkeypatch.setattr(search._Trials, "nearby", lambda self, *a: seen.append(a) or once(self, *a))
    encode(picture(96, 128), **target)
    assert not seen
    encode(DRAWINGS["diagonal"], **target)
    assert len(seen) == 1
