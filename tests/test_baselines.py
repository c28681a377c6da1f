"""Codecs under one shape: every method decodes from its bytes alone, and says what it cannot do."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
from helpers import picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import features
from strategies import examples, images, seeds

import imfnb
from imfnb import FormatError, OptionError, baselines, metrics
from imfnb.baselines import codec, encode_at, files, indices
from imfnb.format.bytestream import Reader

pytestmark = pytest.mark.thorough

#: Formats of other libraries, and whether they know alpha.
OTHERS = {"jpeg": False, "jpeg-default": False, "jpeg2000": True, "jpeg2000-default": True}
if features.check("webp"):
    OTHERS |= {"webp": True, "webp-default": True}
if features.check("avif"):
    OTHERS |= {"avif": True, "avif-default": True, "avif-psnr": True}
if importlib.util.find_spec("imagecodecs"):
    OTHERS |= {"jpegxl": True}
LOW_RANK = ("svd", "svd-lloyd", "svd-main", "svd-lloyd-main", "hosvd", "tt", "imf-baseline-main")
OURS = ("imf", "imf-psnr", "imf-baseline", *LOW_RANK, "jpeg-main")
LRF = ("imf-lrf", "svd-lrf")
ALL = (*OURS, *LRF, *OTHERS)

#: Those whose coder takes minutes without the JIT where pictures are more than a few pixels.
SLOW = {"imf", "imf-psnr", "svd-main", "svd-lloyd-main", "imf-baseline-main", "jpeg-main"}


def with_jit(*names: str) -> list:
    """Parameters of a test, of which the slow ones need the JIT."""
    return [pytest.param(name, marks=pytest.mark.jit) if name in SLOW else name for name in names]


def level_of(name: str) -> float:
    """A level in the middle of a codec's curve."""
    levels = codec(name).levels
    return levels[len(levels) // 2]


def test_names():
    assert set(ALL) <= set(baselines.names())
    # What other efforts make of pictures is tested beside the profile.
    absent = {"imf-best", "imf-best-psnr", "imf-fast", "imf-fast-psnr"}
    absent |= {"webp", "webp-default", "avif", "avif-default", "avif-psnr", "jpegxl"}
    assert set(baselines.names()) - set(ALL) <= absent
    assert baselines.settings("jpeg") == ("subsampling",) and not baselines.settings("jpeg-default")
    assert [name for name in baselines.names() if "threads" in baselines.settings(name)] == [
        "imf",
        "imf-psnr",
        "imf-best",
        "imf-best-psnr",
        "imf-fast",
        "imf-fast-psnr",
        "imf-baseline",
    ]


@pytest.mark.parametrize("name", ALL)
def test_description_of_a_codec(name):
    found = codec(name)
    assert found.name == name and found.description and "\n" not in found.description
    assert list(found.levels) == sorted(set(found.levels)) and len(found.levels) >= 8
    assert found.limits[0] <= found.levels[0] and found.levels[-1] <= found.limits[1]


@pytest.mark.parametrize("channels", [0, 1, 3, 4])
@pytest.mark.parametrize("name", with_jit(*ALL))
def test_round_trip(name, channels):
    image = picture(*(43, 58) if name in OTHERS else (27, 42), channels, seed=3)
    found = codec(name)
    low, high = found.levels[1], found.levels[-2]
    if channels == 4 and not OTHERS.get(name, name != "jpeg-main"):
        with pytest.raises(OptionError, match="no alpha"):
            found.encode(image, high)
        return
    rough, fine = found.encode(image, low), found.encode(image, high)
    assert isinstance(rough, bytes) and len(rough) < len(fine)
    shape = image.shape[:2] if name in OTHERS and channels == 1 else image.shape
    decoded = [codec(name).decode(data) for data in (rough, fine)]
    assert all(pixels.shape == shape and pixels.dtype == np.uint8 for pixels in decoded)
    errors = [metrics.mae(image.reshape(shape), pixels) for pixels in decoded]
    assert errors[1] < errors[0] and errors[1] < 12
    assert found.encode(image, high) == fine


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (17, 2, 3)])
def test_smallest_images(name, shape):
    image = np.random.default_rng(5).integers(0, 256, shape, np.uint8)
    found = codec(name)
    for level in found.limits:
        assert found.decode(found.encode(image, level)).shape == shape


