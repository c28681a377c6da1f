"""Files that are elsewhere (fsspec, UPath), samples of webdataset, layers of napari."""

from __future__ import annotations

import importlib
import io
import pathlib
import pickle
import tarfile
import uuid
from importlib.metadata import entry_points

import imageio.v3 as iio
import numpy as np
import pytest
from array_helpers import scene
from helpers import encode, imwrite, picture

import imfnb
from imfnb import FormatError, OptionError
from imfnb.kinds import describe, is_elsewhere, kind_of
from imfnb.plugins import napari
from imfnb.plugins.webdataset import decoder

fsspec = pytest.importorskip("fsspec")
upath = pytest.importorskip("upath")

OPTIONS = {"patch_size": 4, "rank": 2}


@pytest.fixture
def folder() -> str:
    """A folder in memory that no other test has."""
    return f"memory://{uuid.uuid4().hex}"


def kinds_of(url: str, mode: str) -> list:
    return [upath.UPath(url), fsspec.open(url, mode)]


# ------------------------------------------------------------------------------------------------------------- fsspec


@pytest.mark.jit
@pytest.mark.parametrize("which", [0, 1], ids=["UPath", "OpenFile"])
def test_files_elsewhere_are_written_and_read(folder, which):
    image = picture(13, 11)
    url = f"{folder}/a.imf"
    size = imwrite(kinds_of(url, "wb")[which], image, dpi=(300, 300), **OPTIONS)
    assert fsspec.filesystem("memory").size(url) == size
    source = kinds_of(url, "rb")[which]
    np.testing.assert_array_equal(imfnb.imread(source), imfnb.decode(encode(image, **OPTIONS)))
    assert imfnb.info(source)["shape"] == (13, 11, 3) and imfnb.info(source)["missing"] == 0
    assert imfnb.read_metadata(source).dpi == (300, 300)
    shorter = imwrite(kinds_of(url, "wb")[which], image[:5], **OPTIONS)  # an existing file is replaced
    assert fsspec.filesystem("memory").size(url) == shorter < size
    (decoded,) = imfnb.decode_batch([pickle.loads(pickle.dumps(source))])
    np.testing.assert_array_equal(decoded, imfnb.imread(source))


@pytest.mark.jit
def test_pictures_elsewhere_are_encoded(folder):
    image, url = picture(13, 11), f"{folder}/a.png"
    upath.UPath(url).write_bytes(iio.imwrite("<bytes>", image, extension=".png"))
    files = imfnb.encode_batch(kinds_of(url, "rb"), profile="baseline", **OPTIONS)
    assert files == [encode(image, **OPTIONS)] * 2
    assert list(imfnb.encode_iter(iter(kinds_of(url, "rb")), profile="baseline", **OPTIONS)) == files


@pytest.mark.jit
def test_compressed_files(folder):
    image, url = picture(13, 11), f"{folder}/a.imf.xz"
    with pytest.raises(OptionError, match=r"promises the format \.xz"):
        imwrite(fsspec.open(url, "wb", compression="xz"), image, **OPTIONS)
    url = url.replace(".xz", "")
    imwrite(fsspec.open(url, "wb", compression="xz"), image, **OPTIONS)
    assert imfnb.info(fsspec.open(url, "rb", compression="xz"))["shape"] == (13, 11, 3)
    with pytest.raises(FormatError, match=r"not an \.imf file"):
        imfnb.imread(upath.UPath(url))


@pytest.mark.jit
def test_local_paths_of_upath_are_paths(tmp_path):
    """They are replaced whole, as other files are."""
    for path in (upath.UPath(tmp_path / "a.imf"), upath.UPath(f"file://{tmp_path}/b.imf")):
        imwrite(path, picture(8, 8), **OPTIONS)
        assert not is_elsewhere(path) and imfnb.imread(path).shape == (8, 8, 3)
        assert kind_of(path.parent) == "folder"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.imf", "b.imf"]
    with fsspec.open(str(tmp_path / "c.imf"), "wb") as file:
        imwrite(file, picture(8, 8), **OPTIONS)
    assert imfnb.imread(fsspec.open(str(tmp_path / "c.imf"))).shape == (8, 8, 3)


def test_errors_name_the_file(folder):
    url = f"{folder}/none.imf"
    for source in kinds_of(url, "rb"):
        for read in (imfnb.imread, imfnb.info, imfnb.read_metadata, lambda path: imfnb.encode_batch([path])):
            with pytest.raises(FileNotFoundError) as caught:
                read(source)
            assert caught.value.filename.endswith("/none.imf") and caught.value.filename.startswith("memory://")
    upath.UPath(url).write_bytes(b"\x89PNG, or so")
    for source in kinds_of(url, "rb"):
        with pytest.raises(FormatError, match=r"^memory://.*none.imf: not an .imf file"):
            imfnb.imread(source)
    with pytest.raises(OptionError, match=r"^memory://.*a.png: the name promises the format .png"):
        imwrite(upath.UPath(f"{folder}/a.png"), picture(8, 8))
    with pytest.raises(OptionError, match=r"none.imf: the file has mode 'wb'; expected 'rb': make it with fsspec.open"):
        imfnb.imread(fsspec.open(url, "wb"))
    with pytest.raises(OptionError, match=r"none.imf: the file has mode 'r'; expected 'rb'"):
        imfnb.encode_batch([fsspec.open(url, "r")])


