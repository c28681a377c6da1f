"""Pictures that are decoded at a smaller size: shapes, what they are near to, every kind of file, hostile ones."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from array_helpers import HOSTS, layered, scene
from helpers import assemble, picture, take_apart
from helpers import encode as encode_baseline
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import as_if_large, encode
from strategies import seeds

import imfnb
from imfnb import OptionError
from imfnb.cli import main as command
from imfnb.factorization.rdoq import basis_search
from imfnb.factorization.rdoq import factors as reduced
from imfnb.format import basis
from imfnb.format.context_model import zigzag
from imfnb.layout import PatchGrid, half
from imfnb.pictures import read_picture
from imfnb.profiles import decide
from imfnb.profiles.reducing import block_counts, block_means, emptied

pytestmark = pytest.mark.kernels

REDUCTIONS = 2, 4, 8


def means(image: np.ndarray, reduce: int) -> np.ndarray:
    """Means over blocks, not rounded, one block after the other."""
    height, width = (-(-size // reduce) for size in image.shape[:2])
    out = np.empty((height, width, *image.shape[2:]))
    for y, x in np.ndindex(height, width):
        block = image[y * reduce : (y + 1) * reduce, x * reduce : (x + 1) * reduce].astype(np.float64)
        out[y, x] = block.mean(axis=(0, 1))
    return out


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    """Waves without noise, of a period that the smallest picture still shows."""
    y, x = np.mgrid[:height, :width]
    layers = [128 + 60 * np.sin(x / 30 + c) + 50 * np.cos(y / 25 - c) for c in range(max(1, channels))]
    image = np.rint(np.stack(layers, axis=2)).astype(np.uint8)
    return image if channels else image[:, :, 0]


def alike(data: bytes, reduce: int, **options) -> np.ndarray:
    """What both backends of the host make of a file, on one thread and on several; files must be small."""
    found = imfnb.decode(data, reduce=reduce, device="cpu", threads=1, **options)
    np.testing.assert_array_equal(found, imfnb.decode(data, reduce=reduce, device="cpu", threads=3, **options))
    np.testing.assert_array_equal(found, imfnb.decode(data, reduce=reduce, device="reference", **options))
    return found


# ---- geometry and factors --------------------------------------------------------------------------------------------


def test_smaller_planes_have_as_many_patches():
    for size in range(1, 140):
        for p in (8, 16):
            for reduce in REDUCTIONS:
                coded, small = PatchGrid((size, 1), p), PatchGrid((-(-size // reduce), 1), p // reduce, reduce)
                assert (small.rows, small.columns, small.coded_size) == (coded.rows, coded.columns, p)
                assert half(-(-size // reduce)) == -(-half(size) // reduce)


def test_slices_are_those_of_the_coded_plane(monkeypatch):
    as_if_large(monkeypatch, slices=700, adapted=500)
    coded, small = PatchGrid((90, 41), 16), PatchGrid((23, 11), 4, 4)
    assert len(coded.slices) > 2
    assert [(part.start, part.stop, part.adapts) for part in coded.slices] == [
        (part.start, part.stop, part.adapts) for part in small.slices
    ]


@pytest.mark.parametrize("case", [(8, 2), (8, 4), (16, 2), (16, 4)])
def test_kept_components_are_in_the_order_of_the_smaller_patch(case):
    p, reduce = case
    kept = reduced.kept_components(p, reduce)
    np.testing.assert_array_equal(zigzag(p)[kept], zigzag(p // reduce))


@pytest.mark.parametrize("case", [(8, 2), (8, 4), (16, 2), (16, 4)])
def test_the_smaller_v_has_the_means_of_columns(case):
    p, reduce = case
    v = basis.dct_basis(p, 700)
    small = reduced.reduced_basis(v, p, reduce)
    for place, r in enumerate(reduced.kept_components(p, reduce)):
        expected = means(v[:, r].reshape(p, p), reduce)
        np.testing.assert_array_equal(small[:, place], np.floor(expected + 0.5).ravel())


def test_ranks_of_smaller_patches():
    padded = np.zeros((64, 20), np.int16)
    ranks = np.arange(0, 60, 3, dtype=np.int32)
    for r, row in enumerate(padded):
        row[ranks >= r] = r + 1
    small = reduced.reduced_factors(reduced.Factors(padded, ranks, (2, 1)), 8, 4)
    assert small.padded.shape == (4, 20)
    for column, rank in enumerate(small.ranks):
        assert small.padded[rank, column] > 0
        assert not small.padded[rank + 1 :, column].any()


# ---- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.jit
@pytest.mark.parametrize("channels", [0, 2, 3, 4])
@pytest.mark.parametrize("profile", ["main", "baseline"])
def test_shapes(channels, profile):
    for height, width in ((1, 1), (1, 9), (33, 17), (15, 8)):
        image = picture(height, width, channels)
        if profile == "baseline" and channels == 2:
            continue
        data = imfnb.encode(image, quality=50, profile=profile)
        for reduce in REDUCTIONS:
            found = alike(data, reduce)
            assert found.shape == (-(-height // reduce), -(-width // reduce), *image.shape[2:])
            assert found.dtype == np.uint8
        np.testing.assert_array_equal(imfnb.decode(data, reduce=1), imfnb.decode(data))
        assert imfnb.info(data)["shape"] == image.shape


@pytest.mark.jit
@pytest.mark.parametrize("subsampling", ["4:2:0", "4:4:4"])
@pytest.mark.parametrize("patch_size", [8, 16])
def test_constant_pictures_stay_constant(subsampling, patch_size):
    image = np.full((45, 39, 3), (200, 30, 90), np.uint8)
    for tune in ("psnr", "visual"):
        data = encode(image, quality=70, subsampling=subsampling, patch_size=patch_size, tune=tune)
        whole = imfnb.decode(data)
        assert len(np.unique(whole.reshape(-1, 3), axis=0)) == 1
        for reduce in REDUCTIONS:
            assert abs(alike(data, reduce).astype(int) - whole[0, 0]).max() <= 1


@pytest.mark.jit
@pytest.mark.parametrize("options", [{"patch_size": 8}, {"patch_size": 16}, {"profile": "baseline"}])
@pytest.mark.parametrize("channels", [0, 3])
def test_smooth_pictures_are_near_to_means(options, channels):
    image = smooth(64, 80, channels)
    data = imfnb.encode(image, quality=90, **options)
    for reduce in REDUCTIONS:
        error = imfnb.decode(data, reduce=reduce) - means(image, reduce)
        assert np.sqrt((error**2).mean()) < 2


@pytest.mark.jit
def test_pictures_with_noise_are_near_to_means_of_the_whole():
    for channels in (0, 3, 4):
        data = encode(picture(96, 136, channels), quality=70, tune="visual")
        whole = imfnb.decode(data)
        for reduce in REDUCTIONS:
            error = imfnb.decode(data, reduce=reduce) - means(whole, reduce)
            assert np.sqrt((error**2).mean()) < 2.5


@pytest.mark.jit
@pytest.mark.thorough
def test_strips_slices_and_a_free_v(monkeypatch):
    """Small limits stand for a large picture."""
    as_if_large(monkeypatch, slices=5000, adapted=3500)
    monkeypatch.setattr(decide, "SEARCHED_SAMPLES", 2000)
    monkeypatch.setattr(basis_search, "LEAST_GAIN", -1.0)
    y, x = np.mgrid[:700, :40]
    image = np.uint8(128 + 60 * np.sin(0.9 * x + 0.5 * y) + 60 * np.sin(y / 40))
    data = encode(image, step=20, patch_size=8)
    assert imfnb.info(data, components=True)["free_v"][0] > 1
    monkeypatch.setattr("imfnb.layout._STRIP_PIXELS", 1)
    monkeypatch.setattr("imfnb.layout._STRIP_HEIGHT", 64)
    for reduce in REDUCTIONS:
        alike(data, reduce)


@pytest.mark.jit
@pytest.mark.parametrize("alpha", ["constant", "map", "classes", "plane"])
def test_alpha(alpha):
    image = smooth(40, 52, 4)
    if alpha == "constant":
        image[..., 3] = 77
    elif alpha == "map":
        image[..., 3] = np.where(np.arange(52) < 21, 0, 255)
    elif alpha == "classes":
        image[:, :9, 3], image[:, 30:, 3] = 0, 255
    quality = "lossless" if alpha == "map" else 80
    data = encode(image, quality=80, alpha_quality=quality, keep_hidden=True)
    for reduce in REDUCTIONS:
        found, expected = alike(data, reduce)[..., 3], means(image[..., 3], reduce)
        if alpha in ("constant", "map"):
            np.testing.assert_array_equal(found, np.floor(expected + 0.5))
        else:
            assert abs(found - expected)[1:-1, 1:-1].max() < 6
        if alpha == "classes":  # what is transparent or opaque stays so
            assert (found[expected == 0] == 0).all()
            assert (found[expected == 255] == 255).all()


# ---- arrays and stacks -----------------------------------------------------------------------------------------------


@pytest.mark.jit
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_arrays(dtype):
    image = scene((27, 35, 3), dtype, noise=0.0)
    extent = float(image.max()) - float(image.min())
    for options in ({"quality": 80}, {"lossless": True} if dtype != "float32" else {"max_error": extent / 2000}):
        data = imfnb.encode(image, **options)
        for reduce in (2, 4):
            found = alike(data, reduce)
            assert found.dtype == image.dtype
            error = found.astype(np.float64) - means(image, reduce)
            assert np.sqrt((error**2).mean()) < extent / 30
            if "lossless" in options:
                assert abs(error).max() <= 0.5


@pytest.mark.jit
def test_residuals_over_a_lossy_layer_are_left_out():
    image = scene((20, 28, 3), noise=0.01)
    lossy = imfnb.encode(image, quality=40)
    both = layered(image, lossy, 100)
    assert not np.array_equal(imfnb.decode(both), imfnb.decode(lossy))
    np.testing.assert_array_equal(alike(both, 2), imfnb.decode(lossy, reduce=2))


@pytest.mark.jit
@pytest.mark.parametrize("options", [{"quality": 70}, {"lossless": True}])
def test_samples_without_data(options):
    image = scene((25, 33, 2))
    mask = np.zeros(image.shape, bool)
    mask[:9, :12], mask[14:20, 10:30, 1], mask[24, 32] = True, True, True
    for chosen in (mask, mask[:, :, 0]):
        data = imfnb.encode(image, mask=chosen, nodata=7, **options)
        whole = np.broadcast_to(chosen if chosen.ndim == 3 else chosen[:, :, None], image.shape)
        for reduce in REDUCTIONS:
            found = alike(data, reduce)
            empty = means(whole, reduce) == 1
            assert empty.any()
            assert (found[empty] == 7).all()
            assert (found[~empty] != 7).all()


@pytest.mark.jit
def test_bands_frames_ranks_and_targets():
    image = scene((30, 45, 4))
    data = imfnb.encode(image, quality=70)
    whole = imfnb.decode(data, reduce=4)
    np.testing.assert_array_equal(alike(data, 4, bands=[3, 1]), whole[:, :, [3, 1]])
    out = np.empty((12, 8, 4), np.uint16).transpose(1, 0, 2)
    assert imfnb.decode(data, out, reduce=4) is out
    np.testing.assert_array_equal(out, whole)
    assert not np.array_equal(alike(data, 4, max_rank=1), whole)
    with pytest.raises(OptionError, match=r"shape \(8, 12, 4\)"):
        imfnb.decode(data, np.empty(image.shape, image.dtype), reduce=4)
    rgb = encode(picture(30, 45), quality=60)
    np.testing.assert_array_equal(alike(rgb, 4, bands=[2]), imfnb.decode(rgb, reduce=4)[:, :, 2:])


@pytest.mark.jit
@pytest.mark.parametrize("together", [False, True])
def test_stacks(together):
    if together:
        frames, axes = np.moveaxis(scene((14, 19, 3), noise=0), 2, 0), "THW"
    else:
        frames, axes = np.stack([picture(14, 19, 3, seed) for seed in range(3)]), "THWC"
    data = imfnb.encode(frames, quality=70, axes=axes)
    found = alike(data, 2)
    assert found.shape == (3, 7, 10, *frames.shape[3:])
    np.testing.assert_array_equal(alike(data, 2, frame=1), found[1])


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from(REDUCTIONS), seeds)
@settings(max_examples=20)
def test_block_means(height, width, reduce, seed):
    rng = np.random.default_rng(seed)
    samples = rng.integers(-(2**15), 2**15, (height, width, 2)).astype(np.int16)
    out = np.empty((-(-height // reduce), -(-width // reduce), 2), np.int16)
    block_means(samples, reduce, out)
    np.testing.assert_array_equal(out, np.floor(means(samples, reduce) + 0.5))
    missing = rng.random((height, width, 1)) < 0.7
    out[...] = 99
    block_means(samples, reduce, out, missing)
    empty = emptied(missing, reduce)
    assert (out[empty[:, :, 0]] == 99).all()
    for y, x in np.argwhere(~empty[:, :, 0]):
        part = slice(y * reduce, (y + 1) * reduce), slice(x * reduce, (x + 1) * reduce)
        valid = samples[part][~missing[part][:, :, 0]]
        assert len(valid) == block_counts(~missing, reduce)[y, x, 0]
        np.testing.assert_array_equal(out[y, x], np.floor(valid.mean(axis=0) + 0.5))


# ---- options, command and hostile files ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 3, -2, 16, 2.0, True, None, "2"])
def test_wrong_values(value, small_file):
    with pytest.raises(OptionError, match=r"reduce is .*; expected 1, 2, 4 or 8"):
        imfnb.decode(small_file, reduce=value)


def test_batches(small_file):
    for function in (imfnb.decode_batch, imfnb.decode_iter):
        for found in function([small_file, small_file], reduce=4):
            np.testing.assert_array_equal(found, imfnb.decode(small_file, reduce=4))


def test_command(tmp_path, small_file):
    source = tmp_path / "a.imf"
    source.write_bytes(small_file)
    assert command(["decode", str(source), "--reduce", "2"]) == 0
    assert read_picture(tmp_path / "a.png").pixels.shape == (6, 7, 3)
    assert command(["decode", str(source), "--reduce", "3", "--force"]) != 0


@pytest.mark.jit
@pytest.mark.thorough
def test_damaged_files():
    """A changed byte in a segment whose checksum is made good: pixels of the right shape, or an ImfError."""
    rng = np.random.default_rng(0)
    image = picture(13, 18, 4)
    image[:, 9:, 3] = 255
    for good in (
        encode(image, step=10, patch_size=8, subsampling="4:2:0", tune="visual", alpha_quality=80),
        encode_baseline(picture(13, 18), quality=60),
    ):
        head, segments = take_apart(good)
        for _ in range(12):
            changed = [bytearray(segment) for segment in segments]
            hit = changed[rng.integers(len(changed))]
            if hit:
                hit[rng.integers(len(hit))] ^= 1 << rng.integers(8)
            data = resigned(good, head, segments, [bytes(segment) for segment in changed])
            for reduce in (2, 8):
                outcomes = []
                for device in HOSTS:
                    try:
                        outcomes.append(imfnb.decode(data, reduce=reduce, device=device))
                    except imfnb.ImfError:
                        outcomes.append(None)
                one, two = outcomes
                assert (one is None) == (two is None)
                if one is not None:
                    np.testing.assert_array_equal(one, two)


def resigned(good: bytes, head: bytes, segments: list[bytes], changed: list[bytes]) -> bytes:
    """A file with other segments of the same lengths, whose checksums in the header are theirs."""
    for old, new in zip(segments, changed, strict=True):
        head = head.replace(zlib.crc32(old).to_bytes(4, "little"), zlib.crc32(new).to_bytes(4, "little"))
    return assemble(head, changed, version=good[4])
