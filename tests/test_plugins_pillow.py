"""Pillow with .imf files, against the real one: modes, metadata, stacks, damaged files, and whoever goes through it."""

from __future__ import annotations

import copy
import gc
import io
import pathlib
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import Pipe, encode, picture
from PIL import Image, ImageCms, ImageFile, ImageSequence, UnidentifiedImageError
from test_golden import FOLDER
from test_pictures import SRGB, WIDE, exif

import imfnb
import imfnb.plugins.pillow as plugin
from imfnb.errors import FormatError, ImfError, LimitError, MetadataWarning, OptionError
from imfnb.format.container import header_length
from imfnb.frames import pack_frames
from imfnb.metadata import Metadata

PIXELS = picture(23, 37)
RGB = Image.fromarray(PIXELS)
ALL = Metadata(WIDE, exif(copyright="somebody"), b"<x/>", (300, 150.5), {"Title": "Nächte", "Comment": "hé"})
CODED = encode(PIXELS, quality=20, metadata=ALL)
GRAY_WIDE = b"\0\0\0\x80" + WIDE[4:16] + b"GRAY" + WIDE[20:]


def saved(image: Image.Image, **options) -> bytes:
    """The file that Pillow writes; the baseline profile needs no kernels that take long."""
    file = io.BytesIO()
    image.save(file, "IMF", **(options if "profile" in options else {"profile": "baseline", "quality": 20, **options}))
    return file.getvalue()


def exact(image: Image.Image, **options) -> Image.Image:
    """The image that was saved without loss, and read again."""
    return Image.open(io.BytesIO(saved(image, profile="main", lossless=True, **options)))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


# ----------------------------------------------------------------------------------------------------------- opening


def test_registered():
    Image.init()
    assert Image.registered_extensions()[".imf"] == "IMF"
    assert {"IMF"} <= set(Image.OPEN) & set(Image.SAVE) & set(Image.SAVE_ALL) and Image.ID.count("IMF") == 1
    image = opened(CODED)
    assert (image.format, image.get_format_mimetype()) == ("IMF", "image/x-imf") and image.format_description


def test_opening_reads_the_header_and_the_metadata():
    class Counting(io.BytesIO):
        count = 0

        def read(self, size=-1):
            data = super().read(size)
            self.count += len(data)
            return data

    file = Counting(encode(picture(40, 30), quality=30) + bytes(1 << 16))
    image = Image.open(file)
    assert image.size == (30, 40) and image.mode == "RGB" and file.count < 10_000
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(file.getvalue()))


@pytest.mark.thorough
def test_opening_imports_no_numba(tmp_path):
    """Nor does importing twice do harm, or before `Image.init()`."""
    path = tmp_path / "a.imf"
    path.write_bytes(CODED)
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER.parent.parent)!r}); import imfnb.plugins.pillow; "
        f"from PIL import Image; image = Image.open({str(path)!r}); print(image.size, image.info['dpi']); "
        "image.draft('RGB', (9, 9)); image.verify(); Image.init(); "
        "import importlib; importlib.reload(imfnb.plugins.pillow); "
        f"Image.open({str(path)!r}).close(); assert Image.ID.count('IMF') == 1; "
        "assert not {'numba', 'scipy', 'imageio'} & set(sys.modules), sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert result.stdout == "(37, 23) (300.0, 150.5)\n", result.stderr


