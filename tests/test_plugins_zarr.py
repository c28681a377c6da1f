"""The codec of Zarr format 3: arrays of every kind, what is refused when they are created, xarray and Dask around."""

from __future__ import annotations

import json
import math
import pathlib
import pickle
import re
from importlib.metadata import entry_points

import numpy as np
import pytest
from array_helpers import DTYPES, scene, spanned
from helpers import picture

import imfnb
from imfnb import FormatError, OptionError

reason = "Zarr 3.1 needs Python 3.11"
zarr = pytest.importorskip("zarr", minversion="3.1", reason=reason)

PAGE = pathlib.Path(imfnb.__file__).parents[1] / "docs" / "zarr-codec.md"


def create(shape, chunks, dtype, store=None, shards=None, filters=(), fill_value=0, **options):
    """An array with the codec by its name, as metadata have it."""
    return zarr.create_array(
        {} if store is None else store,
        shape=shape,
        chunks=chunks,
        dtype=dtype,
        shards=shards,
        filters=list(filters),
        serializer={"name": "imfnb", "configuration": options},
        compressors=None,
        fill_value=fill_value,
    )


def error(one, other) -> float:
    """Largest absolute difference."""
    return float(np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).max())


def files_of(store) -> dict[str, bytes]:
    """The chunks in a store."""
    return {key: value.to_bytes() for key, value in store._store_dict.items() if not key.endswith("zarr.json")}


def bound_of(dtype) -> float:
    return 2 if np.dtype(dtype).kind in "iu" else 0.01


def test_it_is_registered():
    (found,) = entry_points(group="zarr.codecs", name="imfnb")
    (codec,) = create((8, 8), (8, 8), "u1", quality=75).metadata.codecs
    assert type(codec) is found.load()
    for other in (pickle.loads(pickle.dumps(codec)), type(codec).from_dict(codec.to_dict()), type(codec)(quality=75.0)):
        assert other == codec and hash(other) == hash(codec)
    assert codec != type(codec)(quality=74) and repr(codec) == "ImfnbCodec(quality=75)"
    assert codec.to_dict() == {"name": "imfnb", "configuration": {"quality": 75}}
    assert type(codec)().to_dict() == {"name": "imfnb", "configuration": {"quality": 50.0}}
    assert type(codec).from_dict({"name": "imfnb"}) == type(codec)()
    for wrong in ({"name": "gzip"}, {"name": "imfnb", "configuration": {}, "level": 3}):
        with pytest.raises(OptionError, match="expected the name 'imfnb' and a configuration"):
            type(codec).from_dict(wrong)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shards", [None, (32, 32)], ids=["chunks", "shards"])
def test_arrays_of_all_types(dtype, shards):
    """With chunks beyond the edges, written at once and in parts, and opened again."""
    array, store = scene((40, 37), dtype), zarr.storage.MemoryStore()
    made = create((40, 37), (16, 16), dtype, store, shards, max_error=bound_of(dtype))
    made[:] = array
    found = zarr.open_array(store, mode="r+")
    assert (found.dtype, error(found[:], array) <= bound_of(dtype)) == (np.dtype(dtype), True)
    found[5:20, 30:] = array[5:20, 30:]
    found[7, 7] = array[7, 7]
    assert error(found[:], array) <= bound_of(dtype)
    if shards is None:
        chunk = imfnb.decode(files_of(store)["c/0/1"])  # a chunk is a file that anyone reads
        np.testing.assert_array_equal(chunk, found[:16, 16:32])


@pytest.mark.jit
@pytest.mark.parametrize(
    ("array", "options", "order", "shape"),
    [
        (picture(20, 18), {}, None, (20, 18, 3)),
        (np.stack([picture(20, 18, 4)] * 2), {}, None, (2, 20, 18, 4)),
        (picture(20, 18)[None, None], {}, None, (20, 18, 3)),
        (np.moveaxis(picture(20, 18), 2, 0), {"axes": "CHW"}, None, (20, 18, 3)),
        (np.moveaxis(picture(20, 18), 2, 0), {}, (1, 2, 0), (20, 18, 3)),
        (np.moveaxis(scene((20, 18, 5), "float32"), 2, 0), {}, None, (5, 20, 18)),
        (scene((20, 18, 5), "int16"), {"axes": "HWC"}, None, (20, 18, 5)),
        (np.stack([scene((20, 18), "int16")] * 6).reshape(2, 3, 20, 18), {}, None, (6, 20, 18)),
        (np.stack([np.moveaxis(scene((20, 18, 3), "uint16"), 2, 0)] * 2), {"axes": "CHW"}, None, (2, 20, 18, 3)),
        (scene((1, 50), "int8")[0], {}, None, (1, 50)),
        (np.array(3.25), {}, None, (1, 1)),
    ],
    ids=lambda value: str(value.shape) if isinstance(value, np.ndarray) else str(value),
)
def test_axes(array, options, order, shape):
    """Which axis of a chunk becomes what in its file."""
    store = zarr.storage.MemoryStore()
    filters = [] if order is None else [zarr.codecs.TransposeCodec(order=order)]
    made = create(array.shape, array.shape, array.dtype, store, filters=filters, max_error=1, **options)
    made[...] = array
    assert made[...].shape == array.shape and error(made[...], array) <= 1
    ((_, data),) = files_of(store).items()
    assert imfnb.info(data)["shape"] == shape
    if array.ndim > 1:
        cut = (..., slice(3, 5), slice(None))
        assert error(made[cut], array[cut]) <= 1


