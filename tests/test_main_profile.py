"""The main profile as a whole: round trips, options, targets, slices, previews, and what `info` says of its files."""

from __future__ import annotations

import math
import re
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import as_if_large, encode
from strategies import examples, images

import imfnb
from imfnb import OptionError
from imfnb.factorization import rdoq
from imfnb.layout import PatchGrid
from imfnb.metrics import psnr
from imfnb.profiles import candidates, decide, main, search, stacks, targets
from imfnb.restoration import cpu as restoration

SHAPES = [(1, 1), (1, 9), (8, 1), (7, 5), (9, 17)]


def same_everywhere(image: np.ndarray, **options) -> tuple[bytes, np.ndarray]:
    """Encode and decode on both backends, with threads; all bytes and pixels must be the same."""
    data = encode(image, device="cpu", threads=1, **options)
    assert encode(image, device="reference", threads=2, **options) == data
    pixels = imfnb.decode(data, device="cpu", threads=1)
    assert pixels.dtype == np.uint8 and pixels.shape == image.shape
    np.testing.assert_array_equal(imfnb.decode(data, device="reference", threads=3), pixels)
    return data, pixels


def photograph(name: str, side: int = 256) -> np.ndarray:
    """A crop of a picture that comes with scikit-image."""
    return np.ascontiguousarray(getattr(pytest.importorskip("skimage.data"), name)()[-side:, 100 : 100 + side])


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    """256 x 256 pixels of a colour photograph."""
    return photograph("astronaut")


# --------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip_of_shapes(shape, channels):
    image = picture(*shape, channels)
    _, pixels = same_everywhere(image, step=6)
    assert psnr(image, pixels) > 30


@pytest.mark.jit
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((2, 2), 3),
        ((2, 2), 4),
        ((8, 8), 1),
        ((8, 8), 4),
        ((16, 16), 0),
        ((16, 16), 3),
        ((17, 33), 0),
        ((17, 33), 3),
        ((48, 16), 1),
        ((48, 16), 4),
        pytest.param((70, 45), 3, marks=pytest.mark.slow),
        pytest.param((33, 64), 4, marks=pytest.mark.slow),
    ],
)
def test_round_trip_of_larger_shapes(shape, channels):
    image = picture(*shape, channels)
    _, pixels = same_everywhere(image, quality=60)
    assert psnr(image, pixels) > 25


@pytest.mark.jit
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("step", "patch_size", "subsampling"),
    [
        (1, 8, "4:4:4"),
        (1, 16, "4:2:0"),
        (1, "auto", None),
        (2.5, 16, None),
        (17, "auto", "4:2:0"),
        (60, 8, "4:2:0"),
        (60, 16, "4:4:4"),
        (256, "auto", "4:4:4"),
        (256, 16, "4:2:0"),
        (256, 8, None),
    ],
)
def test_round_trip_of_options(patch_size, subsampling, step):
    """Both ends of the steps with all patch sizes, and these with all subsamplings; others are drawn below."""
    image = picture(35, 26, 3) if step > 2 else picture(9, 17, 3)
    data, pixels = same_everywhere(image, step=step, subsampling=subsampling, patch_size=patch_size)
    details = imfnb.info(data)
    assert subsampling in (None, details["subsampling"])
    assert details["steps"][0] == step
    assert patch_size == "auto" or details["patch_sizes"] == (patch_size,) * 3
    assert psnr(image, pixels) > {1: 33, 2.5: 32, 17: 25, 60: 18, 256: 10}[step]


@pytest.mark.parametrize(
    "options", [{"patch_size": 16}, {"subsampling": "4:4:4", "step": 30}, {"subsampling": "4:2:0", "step": 2}, {}]
)
def test_round_trip_of_a_few_options(options):
    """Part of the test above that the lane without the JIT can afford."""
    image = picture(9, 18)
    _, pixels = same_everywhere(image, **options)
    assert psnr(image, pixels) > 20


@pytest.mark.thorough
@settings(max_examples=examples(30))
@given(images(), st.sampled_from(["auto", 8, 16]), st.sampled_from([None, "4:4:4", "4:2:0"]), st.floats(0, 100))
def test_round_trip_of_anything(image, patch_size, subsampling, quality):
    same_everywhere(image, quality=quality, patch_size=patch_size, subsampling=subsampling)


