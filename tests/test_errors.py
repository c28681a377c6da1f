"""Errors: each kind of bad input has one ImfError, whose message says what was found and what was expected."""

from __future__ import annotations

import io
import math
import mmap
import pathlib

import numpy as np
import pytest
from helpers import encode, picture
from PIL import Image

import imfnb
from imfnb import DeviceError, FormatError, ImfError, LimitError, OptionError
from imfnb.runtime.devices import resolve_threads

GRAY = picture(9, 7, 0)
COLOR = picture(9, 7)


def test_hierarchy():
    """One root to catch them all, and the built-in class that fits."""
    assert issubclass(OptionError, ImfError) and issubclass(OptionError, ValueError)
    assert issubclass(FormatError, ImfError) and issubclass(FormatError, ValueError)
    assert issubclass(LimitError, FormatError)
    assert issubclass(DeviceError, ImfError) and issubclass(DeviceError, RuntimeError)


# -------------------------------------------------------------------------------------------------------------- images


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "uint16", "int8", "int64", "bool", "complex128", "object", "U1"]
)
def test_image_of_another_dtype(dtype):
    shown = str(np.dtype(dtype)).replace("<", ".")
    with pytest.raises(OptionError, match=f"dtype {shown}.*expected uint8"):
        encode(np.zeros((4, 4), dtype))


@pytest.mark.parametrize("image", [None, 5, [[1, 2], [3, 4]], {}])
def test_image_that_is_none(image):
    with pytest.raises(OptionError, match=r"image has dtype .*expected uint8"):
        encode(image)


def test_image_of_ragged_lists():
    with pytest.raises(OptionError, match="image"):
        encode([[1, 2], [3]])


@pytest.mark.parametrize("shape", [(), (9,), (9, 7, 2), (9, 7, 5), (9, 7, 3, 1), (3, 9, 7)])
def test_image_of_another_shape(shape):
    with pytest.raises(OptionError) as error:
        encode(np.zeros(shape, np.uint8))
    assert f"shape {shape}" in str(error.value) and "expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)" in str(
        error.value
    )


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (0, 5, 3), (5, 0, 1)])
def test_empty_image(shape):
    with pytest.raises(OptionError) as error:
        encode(np.zeros(shape, np.uint8))
    assert f"shape {shape}" in str(error.value) and "at least one pixel" in str(error.value)


