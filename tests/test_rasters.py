"""Rasters: every kind of file gives the samples that are in it, what is no array is refused, tags come back."""

from __future__ import annotations

import io
import logging
import struct
import sys
import zipfile

import numpy as np
import pytest
import tifffile
from helpers import picture
from test_pictures import DTYPES, chunk, png, refusal

import imfnb
from imfnb.codec import with_chunks
from imfnb.errors import FormatError, LimitError, OptionError
from imfnb.format.chunks import GEOT, Tag, pack_tags, parse_tags
from imfnb.pictures import Picture, read_picture, write_picture


def samples(dtype: str, *shape: int) -> np.ndarray:
    """Numbers over the whole range of a type."""
    rng = np.random.default_rng(len(shape))
    if dtype.startswith("float"):
        return (rng.standard_normal(shape) * 1e4).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)


def tiff(image: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    options = {"metadata": None, "software": False, "photometric": "minisblack", **options}
    tifffile.imwrite(buffer, image, **options)
    return buffer.getvalue()


def read(data: bytes, **options) -> Picture:
    return read_picture(io.BytesIO(data), **options)


def same(found: Picture, expected: np.ndarray, **told: object) -> None:
    """Check samples, their type, and what `encode` is told of them."""
    assert found.pixels.dtype == expected.dtype and found.pixels.shape == expected.shape
    np.testing.assert_array_equal(found.pixels, expected)
    assert found.options == told


# ---------------------------------------------------------------------------------------------------------------- TIFF


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [2, 3, 20])
@pytest.mark.parametrize("planar", [False, True])
def test_bands_of_tiff(dtype, bands, planar):
    image = samples(dtype, 9, 13, bands)
    stored = image.transpose(2, 0, 1).copy() if planar else image
    found = read(tiff(stored, planarconfig="separate" if planar else "contig"))
    same(found, image, **({"channels": "bands"} if dtype.startswith("uint") else {}))
    assert found.dropped == ()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("compression", "options"),
    [
        (None, {}),
        (None, {"byteorder": ">"}),
        ("zlib", {"bigtiff": True}),
        ("lzw", {"tile": (16, 16), "byteorder": ">"}),
        ("zstd", {}),
    ],
)
def test_gray_tiff(dtype, compression, options):
    image = samples(dtype, 20, 33)
    same(read(tiff(image, compression=compression, predictor=compression is not None, **options)), image)


@pytest.mark.parametrize(
    ("bands", "photometric", "extra", "channels"),
    [
        (3, "rgb", [], "rgb"),
        (4, "rgb", ["unassalpha"], "rgba"),
        (4, "rgb", ["assocalpha"], "bands"),
        (4, "rgb", ["unspecified"], "bands"),
        (4, "minisblack", ["unspecified"] * 3, "bands"),
        (2, "minisblack", ["unassalpha"], "gray+alpha"),
        (5, "rgb", ["unassalpha", "unspecified"], "bands"),
    ],
)
def test_what_bands_of_tiff_are(bands, photometric, extra, channels):
    image = samples("uint16", 7, 8, bands)
    data = tiff(image, photometric=photometric, planarconfig="contig", extrasamples=extra)
    same(read(data), image, channels=channels)
    same(read(data, bands=True), image, channels="bands")