class Bare:
    """The least that Pillow asks of a file."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size=-1):
        return self._file.read(size if size < 0 else min(size, 100))

    def seek(self, position, whence=0):
        self._file.seek(position, whence)

    def tell(self):
        return self._file.tell()


@pytest.mark.parametrize("kind", ["path", "name", "file", "memory", "bare", "pipe"])
def test_files_of_all_kinds(kind, tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(CODED + b"what is no part of it")
    made = {
        "path": lambda: path,
        "name": lambda: str(path),
        "file": lambda: open(path, "rb"),  # noqa: SIM115 - closed below
        "memory": lambda: io.BytesIO(path.read_bytes()),
        "bare": lambda: Bare(path.read_bytes()),
        "pipe": lambda: Pipe(path.read_bytes()),
    }[kind]()
    with Image.open(made) as image:
        assert image.size == (37, 23) and image.info["xmp"] == b"<x/>"
        np.testing.assert_array_equal(np.asarray(image), imfnb.decode(CODED))
    if hasattr(made, "close"):
        assert not made.closed
        made.close()


def test_a_file_that_stands_at_an_offset():
    """Pillow goes to the beginning; the class itself reads from where the file stands."""
    file = io.BytesIO(b"12345" + CODED)
    file.seek(5)
    image = plugin.ImfImageFile(file)
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(CODED))
    file.seek(5)
    with pytest.raises(UnidentifiedImageError):
        Image.open(file)
    file = io.BytesIO(CODED)
    file.seek(5)
    assert Image.open(file).size == (37, 23)


def test_files_are_closed(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(CODED)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(path)
        file = image.fp
        image.load()
        assert file.closed and image.fp is None
        with Image.open(path) as image:
            file = image.fp
        assert file.closed
        with pytest.raises(OptionError, match=r"a\.imf: .*closed: open it again"):
            image.load()
        Image.open(path).close()
        Image.open(path).verify()
        path.write_bytes(CODED[:-1])
        with Image.open(path) as image, pytest.raises(OSError, match="truncated"):
            image.load()
        path.write_bytes(CODED[:20])
        with pytest.raises(OSError, match="truncated"):
            Image.open(path)
        del image
        gc.collect()


def test_closed_images():
    image = opened(CODED)
    image.load()
    image.close()
    with pytest.raises(ValueError, match="closed"):
        image.getpixel((0, 0))
    image = opened(CODED)
    image.verify()
    with pytest.raises(ValueError, match="closed"):
        image.load()


def test_pixels_may_be_changed_and_images_copied():
    for data in (CODED, encode(PIXELS[:, :, 0], quality=5), encode(picture(9, 9, 4), quality=5)):
        image = opened(data)
        pixels = np.asarray(image)
        for other in (image.copy(), copy.copy(image), copy.deepcopy(image), pickle.loads(pickle.dumps(image))):
            np.testing.assert_array_equal(np.asarray(other), pixels)
            assert other.info == image.info and other.mode == image.mode
            other.load()[0, 0] = other.getpixel((1, 1))
            other.putpixel((0, 0), other.getpixel((1, 1)))
        np.testing.assert_array_equal(np.asarray(image), pixels)
        image.load()[0, 0] = image.getpixel((1, 1))
    other = pickle.loads(pickle.dumps(opened(CODED)))
    assert isinstance(other, plugin.ImfImageFile) and (other.n_frames, other.tell(), other.is_animated) == (1, 0, False)
    other.seek(0)
    other.load()
    assert saved(other) and other.draft("L", (2, 2)) is None
    np.testing.assert_array_equal(np.asarray(opened(CODED).convert("L")), np.asarray(other.convert("L")))
    np.testing.assert_array_equal(np.asarray(opened(CODED).crop((3, 2, 9, 7))), imfnb.decode(CODED)[2:7, 3:9])


def test_threads():
    expected = imfnb.decode(CODED)

    def work(number):
        with opened(CODED) as image:
            return np.array_equal(np.asarray(image), expected) and image.info["dpi"] == (300, 150.5)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(24)))


def test_parser():
    parser = ImageFile.Parser()
    for start in range(0, len(CODED), 50):
        parser.feed(CODED[start : start + 50])
        assert (parser.image is not None) == (start + 50 >= header_length(memoryview(CODED)))
    image = parser.close()
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(CODED))
    assert image.info["xmp"] == b"<x/>"
    parser = ImageFile.Parser()
    parser.feed(CODED[:-20])
    assert parser.image.size == (37, 23)
    with pytest.raises(OSError, match="truncated"):
        parser.close()


def test_limits_are_those_of_pillow(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 37 * 23)
    assert opened(CODED).load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 37 * 23 - 1)
    with pytest.warns(Image.DecompressionBombWarning):
        image = opened(CODED)
    image.load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 37 * 23 / 2.1)
    with pytest.raises(Image.DecompressionBombError):
        opened(CODED)
    with pytest.raises(FormatError, match="max_pixels") as caught:
        plugin.ImfImageFile(io.BytesIO(CODED)).load()
    assert isinstance(caught.value.__cause__, LimitError)
    for limit in (None, float("inf"), 1e30):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert opened(CODED).load()


# ------------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("kind", [plugin.FileError, plugin.ImageError])
def test_errors_are_made_as_dask_makes_them(kind):
    """By their `__new__`, before they are given their arguments."""
    error = kind.__new__(kind)
    error.args = ("words",)
    assert isinstance(error, OSError) and str(error) == "words"


def test_errors_are_of_both_kinds(tmp_path):
    path = tmp_path / "a.imf"
    start = header_length(memoryview(CODED))
    for damaged in (CODED[:-1], CODED[:-100], CODED[:start] + b"?" + CODED[start + 1 :]):
        path.write_bytes(damaged)
        with Image.open(path) as image:
            assert image.size == (37, 23)
            if len(damaged) < len(CODED):
                assert not image.info
                with pytest.raises(OSError, match=r"a\.imf: truncated file: it has") as caught:
                    image.load()
                assert isinstance(caught.value, FormatError) and isinstance(caught.value, ImfError)
                assert caught.value.filename == str(path)
                assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
                with pytest.raises(OSError, match="truncated"):  # once more: nothing has changed
                    image.load()
        with Image.open(path) as image, pytest.raises(plugin.FileError, match=r"a\.imf"):
            image.verify()
    with pytest.raises(UnidentifiedImageError):
        opened(b"\x88IMF" + CODED[4:])
    with pytest.raises(plugin.FileError, match=r"version 9 is not known.*upgrade"):
        opened(b"\x89IMF\x09" + CODED[5:])


def test_every_byte_may_be_wrong():
    """Whatever is damaged, there is an image or an OSError."""
    length = header_length(memoryview(CODED))
    numbers = [*range(length), *range(length, len(CODED), 61)]
    for number in numbers:
        damaged = bytearray(CODED)
        damaged[number] ^= 0x41
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MetadataWarning)
                image = opened(bytes(damaged))
            assert image.size == (37, 23)
            with pytest.raises(plugin.FileError):
                image.verify()
        except OSError:
            pass


def test_every_length_is_refused():
    for length in range(len(CODED)):
        with pytest.raises(OSError, match=r"truncated|not an|identify"):
            opened(CODED[:length]).load()


def test_huge_announcements_reserve_nothing(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(b"\x89IMF\x02" + b"\xff\xff\xff\xff\x7f" * 2 + bytes(100))
    with pytest.raises(OSError, match="truncated"):
        Image.open(path)


def test_damaged_metadata_are_left_out():
    damaged = CODED[:-1] + bytes([CODED[-1] ^ 1])
    with pytest.warns(MetadataWarning, match=r"checksum of chunk.*left out") as caught:
        image = opened(damaged)
    assert caught[0].filename == __file__
    assert not image.info
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(CODED))


def test_golden_files_open():
    modes = set()
    for path in sorted(FOLDER.glob("*.imf")):
        said = imfnb.info(path)
        try:
            with Image.open(path) as image:
                modes.add(image.mode)
                assert image.size == said["shape"][bool(said["frames"]) :][1::-1]
                assert image.n_frames == (said["frames"] or 1)
                image.verify()
        except plugin.ImageError as error:
            assert "imfnb.imread" in str(error) and path.name in str(error)
            assert said["channels"] == "bands" or said["dtype"] != "uint8"
    assert modes >= {"L", "LA", "RGB", "RGBA", "I;16", "F"}


# ---------------------------------------------------------------------------------------------------------- metadata


def test_info():
    assert opened(CODED).info == {
        "icc_profile": WIDE,
        "exif": b"Exif\0\0" + ALL.exif,
        "xmp": b"<x/>",
        "dpi": (300, 150.5),
        "comment": "hé".encode(),
        "text": {"Title": "Nächte", "Comment": "hé"},
    }
    assert opened(CODED).getexif()[33432] == "somebody"
    assert opened(encode(PIXELS, quality=5)).info == {}


def test_metadata_are_arguments():
    block = Image.Exif()
    block[33432] = "somebody"
    given = {"icc_profile": SRGB, "xmp": "<y/>", "dpi": (72, 72), "text": {"a": "b"}, "comment": "c"}
    for given["exif"] in (block, block.tobytes()):
        found = imfnb.read_metadata(saved(RGB, **given))
        expected = Metadata(SRGB, block, "<y/>", 72, {"a": "b", "Comment": "c"})
        assert found == expected
    for nothing in (None, b"", Image.Exif()):
        assert not imfnb.read_metadata(saved(RGB, exif=nothing, xmp=b"", icc_profile=None, comment=None, dpi=None))
    with pytest.raises(OptionError, match="dpi is"):
        saved(RGB, dpi=(0, 0))
    with pytest.raises(OptionError, match="text is"):
        saved(RGB, text="words", comment="c")


def test_profile_and_comment_are_taken_from_info():
    image = opened(CODED)
    assert imfnb.read_metadata(saved(image)) == Metadata(icc_profile=WIDE, text={"Comment": "hé"})
    assert not imfnb.read_metadata(saved(image, icc_profile=None, comment=None))
    assert imfnb.read_metadata(saved(image, icc_profile=SRGB, comment=b"\xe9")) == Metadata(SRGB, text={"Comment": "é"})
    file = io.BytesIO()
    RGB.save(file, "JPEG", comment="from a camera", icc_profile=SRGB)
    assert imfnb.read_metadata(saved(Image.open(file))) == Metadata(SRGB, text={"Comment": "from a camera"})


def test_comments_go_to_other_formats():
    for kind in ("JPEG", "GIF"):
        file = io.BytesIO()
        opened(CODED).save(file, kind)
        assert Image.open(file).info["comment"] == "hé".encode()
    file = io.BytesIO()
    image = opened(CODED)
    image.save(file, "JPEG", exif=image.info["exif"])
    assert Image.open(file).getexif()[33432] == "somebody"


@pytest.mark.jit
def test_profiles_are_kept_with_the_samples_that_they_are_about():
    image = RGB.copy()
    image.info["icc_profile"] = WIDE
    kept = exact(image)
    np.testing.assert_array_equal(np.asarray(kept), PIXELS)
    assert kept.info["icc_profile"] == WIDE
    gray = exact(image.convert("L"))  # whose info still has that of the colours
    transform = ImageCms.buildTransform(
        io.BytesIO(WIDE), ImageCms.createProfile("sRGB"), "RGB", "RGB", renderingIntent=1, flags=0x2000
    )
    wanted = ImageCms.applyTransform(image.convert("L").convert("RGB"), transform).getchannel("G")
    np.testing.assert_array_equal(np.asarray(gray), np.asarray(wanted))
    assert "icc_profile" not in gray.info
    with pytest.warns(MetadataWarning, match=r"icc_profile is not kept: damaged") as caught:
        assert not exact(image, icc_profile=b"nonsense").info
    assert caught[0].filename == __file__
    image.info["icc_profile"] = b"nonsense"
    assert not exact(image).info
    deep = Image.fromarray(PIXELS[:, :, 0].astype(np.float32))
    deep.info["icc_profile"] = WIDE
    assert not opened(saved(deep, profile="main", max_error=1)).info
    with pytest.warns(MetadataWarning, match="the samples are gray"):
        assert not opened(saved(deep, profile="main", max_error=1, icc_profile=WIDE)).info
    deep.info["icc_profile"] = GRAY_WIDE
    assert opened(saved(deep, profile="main", max_error=1)).info == {"icc_profile": GRAY_WIDE}


# -------------------------------------------------------------------------------------------------------------- modes


def example(mode: str) -> Image.Image:
    """An image of a mode."""
    gray = RGB.convert("L")
    alpha = Image.fromarray(np.clip(np.arange(PIXELS[:, :, 0].size) % 300, 0, 255).astype(np.uint8).reshape(23, 37))
    if mode in ("LA", "La", "PA"):
        both = Image.merge("LA", (gray, alpha))
        return both if mode == "LA" else both.convert(mode)
    if mode in ("RGBA", "RGBa"):
        return Image.merge("RGBA", (*RGB.split(), alpha)).convert(mode)
    if mode.startswith("I;16"):
        samples = (PIXELS[:, :, 0].astype(np.uint16) << 8) + np.arange(37, dtype=np.uint16)
        order = ">" if mode.endswith("B") else "<"
        return Image.frombytes(mode, (37, 23), samples.astype(f"{order}u2").tobytes())
    if mode == "F":
        return Image.fromarray(PIXELS[:, :, 0].astype(np.float32) / 7)
    if mode == "LAB":
        return ImageCms.applyTransform(
            RGB,
            ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
        )
    return RGB.convert(mode)


KEPT = ("L", "LA", "RGB", "RGBA")


@pytest.mark.jit
@pytest.mark.parametrize("mode", KEPT)
def test_modes_that_stay(mode):
    image = example(mode)
    found = exact(image)
    assert found.mode == mode and found.tobytes() == image.tobytes()


@pytest.mark.jit
@pytest.mark.parametrize(
    ("mode", "becomes"),
    [
        *[("1", "L"), ("P", "RGB"), ("PA", "RGBA"), ("La", "LA"), ("RGBa", "RGBA"), ("CMYK", "RGB")],
        *[("RGBX", "RGB"), ("YCbCr", "RGB"), ("HSV", "RGB"), ("LAB", "RGB")],
    ],
)
def test_modes_that_become_others(mode, becomes):
    image = example(mode)
    assert image.mode == mode
    found = exact(image)
    assert found.mode == becomes and found.tobytes() == image.convert(becomes).tobytes()


@pytest.mark.jit
@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_modes_of_16_bits(mode):
    image = example(mode)
    found = exact(image)
    np.testing.assert_array_equal(np.asarray(found), (PIXELS[:, :, 0].astype(np.uint16) << 8) + np.arange(37))
    assert found.mode == "I;16"


@pytest.mark.jit
def test_modes_of_32_bits():
    samples = PIXELS[:, :, 0].astype(np.int32)
    for low, high, dtype, mode in (
        (0, 65535, "uint16", "I;16"),
        (-32768, 32767, "int16", "I"),
        (0, 9, "uint16", "I;16"),
    ):
        samples[0, :2] = low, high
        data = saved(Image.fromarray(samples), profile="main", lossless=True)
        assert imfnb.info(data)["dtype"] == dtype and opened(data).mode == mode
        np.testing.assert_array_equal(np.asarray(opened(data)), samples)
    samples[0, :2] = -1, 65535
    with pytest.raises(OSError, match=r"from -1 to 65535.*'I'.*mode 'F'") as caught:
        saved(Image.fromarray(samples))
    assert isinstance(caught.value, OptionError)
    floats = example("F")
    found = opened(saved(floats, profile="main", max_error=0.01))
    assert found.mode == "F" and abs(np.asarray(found) - np.asarray(floats)).max() <= 0.0101
    small = opened(imfnb.encode(np.int8([[-128, 127]]), lossless=True))
    assert small.mode == "I" and np.asarray(small).tolist() == [[-128, 127]]
    double = imfnb.encode(np.array([[0.5, 1e300, np.nan]]), max_error=1e299)
    found = np.asarray(opened(double))
    assert found.dtype == np.float32 and np.isinf(found[0, 1]) and np.isnan(found[0, 2])


@pytest.mark.jit
def test_transparency():
    image = example("L")
    level = image.getpixel((0, 0))
    image.info["transparency"] = level
    found = exact(image)
    assert found.mode == "LA" and found.tobytes() == image.convert("LA").tobytes()
    image = RGB.copy()
    image.info["transparency"] = image.getpixel((0, 0))
    found = exact(image)
    assert found.mode == "RGBA" and found.tobytes() == image.convert("RGBA").tobytes()
    image = example("P")
    image.info["transparency"] = bytes(range(256))
    found = exact(image)
    assert found.mode == "RGBA" and found.tobytes() == image.convert("RGBA").tobytes()
    image = example("I;16")
    image.info["transparency"] = 5
    with pytest.warns(MetadataWarning, match="transparency"):
        assert exact(image).mode == "I;16"


def test_gray_with_alpha_in_the_baseline_profile():
    image = opened(saved(example("LA")))
    assert image.mode == "RGBA"


def test_kinds_that_pillow_has_no_mode_for():
    for path in FOLDER.glob("*.imf"):
        said = imfnb.info(path)
        if said["frames"] is None and said["channels"] == "bands" and said["shape"][2:] != (1,):
            with pytest.raises(OSError, match=rf"{path.name}: the file has \d+ bands of .*imfnb\.imread"):
                Image.open(path)
            return
    pytest.fail("no golden file has bands")


# ------------------------------------------------------------------------------------------------------------- saving


@pytest.mark.jit
def test_options_are_those_of_encode():
    for options in ({}, {"quality": 80}, {"bpp": 2.0}, {"size": 400}, {"psnr": 35}, {"step": 20, "tune": "psnr"}):
        assert saved(RGB, profile="main", **options) == imfnb.encode(PIXELS, **options)
    assert saved(RGB, profile="main", optimize=True, quality=None, lossless=False) == imfnb.encode(PIXELS)
    assert saved(RGB, profile="baseline", rank=3, bounds=(-8, 7)) == encode(PIXELS, rank=3, bounds=(-8, 7))


def test_a_failure_leaves_no_file(tmp_path):
    path = tmp_path / "a.imf"
    with pytest.raises(OptionError, match=r"a\.imf: quality is 'high'; expected"):
        RGB.save(path, quality="high")
    with pytest.raises(OptionError, match=r"quality and lossless are given"):
        RGB.save(path, quality=75, lossless=True)
    assert not path.exists()
    file = io.BytesIO()
    with pytest.raises(OptionError):
        RGB.save(file, "IMF", quality=101)
    assert not file.getvalue()


def test_saving_over_the_own_file(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(CODED)
    with Image.open(path) as image:
        expected = saved(image.copy())
    with Image.open(path) as image:
        image.save(path, profile="baseline", quality=20)
    assert path.read_bytes() == expected


# ------------------------------------------------------------------------------------------------------------- stacks


def stack(count: int = 3, mode: str = "RGB") -> list[Image.Image]:
    return [Image.fromarray(picture(12, 17, seed=number)).convert(mode) for number in range(count)]


def saved_all(frames: list[Image.Image], **options) -> bytes:
    """The file of a stack, which the baseline profile has none of."""
    return saved(frames[0], profile="main", **{"save_all": True, "append_images": frames[1:], **options})


@pytest.mark.jit
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "F"])
def test_stacks(mode, tmp_path):
    path = tmp_path / "a.imf"
    frames = stack(mode=mode) if mode not in ("I;16", "F") else [example(mode), example(mode).transpose(1)]
    target = {"max_error": 1e-3} if mode == "F" else {"lossless": True}
    frames[0].save(path, save_all=True, append_images=frames[1:], **target)
    said = imfnb.info(path)
    assert said["frames"] == len(frames)
    with Image.open(path) as image:
        assert (image.n_frames, image.is_animated, image.tell(), image.mode) == (len(frames), True, 0, mode)
        for number in (1, 0, len(frames) - 1):
            image.seek(number)
            assert image.tell() == number
            np.testing.assert_allclose(np.asarray(image), np.asarray(frames[number]), atol=2e-3)
        with pytest.raises(EOFError):
            image.seek(len(frames))
        with pytest.raises(EOFError):
            image.seek(-1)
        assert image.tell() == len(frames) - 1
        path.unlink()  # the compressed frames are in memory
        assert len(list(ImageSequence.Iterator(image))) == len(frames)


@pytest.mark.jit
def test_stacks_of_files():
    frames = stack()
    data = saved_all(frames)
    image = opened(data)
    for number, frame in enumerate(ImageSequence.Iterator(image)):
        np.testing.assert_array_equal(np.asarray(frame), imfnb.decode(data, frame=number))
        np.testing.assert_array_equal(np.asarray(frame), imfnb.decode(saved(frames[number], profile="main")))
    image.seek(1)
    again = saved(image, profile="main", save_all=True)
    assert image.tell() == 1 and imfnb.info(again)["frames"] == 3
    assert imfnb.info(saved(image))["frames"] is None  # the one that it stands at
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(image))), imfnb.decode(data, frame=1))


@pytest.mark.jit
@pytest.mark.parametrize("kept", [0, 1 << 24])
def test_stacks_of_bands(kept, monkeypatch):
    """Frames that are alike are coded as bands of one array, which is decoded once."""
    monkeypatch.setattr(plugin, "_KEPT", kept)
    frames = [Image.fromarray(picture(40, 48, seed=1) + np.uint8(number)) for number in range(5)]
    data = saved_all(frames, psnr=40)
    assert imfnb.info(data)["channels"] == "bands" and "frame 0" not in imfnb.info(data)["segments"]
    image = opened(data)
    for number, frame in enumerate(ImageSequence.Iterator(image)):
        assert frame.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(frame), imfnb.decode(data, frame=number))
    assert (image._together is not None) == bool(kept)
    image.seek(1)
    image.draft(None, (20, 20))
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(data, frame=1, reduce=2))
    image.close()
    assert image._together is None


def test_frames_that_are_not_what_the_stack_says():
    whole = pack_frames([encode(PIXELS, quality=5), encode(PIXELS[::2], quality=5)])
    image = opened(whole)
    image.load()
    image.seek(1)
    with pytest.raises(plugin.FileError, match=r"frame 1 has uint8 \(12, 37, 3\); expected uint8 \(23, 37, 3\)"):
        image.load()
    image.seek(0)
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(encode(PIXELS, quality=5)))


@pytest.mark.jit
def test_a_stack_over_its_own_file(tmp_path):
    path = tmp_path / "a.imf"
    path.write_bytes(saved_all(stack()))
    with Image.open(path) as image:
        image.save(path, save_all=True)
    assert imfnb.info(path)["frames"] == 3


def test_a_single_frame_is_no_stack():
    assert saved(RGB, save_all=True) == saved(RGB)
    assert saved(RGB, save_all=True, append_images=None) == saved(RGB)
    assert not opened(saved(RGB, save_all=True)).is_animated


@pytest.mark.jit
def test_frames_of_several_modes():
    rgb = stack()[0]
    gray = rgb.convert("L")
    for mixed, mode in (
        ((gray, gray.convert("LA")), "LA"),
        ((gray, rgb), "RGB"),
        ((rgb, gray.convert("LA"), gray), "RGBA"),
        ((gray.convert("1"), rgb.convert("P")), "RGB"),
    ):
        image = opened(saved_all(mixed, lossless=True))
        for number, frame in enumerate(mixed):
            image.seek(number)
            assert image.mode == mode and image.tobytes() == frame.convert(mode).tobytes()


def test_frames_that_do_not_fit():
    with pytest.raises(OSError, match=r"sizes \[\(12, 17\), \(17, 12\)\]"):
        saved_all([RGB.resize((12, 17)), RGB.resize((17, 12))])
    with pytest.raises(OSError, match="samples of float32 and uint8"):
        saved_all([RGB, RGB.convert("F")])


@pytest.mark.jit
def test_profiles_of_frames():
    one, two = stack(2)
    one.info["icc_profile"] = WIDE
    image = opened(saved_all([one, two], lossless=True))
    assert "icc_profile" not in image.info  # one has been converted
    assert image.tobytes() != one.tobytes()
    image.seek(1)
    assert image.tobytes() == two.tobytes()
    two.info["icc_profile"] = WIDE
    image = opened(saved_all([one, two], lossless=True))
    assert image.info["icc_profile"] == WIDE and image.tobytes() == one.tobytes()


@pytest.mark.jit
def test_animations_of_other_formats():
    file = io.BytesIO()
    frames = stack(mode="P")
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], comment="moving")
    image = opened(saved_all([Image.open(file)]))
    assert image.n_frames == 3 and image.mode == "RGB" and image.info["comment"] == b"moving"


# ---------------------------------------------------------------------------------------------------------- thumbnails


def test_drafts():
    image = opened(CODED)
    assert image.draft(None, (37, 23)) is None and image.draft("L", None) is None
    assert image.draft(None, (20, 2)) is None and image.size == (37, 23)
    assert image.draft("L", (9, 5)) == ("RGB", (0, 0, 37 / 4, 23 / 4)) and image.size == (10, 6)
    assert image.draft(None, (2, 2)) is None  # as in JPEG, once
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(CODED, reduce=4))
    assert image.draft(None, (2, 2)) is None
    image = opened(CODED)
    assert image.draft(None, (0, 0))[1] == (0, 0, 37 / 8, 23 / 8)


@pytest.mark.jit
def test_thumbnails():
    pixels = picture(160, 240)
    data = encode(pixels, quality=60)
    small, whole = opened(data), opened(data)
    small.thumbnail((40, 40))
    whole.thumbnail((40, 40), reducing_gap=None)
    assert small.size == whole.size == (40, 27)
    assert abs(np.asarray(small).astype(int) - np.asarray(whole)).mean() < 4
    image = opened(data)
    image.thumbnail((40, 1000))  # the width decides
    assert image.size == (40, 27) and image._reduce == 2
    image = opened(data)
    image.thumbnail((500, 500))
    assert image.size == (240, 160) and image._reduce == 1


@pytest.mark.jit
def test_thumbnails_of_frames():
    data = saved_all(stack())
    image = opened(data)
    image.thumbnail((5, 5), reducing_gap=1.5)
    assert image.size == (5, 4)
    image.seek(1)
    assert image.size == (17, 12)
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(data, frame=1))
    image.seek(2)
    assert image.draft(None, (4, 4)) and image.size == (9, 6)
    np.testing.assert_array_equal(np.asarray(image), imfnb.decode(data, frame=2, reduce=2))


# -------------------------------------------------------------------------------------------------------------- others


def test_pictures_are_not_read_as_others(tmp_path):
    """What reads pictures of other formats through Pillow's list of readers goes on to refuse .imf files."""
    path = tmp_path / "a.imf"
    path.write_bytes(CODED)
    with pytest.raises(OptionError, match="compressed already"):
        imfnb.encode_batch([path], profile="baseline")


