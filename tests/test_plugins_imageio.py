"""The plugin of imageio, through imageio: its functions of version 3 and 2, scikit-image, and whatever it opens."""

from __future__ import annotations

import functools
import gc
import http.server
import io
import os
import pathlib
import subprocess
import sys
import threading
import zipfile

import imageio.config
import imageio.v2
import imageio.v3 as iio
import numpy as np
import pytest
import skimage.io
from helpers import Pipe, picture
from PIL import Image

import imfnb
import imfnb.plugins.imageio
from imfnb.errors import FormatError, LimitError, OptionError
from imfnb.format.chunks import Tag
from imfnb.frames import pack_frames
from imfnb.plugins.imageio import ImfnbPlugin, IndexOptionError

#: Small pictures, which the lane without the JIT codes too.
OPTIONS = {"profile": "baseline", "quality": 30, "patch_size": 4}
IMAGE = picture(11, 13)
STACK = np.stack([picture(11, 13, seed=seed) for seed in range(3)])


@functools.cache
def coded(stack: bool = False) -> bytes:
    """The picture, or the stack, as a file."""
    if stack:
        return pack_frames([imfnb.encode(image, **OPTIONS) for image in STACK])
    return imfnb.encode(IMAGE, **OPTIONS)


@functools.cache
def frames() -> bytes:
    """The stack as `encode` codes it, which takes the main profile."""
    return imfnb.encode(STACK, axes="THWC")


@functools.cache
def decoded(stack: bool = False) -> np.ndarray:
    """What comes back."""
    return imfnb.decode(coded(stack))


@pytest.fixture(autouse=True)
def nothing_leaks():
    """What is left open is an error in the test that did it."""
    gc.freeze()  # all that a long run of tests has made is looked through no more than once
    yield
    gc.collect()
    gc.unfreeze()


@pytest.fixture
def one(tmp_path):
    path = tmp_path / "one.imf"
    path.write_bytes(coded())
    return path


@pytest.fixture
def many(tmp_path):
    path = tmp_path / "many.imf"
    path.write_bytes(coded(True))
    return path


