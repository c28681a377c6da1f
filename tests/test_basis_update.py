"""V of the main profile where it leaves the DCT basis: coding, ranges, backends, and when the encoder uses it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from main_helpers import as_if_large, chosen, multiplied, on_host

import imfnb
from imfnb import entropy
from imfnb.entropy import cpu
from imfnb.entropy.basis_update import decode_basis_update, encode_basis_update
from imfnb.errors import FormatError
from imfnb.factorization import rdoq
from imfnb.factorization.rdoq import basis_search, pipeline
from imfnb.format.basis import dct_basis, scale_bits, updated_basis
from imfnb.format.basis_update import COLUMNS, ROWS, UPDATE_LIMIT
from imfnb.format.constants import STEP_MAX, STEP_MIN
from imfnb.profiles import decide

pytestmark = pytest.mark.kernels

SIZES = [8, 16]


def random_update(seed: int, density: float, largest: int = UPDATE_LIMIT) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.integers(-largest, largest + 1, (ROWS, COLUMNS)).astype(np.int32)
    return np.where(rng.random(values.shape) < density, values, 0).astype(np.int32)


def stretched(height: int, width: int) -> np.ndarray:
    """A picture that the DCT does not fit: every patch is the same slanted texture, more or less strong."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:8, :8]
    tile = 60 * np.cos((2 * x + 1.5 * y) / 2.2)
    strength = rng.normal(0, 0.8, (height // 8, width // 8))
    return np.clip(128 + np.kron(strength, tile), 0, 255).astype(np.uint8)


# --------------------------------------------------------------------------------------------------------------- coding


@pytest.mark.parametrize("patch_size", SIZES)
@pytest.mark.parametrize("density", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("largest", [1, 40, UPDATE_LIMIT])
def test_round_trip(patch_size, density, largest):
    update = random_update(1, density, largest)
    data = encode_basis_update(update, patch_size)
    np.testing.assert_array_equal(decode_basis_update(data, patch_size), update)


def test_few_coarse_entries_cost_few_bytes():
    update = np.zeros((ROWS, COLUMNS), np.int32)
    assert len(encode_basis_update(update, 8)) <= 3
    update[[8, 13, 19], [1, 4, 8]] = [-256, 128, 64]
    assert len(encode_basis_update(update, 8)) <= 24
    assert len(encode_basis_update(update + (update != 0), 8)) > len(encode_basis_update(update, 8))


@given(st.binary(max_size=400), st.sampled_from(SIZES))
def test_any_bytes_give_bounded_entries(data, patch_size):
    try:
        update = decode_basis_update(data, patch_size)
    except FormatError:
        return
    assert update.shape == (ROWS, COLUMNS)
    assert np.abs(update).max() <= UPDATE_LIMIT


def test_missing_bytes_are_an_error():
    data = encode_basis_update(random_update(2, 1.0), 8)
    with pytest.raises(FormatError, match="end too early"):
        decode_basis_update(data[: len(data) // 2], 8)


# --------------------------------------------------------------------------------------------------------------- ranges


@pytest.mark.parametrize("patch_size", SIZES)
@pytest.mark.parametrize("step", [STEP_MIN, 100, 1 << 11, 5000, STEP_MAX])
def test_v_stays_near_the_dct_basis_and_products_within_int32(patch_size, step):
    n, length = patch_size**2, step << (scale_bits(step) - 2)
    worst = np.where(dct_basis(patch_size, step)[:ROWS, :COLUMNS] > 0, UPDATE_LIMIT, -UPDATE_LIMIT).astype(np.int32)
    for update in (worst, random_update(3, 1.0)):
        v = updated_basis(patch_size, step, update)
        assert np.abs(v).max() <= 3 * length / patch_size + 2
        signs = np.where(v[0] > 0, 8191, -8191).astype(np.int16)
        padded = np.zeros((n, 4, 5), np.int16)
        padded[:, 2, 2] = signs
        ranks = np.zeros((4, 5), np.int32)
        ranks[2, 2] = n - 1
        factors = rdoq.Factors(padded.reshape(n, -1), ranks.ravel(), (1, 1), update)
        planes = [multiplied([factors], step, patch_size, device) for device in ("cpu", "reference")]
        np.testing.assert_array_equal(*planes)


def test_without_an_update_v_is_the_dct_basis():
    assert updated_basis(8, 640, None) is dct_basis(8, 640)
    np.testing.assert_array_equal(updated_basis(8, 640, np.zeros((ROWS, COLUMNS), np.int32)), dct_basis(8, 640))


# ---------------------------------------------------------------------------------------------------------- the encoder


def slanted(height: int, width: int) -> np.ndarray:
    """The same as a filtered plane."""
    return (stretched(height, width).astype(np.int32) - 128) << 4


@pytest.mark.parametrize("patch_size", SIZES)
def test_backends_find_the_same_factors(patch_size):
    plane = slanted(8 * patch_size, 8 * patch_size)
    found = []
    for device in ("cpu", "reference"):
        update = rdoq.find_basis_update(plane, 40 * 64, patch_size, device)
        found += chosen(plane[None], 40 * 64, patch_size, device, update=update)
    np.testing.assert_array_equal(found[0].padded, found[1].padded)
    np.testing.assert_array_equal(found[0].ranks, found[1].ranks)
    np.testing.assert_array_equal(found[0].basis_update, found[1].basis_update)
    assert found[0].basis_update.any()


def test_flat_planes_keep_the_dct_basis():
    plane = np.zeros((32, 32), np.int32)
    assert rdoq.find_basis_update(plane, 640, 8, "cpu") is None


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_v_of_a_sample_weighs_as_much_as_what_it_stands_for(device):
    """Three copies of a plane as a sample of nine: the same V as for all of them."""
    plane = np.tile(slanted(64, 64), (3, 1))
    found = []
    for count, weight in ((1, 3), (3, 1)):
        part, run = np.tile(plane, (count, 1)), on_host(device)
        (factors,) = chosen(part[None], 40 * 64, 8, device)
        products = pipeline.project(part[None], 40 * 64, 8, run, "").products
        found.append(basis_search.v_step(products[0], factors.padded, 40 * 64, None, weight, run))
    assert found[0].any()
    # The ranks at the seams cost a little more or less, which hardly moves V.
    assert (found[0] != found[1]).mean() < 0.02


@pytest.mark.parametrize("lambda_scale", [rdoq.LAMBDA_ONE, 2 * rdoq.LAMBDA_ONE])
def test_u_for_a_v_that_is_known(lambda_scale):
    """Less error than with the DCT basis, for about as many entries of U; another lambda and a splice keep V."""
    plane = slanted(64, 64)
    update = rdoq.find_basis_update(plane, 40 * 64, 8, "cpu")
    (plain,), (found,) = (chosen(plane[None], 40 * 64, 8, "cpu", lambda_scale, v) for v in (None, update))
    assert found.basis_update is update
    errors = [np.square(multiplied([f], 40 * 64, 8, "cpu")[0] - plane).sum() for f in (plain, found)]
    assert errors[1] < 0.9 * errors[0]
    assert np.count_nonzero(found.padded) < 1.1 * np.count_nonzero(plain.padded)
    (short,) = chosen(plane[None], 40 * 64, 8, "cpu", 2 * lambda_scale, update)
    assert rdoq.splice(found, short, 0.5).basis_update is update


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_planes_of_a_stack_share_a_v(device):
    """Factors and products with an updated V, two planes together and alone."""
    planes = np.stack([slanted(32, 40), slanted(32, 40)[::-1] // 2])
    update = random_update(4, 0.1, 200)
    together = chosen(planes, 40 * 64, 8, device, update=update)
    products = multiplied(together, 40 * 64, 8, device)
    for plane, factors, product in zip(planes, together, products, strict=True):
        (alone,) = chosen(plane[None], 40 * 64, 8, device, update=update)
        np.testing.assert_array_equal(factors.padded, alone.padded)
        np.testing.assert_array_equal(product, multiplied([alone], 40 * 64, 8, device)[0])


def test_a_search_without_a_rate_rounds():
    """What a study may ask for."""
    plane = slanted(64, 64)
    found = [
        rdoq.find_basis_update(plane, 40 * 64, 8, "cpu", settings=rdoq.Settings(rate=rate)) for rate in (True, False)
    ]
    assert found[1] is not None and (found[0] != found[1]).any()


@pytest.mark.jit
@pytest.mark.parametrize("searched", [1 << 20, 1 << 15])
def test_large_pictures_use_it_where_it_pays(searched, monkeypatch):
    monkeypatch.setattr(decide, "SEARCHED_SAMPLES", searched)
    image = stretched(256, 384)
    plain = imfnb.encode(image, step=40, patch_size=8, tune="psnr")
    assert imfnb.info(plain, components=True)["free_v"] == (0,)
    errors = [np.square(imfnb.decode(plain).astype(int) - image).mean()]
    as_if_large(monkeypatch, adapted=0)
    mixed = imfnb.encode(image, step=40, patch_size=8, tune="psnr")
    info = imfnb.info(mixed, components=True)
    assert info["free_v"] == (1,)
    assert sum(info["components"]["gray"]) == info["segments"]["gray"]
    errors.append(np.square(imfnb.decode(mixed).astype(int) - image).mean())
    assert len(mixed) < 0.95 * len(plain)
    assert errors[1] < errors[0]


@pytest.mark.jit
@pytest.mark.parametrize("searched", [1 << 20, 1 << 12])
@pytest.mark.thorough
def test_both_devices_agree_on_files_and_pixels(searched, monkeypatch):
    as_if_large(monkeypatch, adapted=0)
    monkeypatch.setattr(decide, "SEARCHED_SAMPLES", searched)
    image = stretched(120, 128)
    files = [imfnb.encode(image, step=40, patch_size=8, device=device) for device in ("cpu", "reference")]
    assert files[0] == files[1]
    assert imfnb.info(files[0], components=True)["free_v"] == (1,)
    runs = ("cpu", 1), ("cpu", 2), ("reference", 1)
    pixels = [imfnb.decode(files[0], device=device, threads=threads) for device, threads in runs]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    np.testing.assert_array_equal(pixels[0], pixels[2])


@pytest.mark.jit
def test_slices_share_a_v(monkeypatch):
    image = stretched(256, 384)
    as_if_large(monkeypatch, slices=1 << 15, adapted=0)
    data = imfnb.encode(image, step=40, patch_size=8, tune="psnr")
    assert imfnb.info(data, components=True)["free_v"][0] > 1
    assert np.square(imfnb.decode(data).astype(int) - image).mean() < 200


@pytest.mark.jit
def test_a_picture_that_gains_nothing_costs_nothing(monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)
    plain = imfnb.encode(image, step=30)
    as_if_large(monkeypatch, adapted=0)
    assert len(imfnb.encode(image, step=30)) == len(plain) + 3  # a length of zero in each of three segments


def test_a_small_file_with_a_v_of_its_own(monkeypatch):
    """Small enough for the lane without the JIT."""
    image = stretched(48, 48)
    as_if_large(monkeypatch, adapted=0)
    monkeypatch.setattr(basis_search, "LEAST_GAIN", -1.0)
    data = imfnb.encode(image, step=40, patch_size=8, tune="psnr")
    assert imfnb.info(data, components=True)["free_v"] == (1,)
    assert np.square(imfnb.decode(data).astype(int) - image).mean() < 300


@given(st.integers(0, 2**32 - 1))
def test_damaged_files_give_pixels_or_an_error(seed):
    rng = np.random.default_rng(seed)
    blob, rest = rng.bytes(int(rng.integers(0, 60))), rng.bytes(200)
    try:
        update = decode_basis_update(blob, 8) if blob else None
        padded, ranks = entropy.decode_checked(cpu, rest, 3, 4, 8)
    except FormatError:
        return
    multiplied([rdoq.Factors(padded, ranks, (3, 4), update)], 640, 8, "cpu")
