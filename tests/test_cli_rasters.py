"""Rasters through the command line: what `encode` is told, what `decode` writes, tags on their way there and back."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable

import numpy as np
import pytest
import tifffile
from test_rasters import TAGS, samples, values

import imfnb
from imfnb.cli import main
from imfnb.codec import open_container, with_chunks
from imfnb.format.chunks import GEOT
from imfnb.headers import info
from imfnb.pictures import read_picture

#: Stands for what `encode` makes of a raster.
CODED = imfnb.encode(np.zeros((4, 5), np.uint8), profile="baseline", quality=5)


class Codec:
    """In place of the codec: keeps one array and what it was told, and gives it back."""

    def __init__(self) -> None:
        self.image = np.zeros((4, 5), np.uint8)
        self.told: dict[str, object] = {}
        self.details: dict[str, object] = {}

    def encode(self, image: np.ndarray, **options) -> bytes:
        names = ("channels", "axes", "nodata", "max_error", "lossless", "psnr")
        self.image, self.told = (
            np.array(image),
            {name: options[name] for name in names if options.get(name) is not None},
        )
        if "nodata" in options:
            self.told["nodata"] = options["nodata"]
        return with_chunks(CODED, options["metadata"].chunks if options.get("metadata") else ())

    def decode(self, _data: bytes, *, bands=None, frame=None, **_options) -> np.ndarray:
        image = self.image if frame is None else self.image[frame]
        return image if bands is None else image[..., bands]

    def info(self, source: object, **_options) -> dict[str, object]:
        shown = {"shape": self.image.shape, "dtype": self.image.dtype.name, "frames": None, "channels": None}
        return {**shown, "metadata": info(source)["metadata"], **self.details}


@pytest.fixture
def codec(monkeypatch, tmp_path):
    """A codec of the test's own, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    assert imfnb.encode_batch  # modules that import the codec's functions do so before these are replaced
    instead = Codec()
    for name in ("codec.encode", "codec.decode", "headers.info"):
        monkeypatch.setattr(f"imfnb.{name}", getattr(instead, name.rpartition(".")[2]))
    return instead


def write(name: str, image: np.ndarray, **options) -> None:
    if name.endswith(".npy"):
        np.save(name, image)
    else:
        options = {"metadata": None, "software": False, "photometric": "minisblack", **options}
        tifffile.imwrite(name, image, **options)


def notes(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--psnr", "45"], {"psnr": 45.0}),
        (["--max-error", "2"], {"max_error": 2.0}),
        (["--lossless"], {"lossless": True}),
        (["--nodata", "0"], {"nodata": 0}),
        (["--nodata", "-9999"], {"nodata": -9999}),
        (["--nodata", "1.5"], {"nodata": 1.5}),
        (["--nodata", "none"], {"nodata": None}),
    ],
)
def test_options_of_encode(codec, arguments, told):
    image = samples("uint16", 6, 7, 5)
    write("a.tif", image, planarconfig="contig")
    assert main(["encode", "a.tif", *arguments]) == 0
    np.testing.assert_array_equal(codec.image, image)
    assert codec.told == {"channels": "bands", **told} and type(codec.told.get("nodata")) is type(told.get("nodata"))


def test_nodata_that_is_no_number(codec):
    write("a.npy", samples("float32", 6, 7))
    assert main(["encode", "a.npy", "--nodata", "nan"]) == 0
    assert np.isnan(codec.told["nodata"])


def test_bands_instead_of_colours(codec):
    image = samples("uint8", 6, 7, 3)
    write("a.tif", image, photometric="rgb")
    assert main(["encode", "a.tif"]) == 0 and codec.told == {}
    assert main(["encode", "a.tif", "--bands", "--force"]) == 0 and codec.told == {"channels": "bands"}