# ------------------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        # contradictory
        ({"quality": 50, "rank": 3}, "quality and rank are given; expected at most one of"),
        ({"bpp": 1.0, "size": 999, "psnr": 30.0}, "bpp and size and psnr are given"),
        ({"color_space": "RGB", "subsampling": "4:2:0"}, "needs color_space='YCbCr'"),
        ({"step": 8.0}, "step belongs to profile='main'"),
        # out of range
        ({"quality": -1}, "quality is -1; expected a number from 0 to 100"),
        ({"quality": 100.5}, "quality is 100.5; expected a number from 0 to 100"),
        ({"quality": math.nan}, "quality is nan; expected"),
        ({"quality": (50, 101, 50)}, "quality is 101; expected"),
        ({"bpp": 0}, "bpp is 0; expected a positive number"),
        ({"bpp": -0.5}, "bpp is -0.5; expected a positive number"),
        ({"bpp": math.inf}, "bpp is inf; expected"),
        ({"bpp": math.nan}, "bpp is nan; expected"),
        ({"size": 0}, "size is 0; expected a positive number of bytes"),
        ({"psnr": 0}, "psnr is 0; expected a positive number of decibels"),
        ({"psnr": math.inf}, "psnr is inf; expected"),
        ({"rank": 0}, "rank is 0; expected a positive integer"),
        ({"rank": (3, 0, 3)}, "rank is 0; expected a positive integer"),
        ({"iterations": 0}, "iterations is 0; expected a positive integer"),
        ({"patch_size": 5}, "patch_size is 5; expected 4, 8, 16, 32 or None"),
        ({"patch_size": 0}, "patch_size is 0; expected"),
        ({"bounds": (5, 5)}, r"bounds is \(5, 5\); expected two integers \(low, high\)"),
        ({"bounds": (5, -5)}, "bounds is .* expected two integers"),
        ({"bounds": (-32768, 0)}, "bounds is .* -32767 <= low < high <= 32767"),
        ({"bounds": (-math.inf, math.inf)}, "bounds is .* expected two integers"),
        ({"bounds": (math.nan, 3)}, "bounds is .* expected two integers"),
        ({"threads": 0}, "threads is 0; expected a positive integer"),
        ({"threads": -2}, "threads is -2; expected a positive integer"),
        # of another kind
        ({"quality": "high"}, "quality is 'high'; expected"),
        ({"quality": True}, "quality is True; expected"),
        ({"quality": ()}, "quality has 0 entries"),
        ({"quality": (50,) * 5}, "quality has 5 entries"),
        ({"size": 10.5}, "size is 10.5; expected"),
        ({"size": True}, "size is True; expected"),
        ({"psnr": False}, "psnr is False; expected"),
        ({"rank": 2.0}, "rank is 2.0; expected"),
        ({"rank": True}, "rank is True; expected"),
        ({"rank": (2, True, 1)}, "rank is True; expected"),
        ({"rank": np.array([2, 1, 1])}, "rank is .*expected"),
        ({"iterations": 2.5}, "iterations is 2.5; expected"),
        ({"iterations": True}, "iterations is True; expected"),
        ({"patch_size": True}, "patch_size is True; expected"),
        ({"patch_size": "8"}, "patch_size is '8'; expected"),
        ({"patch_size": 8.0}, "patch_size is 8.0; expected"),
        ({"bounds": 16}, "bounds is 16; expected two integers"),
        ({"bounds": (-16, 0, 15)}, "bounds is .* expected two integers"),
        ({"bounds": (-16.5, 15)}, "bounds is .* expected two integers"),
        ({"bounds": (False, True)}, "bounds is .* expected two integers"),
        ({"bounds": "ab"}, "bounds is 'ab'; expected two integers"),
        ({"color_space": "ycbcr"}, "color_space is 'ycbcr'; expected 'YCbCr' or 'RGB'"),
        ({"subsampling": "4:2:2"}, "subsampling is '4:2:2'; expected '4:2:0' or '4:4:4'"),
        ({"threads": 1.5}, "threads is 1.5; expected a positive integer"),
        ({"threads": True}, "threads is True; expected a positive integer"),
        ({"device": "gpu"}, "device is 'gpu'; expected one of 'auto', 'cpu', 'cuda', 'reference'"),
        ({"device": None}, "device is None; expected one of"),
        # one value per matrix
        ({"rank": (2, 1)}, "rank has 2 entries; this image has 3 matrices"),
        ({"quality": (50, 20), "color_space": "RGB"}, "quality has 2 entries; this image has 1 matrices"),
    ],
)
def test_options_of_encode(options, message):
    with pytest.raises(OptionError, match=message):
        encode(COLOR, **options)


@pytest.mark.parametrize("profile", ["best", "", None, 0])
def test_unknown_profile(profile):
    with pytest.raises(OptionError, match=f"profile is {profile!r}; expected one of .*'baseline'"):
        imfnb.encode(COLOR, profile=profile)


def test_unknown_keyword_is_a_type_error():
    """As for any Python function: the name is wrong, not the value."""
    with pytest.raises(TypeError, match="qualty"):
        encode(COLOR, qualty=3)


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, None, "9"])
def test_max_pixels(small_file, limit):
    for function in (imfnb.decode, imfnb.info):
        with pytest.raises(OptionError, match=f"max_pixels is {limit!r}; expected a positive integer"):
            function(small_file, max_pixels=limit)


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": True}, {"device": "gpu"}])
def test_options_of_decode(small_file, options):
    with pytest.raises(OptionError, match=f"{next(iter(options))} is .*expected"):
        imfnb.decode(small_file, **options)


def test_threads_default_to_the_cores(monkeypatch):
    assert resolve_threads(3) == 3
    assert resolve_threads(None) >= 1
    monkeypatch.delattr("os.process_cpu_count", raising=False)  # before Python 3.13
    monkeypatch.delattr("os.sched_getaffinity", raising=False)  # as on macOS and Windows
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert resolve_threads(None) == 1