def test_images_are_encoded_as_before():
    assert encode(opened(encode(PIXELS, quality=20)), quality=5) == encode(imfnb.decode(CODED), quality=5)


def test_matplotlib(tmp_path):
    from matplotlib import image as plt

    path = tmp_path / "a.imf"
    path.write_bytes(CODED)
    for source in (path, str(path)):
        found = plt.imread(source)
        np.testing.assert_array_equal(found, imfnb.decode(CODED))
    with open(path, "rb") as file:
        np.testing.assert_array_equal(plt.imread(file), imfnb.decode(CODED))
    out = tmp_path / "b.imf"
    plt.imsave(out, PIXELS, dpi=200, pil_kwargs={"profile": "baseline", "quality": 30})
    assert imfnb.info(out)["shape"] == (23, 37, 4) and imfnb.read_metadata(out).dpi == (200, 200)
    plt.imsave(out, PIXELS[:, :, 0], cmap="viridis", pil_kwargs={"profile": "baseline"})
    assert plt.imread(out).shape == (23, 37, 4)


def test_skimage(tmp_path):
    from skimage import io as skio

    path = tmp_path / "a.imf"
    path.write_bytes(CODED)
    for source in (path, str(path)):
        found = skio.imread(source)
        np.testing.assert_array_equal(found, imfnb.decode(CODED))
        assert found.flags.writeable
    assert skio.imread(path, as_gray=True).shape == (23, 37)
    assert len(skio.imread_collection([str(path)])[0]) == 23
    out = tmp_path / "b.imf"
    with pytest.warns(FutureWarning, match="plugin infrastructure"):  # of arguments for writers
        skio.imsave(out, PIXELS, profile="baseline", quality=30, check_contrast=False)
    assert out.read_bytes() == encode(PIXELS, quality=30)


def test_the_documentation_is_true():
    text = pathlib.Path(plugin.__file__).read_text(encoding="utf-8")
    for name in plugin._OPTIONS:
        assert name in text.split('"""')[1]