def test_axes_and_frames(codec, capsys):
    image = samples("int16", 3, 6, 7)
    write("a.tif", image)
    write("b.npy", image)
    for name in ("a.tif", "b.npy"):
        assert main(["encode", name, "--axes", "THW", "--force"]) == 0
        np.testing.assert_array_equal(codec.image, image)
        assert codec.told == {"axes": "THW"}
        assert main(["encode", name, "--axes", "THW", "--frame", "1", "--force"]) == 0
        np.testing.assert_array_equal(codec.image, image[1])
    assert notes(capsys) == []
    assert main(["encode", "a.tif", "--force"]) == 1 and "--axes" in notes(capsys)[0]
    assert main(["encode", "a.tif", "--axes", "TXY", "--force"]) == 1 and "axes is 'TXY'" in notes(capsys)[0]


def test_missing_samples_of_gdal_are_told_once(codec, capsys):
    for name in "abc":
        write(f"{name}.tif", samples("int16", 6, 7), extratags=TAGS)
    assert main(["encode", "a.tif", "b.tif", "c.tif"]) == 0
    assert codec.told == {"nodata": -9999}
    told = "imfnb: note: samples of -9999 are taken for missing, as the tag GDAL_NODATA says (a.tif and 2 others); "
    assert notes(capsys) == [f"{told}--nodata says otherwise"]
    assert main(["encode", "a.tif", "--nodata", "5", "--force"]) == 0
    assert codec.told == {"nodata": 5} and notes(capsys) == []


def test_from_a_pipe(codec, monkeypatch):
    image = samples("uint16", 6, 7, 5)
    write("a.npy", image)
    data = pathlib.Path("a.npy").read_bytes()
    monkeypatch.setattr("imfnb._console.read_input", lambda: data)
    assert main(["encode", "-", "-o", "a.imf"]) == 0
    np.testing.assert_array_equal(codec.image, image)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_from_a_named_pipe(codec):
    import threading

    image = samples("uint16", 6, 7, 5)
    write("a.npy", image)
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: pathlib.Path("pipe").write_bytes(pathlib.Path("a.npy").read_bytes()))
    writer.start()
    assert main(["encode", "pipe", "-o", "a.imf"]) == 0
    writer.join()
    np.testing.assert_array_equal(codec.image, image)


def test_folder_of_rasters(codec):
    os.mkdir("in")
    write("in/a.tif", samples("uint16", 6, 7, 5), planarconfig="contig")
    write("in/b.npy", samples("uint16", 6, 7, 5))
    assert main(["encode", "in", "-o", "out"]) == 0
    assert main(["decode", "out", "-o", "back"]) == 0
    assert sorted(os.listdir("back")) == ["a.tif", "b.tif"]
    np.testing.assert_array_equal(tifffile.imread("back/b.tif"), codec.image)


def decoded(codec: Codec, image: np.ndarray, *arguments: str) -> int:
    pathlib.Path("a.imf").write_bytes(CODED)
    codec.image = image
    return main(["decode", "a.imf", "--force", *arguments])


@pytest.mark.parametrize("name", ["b.tif", "b.npy", "b.TIFF"])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32"])
def test_decoding_to_what_holds_everything(codec, name, dtype):
    image = samples(dtype, 6, 7, 5)
    assert decoded(codec, image, "-o", name) == 0
    found = read_picture(name).pixels
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize(
    ("dtype", "shape", "name"),
    [
        ("uint16", (6, 7, 3), "a.png"),
        ("uint16", (6, 7), "a.png"),
        ("uint8", (6, 7, 4), "a.png"),
        ("uint16", (6, 7, 5), "a.tif"),
        ("int16", (6, 7), "a.tif"),
    ],
)
def test_default_names(codec, dtype, shape, name):
    image = samples(dtype, *shape)
    assert decoded(codec, image) == 0
    np.testing.assert_array_equal(read_picture(name).pixels, image)
    assert sorted(os.listdir()) == sorted(["a.imf", name])


