"""The baseline profile's header, and its tasks on the runners of the host: stacks, threads, strips, another start."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st

import imfnb
from imfnb.codec import open_container
from imfnb.factorization import factor_dtype
from imfnb.format.baseline_header import COLOR_SPACES, PATCH_SIZES, Parameters, matrices, parse, serialize
from imfnb.format.bytestream import Reader
from imfnb.format.container import Frame
from imfnb.options import EncodeOptions, check_image
from imfnb.profiles import baseline
from imfnb.profiles.summary import summary
from imfnb.runtime.run import HostRun


def opened(image: np.ndarray) -> tuple[np.ndarray, Frame]:
    pixels, channels = check_image(image)
    return pixels, Frame("baseline", *pixels.shape[:2], channels)


def pixels_of(data: bytes, threads: int, max_rank: int | None = None) -> np.ndarray:
    container = open_container(data)
    out = np.empty((*container.frame.shape[:2], max(1, container.frame.channels)), np.uint8)
    with HostRun("cpu", threads) as run:
        run.drive(baseline.decode_stack([container], [out], max_rank, run))
    return out.reshape(container.frame.shape)


# ----------------------------------------------------------------------------------------------------------- the header


@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([0, 1, 3, 4]),
    st.sampled_from(["gray", "4:4:4", "4:2:0", "RGB"]),
    st.sampled_from(PATCH_SIZES),
    st.tuples(st.integers(-(2**15) + 1, 0), st.integers(1, 2**15 - 1)),
    st.randoms(use_true_random=False),
)
def test_header_is_what_was_written(height, width, channels, planes, patch_size, bounds, random):
    frame = Frame("baseline", height, width, channels)
    color = channels >= 3
    space, subsample = COLOR_SPACES[color and planes == "RGB"], color and planes == "4:2:0"
    specs = matrices(frame, space, subsample, patch_size)
    ranks = tuple(random.randint(1, min(spec.shape)) for spec in specs)
    parameters = Parameters(space, subsample, patch_size, bounds, ranks)
    reader = Reader(memoryview(serialize(parameters)))
    found, count, working = parse(reader, frame)
    reader.end()
    assert found == parameters and count == len(specs) == len(found.matrices(frame))
    assert parameters.dtype is factor_dtype(bounds)
    entries = sum(sum(spec.shape) * rank for spec, rank in zip(specs, ranks, strict=True))
    assert working == entries * np.dtype(parameters.dtype).itemsize + height * width * max(1, channels)


@pytest.mark.parametrize(
    ("channels", "space", "subsample", "patch_size", "expected"),
    [
        (0, "YCbCr", False, 8, [((0,), (2 * 2, 64))]),
        (3, "YCbCr", True, 8, [((0,), (4, 64)), ((1,), (1 * 1, 64)), ((2,), (1, 64))]),
        (4, "YCbCr", True, None, [((0,), (9, 15)), ((1,), (5, 8)), ((2,), (5, 8)), ((3,), (9, 15))]),
        (3, "RGB", False, 4, [((0, 1, 2), (3 * 4, 48))]),
        (4, "RGB", False, 4, [((0, 1, 2), (12, 48)), ((3,), (12, 16))]),
        (4, "RGB", False, None, [((0,), (9, 15)), ((1,), (9, 15)), ((2,), (9, 15)), ((3,), (9, 15))]),
    ],
)
def test_matrices(channels, space, subsample, patch_size, expected):
    specs = matrices(Frame("baseline", 9, 15, channels), space, subsample, patch_size)
    assert [(spec.planes, spec.shape) for spec in specs] == expected
    assert [spec.chroma for spec in specs] == [space == "YCbCr" and spec.planes in ((1,), (2,)) for spec in specs]


# ------------------------------------------------------------------------------------------------------------ the tasks


@pytest.mark.parametrize("options", [{"rank": 3}, {"quality": 30, "patch_size": 4, "color_space": "RGB"}])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_stack_is_its_images(options, threads):
    """Not what the CPU is given, but what the tasks promise."""
    images = [opened(picture(21, 30, 4, seed)) for seed in range(3)]
    settings = EncodeOptions(profile="baseline", iterations=2, **options)
    with HostRun("cpu", threads) as run:
        files = run.drive(baseline.encode_stack([image for image, _ in images], images[0][1], settings, run))
        for file, (image, frame) in zip(files, images, strict=True):
            assert file.result() == baseline.encode_image(image, frame, settings, run)


@pytest.mark.parametrize("large", [0, 1 << 30])
@pytest.mark.parametrize(
    "options", [{"rank": 3, "patch_size": 4}, {"size": 900, "patch_size": 4}, {"rank": 4, "patch_size": None}]
)
def test_threads_change_nothing(options, large, monkeypatch):
    """Matrices one after the other with bands on threads, or side by side."""
    monkeypatch.setattr(baseline, "_LARGE", large)
    monkeypatch.setattr("imfnb.factorization.bcd.bands.BAND", 1)
    image, frame = opened(picture(70, 61, 3))
    settings = EncodeOptions(profile="baseline", iterations=2, **options)
    files = []
    for device, threads in (("cpu", 1), ("cpu", 3), ("reference", 2)):
        with HostRun(device, threads) as run:
            files.append(baseline.encode_image(image, frame, settings, run))
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize(("space", "subsampling"), [("YCbCr", "4:2:0"), ("YCbCr", "4:4:4"), ("RGB", None)])
@pytest.mark.parametrize("patch_size", [4, 32, None])
@pytest.mark.thorough
def test_strips_have_no_seam(space, subsampling, patch_size, monkeypatch):
    image = picture(330, 41, 4)
    options = {"rank": 3, "patch_size": patch_size, "color_space": space, "subsampling": subsampling, "iterations": 1}
    data = imfnb.encode(image, profile="baseline", **options)
    whole = {rank: pixels_of(data, 1, rank) for rank in (None, 1, 2)}
    monkeypatch.setattr(baseline, "_DECODED_ALONE", 0)
    monkeypatch.setattr("imfnb.layout._STRIP_HEIGHT", 64)
    for threads, rank in product((2, 5), whole):
        np.testing.assert_array_equal(pixels_of(data, threads, rank), whole[rank])


def test_another_start():
    image, frame = opened(picture(16, 16, 0))
    settings = EncodeOptions(profile="baseline", rank=2, iterations=1)
    calls = []

    def ones(x, rows, rank, bounds, run, name):
        calls.append((rows, rank, bounds))
        return np.ones((len(x), 64, rank))
        yield

    run = HostRun("cpu", 1)
    data = baseline.encode_image(image, frame, settings, run, ones)
    assert calls == [(4, 2, (-16, 15))] and data != baseline.encode_image(image, frame, settings, run)


def test_description_names_the_segments():
    image = picture(17, 16, 4)
    for space, names in (("YCbCr", ["Y", "Cb", "Cr", "alpha"]), ("RGB", ["RGB", "alpha"])):
        found = summary(open_container(imfnb.encode(image, profile="baseline", color_space=space)))
        assert list(found["segments"]) == names and found["color_space"] == space
    found = summary(open_container(imfnb.encode(image[:, :, 0], profile="baseline")))
    assert list(found["segments"]) == ["gray"] and found["color_space"] == "gray"
