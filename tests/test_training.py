"""The example that trains from coded pictures: its parts, and the whole."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import picture

import imfnb

pytest.importorskip("sklearn")
pytest.importorskip("skimage")

PATH = Path(__file__).parents[1] / "examples" / "training.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.jit,
    pytest.mark.skipif(not PATH.is_file(), reason="takes a checkout, or an sdist"),
]


@pytest.fixture(scope="module")
def training():
    spec = importlib.util.spec_from_file_location("training", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_batches_have_all_pictures_in_order(training):
    pictures = np.stack([picture(32, 32, 3, seed=i) for i in range(5)])
    files, labels = imfnb.encode_batch(pictures, quality=60), np.arange(5)
    out = np.empty((2, 32, 32, 3), np.uint8)
    seen = []
    for some, theirs in training.batches(files, labels, lambda files, out: imfnb.decode_batch(files, out=out), out):
        assert np.shares_memory(some, out)
        np.testing.assert_array_equal(some, imfnb.decode_batch([files[label] for label in theirs]))
        seen += list(theirs)
    assert seen == list(labels)


def test_inputs_are_means_over_squares(training):
    pictures = np.stack([picture(64, 64, 3, seed=i) for i in range(2)])
    expected = pictures[1, 4:8, 8:12].mean(axis=(0, 1)) / 128 - 1
    np.testing.assert_allclose(training.inputs(pictures)[1].reshape(16, 16, 3)[1, 2], expected, rtol=1e-5)


def test_the_whole(training, monkeypatch, capsys):
    options = "--count 12 --side 64 --batch 5 --epochs 1 --threads 2"
    monkeypatch.setattr(sys, "argv", ["training.py", *options.split()])
    training.main()
    text = capsys.readouterr().out
    rows = re.findall(r"^ *(\S+), \S+ +(\d+) +([\d.]+) +(\d+)$", text, re.M)
    assert [name for name, *_ in rows][:2] == ["imf", "JPEG"] and "accuracy" in text
    assert all(float(value) > 20 for _, _, value, _ in rows)