def test_some_bands(codec):
    image = samples("uint16", 6, 7, 5)
    assert decoded(codec, image, "--bands", "3,2,1", "-o", "b.png") == 0
    np.testing.assert_array_equal(read_picture("b.png").pixels, image[:, :, [3, 2, 1]])
    codec.details["channels"] = "bands"
    assert decoded(codec, image, "--bands", "3,2,1", "-o", "b.tif") == 0
    assert read_picture("b.tif").channels == "bands"
    assert decoded(codec, image, "--bands", "4") == 0 and os.path.exists("a.png")


def test_frames(codec, capsys):
    image = samples("uint16", 3, 6, 7)
    codec.details["frames"] = 3
    assert decoded(codec, image) == 0
    np.testing.assert_array_equal(read_picture("a.tif", axes="THW").pixels, image)
    assert decoded(codec, image, "--frame", "2") == 0
    np.testing.assert_array_equal(read_picture("a.png").pixels, image[2])
    assert decoded(codec, image, "-o", "b.png") == 1
    assert "cannot hold 3 frames; --frame N" in notes(capsys)[0]


def test_names_that_cannot_hold_an_array(codec, capsys):
    assert decoded(codec, samples("int16", 6, 7, 5), "-o", "b.png") == 1
    assert "a .png file cannot hold 5 bands of int16; give it a name that ends in .tif or .npy" in notes(capsys)[0]
    assert not os.path.exists("b.png")


def test_tags_there_and_back(codec, capsys):
    write("a.tif", samples("float32", 6, 7, 5), planarconfig="contig", extratags=TAGS)
    codec.details["nodata"] = -9999.0
    assert main(["encode", "a.tif", "--nodata", "-9999"]) == 0
    assert [kind for kind, _ in open_container(pathlib.Path("a.imf").read_bytes()).chunks] == [GEOT]
    assert main(["decode", "a.imf", "-o", "b.tif"]) == 0
    before, after = (values(pathlib.Path(name).read_bytes()) for name in ("a.tif", "b.tif"))
    assert float(after.pop(42113)) == float(before.pop(42113)) and after == before
    assert notes(capsys) == []


@pytest.mark.parametrize("contents", [b"", b"\xff" * 40, b"\1\x8e\x86\2\x63\1", bytes(3)])
def test_hostile_tags_are_left_out(codec, capsys, contents):
    data = with_chunks(CODED, [(GEOT, contents)])
    for name in "ab":
        pathlib.Path(f"{name}.imf").write_bytes(data)
    codec.image = samples("int16", 6, 7)
    assert main(["decode", "a.imf", "b.imf", "-o", "out"]) == 0
    assert notes(capsys) == ["imfnb: note: damaged and left out: tags (a.imf and 1 other)"]
    assert tifffile.imread("out/a.tif").shape == (6, 7)


def test_tags_of_the_wrong_checksum(codec, capsys):
    data = bytearray(with_chunks(CODED, [(GEOT, bytes(3))]))
    data[-1] = 1
    pathlib.Path("a.imf").write_bytes(data)
    assert main(["decode", "a.imf", "-o", "b.tif"]) == 0
    assert len(notes(capsys)) == 1 and os.path.exists("b.tif")


def test_tags_of_pictures_of_eight_bits(tmp_path, monkeypatch):
    """Through the codec as it is."""
    monkeypatch.chdir(tmp_path)
    image = np.full((16, 16, 3), 80, np.uint8)
    write("a.tif", image, photometric="rgb", extratags=TAGS[:-1])
    assert main(["encode", "a.tif", "--profile", "baseline"]) == 0
    assert main(["decode", "a.imf", "-o", "b.tif"]) == 0
    assert values(pathlib.Path("b.tif").read_bytes()) == values(pathlib.Path("a.tif").read_bytes())
    (data,) = imfnb.encode_batch(["a.tif"], profile="baseline")
    assert data == pathlib.Path("a.imf").read_bytes()