@pytest.mark.parametrize("name", with_jit(*LOW_RANK))
@given(image=images(side=st.integers(1, 12)), seed=seeds)
def test_low_rank_methods_take_any_image_and_setting(name, image, seed):
    rng = np.random.default_rng(seed)
    sizes = (4, 8, 16) if name in ("hosvd", "tt") else (4, 8, 16, None)
    options = {"color_space": ("RGB", "YCbCr")[rng.integers(2)], "patch_size": sizes[rng.integers(len(sizes))]}
    found = codec(name, **options)
    decoded = found.decode(found.encode(image, float(rng.choice([0, 3, 30, 100]))))
    assert decoded.shape == image.shape


@pytest.mark.parametrize("name", OURS)
def test_level_out_of_range(name):
    with pytest.raises(OptionError, match=r"101|96"):
        codec(name).encode(picture(9, 9), 96 if name == "jpeg-main" else 101)


@pytest.mark.parametrize("name", list(OTHERS))
def test_pillow_level_out_of_range(name):
    with pytest.raises(OptionError, match="level is -1"):
        codec(name).encode(picture(9, 9), -1)


@pytest.mark.parametrize("name", ALL)
def test_images_that_are_none(name):
    with pytest.raises(OptionError, match="uint8"):
        codec(name).encode(np.zeros((8, 8)), level_of(name))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gif", {}, "codec is 'gif'; expected one of imf, "),
        ("imf", {"quality": 3}, "quality is no option of the codec 'imf'; expected some of patch_size"),
        ("jpeg-default", {"a": 1, "b": 2}, "a, b is no option of the codec 'jpeg-default'; it has none"),
        ("imf", {"patch_size": 5}, "patch_size is 5"),
        ("imf-baseline", {"bounds": (3, 1)}, "bounds"),
        ("imf-baseline-main", {"color_space": "Lab"}, "color_space is 'Lab'"),
        ("svd", {"bits": 9}, "bits is 9; expected an integer from 1 to 8"),
        ("svd-lloyd", {"rounds": 0}, "rounds is 0; expected an integer from 1 to 1000"),
        ("svd", {"patch_size": 7}, "patch_size is 7"),
        ("hosvd", {"patch_size": None}, "'hosvd' needs patches"),
        ("tt", {"patch_size": None}, "'tt' needs patches"),
        ("jpeg", {"subsampling": "4:1:1"}, "subsampling is '4:1:1'"),
        ("webp", {"method": 7}, "method is 7; expected an integer from 0 to 6"),
        ("avif", {"speed": -1}, "speed is -1; expected an integer from 0 to 10"),
        ("avif", {"subsampling": 1}, "subsampling is 1"),
        ("avif-psnr", {"speed": 11}, "speed is 11; expected an integer from 0 to 10"),
        ("jpegxl", {"effort": 0}, "effort is 0; expected an integer from 1 to 10"),
    ],
)
def test_settings_that_cannot_be_used(name, options, message):
    with pytest.raises(OptionError, match=message.replace("(", r"\(")):
        codec(name, **options)


def test_jpegxl_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(OptionError, match=r'imagecodecs is needed here.*pip install "imfnb\[eval\]"'):
        codec("jpegxl")


@pytest.mark.skipif("jpegxl" not in OTHERS, reason="imagecodecs is not installed")
def test_jpegxl_at_the_qualities_of_its_command_line():
    from imfnb.baselines.jpegxl import _distance

    assert [_distance(q) for q in (0, 30, 90, 99)] == pytest.approx([25, 6.4, 1, 0.19])
    assert _distance(30 - 1e-9) == pytest.approx(6.4, abs=1e-6)  # the two branches meet
    with pytest.raises(OptionError, match="level is 100; expected a number from 0 to 99"):
        codec("jpegxl").encode(picture(9, 9), 100)


