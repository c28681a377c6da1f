"""Objects that are given for images: converted where the result is what they show, or refused in one sentence."""

from __future__ import annotations

import io
import pathlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import picture
from PIL import Image, ImageCms

import imfnb
from imfnb.errors import OptionError
from imfnb.options import check_image
from imfnb.pictures import read_picture

RGB = picture(13, 18)
GRAY = RGB[:, :, 1].copy()


def checked(image: object) -> np.ndarray:
    """The image as the codec gets it."""
    array, channels = check_image(image)
    assert array.dtype == np.uint8 and array.flags.c_contiguous and array.flags.writeable
    return array if channels else array[:, :, 0]


def refusal(image: object) -> str:
    with pytest.raises(OptionError) as error:
        check_image(image)
    assert "\n" not in str(error.value)
    return str(error.value)


def saved(image: Image.Image, kind: str = "PNG", **options) -> io.BytesIO:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer


# --------------------------------------------------------------------------------------------------------------- Pillow


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "LA", "La", "RGBa", "RGBX", "PA"]
)
def test_pillow_images_are_what_they_show(mode):
    image = Image.fromarray(RGB)
    if mode in ("La", "PA"):
        image = image.convert("LA")
    elif mode == "RGBa":
        image = image.convert("RGBA")
    image = image.quantize(64) if mode == "P" else image.convert(mode)
    shown = "L" if mode in ("1", "L") else "RGBA" if mode.endswith(("A", "a")) else "RGB"
    expected = image.convert("LA").convert("RGBA") if mode == "La" else image.convert(shown)
    np.testing.assert_array_equal(checked(image), np.asarray(expected))


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "I;16B", "I;16L"])
def test_deep_pillow_images_are_refused(mode):
    assert "deeper than 8 bits" in refusal(Image.new(mode, (5, 4)))


def test_encode_takes_pillow_images():
    image = Image.fromarray(RGB).quantize(16)
    assert imfnb.encode(image, profile="baseline") == imfnb.encode(np.asarray(image.convert("RGB")), profile="baseline")


@pytest.mark.parametrize(
    ("mode", "key"), [("L", 7), ("RGB", (1, 2, 3)), ("P", 2), ("P", bytes(range(100, 164))), ("1", 0), ("1", 255)]
)
def test_transparency_beside_the_pixels(mode, key):
    image = Image.fromarray(RGB)
    image = image.quantize(64) if mode == "P" else image.convert(mode)
    if mode in ("L", "RGB"):
        image.putpixel((3, 2), key)
    image.info["transparency"] = key
    found = checked(image)
    assert found.shape[2] == 4
    samples = np.asarray(image).astype(np.uint8) * (255 if mode == "1" else 1)
    if isinstance(key, bytes):
        expected = np.frombuffer(key, np.uint8)[samples]
    else:
        expected = np.where((samples == key).reshape(13, 18, -1).all(axis=2), 0, 255)
    np.testing.assert_array_equal(found[:, :, 3], expected)


def test_transparency_that_makes_no_sense_is_none():
    image = Image.fromarray(RGB)
    image.info["transparency"] = "red"
    np.testing.assert_array_equal(checked(image), RGB)


def test_opened_files_are_as_from_read_picture(tmp_path):
    wide = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, options in {"a.png": {"icc_profile": wide}, "b.png": {"transparency": (9, 9, 9)}, "c.jpg": {}}.items():
        Image.fromarray(RGB).save(tmp_path / name, **options)
        with Image.open(tmp_path / name) as image:
            np.testing.assert_array_equal(checked(image), read_picture(tmp_path / name).pixels)


def test_deep_files_that_pillow_would_cut():
    from test_pictures import png

    with Image.open(io.BytesIO(png(16, 2, [bytes(30)] * 4, 5))) as image:
        assert image.mode == "RGB" and "16-bit samples" in refusal(image)


