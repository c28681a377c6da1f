"""SSIMULACRA 2: the package's own result on files, known properties, refusals."""

from __future__ import annotations

import io

import numpy as np
import pytest
from helpers import picture
from PIL import Image

from imfnb import OptionError, metrics

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module", autouse=True)
def package():
    return pytest.importorskip("ssimulacra2")


def as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


@pytest.mark.parametrize("shape", [(225, 302), (260, 231), (256, 256)])
@pytest.mark.parametrize("channels", [0, 3])
def test_the_result_of_the_package_on_files(tmp_path, package, shape, channels):
    image = picture(*shape, channels, seed=2)
    decoded = as_jpeg(image, 40)
    for name, pixels in (("a.png", image), ("b.png", decoded)):
        Image.fromarray(pixels).save(tmp_path / name)
    with open(tmp_path / "a.png", "rb") as original, open(tmp_path / "b.png", "rb") as coded:
        expected = package.compute_ssimulacra2(original, coded)
    before = image.copy()
    assert metrics.ssimulacra2(image, decoded) == expected
    np.testing.assert_array_equal(image, before)
    assert metrics.ssimulacra2(np.asfortranarray(image), decoded) == expected


def test_gray_images_are_gray_colours():
    gray = picture(240, 230, 0, seed=3)
    decoded = as_jpeg(gray, 30)
    expected = metrics.ssimulacra2(np.dstack([gray] * 3), np.dstack([decoded] * 3))
    assert metrics.ssimulacra2(gray, decoded) == expected
    assert metrics.ssimulacra2(gray[:, :, None], decoded[:, :, None]) == expected


def test_equal_images_have_100_and_less_quality_has_less():
    image = picture(230, 256, seed=4)
    assert metrics.ssimulacra2(image, image) == 100
    scores = [metrics.ssimulacra2(image, as_jpeg(image, quality)) for quality in (95, 70, 40, 10)]
    assert 100 > scores[0] and scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((256, 256)), np.zeros((256, 256)), "uint8"),
        (np.zeros((256, 256), np.uint8), np.zeros((256, 257), np.uint8), "one shape"),
        (*[np.zeros((256, 256, 4), np.uint8)] * 2, r"\(H, W, 3\), found \(256, 256, 4\)"),
        (*[np.zeros(256, np.uint8)] * 2, r"\(H, W, 3\), found \(256,\)"),
        (*[np.zeros((224, 999), np.uint8)] * 2, r"at least 225, found \(224, 999\)"),
    ],
)
def test_images_that_cannot_be_compared(a, b, message):
    with pytest.raises(OptionError, match=message):
        metrics.ssimulacra2(a, b)


def test_smaller_images_would_get_other_weights(package):
    """Why they are refused: one row more or less changes the package's score by points."""
    image = picture(225, 225, seed=5)
    decoded = as_jpeg(image, 40)

    def score(side):
        files = [io.BytesIO(), io.BytesIO()]
        for pixels, file in zip((image, decoded), files, strict=True):
            Image.fromarray(np.ascontiguousarray(pixels[:side, :side])).save(file, "PPM")
            file.seek(0)
        return package.compute_ssimulacra2(*files)

    assert abs(score(225) - score(224)) > 3


@pytest.mark.parametrize(
    ("module", "function", "name"),
    [("ssimulacra2", metrics.ssimulacra2, "ssimulacra2"), ("skimage.metrics", metrics.ssim, "scikit-image")],
)
def test_without_the_package(monkeypatch, module, function, name):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    image = np.zeros((256, 256), np.uint8)
    with pytest.raises(OptionError, match=rf'{name} is needed here.*pip install "imfnb\[eval\]"'):
        function(image, image)