@pytest.mark.parametrize(
    ("dtype", "options", "fill", "text"),
    [
        ("int32", {}, 0, "the array has dtype int32; expected uint8, int8, uint16, int16, float32 or float64"),
        ("float16", {}, 0, "dtype float16"),
        ("complex64", {}, 0, "dtype complex64"),
        ("bool", {}, False, "dtype bool"),
        ("<U4", {}, "", "dtype <U4"),
        ("uint8", {"quality": 700}, 0, "quality is 700"),
        ("uint8", {"speed": 1}, 0, "unknown option 'speed'"),
        ("uint8", {"axes": "THW"}, 0, "the array has 2 dimensions; expected one for each of axes='THW'"),
        ("uint8", {"nodata": 256}, 0, "an array of uint8 with fill value 0: nodata is 256"),
        ("uint8", {"nodata": "NaN"}, 0, "nodata is nan, which samples of uint8 cannot be"),
        ("float32", {"lossless": True}, 0, "of which something is always lost; give max_error"),
        ("float32", {"nodata": -1, "max_error": 1}, math.nan, "samples that are NaN beside nodata=-1"),
        ("float32", {"max_error": 1}, math.inf, "1 infinite samples"),
        ("int16", {"tune": "visual"}, 0, "tune='visual' is for pictures of 8 bits"),
    ],
)
@pytest.mark.parametrize("shards", [None, (16, 16)], ids=["chunks", "shards"])
def test_what_no_chunk_could_have_is_refused_when_the_array_is_created(dtype, options, fill, text, shards):
    store = {}
    with pytest.raises(OptionError, match=re.escape(text)):
        create((16, 16), (8, 8), dtype, store, shards, fill_value=fill, **options)
    assert not store


def test_the_codec_of_numcodecs_is_another_one():
    numcodecs = pytest.importorskip("numcodecs")
    codec = numcodecs.get_codec({"id": "imfnb"})
    with pytest.raises(TypeError, match=r"Expected an? ArrayBytesCodec"):
        zarr.create_array({}, shape=(8, 8), dtype="u1", serializer=codec, compressors=None)


@pytest.mark.jit
def test_no_data():
    """NaN, and fill values that are said to be none: exact, in chunks at the edges and where nothing was written."""
    array = scene((20, 30), "float32")
    array[3:9, 4:20] = np.nan
    made = create((20, 30), (16, 16), "float32", fill_value=np.nan, max_error=0.01)
    made[:, :20] = array[:, :20]
    np.testing.assert_array_equal(np.isnan(made[:, :20]), np.isnan(array[:, :20]))
    assert np.isnan(made[:, 20:]).all()
    assert np.nanmax(np.abs(made[:, :20] - array[:, :20])) <= 0.01
    heights, store = scene((20, 30), "int16") // 4 + 9000, zarr.storage.MemoryStore()
    made = create((20, 30), (16, 16), "int16", store, fill_value=-1, quality=60, nodata=-1)
    made[4:, :20] = heights[4:, :20]
    assert (made[:4] == -1).all() and (made[:, 20:] == -1).all()
    assert (made[4:, :20] > 0).all()
    assert imfnb.info(files_of(store)["c/1/1"])["nodata"] == -1
    made = create((9, 9), (8, 8), "float64", fill_value=0, max_error=1)
    made[:] = np.nan  # not the fill value: chunks without any data
    assert np.isnan(made[:]).all()


@pytest.mark.jit
@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_that_are_written_do_not_add_errors(dtype):
    """What docs/zarr-codec.md promises of chunks without a lossy layer, whose range changes as they are filled."""
    array, bound = scene((32, 32), dtype, noise=0.3), bound_of(dtype)
    made = create((32, 32), (32, 32), dtype, max_error=bound)
    for row in range(32):
        made[row] = array[row]
    made[0, :2] = spanned(np.array([-1, 1]), dtype)
    assert error(made[1:], array[1:]) <= bound