@pytest.fixture
def url(one, many):
    """Where a server has the folder of both files; requests stand in its `seen`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=os.fspath(one.parent))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_imageio_knows_the_plugin():
    """By its name, and by the extension alone; another import changes nothing."""
    imfnb.plugins.imageio._register()
    config = imageio.config
    assert config.known_plugins["imfnb"].module_name == "imfnb.plugins.imageio"
    assert [entry.priority for entry in config.known_extensions[".imf"]] == [["imfnb"]]
    assert sum(entry.extension == ".imf" for entry in config.extension_list) == 1
    assert list(config.known_plugins)[:2] == ["pillow", "imfnb"] and len(set(config.known_plugins)) > 50
    with iio.imopen("<bytes>", "w", extension=".imf") as file:
        assert type(file).__name__ == "ImfnbPlugin"


def test_pictures_come_back(one, tmp_path):
    assert np.array_equal(iio.imread(one), decoded())
    assert np.array_equal(iio.imread(os.fspath(one)), decoded())
    assert np.array_equal(iio.imread(f"file://{one}", plugin="imfnb"), decoded())
    assert iio.imread(one).flags.writeable
    target = tmp_path / "new.imf"
    assert iio.imwrite(target, IMAGE, **OPTIONS) is None
    assert target.read_bytes() == coded()
    assert iio.imwrite("<bytes>", IMAGE, extension=".imf", **OPTIONS) == coded()
    assert iio.imwrite("<bytes>", IMAGE, plugin="imfnb", **OPTIONS) == coded()
    listed = Image.fromarray(IMAGE)  # no array, but what has one
    assert iio.imwrite("<bytes>", listed, plugin="imfnb", **OPTIONS) == coded()


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_arrays_come_back(dtype):
    """Every option of `encode` is one of `imwrite`, every one of `decode` one of `imread`."""
    array = (picture(20, 24, 6).astype(np.float64) * 100 / 256).astype(dtype)
    array[3, 4:9] = 3
    data = iio.imwrite("<bytes>", array, extension=".imf", max_error=2, nodata=3)
    assert data == imfnb.encode(array, max_error=2, nodata=3)
    back = iio.imread(data, extension=".imf")
    assert back.dtype == dtype and np.abs(back.astype(float) - array).max() <= 2
    said = iio.immeta(data, extension=".imf")
    assert said["nodata"] == 3 and said["max_error"] == pytest.approx(2, rel=0.1) and said["channels"] == "bands"
    assert np.array_equal(iio.imread(data, extension=".imf", bands=[5, 0]), back[..., [5, 0]])
    with pytest.raises(LimitError):
        iio.imread(data, extension=".imf", max_pixels=9)


def test_targets_are_those_of_encode():
    data = iio.imwrite("<bytes>", IMAGE, extension=".imf", profile="baseline", patch_size=4, size=200, dpi=300)
    assert len(data) <= 200 and imfnb.read_metadata(data).dpi == (300, 300)


def test_properties(one, many):
    found = iio.improps(one)
    assert (found.shape, found.dtype, found.n_images, found.is_batch) == (IMAGE.shape, np.uint8, None, False)
    assert iio.improps(one, index=0) == found
    found = iio.improps(one, index=...)
    assert (found.shape, found.n_images, found.is_batch) == ((1, *IMAGE.shape), 1, True)
    for index in (None, ...):
        found = iio.improps(many, index=index)
        assert (found.shape, found.n_images, found.is_batch) == (STACK.shape, 3, True)
    found = iio.improps(many, index=2)
    assert (found.shape, found.n_images, found.is_batch) == (IMAGE.shape, None, False)
    for index in (None, ..., 0):
        for path in (one, many):
            assert iio.improps(path, index=index).shape == iio.imread(path, index=index).shape
    with pytest.raises(LimitError, match=r"many\.imf"):
        iio.improps(many, max_pixels=9)
    assert iio.improps(many, max_pixels=10**12).shape == STACK.shape


def test_properties_need_the_header_alone(one):
    """The rest of the file may be damaged, or not there."""
    whole = iio.improps(one)
    one.write_bytes(coded()[: len(coded()) // 2])
    assert iio.improps(one) == whole
    with pytest.raises(FormatError, match=r"one\.imf"):
        iio.imread(one)


def test_metadata(tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    # A pixel's size on Earth, the name of a projection, and what GDAL writes for samples without data.
    tags = [
        Tag(33550, 12, 3, np.array([10.0, 10.0, 0.0]).tobytes()),
        Tag(34735, 3, 4, np.array([1, 1, 0, 0], "<u2").tobytes()),
        Tag(34737, 2, 4, b"UTM\0"),
        Tag(42113, 7, 2, b"-1"),
    ]
    kept = imfnb.Metadata(b"profile", exif, "<x:xmpmeta/>", (300, 150), {"Title": "Night \u2603"}, tags)
    path = tmp_path / "a.imf"
    iio.imwrite(path, IMAGE, metadata=kept, **OPTIONS)
    said = iio.immeta(path)
    assert said["shape"] == IMAGE.shape and said["mode"] == "RGB" and said["dtype"] == "uint8"
    assert said["channels"] == "rgb" and said["frames"] is None and said["profile"] == "baseline"
    assert said["size"] == path.stat().st_size and said["bpp"] == 8 * said["size"] / 11 / 13
    assert said["icc_profile"] == b"profile" and said["dpi"] == (300, 150) and said["text"] == {"Title": "Night \u2603"}
    assert said["xmp"] == b"<x:xmpmeta/>"
    loaded = Image.Exif()
    loaded.load(said["exif"])
    assert loaded[0x010F] == "Maker"
    assert said["ModelPixelScaleTag"] == (10, 10, 0) and said["GeoKeyDirectoryTag"] == (1, 1, 0, 0)
    assert said["GeoAsciiParamsTag"] == "UTM" and said["GDAL_NODATA"] == b"-1"
    assert iio.immeta(path, exclude_applied=False) == said
    assert iio.immeta(path, index=...) == {**said, "shape": (1, *IMAGE.shape)}
    with iio.imopen("<bytes>", "w", extension=".imf") as file:
        data = file.write(IMAGE, icc_profile=b"profile", exif=exif, xmp="<x:xmpmeta/>", dpi=300, text={}, **OPTIONS)
    assert imfnb.read_metadata(data).exif == said["exif"]
    assert not {"icc_profile", "exif", "xmp", "dpi", "text"} & set(iio.immeta(coded(), extension=".imf"))
    with pytest.raises(OptionError, match="expected one of them"):
        iio.imwrite(path, IMAGE, metadata=kept, dpi=300, **OPTIONS)


def test_damaged_metadata_do_not_touch_pixels(tmp_path):
    data = bytearray(iio.imwrite("<bytes>", IMAGE, extension=".imf", text={"a": "b"}, **OPTIONS))
    data[-1] ^= 1
    path = tmp_path / "a.imf"
    path.write_bytes(data)
    assert np.array_equal(iio.imread(path), decoded())
    with pytest.raises(FormatError, match=r"a\.imf"):
        iio.immeta(path)


def test_indexes(one, many):
    assert np.array_equal(iio.imread(one, index=0), decoded())
    assert np.array_equal(iio.imread(one, index=...), decoded()[None])
    assert np.array_equal(iio.imread(many), decoded(True))
    assert np.array_equal(iio.imread(many, index=...), decoded(True))
    for index in (0, np.int64(2)):
        assert np.array_equal(iio.imread(many, index=index), decoded(True)[index])


@pytest.mark.parametrize("index", [3, -1, True, 1.0, "0"])
@pytest.mark.parametrize("function", [iio.imread, iio.improps, iio.immeta])
def test_indexes_that_are_none(function, index, many, one):
    """A ValueError, as imageio asks for, and an IndexError, as lists have it."""
    for path, expected in ((many, "from 0 to 2"), (one, "expected 0, None")):
        with pytest.raises(IndexOptionError, match=rf"{path.name}.*index is .*{expected}") as caught:
            function(path, index=index)
        assert isinstance(caught.value, (ValueError, IndexError))


def test_iteration(one, many):
    assert np.array_equal(np.stack(list(iio.imiter(many))), decoded(True))
    assert np.array_equal(np.stack(list(iio.imiter(one))), decoded()[None])
    frames = iio.imiter(many)
    next(frames)
    frames.close()  # half-way: the file is closed
    with iio.imopen(many, "r") as file:
        assert np.array_equal(list(file.iter())[1], file.read(index=1))


@pytest.mark.jit
def test_frames_that_are_coded_together_are_read_alone():
    stack = np.stack([picture(16, 16, 0, seed=1).astype(np.uint16) + number for number in range(4)])
    data = iio.imwrite("<bytes>", stack, extension=".imf", is_batch=True, max_error=1)
    assert "columns" in imfnb.info(data)
    assert iio.improps(data, extension=".imf", index=3).shape == (16, 16)
    for number, frame in enumerate(iio.imiter(data, extension=".imf")):
        assert np.abs(frame.astype(int) - stack[number]).max() <= 1


def test_a_frame_is_read_without_the_others(many):
    """Neither the bytes of the others are read, nor are they checked."""
    data = bytearray(coded(True))
    data[-3] ^= 1  # of the last frame
    many.write_bytes(data)
    assert np.array_equal(iio.imread(many, index=1), decoded(True)[1])
    frames = iio.imiter(many)
    next(frames), next(frames)
    with pytest.raises(FormatError, match=r"many\.imf.*segment 2"):
        next(frames)


def test_frames_that_are_not_what_the_stack_says():
    other = imfnb.encode(picture(12, 13), **OPTIONS)
    whole = imfnb.decode(coded(True), frame=0)
    single = imfnb.encode(IMAGE, **OPTIONS)
    data = pack_frames([single, other])
    assert np.array_equal(iio.imread(data, extension=".imf", index=0), whole)
    with pytest.raises(FormatError, match="frame 1 has uint8"):
        iio.imread(data, extension=".imf", index=1)


@pytest.mark.jit
def test_stacks_are_written(tmp_path):
    path = tmp_path / "a.imf"
    for image, options in (
        (STACK, {}),  # four dimensions can be nothing else
        (STACK, {"is_batch": True}),
        (list(STACK), {}),
        (tuple(STACK), {"is_batch": True}),
        (STACK.transpose(0, 3, 1, 2), {"axes": "TCHW"}),
    ):
        iio.imwrite(path, image, **options)
        assert path.read_bytes() == frames()
    gray = STACK[..., 0]
    iio.imwrite(path, gray, is_batch=True)
    assert iio.improps(path).n_images == 3 and iio.improps(path).shape == gray.shape
    iio.imwrite(path, gray[:1], is_batch=True)
    assert iio.improps(path).shape == (1, 11, 13) and iio.imread(path, index=0).shape == (11, 13)
    for image, options in ((gray[0], {"is_batch": True}), ([gray[0], gray[0, :5]], {}), (STACK[None], {})):
        with pytest.raises(OptionError, match=r"a\.imf"):
            iio.imwrite(path, image, **options)
    assert iio.improps(path).shape == (1, 11, 13)


@pytest.mark.jit
def test_masks_of_frames_are_kept():
    frames = [np.ma.masked_less(picture(16, 16, 0, seed=seed).astype(np.int16), 60) for seed in range(2)]
    back = iio.imread(iio.imwrite("<bytes>", frames, extension=".imf", lossless=True, nodata=-1), extension=".imf")
    assert np.array_equal(back, np.stack([frame.filled(-1) for frame in frames]))


def test_three_dimensions_are_an_image(tmp_path):
    """As for `encode`: the last axis is that of channels, or of bands."""
    path = tmp_path / "a.imf"
    iio.imwrite(path, IMAGE[..., :1], **OPTIONS)
    assert iio.improps(path).shape == (11, 13, 1) and iio.improps(path).n_images is None
    with pytest.raises(OptionError, match="channels"):  # nine of them, which the baseline profile does not code
        iio.imwrite(path, np.zeros((11, 13, 9), np.uint8), **OPTIONS)


@pytest.mark.jit
def test_frames_are_appended(tmp_path):
    """What the first one carries is kept, once."""
    path = tmp_path / "a.imf"
    with iio.imopen(path, "w") as file:
        for image in STACK:
            file.write(image, dpi=300, text={"Title": "Night"}, **OPTIONS)
            assert not path.exists()
        with pytest.raises(OptionError, match=r"a\.imf.*expected uint8 \(11, 13, 3\)"):
            file.write(IMAGE[:5], **OPTIONS)
        with pytest.raises(OptionError, match="whole of a file"):
            file.write(STACK, axes="THWC")
    assert np.array_equal(iio.imread(path), decoded(True))
    assert imfnb.read_metadata(path) == imfnb.Metadata(dpi=300, text={"Title": "Night"})
    plain = len(coded(True))
    assert plain < path.stat().st_size < plain + 70
    with iio.imopen("<bytes>", "w", extension=".imf") as file:
        assert file.write(STACK[0], **OPTIONS) == imfnb.encode(STACK[0], **OPTIONS)
        file.write(STACK[1], **OPTIONS)
        assert file.write(STACK[2], **OPTIONS) == coded(True)
    with iio.imopen(path, "w") as file:  # nothing is written: the file stays as it is
        pass
    assert len(list(iio.imiter(path))) == 3


def test_what_fails_leaves_what_was_there(one, tmp_path, monkeypatch):
    before = one.read_bytes()
    with pytest.raises(OptionError, match=r"one\.imf.*quality"):
        iio.imwrite(one, IMAGE, quality=700)
    with pytest.raises(TypeError):
        iio.imwrite(one, IMAGE, no_such_option=1)

    def interrupted():
        with iio.imopen(one, "w") as file:
            file.write(STACK[1], **OPTIONS)
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        iio.imwrite(one, STACK[1], **OPTIONS)
    assert caught.value.filename == os.fspath(one)
    with pytest.raises(OSError, match="No space left"):
        iio.imwrite(tmp_path / "new.imf", STACK[1], **OPTIONS)
    assert os.listdir(tmp_path) == ["one.imf"] and one.read_bytes() == before


def test_existing_files_are_replaced(one):
    one.write_bytes(bytes(100_000))
    iio.imwrite(one, IMAGE, **OPTIONS)
    assert one.read_bytes() == coded()


def test_urls(url):
    assert np.array_equal(iio.imread(f"{url}/one.imf"), decoded())
    assert np.array_equal(iio.imread(f"{url}/one.imf?size=1"), decoded())
    assert iio.improps(f"{url}/many.imf").shape == STACK.shape
    assert len(list(iio.imiter(f"{url}/many.imf"))) == 3
    assert iio.immeta(f"{url}/one.imf")["mode"] == "RGB"
    with pytest.raises(IndexOptionError, match=f"{url}/one.imf: index"):
        iio.imread(f"{url}/one.imf", index=1)
    with pytest.raises(OSError, match="404"):
        iio.imread(f"{url}/none.imf")


def test_zip_files(tmp_path):
    path = tmp_path / "a.zip"
    iio.imwrite(f"{path}/in/one.imf", IMAGE, **OPTIONS)
    with iio.imopen(f"{path}/many.imf", "w") as file:
        for image in STACK:
            file.write(image, **OPTIONS)
    with pytest.raises(OptionError, match=r"bad\.imf.*quality"):
        iio.imwrite(f"{path}/bad.imf", IMAGE, quality=700)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["in/one.imf", "many.imf"] and archive.read("in/one.imf") == coded()
    assert np.array_equal(iio.imread(f"{path}/in/one.imf"), decoded())
    assert np.array_equal(iio.imread(f"{path}/many.imf", index=2), decoded(True)[2])
    assert iio.improps(f"{path}/many.imf").n_images == 3


def test_bytes_and_file_objects(one):
    assert np.array_equal(iio.imread(coded(), extension=".imf"), decoded())
    assert np.array_equal(iio.imread(coded()), decoded())  # found by what it begins with
    assert np.array_equal(iio.imread(memoryview(coded()), extension=".IMF"), decoded())
    file = io.BytesIO(b"before" + coded())
    file.seek(6)
    for _ in range(2):  # it is the caller's: neither closed nor lost where it stood
        assert np.array_equal(iio.imread(file, extension=".imf"), decoded())
        file.seek(6)
    with one.open("rb") as opened:
        assert iio.improps(opened, plugin="imfnb").shape == IMAGE.shape
        opened.seek(0)
        assert np.array_equal(iio.imread(opened, plugin="imfnb"), decoded())
        opened.seek(0)
        with pytest.raises(IndexOptionError, match=r"one\.imf: index"):
            iio.imread(opened, plugin="imfnb", index=1)
    target = io.BytesIO()
    iio.imwrite(target, IMAGE, extension=".imf", **OPTIONS)
    assert target.getvalue() == coded() and not target.closed


def test_files_that_cannot_seek():
    assert np.array_equal(iio.imread(Pipe(coded(True)), plugin="imfnb", index=1), decoded(True)[1])
    with pytest.raises(OSError, match="can not handle"):
        iio.imread(Pipe(b"nothing"), plugin="imfnb")


@pytest.mark.parametrize("data", [b"", b"\x89IM", b"garbage" * 50, b"\x89PNG\r\n"])
def test_what_is_no_file_is_refused(data, tmp_path):
    """With InitializationError, which lets imageio go on, and makes an OSError of it."""
    path = tmp_path / "a.imf"
    path.write_bytes(data)
    for source in (path, data, io.BytesIO(data)):
        with pytest.raises(OSError, match="`imfnb` can not handle") as caught:
            iio.imread(source, plugin="imfnb")
        assert "begin as an .imf file" in str(caught.value.__cause__)


def test_other_plugins_get_their_try(tmp_path):
    """A picture whose extension lies, and a file object that has been looked into."""
    path = tmp_path / "a.imf"
    data = iio.imwrite("<bytes>", IMAGE, extension=".png")
    path.write_bytes(data)
    assert np.array_equal(iio.imread(path), IMAGE)
    assert np.array_equal(iio.imread(data, extension=".imf"), IMAGE)
    assert np.array_equal(iio.imread(io.BytesIO(data), extension=".imf"), IMAGE)
    path = path.rename(tmp_path / "a.bin")
    path.write_bytes(coded())
    assert np.array_equal(iio.imread(path), decoded())


def test_picture_formats_are_left_to_others(tmp_path):
    for name in ("a.png", "a.bin"):
        with pytest.raises(OSError, match="can not handle") as caught:
            iio.imwrite(tmp_path / name, IMAGE, plugin="imfnb")
        assert "name it .imf" in str(caught.value.__cause__)
    iio.imwrite(tmp_path / "a.bin", IMAGE, extension=".imf", **OPTIONS)
    assert (tmp_path / "a.bin").read_bytes() == coded() and os.listdir(tmp_path) == ["a.bin"]
    iio.imwrite(tmp_path / "a.png", IMAGE)
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("seed", range(12))
def test_damaged_files(seed, tmp_path):
    """A FormatError that names the file, or pixels."""
    rng = np.random.default_rng(seed)
    data = bytearray(coded(True))
    data[rng.integers(4, len(data))] ^= 1 << rng.integers(8)
    path = tmp_path / "a.imf"
    path.write_bytes(data[: rng.integers(5, len(data) + 1)])
    for plugin in (None, "imfnb"):
        for function in (iio.imread, iio.improps, iio.immeta, lambda *a, **k: list(iio.imiter(*a, **k))):
            try:
                function(path, plugin=plugin)
            except FormatError as error:
                assert str(error).startswith(os.fspath(path))


def test_a_long_header_that_is_not_there_takes_no_memory(tmp_path):
    """Files allocate what is asked for: 32 GiB, by these eleven bytes."""
    path = tmp_path / "a.imf"
    path.write_bytes(b"\x89IMF\2" + b"\xff\xff\xff\xff\x7f" + b"\0")
    asked = []

    class File(io.FileIO):
        def read(self, size=-1):
            asked.append(size)
            return super().read(size)

    with File(path) as file, pytest.raises(FormatError):
        imfnb.info(file)
    assert max(asked) <= 4096
    with pytest.raises(FormatError, match=r"a\.imf"):
        iio.improps(path)


def test_modes_are_kept_apart(one):
    before = one.read_bytes()
    with iio.imopen(one, "r") as file, pytest.raises(OptionError, match=r"one\.imf.*for reading"):
        file.write(IMAGE)
    with iio.imopen(one, "w") as file:
        for work in (file.read, file.properties, file.metadata, lambda: next(file.iter())):
            with pytest.raises(OptionError, match=r"one\.imf.*for writing"):
                work()
    assert one.read_bytes() == before
    with pytest.raises(FileNotFoundError):
        iio.imread(one.parent / "none.imf")
    with pytest.raises(FileNotFoundError):
        iio.imwrite(one.parent / "none" / "a.imf", IMAGE)


def test_version_2(tmp_path, one, many):
    """Its functions ask for the first image of a file, and have their own words for stacks."""
    v2, path = imageio.v2, tmp_path / "a.imf"
    v2.imwrite(path, IMAGE, **OPTIONS)
    assert path.read_bytes() == coded()
    assert np.array_equal(v2.imread(path), decoded())
    for name in ("imfnb", "imf", ".imf", "a.imf"):
        assert np.array_equal(v2.imread(path, format=name), decoded())
    assert np.array_equal(v2.imread(many), decoded(True)[0])
    assert np.array_equal(np.stack(v2.mimread(many)), decoded(True))
    with v2.get_reader(many) as reader:
        assert len(reader) == 3
        assert np.array_equal(reader.get_data(2), decoded(True)[2])
        assert reader.get_data(2).meta["shape"] == IMAGE.shape and reader.get_meta_data()["frames"] == 3
        assert np.array_equal(np.stack(list(reader)), decoded(True))
    with v2.get_writer(path, **OPTIONS) as writer:
        for image in STACK:
            writer.append_data(image)
    assert path.read_bytes() == coded(True)
    writer = v2.get_writer(path, **OPTIONS)
    writer.append_data(IMAGE)
    writer.close()
    assert path.read_bytes() == coded()


@pytest.mark.jit
def test_stacks_and_volumes_of_version_2(tmp_path, many):
    """A stack is one volume."""
    v2, path = imageio.v2, tmp_path / "a.imf"
    v2.mimwrite(path, list(STACK))
    assert path.read_bytes() == frames()
    assert np.array_equal(v2.volread(many), decoded(True))
    assert [volume.shape for volume in v2.mvolread(many)] == [STACK.shape]
    for write, volume in ((v2.volwrite, STACK[..., 0]), (v2.mvolwrite, [STACK[..., 0]])):
        write(path, volume)
        assert iio.improps(path).n_images == 3 and v2.volread(path).shape == (3, 11, 13)
    with v2.get_reader(many, mode="v") as reader:
        assert len(reader) == 1 and reader.get_meta_data(0)["shape"] == STACK.shape
        assert reader.instance.properties(index=...).shape == (1, *STACK.shape)
        assert reader.instance.read(index=...).shape == (1, *STACK.shape)
    with pytest.raises(OptionError, match="2 volumes"):
        v2.mvolwrite(path, [STACK[..., 0]] * 2)


def test_scikit_image(tmp_path, one):
    """It asks imageio; options of writing are those of a call without any."""
    assert np.array_equal(skimage.io.imread(one), decoded())
    assert skimage.io.imread(one, as_gray=True).shape == (11, 13)
    assert len(skimage.io.imread_collection(os.fspath(one.parent / "*.imf"))) == 1


@pytest.mark.jit
def test_scikit_image_writes(tmp_path):
    image, path = picture(24, 24), tmp_path / "a.imf"
    skimage.io.imsave(path, image)
    assert path.read_bytes() == imfnb.encode(image)


@pytest.mark.filterwarnings("default")  # what imageio's old plugins leave open, or say of themselves
def test_the_plugin_of_pillow_beside_it(one, monkeypatch):
    """Either is enough, and imageio's own plugin reads through Pillow's where it is asked to."""
    pillow = pytest.importorskip("imfnb.plugins.pillow")
    assert pillow is not None
    assert np.array_equal(iio.imread(one), decoded())
    assert np.array_equal(iio.imread(one, plugin="pillow"), decoded())
    monkeypatch.delitem(imageio.config.known_extensions, ".imf")
    monkeypatch.delitem(imageio.config.known_plugins, "imfnb")
    assert np.array_equal(iio.imread(one), decoded())
    assert iio.improps(one).shape == IMAGE.shape


@pytest.mark.thorough
def test_properties_need_no_numba(one):
    code = (
        "import sys, imageio.v3 as iio, imfnb.plugins.imageio\n"
        "print(iio.improps(sys.argv[1]).shape, iio.immeta(sys.argv[1])['mode'], 'numba' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    said = subprocess.run(
        [sys.executable, "-c", code, os.fspath(one)], capture_output=True, text=True, check=True, env=environment
    )
    assert said.stdout.split("\n")[0] == f"{IMAGE.shape} RGB False"


def test_the_plugin_can_be_named_by_its_class(one):
    with iio.imopen(pathlib.Path(one), "r", plugin=ImfnbPlugin) as file:
        assert np.array_equal(file.read(), decoded())
