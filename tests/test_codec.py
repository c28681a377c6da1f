"""Whole codec: round trips over everything that callers may pass, targets, `out=`, and what `info` says."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from helpers import encode, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import examples, images

import imfnb
from imfnb.factorization.bcd import bands
from imfnb.metrics import psnr
from imfnb.profiles import baseline

SHAPES = [(1, 1), (1, 9), (8, 1), (2, 2), (7, 5), (8, 8), (9, 17), (70, 45)]


def same_everywhere(image: np.ndarray, **options) -> tuple[bytes, np.ndarray]:
    """Encode and decode on both backends, with threads; all bytes and pixels must be the same."""
    data = encode(image, device="cpu", threads=1, **options)
    assert encode(image, device="reference", **options) == data
    assert encode(image, device="auto", threads=3, **options) == data
    pixels = imfnb.decode(data, device="cpu", threads=1)
    assert pixels.dtype == np.uint8 and pixels.shape == image.shape
    np.testing.assert_array_equal(imfnb.decode(data, device="reference"), pixels)
    np.testing.assert_array_equal(imfnb.decode(data, threads=3), pixels)
    return data, pixels


# ------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip_of_shapes(shape, channels):
    image = picture(*shape, channels)
    _, pixels = same_everywhere(image, rank=3, iterations=3)
    assert psnr(image, pixels) > 14


@pytest.mark.jit
@pytest.mark.parametrize("channels", [0, 3, 4])
@pytest.mark.parametrize("patch_size", [4, 8, 16, 32, None])
@pytest.mark.parametrize("color", [("YCbCr", "4:2:0"), ("YCbCr", "4:4:4"), ("RGB", None), ("RGB", "4:4:4")])
def test_round_trip_of_options(color, patch_size, channels):
    image = picture(41, 26, channels)
    _, pixels = same_everywhere(
        image, quality=40, color_space=color[0], subsampling=color[1], patch_size=patch_size, iterations=3
    )
    assert psnr(image, pixels) > 20


@pytest.mark.parametrize("options", [{}, {"color_space": "RGB"}, {"patch_size": 4}, {"subsampling": "4:4:4"}])
def test_round_trip_of_a_few_options(options, photo):
    """Part of the test above that the lane without the JIT can afford."""
    _, pixels = same_everywhere(photo, rank=4, iterations=2, **options)
    assert psnr(photo, pixels) > 22


@settings(max_examples=examples(40))
@given(
    images(),
    st.sampled_from([4, 8, None]),
    st.sampled_from([None, "4:4:4", "4:2:0"]),
    st.sampled_from([(-16, 15), (0, 31), (-128, 127), (-1000, 1000), (2, 9)]),
    st.integers(0, 100),
    st.integers(1, 3),
)
def test_round_trip_of_anything(image, patch_size, subsampling, limits, quality, iterations):
    same_everywhere(
        image, quality=quality, patch_size=patch_size, subsampling=subsampling, bounds=limits, iterations=iterations
    )


def test_full_quality_of_a_small_image_is_nearly_lossless():
    image = picture(16, 16, 0)
    data = encode(image, quality=100, patch_size=None, bounds=(-1000, 1000))
    assert psnr(image, imfnb.decode(data)) > 40


@pytest.mark.parametrize("value", [0, 1, 128, 255])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_constant_image_comes_back_within_one_level(value, channels):
    """One column of U = 1 .. 15 and V = 1 .. 15 reaches any level to within the clamped rounding of its factors."""
    image = np.full((17, 9, channels) if channels else (17, 9), value, np.uint8)
    _, pixels = same_everywhere(image, rank=2)
    assert np.abs(pixels.astype(int) - value).max() <= 2


def test_more_rank_means_more_bytes_and_more_quality(photo):
    files = [encode(photo, rank=rank) for rank in (1, 4, 12)]
    quality = [psnr(photo, imfnb.decode(data)) for data in files]
    assert sorted(map(len, files)) == [len(data) for data in files] and sorted(quality) == quality
    assert quality[-1] - quality[0] > 3


@pytest.mark.parametrize("channels", [0, 3, 4])
def test_memory_layout_does_not_matter(channels):
    image = picture(18, 13, channels)
    expected = encode(image, rank=2)
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
        assert encode(layout, rank=2) == expected, name


def test_input_is_not_changed(photo):
    copy = photo.copy()
    encode(photo, rank=2)
    np.testing.assert_array_equal(photo, copy)


def test_any_bytes_like_object_decodes(small_file):
    expected = imfnb.decode(small_file)
    writeable = np.frombuffer(small_file, np.uint8).copy()
    for data in (bytearray(small_file), memoryview(small_file), memoryview(bytearray(small_file)), writeable):
        np.testing.assert_array_equal(imfnb.decode(data), expected)
        assert imfnb.info(data) == imfnb.info(small_file)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint64, lambda value: np.array(value)])
def test_numbers_may_be_of_numpy(photo, kind):
    """Any integer of NumPy stands for the Python integer that it is."""
    options = {"rank": 3, "patch_size": 16, "iterations": 2}
    data = encode(photo, bounds=(-5, 15), threads=1, **options)
    threads = np.uint8(2)
    assert encode(photo, bounds=(np.int8(-5), np.int64(15)), threads=threads, **dict_of(kind, options)) == data
    np.testing.assert_array_equal(imfnb.decode(data, max_rank=kind(2), threads=threads), imfnb.decode(data, max_rank=2))
    assert encode(photo, rank=tuple(map(kind, (3, 2, 1)))) == encode(photo, rank=(3, 2, 1))
    assert imfnb.encode(photo, step=kind(30), patch_size=kind(8)) == imfnb.encode(photo, step=30, patch_size=8)
    for integer in (np.int64(100), np.uint16(100)):
        for function in (imfnb.decode, imfnb.info):
            with pytest.raises(imfnb.LimitError, match="max_pixels=100"):
                function(data, max_pixels=integer)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.longdouble, lambda value: np.array(value)])
def test_numbers_may_be_floats_of_numpy(photo, kind):
    assert imfnb.encode(photo, quality=kind(40.5)) == imfnb.encode(photo, quality=40.5)
    assert encode(photo, quality=(kind(40.5), 20, kind(10.0))) == encode(photo, quality=(40.5, 20, 10))


def dict_of(kind, options: dict[str, int]) -> dict[str, object]:
    return {name: kind(value) for name, value in options.items()}


@pytest.mark.parametrize("value", [True, np.True_, np.array(True), 2.0, np.float64(2), 0, np.int8(-1), "2", [2]])
def test_numbers_that_are_none(small_file, value):
    for name in ("max_rank", "max_pixels"):
        with pytest.raises(imfnb.OptionError, match=f"{name} is .*expected a positive integer"):
            imfnb.decode(small_file, **{name: value})


def test_limits_may_be_as_large_as_integers_are(small_file):
    pixels = imfnb.decode(small_file, max_pixels=10**30, max_rank=10**30)
    np.testing.assert_array_equal(pixels, imfnb.decode(small_file))


def test_large_images_share_the_threads_by_bands(monkeypatch, photo):
    """Above two megapixels the planes are done one after the other, each in bands: same bytes."""
    expected = encode(photo, rank=2, threads=2)
    monkeypatch.setattr(baseline, "_LARGE", 100)
    monkeypatch.setattr(bands, "BAND", 1)
    assert encode(photo, rank=2, threads=3) == expected


def test_calls_from_several_threads_do_not_meet(photo):
    """Each with threads of its own; neither the bytes nor the process suffer."""
    expected = encode(photo, rank=2, iterations=2)
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(lambda threads: encode(photo, rank=2, iterations=2, threads=threads), [1, 2, 3, 4] * 3))
        pixels = list(pool.map(imfnb.decode, files))
    assert set(files) == {expected}
    assert all(np.array_equal(image, pixels[0]) for image in pixels)


# ---------------------------------------------------------------------------------------------------------------- out


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
def test_out_in_every_layout(channels):
    image = picture(12, 9, channels)
    data = encode(image, rank=1)
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


def test_result_is_writeable_and_owned(small_file):
    one, two = imfnb.decode(small_file), imfnb.decode(small_file)
    one[:] = 0
    assert two.any()


# ------------------------------------------------------------------------------------------------------ rank, quality


@pytest.mark.parametrize("quality", [0, 1, 3, 12.5, 33, 50, 100])
def test_quality_is_the_rank_in_percent(quality):
    """R = max(1, round(min(M, N) q / 100)), chroma at q / 2; halves to even."""
    image = picture(26, 19)  # at p = 4: 7 x 5 patches of 16 samples; chroma 4 x 3 patches
    expected = tuple(
        max(1, round(Fraction(size) * Fraction(quality) * weight / 100))
        for size, weight in [(16, 1), (12, Fraction(1, 2)), (12, Fraction(1, 2))]
    )
    data = encode(image, quality=quality, patch_size=4, iterations=1)
    assert imfnb.info(data)["ranks"] == expected


def test_quality_of_alpha_is_that_of_luma():
    data = encode(picture(26, 19, 4), quality=50, patch_size=4, iterations=1)
    assert imfnb.info(data)["ranks"] == (8, 3, 3, 8)


def test_quality_without_chroma_is_not_halved():
    data = encode(picture(26, 19), quality=50, patch_size=None, color_space="RGB", iterations=1)
    assert imfnb.info(data)["ranks"] == (10, 10, 10)  # half of 19, to even


@pytest.mark.parametrize(
    ("channels", "options", "expected"),
    [
        (3, {"rank": 5}, (5, 2, 2)),
        (3, {"rank": 1}, (1, 1, 1)),
        (3, {"rank": (5, 3, 4)}, (5, 3, 4)),
        (3, {"rank": [5, 3, 4]}, (5, 3, 4)),
        (3, {"rank": np.int16(4)}, (4, 2, 2)),
        (3, {"rank": 10**6}, (16, 12, 12)),
        (4, {"rank": (5, 3, 4)}, (5, 3, 4, 5)),
        (4, {"rank": (5, 3, 4, 2)}, (5, 3, 4, 2)),
        (0, {"rank": 7}, (7,)),
        (0, {"rank": (7,)}, (7,)),
        (3, {"rank": 7, "color_space": "RGB"}, (7,)),
        (3, {"quality": (50, 50, 25)}, (8, 6, 3)),
        (3, {"quality": [50, 50, 25]}, (8, 6, 3)),
        (4, {"quality": (100, 0, 25)}, (16, 1, 3, 16)),
        (1, {"quality": (25,)}, (4,)),
    ],
)
def test_rank_and_quality_per_plane(channels, options, expected):
    assert imfnb.info(encode(picture(26, 19, channels), patch_size=4, iterations=1, **options))["ranks"] == expected


def test_default_is_quality_50(photo):
    assert encode(photo, iterations=1) == encode(photo, quality=50, iterations=1)


def test_defaults_are_those_of_the_paper(photo):
    spelled = encode(
        photo, rank=2, color_space="YCbCr", subsampling="4:2:0", patch_size=8, bounds=(-16, 15), iterations=10
    )
    assert encode(photo, rank=2) == spelled


def test_iterations_are_counted(photo):
    """Each of the first sweeps still changes something, for the better."""
    gray = photo[:, :, 0]
    quality = [psnr(gray, imfnb.decode(encode(gray, rank=6, iterations=k))) for k in (1, 2, 4)]
    assert quality == sorted(quality) and len(set(quality)) == 3


# ------------------------------------------------------------------------------------------------------------ targets


def ladder(image: np.ndarray, **options) -> list[bytes]:
    """The files of all levels of the rank staircase."""
    levels = max(imfnb.info(encode(image, quality=100, **options))["ranks"])
    return [encode(image, quality=100 * level / levels, **options) for level in range(1, levels + 1)]


@pytest.fixture(scope="module")
def steps(photo):
    return ladder(photo, patch_size=4, iterations=2)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0, 3.0])
@pytest.mark.parametrize("kind", ["size", "bpp"])
def test_rate_targets_take_the_last_level_below(photo, steps, kind, share):
    pixels = photo.shape[0] * photo.shape[1]
    size = int(len(steps[0]) + share * (len(steps[-1]) - len(steps[0])))
    target = {"size": size} if kind == "size" else {"bpp": (8 * size + 0.5) / pixels}
    data = encode(photo, patch_size=4, iterations=2, **target)
    assert len(data) <= size
    level = steps.index(data)
    assert level + 1 == len(steps) or len(steps[level + 1]) > size


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_psnr_target_takes_the_first_level_that_reaches_it(photo, steps, share):
    reached = [psnr(photo, imfnb.decode(data)) for data in steps]
    target = reached[0] + share * (reached[-1] - reached[0])
    data = encode(photo, psnr=target, patch_size=4, iterations=2)
    level = steps.index(data)
    assert reached[level] >= target
    assert level == 0 or reached[level - 1] < target


def test_targets_do_not_depend_on_the_backend(photo):
    for target in ({"size": 700}, {"bpp": 5.0}, {"psnr": 24.0}):
        assert encode(photo, device="cpu", patch_size=4, iterations=1, **target) == encode(
            photo, device="reference", threads=2, patch_size=4, iterations=1, **target
        )


def test_psnr_target_of_a_picture_that_is_hit_exactly():
    """Infinite PSNR reaches every target."""
    image = np.full((9, 9), 128, np.uint8)
    data = encode(image, psnr=150.0)
    assert math.isinf(psnr(image, imfnb.decode(data))) and imfnb.info(data)["ranks"] == (1,)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ({"size": 20}, "at least {} bytes"),
        ({"bpp": 0.001}, "at least {} bytes"),
        ({"psnr": 90.0}, "at most [0-9.]+ dB"),
    ],
)
def test_unreachable_target_says_what_can_be_met(photo, steps, target, found):
    name = next(iter(target))
    with pytest.raises(imfnb.OptionError, match=f"{name}=.* cannot be met.*{found.format(len(steps[0]))}"):
        encode(photo, patch_size=4, iterations=2, **target)


# --------------------------------------------------------------------------------------------------------------- info


def test_info_of_colour(photo):
    data = encode(photo, rank=(4, 2, 1), bounds=(-20, 21))
    details = imfnb.info(data)
    assert isinstance(details, dict)
    segments = details.pop("segments")
    assert details == {
        "version": 2,
        "profile": "baseline",
        "shape": (37, 29, 3),
        "dtype": "uint8",
        "channels": "rgb",
        "frames": None,
        "color_space": "YCbCr",
        "subsampling": "4:2:0",
        "patch_size": 8,
        "bounds": (-20, 21),
        "coder": "deflate",
        "ranks": (4, 2, 1),
        "metadata": {},
        "size": len(data),
        "padding": 0,
        "missing": 0,
        "bpp": 8 * len(data) / (37 * 29),
    }
    assert list(segments) == ["Y", "Cb", "Cr"]
    assert 0 < len(data) - sum(segments.values()) < 50  # the rest is the header


@pytest.mark.parametrize(
    ("channels", "options", "names", "color_space", "subsampling", "patch_size"),
    [
        (0, {}, ["gray"], "gray", "4:4:4", 8),
        (1, {"patch_size": None}, ["gray"], "gray", "4:4:4", None),
        (4, {}, ["Y", "Cb", "Cr", "alpha"], "YCbCr", "4:2:0", 8),
        (3, {"subsampling": "4:4:4"}, ["Y", "Cb", "Cr"], "YCbCr", "4:4:4", 8),
        (3, {"color_space": "RGB", "patch_size": 4}, ["RGB"], "RGB", "4:4:4", 4),
        (4, {"color_space": "RGB"}, ["RGB", "alpha"], "RGB", "4:4:4", 8),
        (3, {"color_space": "RGB", "patch_size": None}, ["R", "G", "B"], "RGB", "4:4:4", None),
    ],
)
def test_info_names_the_matrices(channels, options, names, color_space, subsampling, patch_size):
    details = imfnb.info(encode(picture(9, 10, channels), rank=1, **options))
    assert list(details["segments"]) == names
    assert (details["color_space"], details["subsampling"], details["patch_size"]) == (
        color_space,
        subsampling,
        patch_size,
    )


def test_info_reads_well(small_file):
    text = str(imfnb.info(small_file))
    assert "profile: baseline" in text and "ranks: (2, 1, 1)" in text and "segments.Cb: " in text
    assert f"size: {len(small_file)}" in text and "padding: 0" in text


# ------------------------------------------------------------------------------------------------------------- bounds


@pytest.mark.parametrize("limits", [(0, 31), (-128, 127), (-1000, 1000), (-1, 1), (2, 9), (-32767, 32767)])
def test_bounds_of_every_dtype(limits):
    same_everywhere(picture(19, 14), rank=2, bounds=limits, iterations=3)


@pytest.mark.parametrize("limits", [(-16, 15), (-3, 3), (0, 5)])
def test_factors_reach_their_bounds_and_stay_within(limits):
    """A hard edge at a low rank drives entries to the clamp; none passes it."""
    image = np.zeros((32, 32), np.uint8)
    image[::2, :13], image[5:, 17:] = 255, 200
    u, v = imfnb.factorize(image, 4, limits)
    entries = np.concatenate([u.ravel(), v.ravel()])
    assert entries.max() <= limits[1] and entries.min() >= limits[0]
    assert entries.max() == limits[1] or entries.min() == limits[0]
    assert psnr(image, imfnb.decode(encode(image, rank=4, bounds=limits, patch_size=None))) == pytest.approx(
        psnr(image, np.clip(u.astype(int) @ v.T.astype(int), 0, 255).astype(np.uint8))
    )