@pytest.mark.skipif("avif-psnr" not in OTHERS, reason="Pillow was built without AVIF")
def test_avif_tuned_for_psnr():
    """Fewer bits at equal PSNR than what is tuned for the eye."""
    from skimage import data

    image = np.ascontiguousarray(data.astronaut()[:256, :256])
    curves = []
    for name in ("avif-default", "avif-psnr"):
        found = codec(name)
        files = [found.encode(image, level) for level in found.levels[1:6]]
        curves += [[len(file) for file in files], [metrics.psnr(image, found.decode(file)) for file in files]]
    assert metrics.bd_rate(*curves) < 0


def test_formats_that_pillow_lacks(monkeypatch):
    monkeypatch.setattr(features, "check", lambda feature: feature != "avif")
    with pytest.raises(OptionError, match="Pillow was built without AVIF; install a newer Pillow"):
        codec("avif")
    assert codec("jpeg").name == "jpeg"


@pytest.mark.parametrize("name", with_jit(*ALL))
def test_rate_target(name):
    image = picture(32, 40, seed=1)
    found = codec(name)
    middle = found.encode(image, level_of(name))
    target = metrics.bpp(middle, image)
    data = encode_at(found, image, bpp=target)
    assert len(data) <= len(middle) and found.decode(data).shape == image.shape
    if name not in OTHERS:
        assert len(data) >= 0.7 * len(middle)
    assert len(encode_at(found, image, bpp=1e6)) == len(found.encode(image, found.limits[1]))
    with pytest.raises(OptionError, match=r"bpp=0.001 cannot be met: .* at least \d+\.\d+ bits per pixel"):
        encode_at(found, image, bpp=0.001)


def test_rate_target_is_met_by_the_largest_file():
    """JPEG's bytes grow with the quality here, so bisection must find what trying all qualities finds."""
    image = picture(64, 80, seed=2)
    found = codec("jpeg")
    sizes = [len(found.encode(image, quality)) for quality in range(1, 96)]
    assert sizes == sorted(sizes)
    for size in (sizes[10], sizes[40] + 1, sizes[70] - 1):
        data = encode_at(found, image, bpp=8 * size / (64 * 80))
        assert len(data) == max(s for s in sizes if s <= size)


@pytest.mark.parametrize("name", with_jit(*OURS))
def test_damaged_files(name):
    data = codec(name).encode(picture(20, 20), level_of(name))
    rng = np.random.default_rng(0)
    for _ in range(examples(60)):
        position = int(rng.integers(len(data)))
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        for wrong in (bytes(damaged), data[:position]):
            with pytest.raises(FormatError):
                codec(name).decode(wrong)
    if name in OURS[:3]:  # whose files are .imf files, which may be padded
        np.testing.assert_array_equal(codec(name).decode(data + b"\0"), codec(name).decode(data))
    else:
        with pytest.raises(FormatError, match="left over"):
            codec(name).decode(data + b"\0")


@pytest.mark.parametrize("name", [*LRF, *OTHERS])
def test_damaged_files_of_other_formats(name):
    """These formats have no checksums of everything: an error of ours, or some image."""
    found = codec(name)
    data = found.encode(picture(40, 40), level_of(name))
    rng = np.random.default_rng(0)
    for _ in range(40):
        damaged = bytearray(data)
        damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        try:
            assert found.decode(bytes(damaged)).dtype == np.uint8
        except FormatError:
            pass
    for wrong in (b"", b"\x89PNG", data[:20]):
        with pytest.raises(FormatError, match="damaged"):
            found.decode(wrong)


@pytest.mark.parametrize("name", [*LOW_RANK, "jpeg-main"])
def test_files_of_other_methods(name):
    for other in OURS:
        if other != name:
            data = codec(other).encode(picture(9, 9), level_of(other))
            with pytest.raises(FormatError):
                codec(name).decode(data)


