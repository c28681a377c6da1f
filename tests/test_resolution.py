"""The resolution of chroma: what it is chosen by, the same everywhere, and what comes of it for drawings."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import encode
from strategies import examples

import imfnb
from imfnb.format.constants import STEP_MAX
from imfnb.format.container import Frame
from imfnb.metrics import psnr
from imfnb.options import EncodeOptions
from imfnb.profiles import decide, main, resolution, search
from imfnb.profiles.stacks import Analysis, analyse
from imfnb.profiles.tuning import PSNR
from imfnb.runtime.run import HostRun


def coloured_lines(height: int, width: int) -> np.ndarray:
    """Lines of one pixel in three colours on white."""
    image = np.full((height, width, 3), 255, np.uint8)
    for number in range(12):
        rows = np.linspace(number * height / 16, height - 1 - number * height / 13, width).astype(int)
        image[rows, np.arange(width)] = [(220, 0, 0), (0, 0, 220), (0, 150, 0)][number % 3]
    return image


def smooth_colours(height: int, width: int) -> np.ndarray:
    """Colours that change slowly, with a texture that has none."""
    y, x = np.mgrid[:height, :width]
    colours = np.stack([90 + 50 * np.sin(x / 40), 120 + 40 * np.cos(y / 50), 100 + 60 * np.sin((x + y) / 60)], axis=-1)
    return np.clip(colours + np.random.default_rng(1).normal(0, 9, (height, width, 1)), 0, 255).astype(np.uint8)


def analysis_of(images: list[np.ndarray], run: HostRun) -> Analysis:
    frame = Frame("main", *images[0].shape)
    return run.drive(analyse(images, frame, run))


@given(
    st.integers(1, 90),
    st.integers(1, 20),
    st.sampled_from([3, 4]),
    st.sampled_from([8, 16, 32]),
    st.integers(256, 9000),
)
@settings(max_examples=examples(25), deadline=None)
def test_costs_are_the_same_on_both_backends_in_strips_and_as_a_whole(height, width, channels, period, step):
    """On the GPU a stack is converted whole and counted by strips, on the CPU every strip goes alone."""
    images = [picture(height, width, channels, seed) for seed in range(2)]
    places = [("reference", 1, False), ("cpu", 1, False), ("cpu", 3, False), ("cpu", 1, True)]
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decide, "SAMPLED_PERIOD", period)
        for device, threads, merges in places:
            with HostRun(device, threads) as run:
                run.merges = merges
                found.append(run.drive(resolution._costs(analysis_of(images, run), step, PSNR)))
    assert found[0] == found[1] == found[2] == found[3]
    assert len(found[0]) == 2


def test_costs_are_those_of_the_picture():
    """A gray picture loses nothing by half resolution; lines in colour lose much, and cost it."""
    with HostRun("cpu", 1) as run:
        gray = np.repeat(picture(24, 24, 1), 3, axis=2)
        (costs,) = run.drive(resolution._costs(analysis_of([gray], run), 1000, PSNR))
        assert costs[0] == [0, 0, 0]
        (costs,) = run.drive(resolution._costs(analysis_of([coloured_lines(64, 64)], run), 1000, PSNR))
        assert all(error > 256 * 64 * 64 for error in costs[0]) and all(
            w > h > 0 for w, h in zip(*costs[1:], strict=True)
        )


@pytest.mark.parametrize("step", [3, 25, 60])
def test_a_stack_of_both_kinds_is_its_pictures_one_by_one(step):
    images = [smooth_colours(64, 48), coloured_lines(64, 48), smooth_colours(64, 48)[::-1].copy()]
    options, frame = EncodeOptions(step=step, tune="psnr"), Frame("main", 64, 48, 3)
    with HostRun("cpu", 1) as run:
        files = [file.result() for file in run.drive(main.encode_stack(images, frame, options, run))]
    assert files == [encode(image, step=step, device="cpu") for image in images]
    kinds = [imfnb.info(data)["subsampling"] for data in files]
    assert kinds == (["4:4:4"] * 3 if step == 3 else ["4:2:0", "4:4:4", "4:2:0"])


@pytest.mark.jit
@pytest.mark.parametrize("target", [{"bpp": 2.0}, {"psnr": 34.0}, {"quality": 50}])
def test_lines_in_colour_keep_their_colours(target):
    """Half resolution holds them below 26 dB at any rate."""
    image = coloured_lines(160, 240)
    data = encode(image, **target)
    half = encode(image, subsampling="4:2:0", **({"quality": 50} if "psnr" in target else target))
    assert imfnb.info(data)["subsampling"] == "4:4:4"
    assert psnr(image, imfnb.decode(data)) > psnr(image, imfnb.decode(half)) + 6


@pytest.mark.jit
@pytest.mark.parametrize("target", [{"bpp": 0.5}, {"psnr": 31.0}, {"quality": 40}])
def test_smooth_colours_take_half_resolution(target):
    assert imfnb.info(encode(smooth_colours(160, 240), **target))["subsampling"] == "4:2:0"


@pytest.mark.jit
@pytest.mark.parametrize("target", [{"bpp": 2.0}, {"psnr": 34.0}])
def test_a_search_that_began_with_the_wrong_resolution_begins_again(target, monkeypatch):
    image = coloured_lines(160, 240)
    expected = encode(image, **target)
    monkeypatch.setattr(search._Trials, "_expected_step", lambda self, value: STEP_MAX)
    assert encode(image, **target) == expected
