"""effort="fast" and "best": other stages in the same pipeline, for every target, kind of array and way to decode."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from helpers import assemble, header, picture, pixels_or_error
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import MAIN, as_if_large, main_fields
from strategies import examples, images

import imfnb
import imfnb.plugins.pillow  # which Pillow saves with
from imfnb import FormatError, OptionError, layout
from imfnb.cli import main
from imfnb.format.main_header import Restoration
from imfnb.profiles import decide, restoring


def best(image: np.ndarray, **options) -> bytes:
    return imfnb.encode(image, effort="best", **options)


def fast(image: np.ndarray, **options) -> bytes:
    return imfnb.encode(image, effort="fast", **options)


#: What is tested of both, by name; the other one is slow where that takes seconds.
BOTH = pytest.mark.parametrize("encode", [fast, best])
FAST_FIRST = pytest.mark.parametrize("encode", [fast, pytest.param(best, marks=pytest.mark.slow)])


def same_everywhere(image: np.ndarray, encode=best, **options) -> np.ndarray:
    """Encode and decode on both backends: the same bytes and the same samples."""
    data = encode(image, device="cpu", threads=1, **options)
    assert encode(image, device="reference", threads=2, **options) == data
    said = imfnb.info(data)
    assert said["effort"] == (encode.__name__ if said.get("columns", 1) else "normal")  # without planes there is none
    samples = imfnb.decode(data, device="cpu", threads=1)
    assert samples.dtype == image.dtype and samples.shape == image.shape
    np.testing.assert_array_equal(imfnb.decode(data, device="reference", threads=2), samples)
    return samples


@pytest.mark.parametrize(
    ("shape", "channels"), [((1, 1), 0), ((1, 1), 3), ((9, 17), 1), ((9, 11), 2), ((9, 11), 3), ((9, 11), 4)]
)
@BOTH
def test_shapes(encode, shape, channels):
    image = picture(*shape, channels) if channels != 2 else picture(*shape, 4)[:, :, 2:]
    samples = same_everywhere(image, encode, step=6, tune="psnr")
    assert imfnb.metrics.psnr(image, samples) > 30


@pytest.mark.slow
@settings(max_examples=examples(10))
@given(
    images(),
    st.sampled_from([fast, best]),
    st.sampled_from([8, 16]),
    st.sampled_from(["4:2:0", "4:4:4"]),
    st.floats(0, 100),
    st.booleans(),
)
def test_anything(image, encode, patch_size, subsampling, quality, visual):
    options = {"subsampling": subsampling} if image.ndim == 3 and image.shape[2] > 2 else {}
    tune = "visual" if visual else "psnr"
    same_everywhere(image, encode, patch_size=patch_size, quality=quality, tune=tune, **options)


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 256])
@BOTH
def test_extreme_pictures_at_both_ends_of_the_step(encode, step):
    rng = np.random.default_rng(0)
    image = rng.choice(np.array([0, 255], np.uint8), (9, 11, 3))
    samples = same_everywhere(image, encode, step=step, tune="psnr")
    assert step > 1 or imfnb.metrics.psnr(image, samples) > 40


@pytest.mark.jit
@pytest.mark.parametrize("tune", ["psnr", "visual"])
def test_fewer_bytes_for_less_error(tune):
    image = np.ascontiguousarray(pytest.importorskip("skimage.data").astronaut()[:256, 100:356])
    plain = imfnb.encode(image, quality=45, tune=tune)
    data = best(image, size=round(0.93 * len(plain)), tune=tune)
    assert imfnb.info(data)["effort"] == "best" and imfnb.info(plain)["effort"] == "normal"
    measure = imfnb.metrics.psnr if tune == "psnr" else imfnb.metrics.ms_ssim
    assert measure(image, imfnb.decode(data)) > measure(image, imfnb.decode(plain))


@pytest.mark.jit
@pytest.mark.parametrize("tune", ["psnr", "visual"])
def test_little_more_bytes_for_less_error(tune):
    """Of a smaller picture than most, where what adapts would have learned least."""
    image = np.ascontiguousarray(pytest.importorskip("skimage.data").astronaut()[:256, 100:356])
    plain = imfnb.encode(image, quality=45, tune=tune)
    data = fast(image, size=round(1.08 * len(plain)), tune=tune)
    assert imfnb.info(data)["effort"] == "fast" and not any(imfnb.info(data)["networks"])
    measure = imfnb.metrics.psnr if tune == "psnr" else imfnb.metrics.ms_ssim
    assert measure(image, imfnb.decode(data)) > measure(image, imfnb.decode(plain))


@pytest.mark.jit
@pytest.mark.parametrize("target", [{"bpp": 0.5}, {"size": 900}, {"psnr": 33.0}, {"quality": 30}, {"step": 40}])
@BOTH
def test_targets(encode, target):
    image = picture(120, 90, 3)
    data = encode(image, **target)
    assert imfnb.info(data)["effort"] == encode.__name__
    assert len(data) <= target.get("size", target.get("bpp", 100) * 120 * 90 / 8)
    assert imfnb.metrics.psnr(image, imfnb.decode(data)) >= target.get("psnr", 0)


@pytest.mark.slow
@settings(max_examples=examples(10))
@given(
    st.integers(1, 150),
    st.integers(1, 70),
    st.sampled_from([1, 3, 4]),
    st.floats(4, 120),
    st.sampled_from([8, 16]),
    st.sampled_from(["4:2:0", "4:4:4"]),
    st.sampled_from([6, 16, 30, 64]),
    st.sampled_from([1 << 22, 1000]),
    st.sampled_from([fast, best]),
    st.integers(0, 9),
)
def test_strips_are_the_whole(height, width, channels, step, patch_size, subsampling, unit, samples, encode, seed):
    """Luma's rows that chroma's network reads are there wherever a strip begins."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    image = np.sort(image, axis=0)
    options = {"subsampling": subsampling} if channels > 1 else {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        as_if_large(monkeypatch, slices=samples)
        monkeypatch.setattr(decide, "restoration_pays", lambda *_: True)
        data = encode(image, step=step, patch_size=patch_size, **options)
        assert all(imfnb.info(data)["restoration"])
        with patch.multiple(layout, _STRIP_HEIGHT=unit, _STRIP_UNIT=unit, _STRIP_PIXELS=1):
            found = imfnb.decode(data, threads=2), imfnb.decode(data, max_rank=3)
        np.testing.assert_array_equal(found[0], imfnb.decode(data))
        np.testing.assert_array_equal(found[1], imfnb.decode(data, max_rank=3))


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("kinds", ["NFN", "FNN", "-NN", "N-N", "NN-", "NFF", "N--", "NNN", "---"])
def test_planes_are_restored_each_in_its_way(kinds, subsampling, monkeypatch):
    """Whatever is chosen, encoder and decoder agree on what chroma's network is given."""
    meaning = {"N": Restoration.NETWORK, "F": Restoration.FILTER, "-": Restoration.NONE}
    chosen = iter([meaning[kind] for kind in kinds])
    monkeypatch.setattr(restoring, "_best", lambda *_: next(chosen))
    image = picture(40, 33, 3)
    options = {"step": 25, "tune": "psnr", "threads": 1, "subsampling": subsampling}
    data = best(image, **options)
    assert imfnb.info(data)["networks"] == tuple(kind == "N" for kind in kinds)
    assert imfnb.info(data)["restoration"] == tuple(kind != "-" for kind in kinds)
    one, two = (imfnb.decode(data, device=device) for device in ("cpu", "reference"))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("reduce", [2, 8])
@BOTH
def test_reduced(encode, reduce):
    image = picture(50, 43, 3)
    data = encode(image, step=12)
    found = imfnb.decode(data, reduce=reduce)
    assert found.shape == (-(-50 // reduce), -(-43 // reduce), 3)
    np.testing.assert_array_equal(imfnb.decode(data, reduce=reduce, device="reference"), found)


@FAST_FIRST
def test_previews_get_better(encode):
    image = picture(64, 48, 3)
    data = encode(image, step=12, tune="psnr")
    errors = [imfnb.metrics.psnr(image, imfnb.decode(data, max_rank=rank)) for rank in (1, 4, 16, 64)]
    assert errors == sorted(errors) and errors[0] < errors[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "bands"), [(np.uint8, 3), (np.int16, 1), (np.uint16, 3), (np.float32, 1)])
@BOTH
def test_arrays(encode, dtype, bands):
    rng = np.random.default_rng(bands)
    array = (60 + 20 * rng.random((11, 9, 1)).cumsum(axis=0) * np.arange(1, bands + 1)).astype(dtype)
    same_everywhere(array, encode, psnr=40, channels="bands")
    data = encode(array, max_error=3, channels="bands", device="cpu")
    assert encode(array, max_error=3, channels="bands", device="reference") == data
    samples = imfnb.decode(data)
    np.testing.assert_array_equal(imfnb.decode(data, device="reference"), samples)
    assert np.abs(samples.astype(float) - array).max() <= 3
    assert imfnb.info(encode(array, quality=40, channels="bands"))["effort"] == encode.__name__


@pytest.mark.slow
def test_arrays_of_the_fast_effort():
    array = (60 + 20 * np.random.default_rng(3).random((19, 21, 3)).cumsum(axis=0)).astype(np.uint16)
    data = fast(array, step=9, channels="bands")
    found = imfnb.decode(data)
    assert imfnb.info(data)["effort"] == "fast" and found.dtype == np.uint16
    np.testing.assert_array_equal(imfnb.decode(data, device="reference"), found)
    assert np.abs(imfnb.decode(fast(array, max_error=2)).astype(int) - array).max() <= 2


@FAST_FIRST
def test_lossless(encode):
    image = picture(20, 30, 3)
    np.testing.assert_array_equal(imfnb.decode(encode(image, lossless=True)), image)


@pytest.mark.parametrize("alpha_quality", ["lossless", pytest.param(30, marks=pytest.mark.slow)])
def test_alpha(alpha_quality):
    image = picture(24, 21, 4)
    image[:, :, 3] = np.clip(2.0 * image[:, :, 3] - 120, 0, 255)
    samples = same_everywhere(image, fast, step=20, alpha_quality=alpha_quality)
    for value in (0, 255):
        assert (samples[:, :, 3][image[:, :, 3] == value] == value).all()
    if alpha_quality == "lossless":
        np.testing.assert_array_equal(samples[:, :, 3], image[:, :, 3])


@BOTH
def test_batches(encode):
    some = [picture(24, 31, 3, seed) for seed in range(3)]
    data = imfnb.encode_batch(some, effort=encode.__name__, quality=40, device="cpu")
    assert data == [encode(image, quality=40) for image in some]
    for one, other in zip(imfnb.decode_batch(data, device="cpu"), data, strict=True):
        np.testing.assert_array_equal(one, imfnb.decode(other))


def test_options():
    image = picture(9, 9, 3)
    with pytest.raises(OptionError, match="effort is 'slow'; expected 'fast' or 'normal' or 'best'"):
        imfnb.encode(image, effort="slow")
    for effort in ("fast", "best"):
        with pytest.raises(OptionError, match=f"effort='{effort}' belongs to profile='main'"):
            imfnb.encode(image, effort=effort, profile="baseline")


def test_plugins_and_the_command_line(tmp_path):
    """What takes options takes this one, and gives the same bytes."""
    image = picture(20, 26, 3)
    wanted = fast(image, quality=40)
    shown = pytest.importorskip("PIL.Image").fromarray(image)
    shown.save(tmp_path / "a.imf", quality=40, effort="fast")
    shown.save(tmp_path / "a.png")
    command = ["encode", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.imf"), "--quality", "40", "--effort", "fast"]
    assert main(command) == 0
    for name in ("a.imf", "b.imf"):
        assert (tmp_path / name).read_bytes() == wanted
    codec = pytest.importorskip("numcodecs").get_codec({"id": "imfnb", "quality": 40, "effort": "fast"})
    chunk = codec.encode(image)
    np.testing.assert_array_equal(np.asarray(codec.decode(chunk)), imfnb.decode(wanted))


# --------------------------------------------------------------------------------------------------- hostile bytes


def crafted(
    codings: tuple[int, ...], segments: list[bytes], shape: tuple[int, int] = (11, 13), step: int = 640
) -> bytes:
    channels = 3 if len(codings) == 3 else 0
    fields = main_fields(0, step, step if channels else None, *codings)
    return assemble(header(*shape, channels, fields, segments, profile=MAIN), segments)


@pytest.mark.parametrize(
    "codings", [(4, 0, 0), (0, 8, 4), (12, 4, 8), (0, 0, 12), (0, 16, 16), (16, 16, 4), (16, 0, 48)]
)
def test_planes_of_a_file_have_the_same_coder(codings):
    with pytest.raises(FormatError, match=r"coding \d+ of plane [12] does not fit that of the first plane"):
        imfnb.decode(crafted(codings, [b"\0"] * 3))


@pytest.mark.parametrize("codings", [(20,), (20, 4, 4), (16, 20, 16), (52, 0, 0), (48, 16, 50), (64,), (63,)])
def test_codings_of_newer_versions(codings):
    """Two coders or two restorations at once, or bits that have no meaning yet."""
    with pytest.raises(FormatError, match=r"newer imfnb: coding \d+ of plane [012]"):
        imfnb.decode(crafted(codings, [b"\0"] * len(codings)))


@pytest.mark.slow
@settings(max_examples=examples(20))
@given(
    st.lists(st.binary(max_size=60), min_size=3, max_size=3),
    st.sampled_from([64, 640, 16384]),
    st.sampled_from([0, 4, 16]),
)
def test_random_segments(segments, step, coder):
    """Pixels or an error of our own, and the same on both backends."""
    if coder == 16:  # a rank, one lane, as many words as fit
        segments = [each[:1] + bytes([0, max(0, len(each) // 2 - 9)]) + each[1:] for each in segments]
    data = crafted((coder + 9, coder + 2, coder + 32), segments, step=step)
    one, two = (pixels_or_error(data, device=device) for device in ("cpu", "reference"))
    assert (one is None) == (two is None)
    assert one is None or np.array_equal(one, two)


@pytest.mark.jit
@settings(max_examples=examples(200))
@given(
    st.binary(max_size=400),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(64, 16384),
    st.sampled_from([4, 5, 6, 7, 8, 9, 12, 13, 16, 17, 48, 49]),
)
def test_random_segment_of_a_larger_picture(tail, height, width, step, coding):
    """The kernels alone; the first byte is the rank."""
    if coding & 16:
        tail = tail[:1] + bytes([2, min(127, max(0, len(tail) // 2 - 17))]) + tail[1:]
    result = pixels_or_error(crafted((coding,), [tail or b"\0"], (height, width), step))
    assert result is None or result.shape == (height, width)