@pytest.mark.parametrize("compression", ["jpegxl", "lerc", "png"])
def test_eight_bits_that_pillow_does_not_read(compression):
    image = picture(16, 20)
    data = tiff(image, photometric="rgb", compression=compression)
    same(read(data), image)
    assert "compression" in refusal(data[: len(data) // 2])
    same(read(tiff(image, photometric="rgb", bigtiff=True, byteorder=">")), image)


def test_samples_of_fewer_bits():
    image = samples("uint16", 8, 24) >> 4
    try:
        data = tiff(image, bitspersample=12)
    except NotImplementedError:
        pytest.skip("this imagecodecs reads packed integers and does not write them")
    same(read(data), image)


def test_pages_are_bands_where_the_file_says_so():
    image = samples("uint16", 4, 11, 12)
    for options in ({"metadata": {"axes": "CYX"}}, {"ome": True, "metadata": {"axes": "CYX"}}):
        same(read(tiff(image, **options)), image.transpose(1, 2, 0), channels="bands")
    same(read(tiff(image, imagej=True, metadata={"axes": "CYX"})), image.transpose(1, 2, 0), channels="bands")
    for text in ('{"shape": [4, 11, 12], "axes": "CYX"}', '{"axes": "CYX", "shape": [4, 11, 12]}'):  # of any tifffile
        same(read(tiff(image, description=text, metadata=None)), image.transpose(1, 2, 0), channels="bands")


@pytest.mark.parametrize("options", [{}, {"metadata": {"axes": "TYX"}}, {"imagej": True, "metadata": {"axes": "ZYX"}}])
def test_pages_are_frames_where_the_caller_says_so(options):
    image = samples("uint16", 4, 11, 12)
    data = tiff(image, **options)
    text = refusal(data)
    assert "4 images" in text and "--frame N" in text and "--axes" in text
    same(read(data, axes="THW"), image, axes="THW")
    same(read(data, axes="CHW"), image.transpose(1, 2, 0), channels="bands")
    same(read(data, axes="THW", frame=2), image[2])
    same(read(data, frame=3), image[3])
    assert "there is no frame 4" in refusal(data, axes="THW", frame=4)
    assert "axes is 'HWC', and the file's are" in refusal(data, axes="HWC")
    assert "name 2 dimensions" in refusal(data, axes="HW")


def test_pages_of_several_bands():
    image = samples("int16", 3, 11, 12, 5)
    data = tiff(image, planarconfig="contig")
    same(read(data, axes="THWC"), image, axes="THWC")
    same(read(data, axes="THWC", frame=1), image[1])
    same(read(data, frame=1), image[1])


def test_eight_bits_in_pages_and_bands():
    image = np.stack([picture(16, 20)] * 2)
    same(read(tiff(image, photometric="rgb"), axes="THWC"), image, channels="rgb", axes="THWC")


def test_hyperstack_of_imagej():
    image = samples("uint16", 2, 3, 11, 12)
    data = tiff(image, imagej=True, metadata={"axes": "TCYX"})
    assert "6 images" in refusal(data) and "2 x 3 x 11 x 12" in refusal(data)
    same(read(data, axes="TCHW"), image.transpose(0, 2, 3, 1), channels="bands", axes="THWC")


def test_pages_of_different_shapes():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for side in (8, 9):
            writer.write(np.zeros((side, 8), np.int16), metadata=None)
    assert "not of one shape" in refusal(buffer.getvalue(), axes="THW")
    assert read(buffer.getvalue(), frame=1).pixels.shape == (9, 8)


def test_volume_of_tiff():
    image = samples("uint8", 3, 32, 32)
    data = tiff(image, volumetric=True, tile=(16, 16))
    assert "volume (3 x 32 x 32" in refusal(data)
    same(read(data, axes="CHW"), image.transpose(1, 2, 0), channels="bands")


@pytest.mark.parametrize("dtype", ["uint32", "int32", "uint64", "int64", "float16", "complex64", "complex128"])
def test_samples_that_are_refused(dtype):
    image = np.zeros((4, 5), dtype)
    for data in (tiff(image), saved(image)):
        text = refusal(data)
        assert (
            f"{8 * image.itemsize}-bit" in text
            and "expected uint8, int8" in text
            and ("convert" in text or "take" in text)
        )
    assert "boolean" in refusal(saved(image.real > 0))


@pytest.mark.parametrize("photometric", ["separated", "ycbcr", "cielab"])
def test_deep_colours_that_are_not_rgb(photometric):
    bands = 4 if photometric == "separated" else 3
    image = samples("uint16", 8, 9, bands)
    data = tiff(image, photometric=photometric, planarconfig="contig")
    assert "--bands" in refusal(data)
    same(read(data, bands=True), image, channels="bands")


def test_white_is_zero():
    found = read(tiff(samples("uint16", 8, 9), photometric="miniswhite"))
    assert found.dropped == ("that 0 stands for white",)


def test_profiles_of_deep_samples_are_kept():
    from test_pictures import WIDE

    image = samples("uint16", 8, 9, 3)
    found = read(tiff(image, photometric="rgb", extratags=[(34675, 7, len(WIDE), WIDE, True)]))
    same(found, image, channels="rgb", metadata=imfnb.Metadata(icc_profile=WIDE))


def test_orientation_of_deep_samples():
    image = samples("uint16", 8, 9, 3)
    data = tiff(image, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    np.testing.assert_array_equal(read(data).pixels, np.rot90(image, -1))
    located = tiff(image, photometric="rgb", extratags=[(274, 3, 1, 6, True), (33550, 12, 3, (1.0, 1.0, 0.0), True)])
    found = read(located)
    np.testing.assert_array_equal(found.pixels, image)
    assert found.dropped == ("orientation",)


@pytest.mark.parametrize("module", ["tifffile", "imagecodecs"])
def test_without_the_libraries(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    assert 'pip install "imfnb[tiff]"' in refusal(tiff(samples("uint16", 4, 5)))
    np.testing.assert_array_equal(read(tiff(picture(9, 8), photometric="rgb")).pixels, picture(9, 8))
    with pytest.raises(OptionError, match=r'pip install "imfnb\[tiff\]"'):
        write_picture(samples("int16", 4, 5), ".tif")
    if module == "imagecodecs":
        assert 'pip install "imfnb[tiff]"' in refusal(png(16, 0, [bytes(10)] * 4, 5))


def test_limits():
    data = tiff(samples("uint16", 3, 10, 10))
    assert read(data, axes="THW", max_pixels=300).pixels.size == 300
    for raster in (data, saved(samples("uint16", 3, 10, 10))):
        with pytest.raises(LimitError, match="3 frames of 10 x 10 pixels, more than max_pixels=299"):
            read(raster, axes="THW", max_pixels=299)
    with pytest.raises(LimitError, match="10 x 10 pixels"):
        read(png(16, 0, [bytes(20)] * 10, 10), max_pixels=99)
    assert "1025 bands" in refusal(saved(np.zeros((1, 1, 1025), np.uint8)))


def test_damaged_tiffs_are_one_error(capfd):
    """Or samples; and tifffile's logger prints nothing."""
    rng = np.random.default_rng(3)
    data = tiff(samples("uint16", 12, 9, 4), planarconfig="contig", compression="zlib")
    for _ in range(150):
        changed = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            changed[int(len(changed) * rng.random() ** 2)] = rng.integers(256)
        try:
            read(bytes(changed), max_pixels=10**6)
        except (OptionError, LimitError) as error:
            assert "\n" not in str(error)
    assert capfd.readouterr() == ("", "")
    assert not [type(h) for h in logging.getLogger("tifffile").handlers if type(h) is logging.StreamHandler]


# --------------------------------------------------------------------------------------------------- PNG, Netpbm, NumPy


@pytest.mark.parametrize(("color", "bands"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_deep_png(color, bands):
    image = samples("uint16", 6, 7, bands)
    data = png(16, color, [row.astype(">u2").tobytes() for row in image], 7)
    channels = {2: "gray+alpha", 4: "rgba"}.get(bands)
    same(read(data), image[:, :, 0] if bands == 1 else image, **({"channels": channels} if channels else {}))
    assert write_picture(image, ".png")[0][:4] == b"\x89PNG"
    np.testing.assert_array_equal(read(write_picture(image, ".png")[0]).pixels, read(data).pixels)


def test_deep_png_with_a_transparent_colour():
    image = samples("uint16", 6, 7, 3)
    key = chunk(b"tRNS", image[2, 3].astype(">u2").tobytes())
    found = read(png(16, 2, [row.astype(">u2").tobytes() for row in image], 7, key))
    np.testing.assert_array_equal(found.pixels[:, :, :3], image)
    assert found.pixels[2, 3, 3] == 0 and np.count_nonzero(found.pixels[:, :, 3]) == 41
    assert found.options == {"channels": "rgba"}


def test_what_a_deep_png_says_beside_its_samples():
    rows = [row.astype(">u2").tobytes() for row in samples("uint16", 6, 7, 3)]
    assert read(png(16, 2, rows, 7, chunk(b"cICP", bytes([9, 16, 0, 1])))).dropped == (
        "colours other than those of sRGB (not converted)",
    )
    turned = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    assert read(png(16, 2, rows, 7, chunk(b"eXIf", turned))).pixels.shape == (7, 6, 3)
    assert "an animation" in refusal(png(16, 2, rows, 7, chunk(b"acTL", struct.pack(">LL", 2, 0))))
    assert "imagecodecs cannot read" in refusal(png(16, 2, rows[:3], 7)[:-40])


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("maximum", [256, 1023, 65535])
def test_deep_netpbm(bands, maximum):
    image = samples("uint16", 5, 6, bands) & (maximum if maximum > 256 else 255)
    image = image[:, :, 0] if bands == 1 else image
    head = f"6 5 # six columns\n{maximum}\n".encode()
    binary = (b"P6\n" if bands == 3 else b"P5\n") + head + image.astype(">u2").tobytes()
    same(read(binary), image)
    same(read(binary + binary, frame=1), image)
    text = (b"P3\n" if bands == 3 else b"P2\n") + head + b" ".join(b"%d" % value for value in image.flat)
    same(read(text), image)
    same(read(write_picture(image, ".ppm" if bands == 3 else ".pgm")[0]), image)
    for damaged in (binary[:-1], text[:-9]):
        refusal(damaged)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm(bands, order):
    image = samples("float32", 5, 6, bands)
    image = image[:, :, 0] if bands == 1 else image
    head = f"P{'F' if bands == 3 else 'f'}\n6 5\n{'-' * (order == '<')}1.0\n".encode()
    same(read(head + image[::-1].astype(f"{order}f4").tobytes()), image)
    refusal(head + bytes(9))


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 8), (7, 8, 1), (7, 8, 4), (3, 7, 8)])
def test_npy(dtype, shape, tmp_path):
    array = samples(dtype, *shape)
    same(read(saved(array)), array)
    for stored in (array, np.asfortranarray(array), array.astype(array.dtype.newbyteorder())):
        np.save(tmp_path / "a.npy", stored)
        same(read_picture(tmp_path / "a.npy"), array)
    same(read(write_picture(array, ".npy")[0]), array)


def test_npy_is_mapped(tmp_path):
    np.save(tmp_path / "a.npy", samples("uint16", 7, 8, 3))
    base = read_picture(tmp_path / "a.npy").pixels
    while type(base) is np.ndarray and base.base is not None:
        base = base.base
    assert type(base).__name__ in ("memmap", "mmap")


def test_axes_of_npy():
    array = samples("int16", 3, 4, 7, 8)
    data = saved(array)
    assert "4 dimensions" in refusal(data) and "--axes" in refusal(data)
    same(read(data, axes="TCHW"), array.transpose(0, 2, 3, 1), axes="THWC")
    same(read(data, axes="TCHW", frame=1), array[1].transpose(1, 2, 0))
    assert "there is no frame 3" in refusal(data, axes="TCHW", frame=3)
    assert "there is no frame 1" in refusal(data, axes="CHW", frame=1)
    assert "name 3 dimensions" in refusal(data, axes="CHW")
    for axes in ("", "CW", "HHW", "HWX", "hw", 3):
        assert "axes is" in refusal(data, axes=axes)


def test_axes_of_pictures():
    rows = [row.astype(">u2").tobytes() for row in samples("uint16", 6, 7, 3)]
    for data in (png(16, 2, rows, 7), png(8, 2, [row[:21] for row in rows], 7), b"P5 1 1 999\n\0\0"):
        assert "leave axes out" in refusal(data, axes="CHW")
        assert read(data, axes="HWC").pixels.size


def test_npz():
    first, second = samples("uint16", 5, 6), samples("float32", 7, 8, 2)
    buffer = io.BytesIO()
    np.savez(buffer, first)
    same(read(buffer.getvalue()), first)
    for save in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        save(buffer, a=first, b=second)
        assert "2 arrays" in refusal(buffer.getvalue()) and "--frame N" in refusal(buffer.getvalue())
        same(read(buffer.getvalue(), frame=1), second)
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "words")
    assert "an archive" in refusal(buffer.getvalue())


@pytest.mark.parametrize("shape", ["(0, 4)", "(-1, 4)", "(4, -4)"])
def test_arrays_without_samples(shape):
    head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    assert "the array is empty" in refusal(b"\x93NUMPY\1\0" + struct.pack("<H", 118) + head + bytes(16))


def test_pickles_are_never_read():
    class Harmful:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    array = np.empty((2, 2), object)
    array[:] = Harmful()
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    assert "dtype object" in refusal(buffer.getvalue())
    assert "dtype" in refusal(saved(np.zeros((2, 2), [("a", "u1")])))


@pytest.mark.parametrize("part", [9, 60, 140, -1])
def test_truncated_arrays(part, tmp_path):
    data = saved(samples("uint16", 7, 8))[:part]
    assert "a NumPy array's file" in refusal(data)
    (tmp_path / "a.npy").write_bytes(data)
    with pytest.raises(OptionError, match="a NumPy array's file"):
        read_picture(tmp_path / "a.npy")


# ------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 8), (1, 9), (9, 1), (7, 8, 2), (7, 8, 3), (7, 8, 4), (4, 5, 6), (3, 4, 40)])
def test_tiff_holds_everything(dtype, shape):
    image = samples(dtype, *shape)
    np.testing.assert_array_equal(read(write_picture(image, ".tif", channels="bands")[0]).pixels, image)


@pytest.mark.parametrize("channels", ["gray", "gray+alpha", "rgb", "rgba", "bands"])
def test_tiff_says_what_bands_are(channels):
    image = samples("uint16", 7, 8, {"gray+alpha": 2, "rgb": 3, "rgba": 4, "bands": 4}.get(channels, 1))
    found = read(write_picture(image, ".tiff", channels=channels)[0])
    assert found.options == ({"channels": channels} if channels != "gray" else {})


@pytest.mark.parametrize("shape", [(3, 7, 8), (2, 7, 8, 5), (4, 5, 3)])
def test_frames_in_a_tiff(shape):
    image = samples("int16", *shape)
    same(
        read(write_picture(image, ".tif", frames=True)[0], axes="THWC"[: image.ndim]), image, axes="THWC"[: image.ndim]
    )


def test_compressed_with_a_predictor():
    ramp = np.add.outer(np.arange(200), np.arange(200))
    for dtype in ("uint16", "float32"):
        image = ramp.astype(dtype)
        assert len(write_picture(image, ".tif")[0]) < image.nbytes / 20


@pytest.mark.parametrize(
    ("dtype", "shape", "suffix"),
    [
        ("int16", (4, 5), ".png"),
        ("float32", (4, 5), ".png"),
        ("uint16", (4, 5, 5), ".png"),
        ("uint8", (4, 5, 5), ".png"),
        ("uint16", (4, 5, 3), ".pgm"),
        ("uint16", (4, 5), ".jpg"),
        ("int8", (4, 5), ".ppm"),
        ("uint16", (4, 5), ".npz"),
    ],
)
def test_what_other_formats_cannot_hold(dtype, shape, suffix):
    with pytest.raises(OptionError, match=r"a \.\w+ file cannot hold .*\.tif or \.npy"):
        write_picture(np.zeros(shape, dtype), suffix)


def test_frames_need_a_format_for_them():
    with pytest.raises(OptionError, match="cannot hold 3 frames; --frame N"):
        write_picture(np.zeros((3, 4, 5), np.uint8), ".png", frames=True)


# ---------------------------------------------------------------------------------------------------------------- tags

TAGS = [
    (33550, 12, 3, (30.0, 30.0, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 4e5, 5e6, 0.0), True),
    (34735, 3, 8, (1, 1, 0, 1, 1024, 0, 1, 1), True),
    (34736, 12, 2, (6378137.0, 298.257), True),
    (34737, 2, 0, "WGS 84 / UTM zone 33N|", True),
    (42112, 2, 0, "<GDALMetadata><Item>words</Item></GDALMetadata>", True),
    (42113, 2, 0, "-9999", True),
]


def values(data: bytes) -> dict[int, object]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return {tag.code: tag.value for tag in file.pages[0].tags if tag.code >= 33000}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_tags_come_back(order, dtype):
    image = samples(dtype, 8, 9)
    data = tiff(image, byteorder=order, extratags=TAGS)
    found = read(data)
    assert found.dropped == () and found.nodata == (None if dtype == "uint8" else -9999)
    ((kind, contents),) = found.metadata.chunks
    assert kind == GEOT and parse_tags(contents) == found.metadata.tags
    assert values(write_picture(image, ".tif", metadata=imfnb.Metadata(tags=parse_tags(contents)))[0]) == values(data)
    again = values(write_picture(image, ".tif", metadata=found.metadata, nodata=7)[0])
    assert again[42113] == "7" and again[33550] == (30.0, 30.0, 0.0)


@pytest.mark.parametrize(
    ("text", "dtype", "nodata"),
    [
        ("0", "uint8", 0),
        ("255 ", "uint8", 255),
        ("256", "uint8", None),
        ("1.5", "uint16", None),
        ("nan", "uint16", None),
        ("-inf", "float32", -np.inf),
        ("-3.40282346638529e+38", "float32", -float(np.finfo(np.float32).max)),
        ("1e300", "float64", 1e300),
        ("words", "float64", None),
    ],
)
def test_nodata_of_gdal(text, dtype, nodata):
    found = read(tiff(np.zeros((4, 5), dtype), extratags=[(42113, 2, 0, text, True)])).nodata
    assert found == nodata and type(found) is type(nodata)


def test_nodata_that_is_no_number_of_floats():
    assert np.isnan(read(tiff(np.zeros((4, 5), np.float32), extratags=[(42113, 2, 0, "nan", True)])).nodata)


def test_chunks_are_added_to_a_file():
    image = picture(8, 9)
    data = imfnb.encode(image, profile="baseline", quality=5)
    assert with_chunks(data, ()) is data
    longer = with_chunks(data, [(GEOT, b"\0"), (b"XMP ", b"words" * 99)])
    np.testing.assert_array_equal(imfnb.decode(longer), imfnb.decode(data))
    assert imfnb.info(longer)["size"] == len(longer) and imfnb.info(longer)["padding"] == 0
    from imfnb.codec import open_container

    assert open_container(longer).chunks == [(GEOT, b"\0"), (b"XMP ", b"words" * 99)]
    assert [kind for kind, _ in open_container(with_chunks(longer, [(b"EXIF", b"")])).chunks] == [
        GEOT,
        b"XMP ",
        b"EXIF",
    ]


@pytest.mark.parametrize(
    "contents",
    [b"", b"\1", b"\xff" * 9, b"\1" + b"\1\3\1", b"\1\1\x63\0", pack_tags([Tag(33550, 12, 3, bytes(23))]), b"\0\0"],
)
def test_hostile_tags_are_an_error(contents):
    with pytest.raises(FormatError):
        parse_tags(contents)


def test_tags_that_are_none_of_the_place():
    """Of the tags that say how samples lie none gets into a file, and of each number only the first."""
    mine = Tag(42113, 2, 2, b"1\0")
    assert parse_tags(pack_tags([Tag(256, 3, 1, b"\1\0"), mine, Tag(42113, 2, 2, b"2\0"), Tag(33550, 12, 0, b"")])) == (
        mine,
    )


def test_tags_of_every_type_can_be_written():
    for kind, size in {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8}.items():
        for count in (1, 2, 9):
            data = bytes(range(1, 1 + size * count))
            tag = Tag(34735, kind, count, data)
            back = read(write_picture(samples("int16", 4, 5), ".tif", metadata=imfnb.Metadata(tags=[tag]))[0])
            assert back.metadata.tags[0].data.rstrip(b"\0") == data.rstrip(b"\0")