# ------------------------------------------------------------------------------------------------------- data and out


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (None, "None; expected contiguous bytes"),
        (5, "5; expected"),
        ("z" * 10**6, r"a str \(the path 'z{200}\.\.\.'\); "),
        ("a.imf", r"a str \(the path 'a\.imf'\); expected contiguous bytes, .*decode it with imfnb\.imread"),
        (pathlib.Path("b.imf"), r"the path 'b\.imf'; .*imfnb\.imread"),
        (pathlib.Path(), r"the folder '\.'; .*imfnb\.decode_batch"),
        ([b"1", b"2"], r"a list; .*imfnb\.decode_batch"),
        (iter([b"1"]), r"an? .*; .*imfnb\.decode_batch"),
        ({"a": 1}, "a dict; expected contiguous bytes"),
        (io.BytesIO(b"12"), r"an open file; .*read\(\).*imfnb\.imread"),
        (GRAY, r"an array of uint8 with shape \(9, 7\); .*imfnb\.encode"),
        (GRAY.astype(np.float32)[0], r"an array of float32 with shape \(7,\); "),
        (np.arange(20, dtype=np.uint8)[::2], r"an array of uint8 with shape \(10,\); .*tobytes\(\)"),
        (memoryview(b"12345678")[::2], r"an array of B with shape \(4,\); .*tobytes\(\)"),
        (Image.new("L", (3, 4)), r"an object of type PIL\.Image\.Image; expected"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_data_that_are_no_bytes(data, found):
    with pytest.raises(OptionError, match=f"^data is {found}"):
        imfnb.decode(data)


@pytest.mark.parametrize("function", [imfnb.info, imfnb.read_metadata])
@pytest.mark.parametrize(
    ("source", "found"),
    [
        (None, "None"),
        ([b"1", b"2"], "a list"),
        (GRAY, r"an array of uint8 with shape \(9, 7\)"),
        (Image.new("L", (3, 4)), r"an object of type PIL\.Image\.Image"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sources_that_are_none(function, source, found):
    with pytest.raises(OptionError, match=f"^source is {found}; expected the path of an .imf file, a binary file obj"):
        function(source)


def test_data_in_an_open_file(tmp_path, small_file):
    (tmp_path / "a.imf").write_bytes(small_file)
    match = r"the open file '.*a\.imf'; .*imread"
    with open(tmp_path / "a.imf", "rb") as file, pytest.raises(OptionError, match=match):
        imfnb.decode(file)


def test_data_that_are_closed(small_file):
    mapped, view = mmap.mmap(-1, len(small_file)), memoryview(small_file)
    mapped.close()
    view.release()
    for data in (mapped, view):
        with pytest.raises(OptionError, match=r"data is .*; expected contiguous bytes"):
            imfnb.decode(data)


@pytest.mark.parametrize("dtype", [object, ">u2", "M8[s]"])
def test_data_of_a_dtype_that_has_no_bytes(dtype):
    """An array whose memory cannot be seen as bytes is a wrong argument, or no .imf file, but no crash."""
    with pytest.raises(ImfError):
        imfnb.decode(np.zeros(20, dtype))


@pytest.mark.parametrize("data", [b"", b"\x89", b"\x89IMF", b"GIF89a" + bytes(50), bytes(100)])
def test_data_that_are_no_file(data):
    with pytest.raises(FormatError, match=r"not an .imf file"):
        imfnb.decode(data)


@pytest.mark.parametrize(
    ("out", "found"),
    [
        (np.zeros((11, 13), np.uint8), r"uint8 \(11, 13\)"),
        (np.zeros((13, 11, 3), np.uint8), r"uint8 \(13, 11, 3\)"),
        (np.zeros((11, 13, 3), np.int8), r"int8 \(11, 13, 3\)"),
        (np.zeros((11, 13, 3)), r"float64 \(11, 13, 3\)"),
        (bytearray(429), "bytearray"),
        ([0], "list"),
    ],
)
def test_wrong_out(small_file, out, found):
    with pytest.raises(OptionError, match=rf"out is {found}; expected an array of uint8 with shape \(11, 13, 3\)"):
        imfnb.decode(small_file, out=out)


def test_read_only_out(small_file):
    out = np.zeros((11, 13, 3), np.uint8)
    out.flags.writeable = False
    with pytest.raises(OptionError, match="out is read-only; expected a writeable array"):
        imfnb.decode(small_file, out=out)


# ------------------------------------------------------------------------------------------------------- configuration


def test_show_config():
    config = imfnb.show_config()
    assert config["imfnb"] == imfnb.__version__ and config["numpy"] == np.__version__
    assert {"python", "numba", "scipy", "platform", "threads", "threading layer", "kernel cache", "jit", "cuda"} <= set(
        config
    )
    assert config["cuda"].startswith(("found", "not found")) and config["threads"] >= 1


def test_show_config_knows_a_threading_layer(monkeypatch):
    import numba

    monkeypatch.setattr(numba, "threading_layer", lambda: "omp")
    assert imfnb.show_config()["threading layer"] == "omp"


# ----------------------------------------------------------------------------------------------------------- factorize


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_factorize_needs_finite_numbers(value, dtype):
    x = np.ones((2, 4, 3), dtype)
    x[1, 3, 2] = value
    with pytest.raises(OptionError, match="X contains NaN or infinity; expected finite numbers"):
        imfnb.factorize(x, 1)


@pytest.mark.parametrize("shape", [(), (5,), (0, 4), (4, 0), (3, 0, 4)])
def test_factorize_needs_a_matrix(shape):
    with pytest.raises(OptionError) as error:
        imfnb.factorize(np.zeros(shape), 1)
    assert f"X has shape {shape}; expected a non-empty matrix" in str(error.value)


@pytest.mark.parametrize("dtype", ["complex64", "object", "U3", "M8[s]"])
def test_factorize_needs_real_numbers(dtype):
    with pytest.raises(OptionError, match=r"X has dtype .*expected real numbers"):
        imfnb.factorize(np.zeros((3, 3), dtype), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank is 0; expected a positive integer"),
        ({"rank": -1}, "rank is -1; expected a positive integer"),
        ({"rank": 1.0}, "rank is 1.0; expected a positive integer"),
        ({"rank": True}, "rank is True; expected a positive integer"),
        ({"rank": None}, "rank is None; expected a positive integer"),
        ({"iterations": 0}, "iterations is 0; expected a positive integer"),
        ({"iterations": True}, "iterations is True; expected a positive integer"),
        ({"iterations": "3"}, "iterations is '3'; expected a positive integer"),
        ({"bounds": (3, 3)}, r"bounds is \(3, 3\); expected two integers"),
        ({"bounds": (-(2**31), 0)}, "bounds is .*expected two integers"),
        ({"bounds": (0, math.inf)}, "bounds is .*expected two integers"),
        ({"threads": 0}, "threads is 0; expected a positive integer"),
        ({"device": "tpu"}, "device is 'tpu'; expected one of"),
    ],
)
def test_options_of_factorize(options, message):
    with pytest.raises(OptionError, match=message):
        imfnb.factorize(GRAY, **{"rank": 1, **options})


@pytest.mark.parametrize("limits", [(-16, 15), None])
@pytest.mark.parametrize("scale", [1e30, 1e60, 1e200])
def test_factorize_of_huge_numbers(scale, limits):
    """Finite input gives factors within the bounds or an OptionError: no overflow, no wrapped integers."""
    x = scale * np.array([[1.0, 2.0], [3.0, 5.0]])
    try:
        u, v = imfnb.factorize(x, 1, limits)
    except OptionError:
        return
    product = u.astype(float) @ v.T.astype(float)
    assert (product > 0).all()
    if limits is None:
        np.testing.assert_allclose(product, x, rtol=0.2)


@pytest.mark.parametrize("scale", [1e-30, 1e-200])
def test_factorize_of_tiny_numbers(scale):
    """Integers cannot do better than zero here, and zero is what comes."""
    u, v, _ = imfnb.factorize(scale * np.array([[1.0, 2.0], [3.0, 5.0]]), 1, return_cost=True)
    assert (u @ v.T == 0).all()
