"""The codec of numcodecs: configuration, exact arrays back, hostile bytes, arrays of Zarr format 2."""

from __future__ import annotations

import inspect
import json
import math
import pickle
from importlib.metadata import entry_points

import numpy as np
import pytest
from array_helpers import DTYPES, scene
from helpers import picture

import imfnb
from imfnb import FormatError, OptionError
from imfnb.plugins.chunks import OPTIONS, arrangement

numcodecs = pytest.importorskip("numcodecs")

CONFIGURATIONS = [
    {},
    {"quality": 80},
    {"quality": 80.5, "tune": "psnr", "subsampling": "4:4:4", "patch_size": 16},
    {"bpp": 2},
    {"size": 5000},
    {"psnr": 40.0},
    {"step": 12, "effort": "fast"},
    {"max_error": 2, "channels": "bands", "axes": "CHW"},
    {"lossless": True},
    {"nodata": -9999.0, "max_error": 0.5},
    {"nodata": math.nan},
    {"nodata": math.inf},
    {"alpha_quality": "lossless", "keep_hidden": True},
    {"profile": "baseline", "rank": (6, 3, 3), "bounds": [-16, 15], "iterations": 3, "color_space": "YCbCr"},
    {"profile": "baseline", "quality": 30, "patch_size": None, "objective": "svd"},
    {"max_error": np.float32(0.5), "nodata": np.int16(-1), "lossless": np.bool_(False)},
]


def codec(**options):
    """The codec by its id, which is what finds it."""
    return numcodecs.get_codec({"id": "imfnb", **options})


def kinds() -> dict[str, np.ndarray]:
    """Arrays of every kind of shape, dtype and order in memory."""
    found = {f"{dtype}-{shape}": scene(shape, dtype) for dtype in DTYPES for shape in ((20, 17), (9, 8, 5))}
    found |= {f"picture-{channels}": picture(21, 18, channels) for channels in range(5)}
    found |= {
        "one row": scene((1, 40), "int16")[0],
        "one sample": np.array(7.5, np.float32),
        "empty axes": scene((12, 10), "uint16")[None, None],
        "frames": np.stack([picture(12, 10, 3, seed) for seed in range(3)]),
        "frames of frames": np.stack([scene((12, 10), "uint16", seed) for seed in range(4)]).reshape(2, 2, 12, 10),
        "fortran": np.asfortranarray(scene((20, 17, 3), "uint16")),
        "big-endian": scene((20, 17), "uint16").astype(">u2"),
        "big-endian, fortran": np.asfortranarray(scene((20, 17), "float64").astype(">f8")),
        "neither order": np.moveaxis(scene((9, 8, 5), "float32"), 2, 0),
        "every other": scene((20, 34), "int8")[:, ::2],
    }
    return found


KINDS = kinds()


def test_it_is_registered():
    (found,) = entry_points(group="numcodecs.codecs", name="imfnb")
    assert found.load() is type(codec())


@pytest.mark.parametrize("options", CONFIGURATIONS, ids=str)
def test_configurations_come_back(options):
    one = codec(**options)
    config = one.get_config()
    text = json.dumps(config, allow_nan=False)
    written = eval(repr(one), {"Imfnb": type(one)})
    for other in (numcodecs.get_codec(json.loads(text)), pickle.loads(pickle.dumps(one)), written):
        assert other == one and other.get_config() == config
    assert one != codec(quality=7)
    assert config["id"] == "imfnb"
    assert sum(name in config for name in ("quality", "bpp", "size", "psnr", "rank", "step", "max_error", "lossless"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"quality": 700}, "quality is 700; expected a number from 0 to 100"),
        ({"quality": "high"}, "quality is 'high'"),
        ({"quality": [1, 2]}, "quality"),
        ({"quality": 50, "psnr": 30}, "quality and psnr are given"),
        ({"speed": 3}, "unknown option 'speed'; expected some of profile, quality"),
        ({"mask": True}, "unknown option 'mask'"),
        ({"device": "cuda"}, "unknown option 'device'"),
        ({"max_error": math.nan}, "max_error is NaN; expected a finite number"),
        ({"max_error": "Infinity"}, "max_error is Infinity"),
        ({"lossless": 0}, "lossless is 0; expected True or False"),
        ({"profile": "best"}, "profile is 'best'"),
        ({"profile": "baseline", "nodata": 0}, "nodata belongs to profile='main'"),
        ({"axes": "HWX"}, "axes is 'HWX'"),
        ({"nodata": "none"}, "nodata is 'none'"),
        ({"nodata": b"0"}, "nodata is a bytes; expected a number"),
        ({"bpp": {}}, "bpp is a dict"),
    ],
)
def test_wrong_options_are_refused_at_once(options, text):
    with pytest.raises(OptionError, match=text.replace("(", r"\(")):
        codec(**options)


def test_every_option_of_encode_is_one_here():
    """But for those of one array and of the machine."""
    names = set(inspect.signature(imfnb.encode).parameters)
    assert set(OPTIONS) == names - {"image", "mask", "metadata", "device", "threads"}


