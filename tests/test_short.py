"""Planes behind the short filter: in strips, beside other restorations, in batches, arrays and by the text."""

from __future__ import annotations

from unittest.mock import patch

import format_decoder
import numpy as np
import pytest
from array_helpers import apart
from helpers import picture
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import as_if_large
from strategies import examples

import imfnb
from imfnb import layout
from imfnb.format.main_header import Restoration
from imfnb.profiles import decide, restoring, tuning

SHORT = tuning.Effort("context", (Restoration.SHORT,))
MIXED = tuning.Effort("context", (Restoration.FILTER, Restoration.SHORT, Restoration.NETWORK))


def kinds_of(data: bytes) -> list[Restoration]:
    return [plane.restoration for plane in apart(data).parameters.planes]


@pytest.fixture
def short(monkeypatch):
    """The default effort with the short filter only."""
    monkeypatch.setitem(tuning.EFFORTS, "normal", SHORT)


@pytest.mark.slow
@settings(max_examples=examples(20))
@given(
    st.integers(1, 150),
    st.integers(1, 70),
    st.sampled_from([1, 3, 4]),
    st.floats(4, 120),
    st.sampled_from(["4:2:0", "4:4:4"]),
    st.sampled_from([6, 16, 30, 64]),
    st.integers(0, 9),
)
def test_strips_are_the_whole(height, width, channels, step, subsampling, unit, seed):
    """Wherever a strip begins, blocks do where they do in the plane."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)
    image = np.sort(image, axis=0)
    options = {"subsampling": subsampling} if channels > 1 else {}
    with pytest.MonkeyPatch.context() as monkeypatch:
        as_if_large(monkeypatch, slices=1000)
        monkeypatch.setattr(decide, "restoration_pays", lambda *_: True)
        monkeypatch.setitem(tuning.EFFORTS, "normal", SHORT)
        data = imfnb.encode(image, step=step, patch_size=8, **options)
        assert set(kinds_of(data)) == {Restoration.SHORT} and all(imfnb.info(data)["restoration"])
        with patch.multiple(layout, _STRIP_HEIGHT=unit, _STRIP_UNIT=unit, _STRIP_PIXELS=1):
            found = imfnb.decode(data, threads=2), imfnb.decode(data, max_rank=3)
        np.testing.assert_array_equal(found[0], imfnb.decode(data))
        np.testing.assert_array_equal(found[1], imfnb.decode(data, max_rank=3))


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("kinds", ["SSS", "SF-", "-SS", "NSN", "SNN", "SNS", "FSN", "NFS"])
def test_planes_are_restored_each_in_its_way(kinds, subsampling, monkeypatch):
    """Encoder and decoders agree, that of the text too."""
    meaning = {"N": Restoration.NETWORK, "F": Restoration.FILTER, "S": Restoration.SHORT, "-": Restoration.NONE}
    chosen = iter([meaning[kind] for kind in kinds])
    monkeypatch.setattr(restoring, "_best", lambda *_: next(chosen))
    monkeypatch.setitem(tuning.EFFORTS, "normal", MIXED)
    image = picture(38, 33, 3)
    data = imfnb.encode(image, step=25, tune="psnr", threads=1, subsampling=subsampling)
    assert kinds_of(data) == [meaning[kind] for kind in kinds]
    one, two = (imfnb.decode(data, device=device) for device in ("cpu", "reference"))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, format_decoder.decode(data))


@pytest.mark.parametrize("shape", [(1, 1, 3), (9, 17, 0), (5, 6, 4)])
def test_backends_write_the_same(shape, short):
    image = picture(*shape)
    data = imfnb.encode(image, step=30, device="cpu")
    assert imfnb.encode(image, step=30, device="reference") == data
    np.testing.assert_array_equal(imfnb.decode(data), format_decoder.decode(data))


def test_it_is_used_where_it_helps(short):
    image = picture(64, 64, 3)
    data = imfnb.encode(image, step=20, tune="psnr")
    assert Restoration.SHORT in kinds_of(data)
    with patch.object(decide, "restoration_pays", lambda *_: False):
        plain = imfnb.encode(image, step=20, tune="psnr")
    assert set(kinds_of(plain)) == {Restoration.NONE}
    assert imfnb.metrics.psnr(image, imfnb.decode(data)) > imfnb.metrics.psnr(image, imfnb.decode(plain))


@pytest.mark.slow
def test_arrays(short, monkeypatch):
    monkeypatch.setattr(decide, "restoration_pays", lambda *_: True)
    array = 60 * picture(15, 18, 5, seed=6).astype(np.uint16)
    data = imfnb.encode(array, step=40, device="cpu")
    assert set(kinds_of(data)) == {Restoration.SHORT}
    np.testing.assert_array_equal(imfnb.decode(data, device="reference"), imfnb.decode(data, device="cpu"))
    np.testing.assert_array_equal(imfnb.decode(data), format_decoder.decode(data))


@pytest.mark.parametrize("target", [{"bpp": 1.0}, {"psnr": 33.0}])
def test_targets_and_batches(target, short):
    images = [picture(40, 33, 3, seed) for seed in range(2)]
    files = [imfnb.encode(image, **target) for image in images]
    assert imfnb.encode_batch(images, **target) == files
    for found, data in zip(imfnb.decode_batch(files), files, strict=True):
        np.testing.assert_array_equal(found, imfnb.decode(data))
    assert all(Restoration.SHORT in kinds_of(data) for data in files)