def test_gray_of_few_bits_with_transparency():
    from test_pictures import chunk, png

    data = png(2, 0, [b"\x1b"], 4, chunk(b"tRNS", b"\0\2"))
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(checked(image)[0], [[0, 0, 0, 255], [85] * 3 + [255], [170] * 3 + [0], [255] * 4])


def test_orientation_is_left_to_the_caller():
    """Pillow shows images as they are stored; so do arrays of them."""
    exif = Image.Exif()
    exif[274] = 6
    with Image.open(saved(Image.fromarray(RGB), exif=exif)) as image:
        np.testing.assert_array_equal(checked(image), RGB)


def test_damaged_opened_file_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.fromarray(RGB)).getvalue()[:300])
    with Image.open(path) as image:
        assert refusal(image).startswith(f"{path}: this is a Pillow image whose pixels")


def test_current_frame_of_an_animation():
    frames = [Image.fromarray(np.roll(RGB, shift, axis=1)) for shift in (0, 5)]
    with Image.open(saved(frames[0], save_all=True, append_images=frames[1:])) as image:
        image.seek(1)
        np.testing.assert_array_equal(checked(image), np.roll(RGB, 5, axis=1))


# ------------------------------------------------------------------------------------------------------ arrays and more


@pytest.mark.parametrize(
    "image",
    [
        RGB.tolist(),
        memoryview(RGB),
        RGB[::-1, ::2],
        np.asfortranarray(RGB),
        RGB.view(type("Mine", (np.ndarray,), {})),
        np.ma.masked_array(RGB),
        np.ma.masked_array(RGB, mask=np.zeros(RGB.shape, bool)),
        SimpleNamespace(__array_interface__=RGB.__array_interface__, kept=RGB),
    ],
    ids=lambda image: type(image).__name__,
)
def test_arrays_of_all_kinds(image):
    if isinstance(image, list):
        assert "dtype int64" in refusal(image)
        return
    np.testing.assert_array_equal(checked(image), np.asarray(image))


def test_read_only_arrays():
    image = RGB.copy()
    image.flags.writeable = False
    np.testing.assert_array_equal(checked(image), RGB)


def test_matrix():
    with pytest.warns(PendingDeprecationWarning):
        image = np.matrix(GRAY)
    np.testing.assert_array_equal(checked(image), GRAY)


def test_masked_values_are_refused():
    image = np.ma.masked_equal(RGB, RGB[0, 0, 0])
    count = int((RGB == RGB[0, 0, 0]).sum())
    assert f"{count} masked values" in refusal(image) and "x.filled(0)" in refusal(image)
    np.testing.assert_array_equal(checked(image.filled(0)), image.filled(0))


def test_masked_values_behind_an_array_protocol():
    class Variable:
        """As netCDF4 has them."""

        def __array__(self, dtype=None, copy=None):
            return np.ma.masked_equal(RGB, RGB[0, 0, 0])

    assert "masked values" in refusal(Variable())


def test_units_are_refused():
    class Quantity(np.ndarray):
        """As astropy's and unyt's."""

        unit = "adu"
        value = RGB

    assert "the unit adu" in refusal(RGB.view(Quantity)) and "x.value" in refusal(RGB.view(Quantity))

    class Frame:
        """As astropy's CCDData."""

        unit, mask, data = "adu", None, RGB

        def __array__(self, dtype=None, copy=None):
            return self.data

    assert "the unit adu" in refusal(Frame()) and "x.data" in refusal(Frame())
    Frame.unit = None
    np.testing.assert_array_equal(checked(Frame()), RGB)
    Frame.mask = GRAY > 99
    assert "masked values" in refusal(Frame())

    class Pint:
        magnitude, units = RGB, "lux"

        def __array__(self, *_):
            raise AssertionError("not to be asked")

    assert "the unit lux" in refusal(Pint()) and "x.magnitude" in refusal(Pint())