@pytest.mark.jit
@pytest.mark.parametrize("name", KINDS)
def test_arrays_come_back_as_they_were(name):
    array = KINDS[name]
    bound = 1.0 if array.dtype.kind in "iu" else 0.01
    one = codec(max_error=bound)
    data = one.encode(array)
    back = one.decode(data)
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert np.abs(back.astype(np.float64) - array.astype(np.float64)).max() <= bound
    if array.flags.f_contiguous or array.flags.c_contiguous:
        assert back.flags.f_contiguous == array.flags.f_contiguous
        assert back.flags.c_contiguous == array.flags.c_contiguous
    assert imfnb.info(data)["padding"] <= 48  # any reader of .imf files reads it
    out = np.empty(array.size * array.itemsize, np.uint8)
    assert one.decode(memoryview(data), out=out) is out
    assert out.tobytes() == back.tobytes(order="A")


@pytest.mark.jit
def test_bands_in_front():
    bands = np.moveaxis(scene((20, 17, 6), "uint16"), 2, 0)
    one = codec(max_error=30, axes="CHW")
    data = one.encode(bands)
    back = one.decode(data)
    assert back.shape == bands.shape and np.abs(back.astype(int) - bands).max() <= 30
    assert imfnb.info(data)["shape"] == (20, 17, 6)
    stack = one.decode(one.encode(np.stack([bands, bands])))
    np.testing.assert_array_equal(stack, np.stack([stack[0], stack[0]]))
    with pytest.raises(OptionError, match=r"has shape \(20, 17\); expected at least 3 axes, as axes='CHW' says"):
        one.encode(bands[0])
    with pytest.raises(FormatError, match="has axes HW; expected those of axes='CHW'"):
        one.decode(codec().encode(bands[0]))


def test_the_rule_of_axes():
    u1, u2 = np.dtype("uint8"), np.dtype("uint16")
    assert arrangement((), u1, None) == ("HW", (1, 1))
    assert arrangement((9,), u1, None) == ("HW", (1, 9))
    assert arrangement((9, 4), u1, None) == ("HW", (9, 4))
    assert arrangement((9, 8, 4), u1, None) == ("HWC", (9, 8, 4))
    assert arrangement((9, 8, 5), u1, None) == ("THW", (9, 8, 5))
    assert arrangement((9, 8, 4), u2, None) == ("THW", (9, 8, 4))
    assert arrangement((1, 2, 3, 9, 8, 1), u1, None) == ("THWC", (6, 9, 8, 1))
    assert arrangement((1, 1, 9, 8), u2, "HW") == ("HW", (9, 8))
    assert arrangement((1, 5, 9, 8), u2, "THW") == ("THW", (5, 9, 8))
    with pytest.raises(OptionError, match="names frames but not the axes in front of them"):
        arrangement((2, 5, 9, 8), u2, "THW")


@pytest.mark.jit
def test_frames_are_for_the_main_profile():
    frames = np.zeros((3, 9, 8), np.uint8)
    with pytest.raises(OptionError, match="axes belongs to profile='main'"):
        codec(profile="baseline").encode(frames)
    one = codec(profile="baseline", rank=2)
    assert one.decode(one.encode(frames[0])).shape == (9, 8)


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.int32), np.zeros((4, 4), complex), np.array([["a"]])])
def test_arrays_of_other_types(array):
    with pytest.raises(OptionError, match=r"has dtype .*; expected uint8, int8, uint16"):
        codec().encode(array)


def test_arrays_without_samples():
    with pytest.raises(OptionError, match=r"expected .* with at least one"):
        codec(lossless=True).encode(np.zeros((0, 5), np.uint8))


@pytest.mark.jit
def test_damaged_chunks():
    one = codec(quality=50)
    data = one.encode(scene((12, 10), "uint16")[None])
    assert data.endswith(b'{"shape":[1,12,10]}')
    file = data[: -len(b'{"shape":[1,12,10]}')]
    assert one.decode(file).shape == (12, 10)
    assert one.decode(file + b"\0").shape == (12, 10)  # padding
    bad = [b"", data[:20], file[:-1], b"\x89PNG" + data, file[:-3] + b"abc"]
    endings = [b"{", b"{}}", b'{"shape":[12]}', b'{"shape":[-12,-10]}', b'{"shape":[12.0,10]}', b'{"shape":7}']
    endings += [b'{"shape":"ab"}', b'{"order":"K"}', b'{"byteorder":1}', b'{"shape":' + b"[" * 5000, b'{"shape":null}']
    for damaged in [*bad, *(file + ending for ending in endings)]:
        with pytest.raises(FormatError):
            one.decode(damaged)


@pytest.mark.jit
def test_wrong_out():
    one = codec(lossless=True)
    array = scene((12, 10), "uint16")
    data = one.encode(array)
    with pytest.raises(OptionError, match="out has 120 bytes; expected 240 for uint16"):
        one.decode(data, out=np.empty(120, np.uint8))
    out = np.empty((120,), np.uint16)
    np.testing.assert_array_equal(one.decode(data, out=out).reshape(12, 10), array)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["<u2", ">i2", "<f4", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_zarr_2(dtype, order):
    zarr = pytest.importorskip("zarr", minversion="3.1")
    array = scene((30, 25), dtype)
    bound = 0.01 if array.dtype.kind == "f" else 1
    store = {}
    made = zarr.create_array(
        store, shape=(30, 25), chunks=(16, 16), dtype=dtype, order=order, zarr_format=2, filters=None,
        compressors=codec(max_error=bound),
    )  # fmt: skip
    made[:] = array
    found = zarr.open_array(store, mode="r")
    assert found.compressors[0] == codec(max_error=bound)
    assert np.abs(found[:].astype(float) - array.astype(float)).max() <= bound
    made[3:20, 5] = array[3:20, 5]
    assert np.abs(found[:].astype(float) - array.astype(float)).max() <= bound