@pytest.mark.parametrize("name", with_jit(*LOW_RANK, "jpeg-main"))
@given(seed=seeds, share=st.sampled_from([0.02, 0.2, 1.0]))
def test_hostile_segments(name, seed, share):
    """Valid checksums around anything: FormatError or an image, never another error."""
    rng = np.random.default_rng(seed)
    image = picture(12, 17)
    container = files.open_file(name, codec(name).encode(image, level_of(name)))
    segments = []
    for index in range(len(container.sizes)):
        raw = np.frombuffer(container.segment(index).data, np.uint8).copy()
        hit = rng.random(raw.size) < share
        raw[hit] = rng.integers(0, 256, int(hit.sum()))
        segments.append(raw[: int(rng.integers(raw.size + 1)) if rng.random() < 0.2 else raw.size].tobytes())
    data = files.write_file(name, container.frame, container.parameters, segments)
    try:
        assert codec(name).decode(data).shape == image.shape
    except FormatError:
        pass


def test_hostile_parameters_of_jpeg_main():
    container = files.open_file("jpeg-main", codec("jpeg-main").encode(picture(9, 9), 30))
    segments = [bytes(container.segment(index).data) for index in range(3)]
    parameters = container.parameters.__class__("YCbCr", True, 8, (0, 96), (1, 1, 1))
    with pytest.raises(FormatError, match="quality 96"):
        codec("jpeg-main").decode(files.write_file("jpeg-main", container.frame, parameters, segments))


@pytest.mark.jit
@pytest.mark.parametrize(("deflated", "mixed"), [("svd", "svd-main"), ("svd-lloyd", "svd-lloyd-main")])
def test_entropy_coders_keep_the_coefficients(deflated, mixed):
    image = picture(24, 32)
    for level in (2.0, 10.0, 60.0):
        one, other = codec(deflated), codec(mixed)
        assert np.array_equal(one.decode(one.encode(image, level)), other.decode(other.encode(image, level)))


@pytest.mark.jit
def test_baseline_factors_through_the_other_coder():
    image = picture(24, 32)
    for options in ({}, {"color_space": "RGB", "patch_size": None}, {"bounds": (-200, 200)}):
        one, other = codec("imf-baseline", **options), codec("imf-baseline-main", **options)
        for level in (4.0, 30.0):
            expected = one.decode(one.encode(image, level))
            assert np.array_equal(other.decode(other.encode(image, level)), expected)


@pytest.mark.jit
def test_more_columns_than_one_segment_of_the_other_coder_holds():
    """Matrices of patches of 32 x 32 have up to 1024 columns; the coder takes 256 at a time."""
    factor = np.random.default_rng(1).integers(-3, 4, (6, 600)).astype(np.int16)
    reader = Reader(memoryview(indices.encode_mixed(factor, (2, 3))))
    assert np.array_equal(indices.decode_mixed(reader, (2, 3), 600, (-3, 3), np.int16), factor)
    reader.end()


@pytest.mark.jit
def test_jpeg_coefficients_decode_like_jpeg():
    """The same tables and rounding: PSNR within 0.3 dB of libjpeg's on a picture, and fewer bytes."""
    image = picture(64, 96, seed=4)
    for quality in (10, 40, 80):
        theirs, ours = codec("jpeg"), codec("jpeg-main")
        a, b = theirs.encode(image, quality), ours.encode(image, quality)
        assert abs(metrics.psnr(image, theirs.decode(a)) - metrics.psnr(image, ours.decode(b))) < 0.3
        assert len(b) < len(a)


def test_best_settings_beat_the_defaults():
    image = picture(96, 96, seed=7)
    for name in ("jpeg", "jpeg2000"):
        best, default = codec(name), codec(f"{name}-default")
        rate = 1.2
        found = [metrics.psnr(image, c.decode(encode_at(c, image, bpp=rate))) for c in (best, default)]
        assert found[0] > found[1]


@pytest.mark.skipif("webp" not in OTHERS, reason="Pillow was built without WebP")
def test_gray_webp_is_a_webp_file():
    """The mark of a gray image lies behind the file's end, where other readers do not look."""
    import io

    from PIL import Image

    gray = picture(20, 20, 0)
    data = codec("webp").encode(gray, 80)
    with Image.open(io.BytesIO(data)) as theirs:
        assert theirs.format == "WEBP" and theirs.size == (20, 20)
    assert codec("webp").decode(data).shape == (20, 20)


def test_module_is_loaded_on_first_use():
    assert imfnb.baselines is baselines and "baselines" in dir(imfnb)