def test_labelled_bands_come_last():
    class DataArray:
        """As xarray has them."""

        def __init__(self, values, *dims):
            self.values, self.dims = values, dims

        def __array__(self, dtype=None, copy=None):
            return self.values

    square = picture(3, 3)
    assert "x.transpose('y', 'x', 'band')" in refusal(DataArray(square, "band", "y", "x"))
    np.testing.assert_array_equal(checked(DataArray(RGB, "y", "x", "band")), RGB)
    np.testing.assert_array_equal(checked(DataArray(GRAY, "y", "x")), GRAY)


def test_tables_with_holes(monkeypatch):
    class DataFrame:
        """As pandas has them, with a dtype that allows for missing values."""

        ndim = 2
        dtypes = ["uint8"] * GRAY.shape[1]

        def __init__(self, values, missing):
            self.values, self.missing = values, missing

        def isna(self):
            return self.missing

        def __array__(self, dtype=None, copy=None):
            return self.values

    DataFrame.__module__ = "pandas.core.frame"
    np.testing.assert_array_equal(checked(DataFrame(GRAY, np.zeros(GRAY.shape, bool))), GRAY)
    assert "missing values" in refusal(DataFrame(GRAY, GRAY == GRAY[0, 0]))

    class Nullable(DataFrame):
        dtypes = ["UInt8"] * GRAY.shape[1]

        def to_numpy(self, dtype):
            return self.values.astype(dtype)

    Nullable.__module__ = "pandas.core.frame"
    np.testing.assert_array_equal(checked(Nullable(GRAY.astype(object), np.zeros(GRAY.shape, bool))), GRAY)


def test_missing_values_among_objects():
    image = GRAY.astype(object)
    image[2, 3] = None
    assert "missing values" in refusal(image)
    assert "dtype object" in refusal(GRAY.astype(object))


@pytest.mark.parametrize(
    ("dtype", "remedy"),
    [
        ("bool", "numpy.uint8(255)"),
        ("uint16", "scale it first"),
        ("int64", "x.astype(numpy.uint8)"),
        ("float32", "(x * 255).round()"),
        ("complex64", "magnitude"),
        ("datetime64[s]", "array of numbers"),
        ("U3", "array of numbers"),
        ([("r", "u1"), ("g", "u1"), ("b", "u1")], "array of numbers"),
    ],
)
def test_remedies_by_dtype(dtype, remedy):
    text = refusal(np.zeros((4, 5), dtype))
    assert "expected uint8" in text and remedy in text


@pytest.mark.parametrize("error", [TypeError, RuntimeError, ValueError, AttributeError, KeyError, NotImplementedError])
def test_arrays_that_cannot_be_had(error):
    """PyTorch's tensors that require gradients, sparse tensors, closed files."""

    class Tensor:
        def __array__(self, dtype=None, copy=None):
            raise error("call\ndetach() first")

    text = refusal(Tensor())
    assert "of type Tensor, is not an array" in text and "detach() first" in text


@pytest.mark.parametrize("image", [object(), {}, {1}, None, iter([]), lambda: 0, SimpleNamespace()])
def test_what_is_no_array(image):
    assert f"of type {type(image).__name__}" in refusal(image)


@pytest.mark.parametrize("image", ["photo.png", pathlib.Path("photo.png")])
def test_paths(image):
    text = refusal(image)
    assert "the path 'photo.png'" in text and "imfnb.encode_batch([path])" in text


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_contents_of_files(wrap):
    text = refusal(wrap(saved(Image.fromarray(RGB)).getvalue()))
    assert "looks like a PNG file" in text and "imfnb.encode_batch([io.BytesIO(data)])" in text
    text = refusal(wrap(RGB.tobytes()))
    assert "looks like" not in text and "numpy.frombuffer" in text


def test_file_objects():
    assert "image is a file object" in refusal(saved(Image.fromarray(RGB)))


def test_nothing_is_imported_for_it():
    """Pillow stays unknown to who gives arrays."""
    import subprocess

    code = (
        "import sys, numpy as np; from imfnb.options import check_image; check_image(np.zeros((4, 4), np.uint8)); "
        "sys.exit('PIL' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