def test_info_without_numbers_of_json(codec, capsys):
    codec.details["nodata"] = float("nan")
    pathlib.Path("a.imf").write_bytes(CODED)
    assert main(["info", "a.imf", "--json"]) == 0
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["nodata"] == "nan"


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "a.tif", "--lossless", "--psnr", "40"],
        ["encode", "a.tif", "--max-error", "2", "--lossless"],
        ["encode", "a.tif", "--nodata", "nothing"],
        ["encode", "a.tif", "--bands", "3,2,1", "-q"],
        ["decode", "a.imf", "--bands", "red"],
        ["decode", "a.imf", "--frame", "x"],
    ],
)
def test_wrong_usage(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "usage: imfnb" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ with the codec itself


def ramp(dtype: str, *shape: int) -> np.ndarray:
    """Smooth bands that say nearly the same."""
    rows, columns = np.indices(shape[:2])
    bands = np.arange(1, 1 + int(np.prod(shape[2:])))
    image = 100 + (rows * 3 + columns * 2)[..., None] * bands / bands[-1]
    return image.reshape(shape).astype(dtype)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Callable[..., np.ndarray]:
    """Encode and decode a raster in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def there_and_back(image: np.ndarray, *arguments: str, back: tuple[str, ...] = (), **options) -> np.ndarray:
        write("a.tif", image, **options)
        assert main(["encode", "a.tif", *arguments]) == 0
        assert main(["decode", "a.imf", "-o", "b.tif", *back]) == 0
        return tifffile.imread("b.tif")

    return there_and_back


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_lossless_rasters(folder, dtype):
    image = ramp(dtype, 24, 30, 5) if dtype != "int8" else (ramp("int16", 24, 30, 5) - 250).astype("int8")
    np.testing.assert_array_equal(folder(image, "--lossless", planarconfig="contig"), image)


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_bounded_rasters(folder, dtype):
    image = ramp(dtype, 24, 30, 5)
    found = folder(image, "--max-error", "2", planarconfig="contig")
    assert found.dtype == image.dtype and abs(found.astype(float) - image).max() <= 2


@pytest.mark.jit
def test_missing_samples_and_tags(folder):
    image = ramp("int16", 24, 30, 5)
    image[3:9, 4:8] = -9999
    found = folder(image, "--psnr", "60", planarconfig="contig", extratags=TAGS)
    np.testing.assert_array_equal(found == -9999, image == -9999)
    assert values(pathlib.Path("b.tif").read_bytes()) == values(pathlib.Path("a.tif").read_bytes())
    details = imfnb.info(pathlib.Path("a.imf").read_bytes())
    assert details["nodata"] == -9999 and details["dtype"] == "int16" and tuple(details["shape"]) == (24, 30, 5)


@pytest.mark.jit
def test_some_bands_of_rasters(folder):
    image = ramp("uint16", 24, 30, 5)
    found = folder(image, "--lossless", planarconfig="contig", back=("--bands", "3,2,1"))
    np.testing.assert_array_equal(found, image[:, :, [3, 2, 1]])


@pytest.mark.jit
def test_stacks(folder):
    image = np.stack([ramp("uint16", 24, 30), ramp("uint16", 24, 30) + 7])
    np.testing.assert_array_equal(folder(image, "--lossless", "--axes", "THW"), image)
    assert imfnb.info(pathlib.Path("a.imf").read_bytes())["frames"] == 2
    assert main(["decode", "a.imf", "--frame", "1"]) == 0
    np.testing.assert_array_equal(read_picture("a.png").pixels, image[1])


@pytest.mark.jit
def test_files_in_python(tmp_path):
    """Names of files in a batch, with what the files say of themselves."""
    image = ramp("uint16", 24, 30, 4)
    np.save(tmp_path / "a.npy", image)
    (data,) = imfnb.encode_batch([tmp_path / "a.npy"], lossless=True)
    np.testing.assert_array_equal(imfnb.decode(data), image)