@pytest.mark.parametrize("value", [0, 1, 128, 255])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_flat_pictures_come_back_at_fine_steps(value, channels):
    image = np.full((9, 7, channels) if channels else (9, 7), value, np.uint8)
    data, pixels = same_everywhere(image, step=2, keep_hidden=True)
    assert np.abs(pixels.astype(int) - value).max() <= 1 and len(data) < 90


@pytest.mark.jit
@pytest.mark.thorough
@pytest.mark.parametrize("step", [1, 256])
@pytest.mark.parametrize("channels", [0, 3])
def test_extreme_pictures_at_both_ends_of_the_step(step, channels):
    """Black and white at random and in bars: the largest coefficients that pictures have."""
    rng = np.random.default_rng(step)
    noise = rng.choice(np.array([0, 255], np.uint8), (16, 16, channels) if channels else (16, 16))
    bars = np.zeros_like(noise)
    bars[:, ::2] = 255
    for image in (noise, bars):
        _, pixels = same_everywhere(image, step=step, subsampling="4:4:4" if channels else None)
        if step == 1:
            assert psnr(image, pixels) > 45


@pytest.mark.parametrize("channels", [0, 3, 4])
def test_memory_layout_does_not_matter(channels):
    image = picture(9, 7, channels)
    expected = encode(image, quality=40)
    frozen = image.copy()
    frozen.flags.writeable = False
    layouts = {
        "Fortran order": np.asfortranarray(image),
        "every second column": np.repeat(image, 2, axis=1)[:, ::2],
        "negative strides": image[::-1, ::-1].copy()[::-1, ::-1],
        "transposed": np.ascontiguousarray(image.swapaxes(0, 1)).swapaxes(0, 1),
        "read-only": frozen,
        "no array": memoryview(image),
    }
    for name, layout in layouts.items():
        assert encode(layout, quality=40) == expected, name
    np.testing.assert_array_equal(frozen, image)


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_out_in_every_layout(channels):
    image = picture(12, 9, channels)
    data = encode(image, quality=50)
    expected = imfnb.decode(data)
    wide = np.full((24, 27, *image.shape[2:]), 9, np.uint8)
    outs = [
        np.empty(image.shape, np.uint8),
        np.empty(image.shape, np.uint8, order="F"),
        wide[::2, ::3],
        np.empty(image.shape, np.uint8)[::-1, ::-1],
    ]
    for out in outs:
        assert imfnb.decode(data, out=out) is out
        np.testing.assert_array_equal(out, expected)
    assert (wide[1::2] == 9).all() and (wide[:, 1::3] == 9).all()  # nothing beside the view was written


def test_gray_with_and_without_a_channel_axis_is_the_same_picture():
    image = picture(13, 10, 0)
    np.testing.assert_array_equal(
        imfnb.decode(encode(image, quality=30)), imfnb.decode(encode(image[:, :, None], quality=30))[:, :, 0]
    )


@pytest.mark.jit
def test_calls_from_several_threads_do_not_meet():
    image = picture(37, 29)
    expected = encode(image, quality=50, threads=1)
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda threads: encode(image, quality=50, threads=threads), [1, 2, 3, 4] * 3))
        pixels = list(pool.map(imfnb.decode, files))
    assert set(files) == {expected}
    assert all(np.array_equal(one, pixels[0]) for one in pixels)


# --------------------------------------------------------------------------------------------------------------- alpha


