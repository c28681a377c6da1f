"""V of the main profile where it leaves its prior: coding, ranges, twins, and when the encoder uses it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import imfnb
from imfnb import entropy, main
from imfnb.entropy.mixing import COLUMNS, MIXING_LIMIT, ROWS
from imfnb.errors import FormatError
from imfnb.factorization import rd
from imfnb.factorization.rd.basis import SCALE_BITS, STEP_LIMIT, STEP_MIN, dct_basis, mixed_basis, scale_bits

SIZES = [8, 16]


def random_mixing(seed: int, density: float, largest: int = MIXING_LIMIT) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(-largest, largest + 1, (ROWS, COLUMNS)).astype(np.int32)
    return np.where(rng.random(values.shape) < density, values, 0).astype(np.int32)


def stretched(height: int, width: int) -> np.ndarray:
    """A picture that the prior does not fit: every patch is the same slanted texture, more or less strong."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:8, :8]
    tile = 60 * np.cos((2 * x + 1.5 * y) / 2.2)
    strength = rng.normal(0, 0.8, (height // 8, width // 8))
    return np.clip(128 + np.kron(strength, tile), 0, 255).astype(np.uint8)


# --------------------------------------------------------------------------------------------------------------- coding


@pytest.mark.parametrize("patch_size", SIZES)
@pytest.mark.parametrize("density", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("largest", [1, 40, MIXING_LIMIT])
def test_round_trip(patch_size, density, largest):
    mixing = random_mixing(1, density, largest)
    np.testing.assert_array_equal(entropy.decode_mixing(entropy.encode_mixing(mixing, patch_size), patch_size), mixing)


def test_few_coarse_entries_cost_few_bytes():
    mixing = np.zeros((ROWS, COLUMNS), np.int32)
    assert len(entropy.encode_mixing(mixing, 8)) <= 3
    mixing[[8, 13, 19], [1, 4, 8]] = [-256, 128, 64]
    assert len(entropy.encode_mixing(mixing, 8)) <= 24
    assert len(entropy.encode_mixing(mixing + (mixing != 0), 8)) > len(entropy.encode_mixing(mixing, 8))


@given(st.binary(max_size=400), st.sampled_from(SIZES))
def test_any_bytes_give_bounded_entries(data, patch_size):
    try:
        mixing = entropy.decode_mixing(data, patch_size)
    except FormatError:
        return
    assert mixing.shape == (ROWS, COLUMNS)
    assert np.abs(mixing).max() <= MIXING_LIMIT


def test_missing_bytes_are_an_error():
    data = entropy.encode_mixing(random_mixing(2, 1.0), 8)
    with pytest.raises(FormatError, match="end too early"):
        entropy.decode_mixing(data[: len(data) // 2], 8)


# --------------------------------------------------------------------------------------------------------------- ranges


@pytest.mark.parametrize("patch_size", SIZES)
@pytest.mark.parametrize("step", [STEP_MIN, 100, 1 << 11, 5000, STEP_LIMIT])
def test_v_stays_near_the_prior_and_products_within_int32(patch_size, step):
    n, length = patch_size**2, step << (scale_bits(step) - 2)
    worst = np.where(dct_basis(patch_size, step)[:ROWS, :COLUMNS] > 0, MIXING_LIMIT, -MIXING_LIMIT).astype(np.int32)
    for mixing in (worst, random_mixing(3, 1.0)):
        v = mixed_basis(patch_size, step, mixing)
        assert np.abs(v).max() <= 3 * length / patch_size + 2
        signs = np.where(v[0] > 0, 8191, -8191).astype(np.int16)
        padded = np.zeros((n, 4, 5), np.int16)
        padded[:, 2, 2] = signs
        ranks = np.zeros((4, 5), np.int32)
        ranks[2, 2] = n - 1
        factors = rd.Factors(padded.reshape(n, -1), ranks.ravel(), (1, 1), mixing)
        planes = [np.empty((patch_size, patch_size), np.int32) for _ in range(2)]
        for plane, device in zip(planes, ("cpu", "reference"), strict=True):
            rd.reconstruct(factors, step, patch_size, plane, device)
        np.testing.assert_array_equal(*planes)


def test_without_mixing_v_is_the_prior():
    assert mixed_basis(8, 640, None) is dct_basis(8, 640)
    np.testing.assert_array_equal(mixed_basis(8, 640, np.zeros((ROWS, COLUMNS), np.int32)), dct_basis(8, 640))


# ---------------------------------------------------------------------------------------------------------- the encoder


@pytest.mark.parametrize("patch_size", SIZES)
def test_twins_find_the_same_factors(patch_size):
    plane = (stretched(8 * patch_size, 8 * patch_size).astype(np.int32) - 128) << 4
    found = []
    for device in ("cpu", "reference"):
        mixing = rd.find_v(plane, 40 * 64, patch_size, device)
        found.append(rd.factorize(plane, 40 * 64, patch_size, device, mixing=mixing))
    np.testing.assert_array_equal(found[0].padded, found[1].padded)
    np.testing.assert_array_equal(found[0].ranks, found[1].ranks)
    np.testing.assert_array_equal(found[0].mixing, found[1].mixing)
    assert found[0].mixing.any()


def test_flat_planes_keep_the_prior():
    plane = np.zeros((32, 32), np.int32)
    assert rd.find_v(plane, 640, 8, "cpu") is None


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_v_of_a_sample_weighs_as_much_as_what_it_stands_for(device):
    """Three copies of a plane as a sample of nine: the same V as for all of them."""
    plane = np.tile((stretched(64, 64).astype(np.int32) - 128) << 4, (3, 1))
    found = []
    for count, weight in ((1, 3), (3, 1)):
        part = np.tile(plane, (count, 1))
        factors = rd.factorize(part, 40 * 64, 8, device)
        products, _ = rd._numerators(part, 40 * 64, 8, device)
        square = (40 * 64 << (scale_bits(40 * 64) - SCALE_BITS)) ** 2
        found.append(rd._update_v(products, factors.padded, square, scale_bits(40 * 64), None, weight, device))
    assert found[0].any()
    # The ranks at the seams cost a little more or less, which hardly moves V.
    assert (found[0] != found[1]).mean() < 0.02


@pytest.mark.parametrize("thrift", [rd.PLAIN_THRIFT, 2 * rd.PLAIN_THRIFT])
def test_u_for_a_v_that_is_known(thrift):
    """Less error than with the prior, for about as many entries of U; a thrift and a blend keep V."""
    plane = (stretched(64, 64).astype(np.int32) - 128) << 4
    mixing = rd.find_v(plane, 40 * 64, 8, "cpu")
    prior, found = (rd.factorize(plane, 40 * 64, 8, "cpu", thrift, v) for v in (None, mixing))
    assert found.mixing is mixing
    errors = []
    for factors in (prior, found):
        product = np.empty_like(plane)
        rd.reconstruct(factors, 40 * 64, 8, product, "cpu")
        errors.append(np.square(product - plane).sum())
    assert errors[1] < 0.9 * errors[0]
    assert np.count_nonzero(found.padded) < 1.1 * np.count_nonzero(prior.padded)
    thrifty = rd.factorize(plane, 40 * 64, 8, "cpu", 2 * thrift, mixing)
    assert rd.blend(found, thrifty, 0.5).mixing is mixing


@pytest.mark.jit
@pytest.mark.parametrize("searched", [1 << 20, 1 << 15])
def test_large_pictures_use_it_where_it_pays(searched, monkeypatch):
    monkeypatch.setattr(main, "_SEARCHED_SAMPLES", searched)
    image = stretched(256, 384)
    plain = imfnb.encode(image, step=40, patch_size=8)
    assert imfnb.info(plain)["free_v"] == (0,)
    errors = [np.square(imfnb.decode(plain).astype(int) - image).mean()]
    monkeypatch.setattr(main, "_MIXED_SAMPLES", 0)
    mixed = imfnb.encode(image, step=40, patch_size=8)
    info = imfnb.info(mixed)
    assert info["free_v"] == (1,)
    assert sum(info["components"]["gray"]) == info["segments"]["gray"]
    errors.append(np.square(imfnb.decode(mixed).astype(int) - image).mean())
    assert len(mixed) < 0.95 * len(plain)
    assert errors[1] < errors[0]


@pytest.mark.jit
@pytest.mark.parametrize("searched", [1 << 20, 1 << 12])
def test_both_devices_agree_on_files_and_pixels(searched, monkeypatch):
    monkeypatch.setattr(main, "_MIXED_SAMPLES", 0)
    monkeypatch.setattr(main, "_SEARCHED_SAMPLES", searched)
    image = stretched(120, 128)
    files = [imfnb.encode(image, step=40, patch_size=8, device=device) for device in ("cpu", "reference")]
    assert files[0] == files[1]
    assert imfnb.info(files[0])["free_v"] == (1,)
    runs = ("cpu", 1), ("cpu", 2), ("reference", 1)
    pixels = [imfnb.decode(files[0], device=device, threads=threads) for device, threads in runs]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    np.testing.assert_array_equal(pixels[0], pixels[2])


@pytest.mark.jit
def test_bands_share_a_v(monkeypatch):
    image = stretched(256, 384)
    monkeypatch.setattr(main, "_MIXED_SAMPLES", 0)
    monkeypatch.setattr(main, "_BAND_SAMPLES", 1 << 15)
    data = imfnb.encode(image, step=40, patch_size=8)
    assert imfnb.info(data)["free_v"][0] > 1
    assert np.square(imfnb.decode(data).astype(int) - image).mean() < 200


@pytest.mark.jit
def test_a_picture_that_gains_nothing_costs_nothing(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    plain = imfnb.encode(image, step=30)
    monkeypatch.setattr(main, "_MIXED_SAMPLES", 0)
    assert len(imfnb.encode(image, step=30)) == len(plain) + 3  # a length of zero in each of three segments


def test_a_small_file_with_a_v_of_its_own(monkeypatch):
    """Small enough for the lane without the JIT."""
    image = stretched(48, 48)
    monkeypatch.setattr(main, "_MIXED_SAMPLES", 0)
    monkeypatch.setattr(rd, "_LEAST_GAIN", -1.0)
    data = imfnb.encode(image, step=40, patch_size=8)
    assert imfnb.info(data)["free_v"] == (1,)
    assert np.square(imfnb.decode(data).astype(int) - image).mean() < 300


@given(st.integers(0, 2**32 - 1))
def test_damaged_files_give_pixels_or_an_error(seed):
    rng = np.random.default_rng(seed)
    data = bytes([len(blob := rng.bytes(int(rng.integers(0, 60))))]) + blob + rng.bytes(200)
    reader = main.Reader(memoryview(data))
    try:
        mixing = main._read_mixing(reader, (1 << 10, 1 << 10), 8)
        padded, ranks = entropy.decode_factors(bytes(reader.take(reader.left)), 3, 4, 8, None, "cpu")
    except FormatError:
        return
    out = np.empty((24, 32), np.int32)
    rd.reconstruct(rd.Factors(padded, ranks, (3, 4), mixing), 640, 8, out, "cpu")