def test_paths_elsewhere_are_told_from_arrays_and_contents(folder):
    path = upath.UPath(f"{folder}/a.imf")
    assert kind_of(path) == "path" and describe(path).startswith("the path 'memory://")
    with pytest.raises(OptionError, match=r"image is the path 'memory://.*', not an array"):
        imfnb.encode(path)
    with pytest.raises(OptionError, match=r"data is the path 'memory://.*; expected contiguous bytes"):
        imfnb.decode(path)
    with pytest.raises(OptionError, match="images is the path"):
        imfnb.encode_batch(path)


# --------------------------------------------------------------------------------------------------------- webdataset


@pytest.mark.jit
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves a shard open
def test_samples_of_webdataset(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    data = encode(picture(9, 8), **OPTIONS)
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        for name, content in (("one.imf", data), ("one.left.IMF", data), ("one.cls", b"7"), ("one.txt", b"a")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    samples = list(webdataset.WebDataset(str(tmp_path / "shard.tar"), shardshuffle=False).decode(decoder))
    (sample,) = samples
    np.testing.assert_array_equal(sample["imf"], imfnb.decode(data))
    np.testing.assert_array_equal(sample["left.imf"], sample["imf"])
    assert (sample["cls"], sample["txt"]) == (7, "a")
    assert decoder(".png", b"") is None and decoder(".imf.gz", b"") is None
    with pytest.raises(FormatError):
        decoder(".imf", b"no file")


# ------------------------------------------------------------------------------------------------------------- napari


def test_the_manifest_of_napari():
    """It is where the entry point says, and names what is there. (`npe2 validate imfnb` says more.)"""
    yaml = pytest.importorskip("yaml")
    (found,) = entry_points(group="napari.manifest", name="imfnb")
    module, _, name = found.value.partition(":")
    text = pathlib.Path(importlib.import_module(module).__file__).with_name(name).read_text(encoding="utf-8")
    manifest = yaml.safe_load(text)
    assert manifest["name"] == "imfnb"
    (command,), (reader,) = manifest["contributions"]["commands"], manifest["contributions"]["readers"]
    assert reader["command"] == command["id"] and command["id"].startswith("imfnb.")
    module, _, name = command["python_name"].partition(":")
    assert getattr(importlib.import_module(module), name) is napari.get_reader
    assert reader["filename_patterns"] == ["*.imf"] and not reader["accepts_directories"]


@pytest.mark.jit
@pytest.mark.parametrize(
    ("image", "options", "shape", "colours"),
    [
        (picture(9, 8, 0), {}, (9, 8), False),
        (picture(9, 8, 2), {}, (2, 9, 8), False),
        (picture(9, 8, 3), {}, (9, 8, 3), True),
        (picture(9, 8, 4), {}, (9, 8, 4), True),
        (scene((9, 8, 5), "uint16"), {}, (5, 9, 8), False),
        (scene((9, 8, 3), "float32"), {}, (3, 9, 8), False),
        (np.stack([scene((9, 8), "uint16")] * 2), {"axes": "THW"}, (2, 9, 8), False),
        (np.stack([scene((9, 8, 5), "int16")] * 2), {"axes": "THWC"}, (2, 5, 9, 8), False),
        (np.stack([picture(9, 8)] * 2), {"axes": "THWC"}, (2, 9, 8, 3), True),
    ],
    ids=lambda value: str(value.shape) if isinstance(value, np.ndarray) else "",
)
def test_layers_of_napari(tmp_path, image, options, shape, colours):
    name = str(tmp_path / "a.imf")
    imfnb.imwrite(name, image, **options)
    ((layer, details, kind),) = napari.get_reader(name)(name)
    assert (layer.shape, details, kind) == (shape, {"name": "a", "rgb": colours}, "image")
    assert np.array_equal(layer, imfnb.imread(name)) or np.array_equal(np.moveaxis(layer, -3, -1), imfnb.imread(name))


@pytest.mark.jit
def test_files_of_napari(tmp_path):
    names = [str(tmp_path / name) for name in ("a.imf", "b.IMF")]
    for name in names:
        imwrite(name, picture(9, 8), **OPTIONS)
    assert [details["name"] for _, details, _ in napari.get_reader(names)(names)] == ["a", "b"]
    assert napari.get_reader("a.png") is None and napari.get_reader([]) is None
    assert napari.get_reader([*names, "c.png"]) is None
    with pytest.raises(FileNotFoundError):
        napari.read_layers(str(tmp_path / "none.imf"))
