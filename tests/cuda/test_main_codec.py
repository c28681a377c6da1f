"""The main profile on the device as a whole: the bytes and pixels of the CPU, alone and in batches."""

from __future__ import annotations

import interpreted
import numpy as np
import pytest
from helpers import picture
from main_helpers import as_if_large, encode
from stacks import cuda

import imfnb
from imfnb import FormatError
from imfnb.factorization.rdoq import basis_search
from imfnb.format.main_header import Restoration
from imfnb.metrics import psnr
from imfnb.profiles import decide, search, targets, tuning

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

batch = pytest.mark.skipif(interpreted.WANTED, reason="takes minutes; the simulator runs it")


def check(images: list[np.ndarray], **options) -> list[bytes]:
    """Encode and decode on both devices; the files must be the same, and so the pixels."""
    options = {"tune": "visual"} | options
    expected = [encode(image, device="cpu", threads=1, **options) for image in images]
    if len(images) == 1:
        assert encode(images[0], device="cuda", threads=2, **options) == expected[0]
        pixels = [imfnb.decode(expected[0], device="cuda", threads=2)]
    else:
        assert imfnb.encode_batch(images, device="cuda", threads=2, profile="main", **options) == expected
        pixels = imfnb.decode_batch(expected, device="cuda", threads=2)
    for found, data in zip(pixels, expected, strict=True):
        np.testing.assert_array_equal(found, imfnb.decode(data, device="cpu"))
    return expected


@pytest.mark.parametrize("shape", [(1, 1), (3, 9, 1)])
def test_gray(shape):
    image = picture(*shape[:2], 1)
    check([image.reshape(shape)], quality=60)


@pytest.mark.slow
@batch
def test_batch_with_different_choices():
    """One launch per patch size: images that prefer 8 and 16, with and without restoration; half-size chroma."""
    flat = np.full((9, 5, 3), 90, np.uint8)
    files = check([picture(9, 5, 3), flat], step=120, tune="psnr")
    assert [imfnb.info(data)["patch_sizes"][0] for data in files] == [8, 16]
    assert [imfnb.info(data)["restoration"][0] for data in files] == [True, False]


@pytest.mark.slow
@batch
def test_batch_with_both_resolutions_of_chroma():
    flat, lines = picture(8, 10, 3), np.full((8, 10, 3), 255, np.uint8)
    flat[...] = flat[:, :, :1]
    lines[:, ::3] = 220, 0, 0
    files = check([flat, lines, flat[::-1].copy()], step=25, patch_size=8)
    assert [imfnb.info(data)["subsampling"] for data in files] == ["4:2:0", "4:4:4", "4:2:0"]


@pytest.mark.slow
@batch
def test_batch_with_networks():
    """Luma by itself, chroma with the help of restored luma; Cr is coded with the help of Cb."""
    files = check([picture(7, 9, 3, seed) for seed in range(2)], step=20, subsampling="4:2:0", effort="best")
    assert all(imfnb.info(data)["effort"] == "best" for data in files)
    assert any(any(imfnb.info(data)["networks"]) for data in files)


@pytest.mark.slow
@batch
def test_batch_of_the_fast_effort():
    files = check([picture(9, 7, 0, seed) for seed in range(2)], step=20, patch_size=8, effort="fast")
    assert all(imfnb.info(data)["effort"] == "fast" for data in files)


@pytest.mark.slow
@batch
def test_batch_with_the_short_filter(monkeypatch):
    """On the planes of one picture, not on those of the other."""
    monkeypatch.setitem(tuning.EFFORTS, "normal", tuning.Effort("context", (Restoration.SHORT,)))
    flat = np.full((9, 5, 3), 90, np.uint8)
    files = check([picture(9, 5, 3), flat], step=120, tune="psnr", patch_size=8)
    assert [imfnb.info(data)["restoration"][0] for data in files] == [True, False]


