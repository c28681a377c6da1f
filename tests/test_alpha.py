"""Alpha of the main profile: its ends are exact, colours nobody sees cost nothing, opaque pictures are RGB pictures."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import examples, seeds

import imfnb
from imfnb import OptionError
from imfnb.fill import cpu, reference
from imfnb.metrics import psnr
from imfnb.profiles.tuning import VISUAL


def cutout(height: int, width: int, softness: float = 3.0, seed: int = 0) -> np.ndarray:
    """A picture (H, W, 4) of which a disc is visible, with an edge about so many pixels wide."""
    image = picture(height, width, 4, seed)
    y, x = np.mgrid[:height, :width]
    distance = 0.4 * min(height, width) - np.hypot(y - height / 2, x - width / 2)
    image[:, :, 3] = np.clip(128 + 255 * distance / max(softness, 1e-3), 0, 255).astype(np.uint8)
    return image


def ends_are_kept(image: np.ndarray, decoded: np.ndarray) -> bool:
    """Whether exactly the transparent pixels are transparent, and exactly the opaque ones opaque."""
    one, two = image[:, :, 3], decoded[:, :, 3]
    return bool(np.array_equal(one == 0, two == 0) and np.array_equal(one == 255, two == 255))


@st.composite
def pictures(draw: st.DrawFn) -> np.ndarray:
    """Small pictures with alpha of every kind."""
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    image = cutout(height, width, draw(st.sampled_from([0, 3, 20, 200])), draw(st.integers(0, 9)))
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from(["cutout", "noise", "two", "constant", "between"]))
    if kind == "noise":
        image[:, :, 3] = rng.integers(0, 256, (height, width))
    elif kind == "two":
        image[:, :, 3] = rng.integers(0, 2, (height, width)) * 255
    elif kind == "constant":
        image[:, :, 3] = rng.integers(0, 256)
    elif kind == "between":
        image[:, :, 3] = np.clip(image[:, :, 3], 1, 254)
    return image


OPTIONS = st.fixed_dictionaries(
    {
        "quality": st.sampled_from([0, 30, 50, 90, 100]),
        "alpha_quality": st.sampled_from([None, 0, 50, 100, "lossless"]),
        "keep_hidden": st.booleans(),
    }
)


@pytest.mark.slow
@given(pictures(), OPTIONS)
@settings(max_examples=examples(40))
def test_ends_are_exact_and_backends_agree(image, options):
    before = image.copy()
    data = imfnb.encode(image, device="cpu", threads=3, **options)
    assert imfnb.encode(image, device="reference", **options) == data
    np.testing.assert_array_equal(image, before)
    decoded = imfnb.decode(data, device="cpu", threads=2)
    np.testing.assert_array_equal(imfnb.decode(data, device="reference"), decoded)
    assert ends_are_kept(image, decoded)
    if options["alpha_quality"] == "lossless":
        np.testing.assert_array_equal(decoded[:, :, 3], image[:, :, 3])


@pytest.mark.jit
@pytest.mark.parametrize("quality", [0, 30, 50, 75, 100])
@pytest.mark.parametrize("target", [{}, {"bpp": 2.0}, {"psnr": 33.0}, {"size": 5000}])
def test_ends_are_exact_for_every_target(target, quality):
    image = cutout(120, 150, 40)
    data = imfnb.encode(image, alpha_quality=quality, **(target or {"quality": quality}))
    decoded = imfnb.decode(data)
    assert imfnb.info(data)["alpha"] == "lossy" or quality == 100
    assert ends_are_kept(image, decoded)
    assert ends_are_kept(image, imfnb.decode(data, max_rank=1))


@pytest.mark.jit
def test_quality_of_alpha_is_its_own():
    """Bytes and error of alpha follow its option and nothing else does; without it they follow the quality."""
    image = cutout(200, 220, 150)
    between = (image[:, :, 3] > 0) & (image[:, :, 3] < 255)
    noise = np.random.default_rng(0).integers(-12, 13, between.shape)
    image[:, :, 3] = np.where(between, np.clip(image[:, :, 3] + noise, 1, 254), image[:, :, 3])
    sizes, errors, colours = [], [], set()
    for quality in (0, 30, 60, 90):
        data = imfnb.encode(image, quality=50, alpha_quality=quality)
        details, decoded = imfnb.info(data), imfnb.decode(data)
        assert details["steps"][3] == pytest.approx(2 ** (8 - 0.07 * quality), rel=0.01)
        sizes.append(details["segments"]["alpha"])
        errors.append(np.square(decoded[:, :, 3].astype(int) - image[:, :, 3]).sum())
        colours.add(decoded[:, :, :3].tobytes())
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True) and len(colours) == 1
    lossless = imfnb.encode(image, quality=50, alpha_quality="lossless")
    assert imfnb.info(lossless)["alpha"] == "lossless"
    np.testing.assert_array_equal(imfnb.decode(lossless)[:, :, 3], image[:, :, 3])
    followed = [imfnb.info(imfnb.encode(image, quality=quality))["steps"] for quality in (20, 60, 80)]
    assert followed[0][3] == pytest.approx(followed[1][3], rel=0.01)
    assert followed[2][3] == pytest.approx(followed[2][0] / VISUAL.finer, rel=0.01)


@pytest.mark.jit
def test_few_values_are_lossless():
    """A hard mask, antialiased lines: nothing is to be gained by loss."""
    hard = cutout(100, 120, 0)
    soft = cutout(100, 120, 1.5)
    for image in (hard, soft):
        data = imfnb.encode(image, quality=30)
        assert imfnb.info(data)["alpha"] == "lossless"
        np.testing.assert_array_equal(imfnb.decode(data)[:, :, 3], image[:, :, 3])


@pytest.mark.jit
@pytest.mark.parametrize("target", [{"quality": 50}, {"quality": 90}, {"psnr": 35.0}, {"step": 30}])
def test_opaque_alpha_costs_a_byte_and_changes_nothing(target):
    image = picture(97, 130, 3)
    opaque = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    rgb, rgba = imfnb.encode(image, **target), imfnb.encode(opaque, **target)
    assert len(rgb) <= len(rgba) <= len(rgb) + 4
    decoded = imfnb.decode(rgba)
    np.testing.assert_array_equal(decoded[:, :, :3], imfnb.decode(rgb))
    assert (decoded[:, :, 3] == 255).all() and imfnb.info(rgba)["alpha"] == "constant"


@pytest.mark.jit
def test_psnr_is_that_of_visible_colours():
    image = cutout(128, 128, 30)
    noisy = image.copy()
    noisy[image[:, :, 3] == 0, :3] = np.random.default_rng(0).integers(0, 256, ((image[:, :, 3] == 0).sum(), 3))
    for given_image in (image, noisy):
        for options in ({}, {"keep_hidden": True}):
            decoded = imfnb.decode(imfnb.encode(given_image, psnr=34, alpha_quality=20, **options))
            shown = given_image[:, :, 3] > 0
            assert 34 <= psnr(given_image[shown][:, :3], decoded[shown][:, :3]) < 35.5


@pytest.mark.jit
def test_hidden_colours_cost_nothing_unless_they_are_kept():
    image = cutout(160, 160, 2)
    hidden = image[:, :, 3] == 0
    noisy, black = image.copy(), image.copy()
    noisy[hidden, :3] = np.random.default_rng(0).integers(0, 256, (hidden.sum(), 3))
    black[hidden, :3] = 0
    files = [imfnb.encode(each, quality=60) for each in (image, noisy, black)]
    assert len(set(files)) == 1
    kept = imfnb.encode(noisy, quality=60, keep_hidden=True)
    assert len(kept) > 3 * len(files[0])
    black = imfnb.decode(imfnb.encode(black, quality=60, keep_hidden=True))
    assert black[hidden][:, :3].mean() < 10 < imfnb.decode(files[0])[hidden][:, :3].mean() - 50


@pytest.mark.parametrize("target", [{"quality": 50}, {"psnr": 40.0}, {"bpp": 8.0}])
def test_nothing_visible(target):
    image = picture(20, 25, 4)
    image[:, :, 3] = 0
    data = imfnb.encode(image, **target)
    assert (imfnb.decode(data)[:, :, 3] == 0).all() and len(data) < 90


@pytest.mark.parametrize("value", [True, "lossy", -1, 101, float("nan"), (50, 50)])
def test_wrong_qualities_of_alpha(value):
    with pytest.raises(OptionError, match=r"alpha_quality is .* expected a number from 0 to 100, or 'lossless'"):
        imfnb.encode(picture(9, 9, 4), alpha_quality=value)


@pytest.mark.parametrize("options", [{"alpha_quality": 50}, {"alpha_quality": "lossless"}, {"keep_hidden": True}])
def test_options_of_the_main_profile(options):
    with pytest.raises(OptionError, match=f"{next(iter(options))} belongs to profile='main'"):
        imfnb.encode(picture(9, 9, 4), profile="baseline", **options)
    with pytest.raises(OptionError, match="keep_hidden is 1; expected True or False"):
        imfnb.encode(picture(9, 9, 4), keep_hidden=1)
    imfnb.encode(picture(9, 9, 3), **options)  # of a picture without alpha they say nothing


@pytest.mark.kernels
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.sampled_from([1, 3]), seeds)
@settings(max_examples=examples(100))
def test_fill_keeps_what_is_known_and_stays_between_its_ends(height, width, share, channels, seed):
    rng = np.random.default_rng(seed)
    samples = rng.integers(0, 256, (height, width, 4)).astype(np.uint8)
    known = rng.random((height, width)) < share
    out, other = samples.copy(), samples.copy()
    reference.fill(out[:, :, :channels], known)
    cpu.fill(other[:, :, :channels], known)
    np.testing.assert_array_equal(other, out)
    np.testing.assert_array_equal(out[:, :, channels:], samples[:, :, channels:])
    np.testing.assert_array_equal(out[known], samples[known])
    if known.any():
        assert (out >= samples[known].min(axis=0))[:, :, :channels].all()
        assert (out <= samples[known].max(axis=0))[:, :, :channels].all()
        samples[~known] ^= 255
        cpu.fill(samples[:, :, :channels], known)
        np.testing.assert_array_equal(samples[:, :, :channels], out[:, :, :channels])
    else:
        assert (out[:, :, :channels] == reference.MIDDLE).all()