@pytest.mark.parametrize("count", [1, 2, 15, 16])
def test_alpha_of_few_values_is_exact(count):
    image = picture(7, 19, 4)
    values = np.random.default_rng(count).choice(256, count, replace=False)
    image[:, :, 3] = values[np.arange(7 * 19).reshape(7, 19) // 3 % count]
    data, pixels = same_everywhere(image, step=120)
    np.testing.assert_array_equal(pixels[:, :, 3], image[:, :, 3])
    assert len(imfnb.info(data)["steps"]) == 3


def test_alpha_of_many_values_is_coded_like_luma():
    image = picture(24, 25, 4)
    assert len(np.unique(image[:, :, 3])) > 16
    quality = []
    for asked, step in ((40, 2 ** (8 - 0.07 * 40)), (80, 2 ** (8 - 0.07 * 80))):
        data, pixels = same_everywhere(image, step=20, alpha_quality=asked)
        details = imfnb.info(data)
        assert details["alpha"] == "lossy" and len(details["patch_sizes"]) == 4
        assert details["steps"][3] == pytest.approx(step, rel=0.01)
        quality.append(psnr(image[:, :, 3], pixels[:, :, 3]))
    assert 44 > quality[1] > quality[0] > 20


def test_colour_does_not_depend_on_alpha():
    image = picture(14, 19, 4)
    pixels = imfnb.decode(encode(image, quality=40))
    np.testing.assert_array_equal(pixels[:, :, :3], imfnb.decode(encode(image[:, :, :3], quality=40)))


# ------------------------------------------------------------------------------------------------------- quality, step


def test_default_is_quality_50_of_this_profile():
    image = picture(20, 23)
    assert imfnb.encode(image) == encode(image, quality=50, tune="visual")


@pytest.mark.parametrize("quality", [0, 12.5, 50, 85, 100])
def test_quality_is_a_step(quality):
    step = 2 ** (8 - 0.07 * quality)
    details = imfnb.info(encode(picture(11, 13), quality=quality))
    assert details["steps"][0] == pytest.approx(step, abs=1 / 128)
    full = details["subsampling"] == "4:4:4"
    assert full or step >= 4
    chroma = max(1, step * (0.95 if full else 0.55))
    assert details["steps"][1] == details["steps"][2] == pytest.approx(chroma, abs=0.02)


@pytest.mark.jit
@pytest.mark.parametrize("name", ["astronaut", "camera", "page"])
def test_quality_is_monotone(name):
    image = photograph(name, 128)
    sizes, decibels = [], []
    for quality in range(0, 101, 10):
        data = encode(image, quality=quality)
        sizes.append(len(data))
        decibels.append(psnr(image, imfnb.decode(data)))
    assert (np.diff(sizes) > 0).all() and (np.diff(decibels) > 0).all()
    assert 8 * sizes[0] / 128**2 < 0.1 and decibels[-1] > 46


@pytest.mark.jit
@pytest.mark.parametrize(("quality", "least"), [(90, 38), (50, 30), (10, 22)])
def test_quality_of_a_photograph(crop, quality, least):
    """What measured 42.9, 34.0 and 26.1 dB when this was written."""
    assert psnr(crop, imfnb.decode(encode(crop, quality=quality))) > least


@pytest.mark.jit
def test_half_the_bytes_of_the_other_profile(crop):
    """The promise of the profile, with room to spare: at the baseline's quality less than 60% of its bytes."""
    baseline = imfnb.encode(crop, profile="baseline", rank=4)
    data = encode(crop, psnr=psnr(crop, imfnb.decode(baseline)))
    assert len(data) < 0.6 * len(baseline)


@pytest.mark.jit
def test_restoration_is_used_where_it_helps(crop, monkeypatch):
    on = encode(crop, step=60)
    assert imfnb.info(on)["restoration"][0]

    def leave(planes, step, filters, limits, out, which, scratch=None):
        out[...] = planes

    monkeypatch.setattr(restoration, "restore", leave)
    off = encode(crop, step=60)
    assert imfnb.info(off)["restoration"] == (False,) * 3
    monkeypatch.undo()
    assert psnr(crop, imfnb.decode(on)) > psnr(crop, imfnb.decode(off)) + 0.05


@pytest.mark.jit
@pytest.mark.parametrize("period", [16, 64, 256])
@pytest.mark.parametrize(("height", "width"), [(15, 40), (64, 64), (203, 31), (256, 9), (391, 24)])
def test_a_part_of_the_rows_decides_on_restoration_as_in_the_whole_plane(height, width, period, monkeypatch):
    """A plain encode decodes sampled rows only, a search for a PSNR all, one for a rate samples what it kept."""
    monkeypatch.setattr(decide, "SAMPLED_PERIOD", period)
    seen = []
    once = decide.restoration_pays
    monkeypatch.setattr(decide, "restoration_pays", lambda *pair: seen.append(pair) or once(*pair))
    image = picture(height, width, 3)
    plain = main.encode_image

    def as_search(image, frame, options, run):
        drive = run.drive
        analysis = drive(stacks.analyse([image], frame, run))
        choices = main.first_choices(options, True, decide.step_for(*options.target))
        found = drive(candidates.try_choices(analysis, choices))
        if decodes:
            found, _ = drive(candidates.with_pixels(analysis, found))
        found = drive(candidates.with_bytes(analysis, drive(candidates.with_restoration(analysis, found))))
        return main.to_file(candidates.to_coded(found), frame)

    errors, files = [], []
    for decodes in (None, False, True):
        monkeypatch.setattr(main, "encode_image", plain if decodes is None else as_search)
        seen.clear()
        files.append(encode(image, step=24, subsampling="4:2:0", threads=1))
        errors.append(sorted(seen))
    assert files[0] == files[1] == files[2]
    assert errors[0] == errors[1] == errors[2] != []


def test_auto_takes_the_better_patch_size():
    """Long patches on what is smooth, short ones on text."""
    y, x = np.mgrid[:128, :128]
    smooth = np.rint(128 + 90 * np.sin(x / 40) * np.cos(y / 50)).astype(np.uint8)
    assert imfnb.info(encode(smooth, step=60))["patch_sizes"] == (16,)
    assert imfnb.info(encode(photograph("page", 128), step=40))["patch_sizes"] == (8,)


# ------------------------------------------------------------------------------------------------------------- targets

PICTURES = ["astronaut", "camera", "text", "page"]


@pytest.mark.jit
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("bpp", [0.25, 0.6, 1.5, 4.0])
def test_rate_targets(name, bpp):
    image = photograph(name)
    pixels = image.shape[0] * image.shape[1]
    data = encode(image, bpp=bpp)
    assert 0.97 * bpp <= 8 * len(data) / pixels <= bpp
    size = int(bpp * pixels / 8 * 0.93)
    assert 0.97 * size <= len(encode(image, size=size)) <= size


@pytest.mark.jit
@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("decibels", [27.0, 33.3, 40.0, 45.0])
def test_psnr_targets(name, decibels):
    image = photograph(name)
    found = psnr(image, imfnb.decode(encode(image, psnr=decibels)))
    assert decibels <= found <= decibels + 0.15


@pytest.mark.jit
@pytest.mark.parametrize("channels", [0, 3, 4])
@pytest.mark.parametrize("shape", [(1, 1), (9, 5), (40, 33)])
def test_targets_of_small_pictures_are_kept(shape, channels):
    """A few bytes more or less are a large share here; the limit holds all the same."""
    image = picture(*shape, channels)
    image |= np.uint8(1)  # all is visible
    shown = (..., slice(3)) if channels == 4 else ...  # and a PSNR is that of colours
    least, most = (len(encode(image, step=step)) for step in (256, 1))
    for share in (0.0, 0.4, 1.0):
        size = int(max(least, least + share * (most - least)))
        assert len(encode(image, size=size)) <= size
    reach = psnr(image[shown], imfnb.decode(encode(image, step=1))[shown])
    for decibels in (20.0, 30.0, min(reach, 190.0)):
        if decibels <= reach:
            assert psnr(image[shown], imfnb.decode(encode(image, psnr=decibels))[shown]) >= decibels


@pytest.mark.jit
def test_targets_do_not_depend_on_the_backend():
    image = picture(17, 20)
    for target in ({"size": 300}, {"psnr": 31.0}):
        assert encode(image, device="cpu", **target) == encode(image, device="reference", threads=3, **target)


def test_targets_of_a_tiny_picture():
    """Part of the tests around it that the lane without the JIT can afford."""
    image = picture(9, 7, 0)
    least, most = (encode(image, step=step) for step in (256, 1))
    size = (len(least) + len(most)) // 2
    assert len(least) <= len(encode(image, size=size)) <= size
    reach = psnr(image, imfnb.decode(most))
    assert 30 <= psnr(image, imfnb.decode(encode(image, psnr=30.0))) < reach
    with pytest.raises(OptionError, match=r"psnr=99 cannot be met.*at most"):
        encode(image, psnr=99.0)
    with pytest.raises(OptionError, match=r"bpp=0.1 cannot be met.*at least"):
        encode(image, bpp=0.1)


@pytest.mark.jit
def test_target_counts_lossless_alpha():
    image = picture(15, 20, 4)
    image[:, :, 3] = np.where(image[:, :, 3] > 128, 255, 0)
    shown, data = image[:, :, 3] > 0, encode(image, psnr=34.0)
    assert psnr(image[shown][:, :3], imfnb.decode(data)[shown][:, :3]) >= 34.0
    size = len(encode(image, step=30))
    assert len(encode(image, size=size)) <= size


def test_picture_that_comes_back_exactly_reaches_every_psnr():
    image = np.full((9, 9), 128, np.uint8)
    assert math.isinf(psnr(image, imfnb.decode(encode(image, psnr=150.0))))


@pytest.mark.jit
@pytest.mark.parametrize(
    ("target", "found"),
    [
        ({"size": 20}, r"at least (\d+) bytes \("),
        ({"bpp": 0.001}, r"at least (\d+) bytes \("),
        ({"psnr": 90.0}, r"at most ([0-9.]+) dB"),
    ],
)
def test_unreachable_target_says_what_can_be_met(target, found):
    image = picture(17, 14)
    name = next(iter(target))
    reach = psnr(image, imfnb.decode(encode(image, step=1))) if name == "psnr" else len(encode(image, step=256))
    with pytest.raises(OptionError, match=f"{name}=.* cannot be met.*{found}") as error:
        encode(image, **target)
    assert float(re.search(found, str(error.value))[1]) == pytest.approx(reach, abs=0.005)


#: What a search may try, and what that costs in units of `targets._LAMBDA_COST`.
KINDS = {"step": 3, "lambda_scale": 1, "splice": 1}


def cost_of(trials: list[str]) -> int:
    """What trials cost."""
    return sum(KINDS[kind] for kind in trials)


def count_trials(monkeypatch) -> list[str]:
    """The kinds of trials that a search makes, as it goes."""
    trials: list[str] = []

    def counted(kind):
        once = getattr(search._Trials, kind)
        return lambda *args: trials.append(kind) or once(*args)

    for kind in KINDS:
        monkeypatch.setattr(search._Trials, kind, counted(kind))
    return trials


@pytest.mark.jit
@pytest.mark.parametrize("target", [{"bpp": 0.3}, {"bpp": 0.5}, {"bpp": 3}, {"psnr": 30}, {"psnr": 36}, {"psnr": 44}])
def test_a_search_costs_at_most_four_encodings(crop, target, monkeypatch):
    trials = count_trials(monkeypatch)
    encode(crop, **target)
    assert trials.count("step") <= 4 and len(trials) <= 5


@pytest.mark.jit
@pytest.mark.parametrize("channels", [0, 3])
def test_a_search_on_a_cliff(channels, monkeypatch):
    """Between two steps 10% apart noise goes from all to nothing."""
    image = np.random.default_rng(1).integers(0, 256, (96, 80, channels)[: 2 + bool(channels)], np.uint8)
    trials = count_trials(monkeypatch)
    data = encode(image, bpp=0.5)
    assert 0.97 * 0.5 <= 8 * len(data) / 7680 <= 0.5
    assert trials.count("step") <= 4 and len(trials) <= 8


@pytest.mark.jit
def test_searches_on_a_staircase(monkeypatch):
    """All patches of a checkerboard are alike: by the step or lambda all lose a coefficient at the same time."""
    image = np.uint8(255 * (np.indices((64, 64)) // 8).sum(axis=0) % 510)
    monkeypatch.setattr(search, "FLAT_TONES", 0)
    monkeypatch.setattr(search, "ERRATIC_PSNR", math.inf)
    trials = count_trials(monkeypatch)
    above = []
    for decibels in (26, 28, 30, 32, 35, 38, 42):
        trials.clear()
        above.append(psnr(image, imfnb.decode(encode(image, psnr=decibels))) - decibels)
        assert cost_of(trials) <= 2 * targets._BUDGET
    assert min(above) >= 0 and sorted(above)[-3] <= 0.15 and max(above) < 0.6


@pytest.mark.jit
def test_only_small_pictures_have_an_allowance(monkeypatch):
    """A checkerboard for whose target the search would go on."""
    image = np.uint8(255 * (np.indices((256, 256)) // 8).sum(axis=0) % 510)
    trials, costs = count_trials(monkeypatch), []
    for small in (targets._SMALL, 0):
        monkeypatch.setattr(targets, "_SMALL", small)
        trials.clear()
        assert psnr(image, imfnb.decode(encode(image, psnr=31))) >= 31
        costs.append(cost_of(trials))
    assert costs[0] > targets._BUDGET >= costs[1]


class Cliff:
    """Two neighbouring steps with nothing in between but lambda: bytes that fall with it and with the step."""

    def step(self, step):
        return (step, rdoq.LAMBDA_ONE), 4000.0 if step <= 100 else 2000.0

    def lambda_scale(self, attempt, scale):
        return (attempt[0], scale), 4000.0 * (rdoq.LAMBDA_ONE / scale) ** 0.3

    def splice(self, one, other, share):
        raise AssertionError("lambda is smooth")

    def predict(self, step):
        return [math.log2(3000) + 0.01 * (100.5 - step)]


def test_lambda_comes_between_neighbouring_steps():
    step, scale = targets.search_step(Cliff(), 100, 101, 10**7, "size", 3000)
    assert step == 100 and 2910 <= 4000 * (rdoq.LAMBDA_ONE / scale) ** 0.3 <= 3000


def test_psnr_of_a_picture_whose_planes_are_halved(monkeypatch):
    """Large planes are kept in 16 bits, those of the test for full chroma too."""
    as_if_large(monkeypatch, slices=512)
    image = picture(40, 48, 3)
    for device in ("cpu", "reference"):
        assert psnr(image, imfnb.decode(encode(image, psnr=30, device=device))) >= 30


@pytest.mark.jit
def test_a_target_that_every_step_meets_takes_the_smallest_file():
    """A ramp keeps 30 dB at the largest step, where nothing is left to be saved."""
    image = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    assert len(encode(image, psnr=20)) == len(encode(image, step=256))


@pytest.mark.jit
def test_psnr_beyond_subsampled_chroma():
    """Coloured noise reaches 30 dB with chroma of full size only, and then well below the finest step."""
    image = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode(image, psnr=30)
    assert imfnb.info(data)["subsampling"] == "4:4:4"
    assert 30 <= psnr(image, imfnb.decode(data)) <= 30.15


# --------------------------------------------------------------------------------------------------- options that clash


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 3}, "rank belongs to profile='baseline'; give quality, bpp, size, psnr or step"),
        ({"color_space": "YCbCr"}, "color_space belongs to profile='baseline'"),
        ({"bounds": (-16, 15)}, "bounds belongs to profile='baseline'"),
        ({"iterations": 10}, "iterations belongs to profile='baseline'"),
        ({"patch_size": 4}, "patch_size is 4; expected 'auto', 8 or 16"),
        ({"patch_size": 32}, "patch_size is 32; expected 'auto', 8 or 16"),
        ({"patch_size": None}, "patch_size is None; expected 'auto', 8 or 16"),
        ({"patch_size": True}, "patch_size is True; expected 'auto', 8 or 16"),
        ({"subsampling": "4:2:2"}, "subsampling is '4:2:2'; expected '4:2:0' or '4:4:4'"),
        ({"quality": (50, 40, 30)}, r"quality is \(50, 40, 30\); expected a number from 0 to 100"),
        ({"quality": 101}, "quality is 101; expected a number from 0 to 100"),
        ({"step": 0.5}, "step is 0.5; expected a number of gray levels from 1.0 to 256.0"),
        ({"step": 257}, "step is 257; expected a number of gray levels"),
        ({"step": math.nan}, "step is nan; expected"),
        ({"step": True}, "step is True; expected"),
        ({"step": (20, 10, 10)}, r"step is \(20, 10, 10\); expected"),
        ({"step": 20, "quality": 50}, "quality and step are given; expected at most one"),
    ],
)
def test_options_of_encode(options, message):
    with pytest.raises(OptionError, match=message):
        encode(np.zeros((9, 7, 3), np.uint8), **options)


@pytest.mark.parametrize("step", [1, 1.0, np.float32(256), np.int64(7)])
def test_numbers_of_any_kind(step):
    assert imfnb.info(encode(picture(9, 7), step=step))["steps"][0] == float(step)


# ------------------------------------------------------------------------------------------------------------ previews


@pytest.mark.parametrize("channels", [0, *(pytest.param(c, marks=pytest.mark.jit) for c in (3, 4))])
def test_preview_gets_better_with_the_rank(channels):
    image = picture(24, 18, channels)
    data = encode(image, step=12)
    whole = imfnb.decode(data)
    quality = []
    for rank in (1, 3, 8, 256):
        preview = imfnb.decode(data, max_rank=rank, device="cpu")
        np.testing.assert_array_equal(imfnb.decode(data, max_rank=rank, device="reference"), preview)
        quality.append(psnr(image, preview))
    assert (np.diff(quality) > 0).all()
    np.testing.assert_array_equal(preview, whole)


@pytest.mark.jit
def test_preview_of_a_photograph_rises_with_every_few_components(crop):
    data = encode(crop, quality=60)
    quality = [psnr(crop, imfnb.decode(data, max_rank=rank)) for rank in (1, 2, 4, 8, 16, 32, 64, 256)]
    assert (np.diff(quality) >= 0).all() and (np.diff(quality[:6]) > 0.1).all()


@pytest.mark.parametrize("rank", [0, -1, True, 2.0, "3"])
def test_rank_of_a_preview_is_checked(rank):
    with pytest.raises(OptionError, match=r"max_rank is .*expected a positive integer"):
        imfnb.decode(encode(picture(9, 7), step=20), max_rank=rank)


# ---------------------------------------------------------------------------------------------------------------- info


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_info(channels):
    image = picture(15, 20, channels)
    data = encode(image, step=12, alpha_quality=30, subsampling="4:2:0" if channels >= 3 else None)
    details = imfnb.info(data, components=True)
    names = ["gray"] if channels < 3 else ["Y", "Cb", "Cr", "alpha"][:channels]
    assert details["profile"] == "main" and details["shape"] == image.shape
    assert details["color_space"] == ("gray" if channels < 3 else "YCbCr")
    assert details["subsampling"] == ("4:4:4" if channels < 3 else "4:2:0")
    assert details["size"] == len(data) and details["bpp"] == pytest.approx(8 * len(data) / 300)
    assert list(details["segments"]) == names + ["alpha classes"] * (channels == 4)
    assert list(details["components"]) == names
    assert details["alpha"] == ("lossy" if channels == 4 else None)
    assert 0 < len(data) - sum(details["segments"].values()) < 64  # the rest is the header
    for name in names:
        parts = details["components"][name]
        assert min(parts) >= 0 and parts[0] > 0
        assert 0 <= details["segments"][name] - sum(parts) <= 4
    chroma = round(0.55 * 12 * 64) / 64
    assert details["steps"] == (12.0, chroma, chroma, round(2 ** (8 - 0.07 * 30) * 64) / 64)[: len(names)]
    assert len(details["patch_sizes"]) == len(details["restoration"]) == len(details["ranks"]) == len(names)
    for rank, name, size in zip(details["ranks"], names, details["patch_sizes"], strict=True):
        assert 1 <= rank <= size * size and len(details["components"][name]) <= rank + 1
    assert set(details["patch_sizes"]) <= {8, 16} and {type(r) for r in details["restoration"]} == {bool}


def test_info_of_lossless_alpha():
    image = picture(9, 11, 4)
    image[:, :, 3] = 255
    details = imfnb.info(encode(image, quality=40), components=True)
    assert list(details["segments"]) == list(details["components"]) == ["Y", "Cb", "Cr"]
    assert details["alpha"] == "constant"
    image[2:4, 5, 3] = 0
    details = imfnb.info(encode(image, quality=40), components=True)
    assert list(details["segments"]) == ["Y", "Cb", "Cr", "alpha"] and list(details["components"]) == ["Y", "Cb", "Cr"]
    assert details["alpha"] == "lossless" and 0 < details["segments"]["alpha"] < 20


def test_threads_do_not_trip_over_filtered_planes(monkeypatch):
    """They share what is kept of an analysis; each waits here before and after it has looked or written there."""

    class Slow(dict):
        def __contains__(self, key):
            time.sleep(0.02)
            return super().__contains__(key)

        def __setitem__(self, key, value):
            time.sleep(0.02)
            super().__setitem__(key, value)

    class SlowAnalysis(stacks.Analysis):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self._filtered, self._planes = Slow(), Slow()

    image = picture(24, 32, 4)
    expected = encode(image, quality=40, threads=1)
    monkeypatch.setattr(stacks, "Analysis", SlowAnalysis)
    assert encode(image, quality=40, threads=4) == expected


def test_info_reads_well():
    text = str(imfnb.info(encode(picture(9, 11), quality=40), components=True))
    for part in ("profile: main", "steps: (", "patch_sizes: (", "segments.Cb: ", "components.Y: [", "bpp: "):
        assert part in text


def test_components_tell_where_the_bytes_are():
    """A cosine along the columns is one component: it has the bytes, and the ones beyond it none."""
    x = np.arange(64)
    signs = np.sign(np.sin(np.arange(32) // 8))[:, None]
    flat = np.full((32, 64), 128.0) + 60 * np.cos(np.pi * 3 * (2 * x + 1) / 16) * signs
    details = imfnb.info(encode(np.rint(flat).astype(np.uint8), step=30, patch_size=8), components=True)
    parts = details["components"]["gray"]
    assert len(parts) < 64 and sum(parts[2:]) > 0


# -------------------------------------------------------------------------------------------------------------- slices


@pytest.fixture
def short_slices(monkeypatch):
    """Planes above 512 samples are cut into slices."""
    as_if_large(monkeypatch, slices=512)


def test_large_planes_are_one_slice_up_to_four_megapixels():
    assert len(PatchGrid((2048, 2048), 8).slices) == 1
    assert len(PatchGrid((2056, 2048), 8).slices) == 2
    assert len(PatchGrid((10_000, 10_000), 16).slices) > 20


@pytest.mark.parametrize("channels", [0, *(pytest.param(c, marks=pytest.mark.jit) for c in (3, 4))])
def test_picture_of_several_slices(short_slices, channels):
    image = picture(40, 30, channels)
    data, pixels = same_everywhere(image, step=12)
    assert psnr(image, pixels) > 28
    details = imfnb.info(data, components=True)
    assert sum(details["segments"].values()) < len(data)
    for name, parts in details["components"].items():
        assert 0 <= details["segments"][name] - sum(parts) <= 20


@pytest.mark.jit
@pytest.mark.slow
def test_slices_cost_little_and_threads_do_not_matter(crop, monkeypatch):
    whole = encode(crop, step=20)
    as_if_large(monkeypatch, slices=1 << 13)
    slices = [encode(crop, step=20, threads=threads) for threads in (1, 2, 3)]
    assert slices[0] == slices[1] == slices[2] != whole
    assert len(whole) < len(slices[0]) < 1.25 * len(whole)
    decoded = [imfnb.decode(slices[0], threads=threads) for threads in (1, 2, 3)]
    assert all(np.array_equal(decoded[0], other) for other in decoded)
    assert abs(psnr(crop, decoded[0]) - psnr(crop, imfnb.decode(slices[0], device="reference"))) == 0
    monkeypatch.undo()
    assert abs(psnr(crop, decoded[0]) - psnr(crop, imfnb.decode(whole))) < 0.1


def test_slices_of_another_size_do_not_fit(short_slices, monkeypatch):
    data = encode(picture(40, 30, 0), step=60)
    monkeypatch.undo()
    with pytest.raises(imfnb.FormatError, match="segments; expected 1"):
        imfnb.decode(data)