@pytest.mark.slow
def test_alpha_of_all_kinds_and_full_chroma():
    images = [picture(5, 6, 4, seed) for seed in range(3)]
    images[1][:, :2, 3], images[1][:, 2:, 3] = 0, 255
    images[2][:, :, 3] = 255
    files = check(images, step=30, alpha_quality=0, subsampling="4:4:4", patch_size=8)
    assert [imfnb.info(data)["alpha"] for data in files] == ["lossy", "lossless", "constant"]
    assert [len(imfnb.info(data)["steps"]) for data in files] == [4, 3, 3]


@pytest.mark.slow
def test_search(monkeypatch):
    """Two steps on the device; then, on the CPU, another lambda and a splice of what was above the target."""
    for name, value in (("_CLOSE", 300), ("_BUDGET", 8), ("_SMALL", 0)):
        monkeypatch.setattr(targets, name, value)
    trials = []
    for name in ("step", "lambda_scale", "splice"):
        once = getattr(search._Trials, name)
        monkeypatch.setattr(
            search._Trials,
            name,
            lambda self, *a, once=once, name=name: trials.append((self._run.device, name)) or once(self, *a),
        )
    (data,) = check([picture(8, 16, 0, 1)], psnr=30.5, patch_size=8)
    assert psnr(picture(8, 16, 0, 1), imfnb.decode(data)) >= 30.5
    kinds = ["step", "step", "lambda_scale", "splice"]
    assert trials == [(device, kind) for device in ("cpu", "cuda") for kind in kinds]


@pytest.mark.slow
def test_search_in_a_decoded_picture(monkeypatch):
    """Its step is found on the host; its factors are rounded on the device."""
    monkeypatch.setattr(search, "earlier_step", lambda strips, patch_size: 1500 if patch_size == 8 else None)
    monkeypatch.setattr(search, "FLAT_TONES", 0)
    check([picture(8, 16, 0, 1)], size=130)


@pytest.mark.slow
def test_slices_with_a_free_v(monkeypatch):
    """Small limits stand for a large picture: two slices, sampled rows for the choice of the patch size and for V."""
    as_if_large(monkeypatch, slices=500, adapted=350)
    monkeypatch.setattr(decide, "SAMPLED_PERIOD", 8)
    monkeypatch.setattr(decide, "SEARCHED_SAMPLES", 200)
    monkeypatch.setattr(decide, "SEARCHED_LINES", 16)
    monkeypatch.setattr(basis_search, "LEAST_GAIN", -1.0)
    y, x = np.mgrid[:45, :16]
    (data,) = check([np.uint8(128 + 100 * np.sin(0.9 * x + 0.5 * y))], step=20)
    assert imfnb.info(data, components=True)["free_v"] == (2,)


def test_preview_and_damage():
    data = encode(picture(9, 8, 1), step=5, device="cpu")
    preview = imfnb.decode(data, device="cuda", max_rank=2)
    np.testing.assert_array_equal(preview, imfnb.decode(data, device="cpu", max_rank=2))
    with pytest.raises(FormatError):
        imfnb.decode(data[:-1] + bytes([data[-1] ^ 1]), device="cuda")


def test_arrays_on_the_device():
    image = picture(6, 5, 0)
    data = encode(image, step=9, device="cpu")
    assert encode(cuda.to_device(image), step=9) == data
    out = cuda.to_device(np.zeros_like(image))
    imfnb.decode(data, out)
    np.testing.assert_array_equal(out.copy_to_host(), imfnb.decode(data, device="cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize("step", [1, 5, 20, 60, 256])
@pytest.mark.parametrize("shape", [(333, 211), (512, 768)])
@pytest.mark.parametrize("channels", [0, 3, 4])
def test_large(channels, shape, step):
    images = [picture(*shape, channels, seed) for seed in range(5)]
    check(images, step=step)
    check(images[:1], step=step)


@pytest.mark.gpu
@pytest.mark.parametrize("target", [{"bpp": 0.5}, {"size": 20000}, {"psnr": 33}])
def test_large_search(target):
    check([picture(300, 400, 3)], **target)


@pytest.mark.gpu
def test_megapixels_with_slices_and_a_v_of_their_own():
    check([picture(2300, 2100, 3)], step=12)