@pytest.mark.jit
def test_parts_that_are_written_over_a_lossy_layer():
    """Errors add up, by no more than the bound each time; nothing does for lossless chunks."""
    array = scene((64, 64), "uint16")
    store = zarr.storage.MemoryStore()
    made = create((64, 64), (64, 64), "uint16", store, max_error=2500)
    made[:] = array
    assert imfnb.info(files_of(store)["c/0/0"])["columns"] == 1
    for count in range(2, 6):
        made[0, 0] = array[0, 0]
        assert error(made[:], array) <= count * 2500
    made = create((64, 64), (64, 64), "uint16", lossless=True)
    made[:30] = array[:30]
    made[30:] = array[30:]
    np.testing.assert_array_equal(made[:], array)


@pytest.mark.jit
def test_damaged_chunks():
    store = zarr.storage.MemoryStore()
    made = create((16, 16), (16, 16), "uint8", store, lossless=True)
    made[:] = picture(16, 16, 0)
    good = files_of(store)["c/0/0"]
    other = imfnb.encode(scene((16, 16), "uint16"), lossless=True)
    larger = imfnb.encode(picture(17, 16, 0), lossless=True)
    for damaged, text in [
        (good[:-1], "truncated"),
        (good[:-4] + b"\0\1\2\3", "checksum"),
        (b"", "not an .imf file"),
        (other, r"holds uint16 of shape \(16, 16\); expected uint8"),
        (larger, r"holds uint8 of shape \(17, 16\); expected uint8 of shape \(16, 16\)"),
    ]:
        store._store_dict["c/0/0"] = zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(damaged)
        with pytest.raises(FormatError, match=text):
            made[:]


@pytest.mark.jit
def test_xarray(tmp_path):
    xarray = pytest.importorskip("xarray")
    values = np.stack([scene((20, 18), "int16", seed) for seed in range(3)])
    dataset = xarray.Dataset({"height": (("time", "y", "x"), values)}, {"time": np.arange(3)})
    serializer = {"name": "imfnb", "configuration": {"max_error": 3}}
    encoding = {"height": {"serializer": serializer, "compressors": None, "chunks": (2, 16, 16)}}
    dataset.to_zarr(tmp_path / "a.zarr", encoding=encoding, zarr_format=3, consolidated=False)
    with xarray.open_zarr(tmp_path / "a.zarr", consolidated=False, chunks=None) as found:
        assert found.height.dims == ("time", "y", "x") and found.height.dtype == np.int16
        assert found.height.encoding["serializer"].to_dict() == serializer
        assert 0 < error(found.height, values) <= 3
        found.load().to_zarr(tmp_path / "b.zarr", zarr_format=3, consolidated=False)  # with the encoding that it has
    assert zarr.open_array(tmp_path / "b.zarr/height").serializer.to_dict() == serializer


@pytest.mark.jit
@pytest.mark.thorough
@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_dask(tmp_path, scheduler):
    """The same files whoever writes them."""
    dask, arrays = pytest.importorskip("dask"), pytest.importorskip("dask.array")
    values = scene((64, 48), "uint16")
    made = create((64, 48), (32, 24), "uint16", tmp_path / "a.zarr", max_error=20)
    blocks = arrays.from_array(values, chunks=(32, 24))
    with dask.config.set(scheduler=scheduler, num_workers=2):
        arrays.store(blocks, made, lock=False)
        mean = arrays.from_zarr(tmp_path / "a.zarr").mean().compute()
    alone = create((64, 48), (32, 24), "uint16", tmp_path / "b.zarr", max_error=20)
    alone[:] = values
    names = sorted(
        path.relative_to(tmp_path / "a.zarr") for path in (tmp_path / "a.zarr/c").rglob("*") if path.is_file()
    )
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "a.zarr" / name).read_bytes() == (tmp_path / "b.zarr" / name).read_bytes()
    assert abs(mean - values.mean()) <= 20


# --------------------------------------------------------------------------------------------------- the specification


def blocks_of(page: str) -> list:
    return [json.loads(found) for found in re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)]


@pytest.mark.skipif(not PAGE.is_file(), reason="an installed package has no docs")
def test_the_page_of_the_specification():
    """Its examples are metadata that Zarr takes; its schema has the options of the codec and no others."""
    jsonschema = pytest.importorskip("jsonschema")
    from imfnb.plugins.chunks import OPTIONS

    *examples, schema = blocks_of(PAGE.read_text(encoding="utf-8"))
    configuration = schema["properties"]["configuration"]
    assert set(configuration["properties"]) == set(OPTIONS)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    assert len(examples) >= 4
    for example in examples:
        codec = next(codec for codec in example["codecs"] if codec["name"] == "imfnb")
        validator.validate(codec)
        assert zarr.registry.get_codec_class("imfnb").from_dict(codec).to_dict() == codec
    for wrong in ({"quality": 700}, {"quality": 1, "psnr": 30}, {"speed": 1}, {"lossless": 1}, {"axes": "XY"}):
        assert not validator.is_valid({"name": "imfnb", "configuration": wrong})
        with pytest.raises(OptionError):
            zarr.registry.get_codec_class("imfnb")(**wrong)
