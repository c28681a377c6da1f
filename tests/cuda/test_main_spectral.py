"""Arrays on the device: the spectral stage against its reference, and files and samples of arrays as on the CPU."""

from __future__ import annotations

import interpreted
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spectral_helpers import bands_of, planes_and_v, samples_and_weights
from stacks import empty, same, up
from strategies import seeds

import imfnb
from imfnb import FormatError, OptionError
from imfnb.profiles import array_search, targets
from imfnb.runtime.cuda import cuda
from imfnb.spectral import cuda as spectral
from imfnb.spectral import reference

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

# Pipelines in the interpreter take a minute each, and run no kernel of arrays but those that are tested alone.
pipeline = pytest.mark.skipif(interpreted.WANTED, reason="takes minutes; the simulator runs it")

# Threads of a block are 16 in the simulator: beyond a block, and beyond what a thread has sums for.
sizes = st.sampled_from([(1, 1), (1, 17), (5, 4), (3, 11)])
counts = st.sampled_from([(1, 1), (2, 1), (5, 3), (9, 9), (18, 2)])
styles = st.sampled_from(["noise", "extremes"])


def check_forward(shape: tuple[int, int], bands: int, columns: int, style: str, seed: int) -> None:
    samples, offsets, weights, shift = samples_and_weights((*shape, bands), columns, style, seed)
    expected = np.empty((columns, *shape), np.int32)
    reference.forward(samples, offsets, weights, shift, expected)
    found = empty(expected.shape)
    spectral.forward(*up(samples, offsets, weights), shift, found)
    same(found, expected)


def check_inverse(shape: tuple[int, int], bands: int, columns: int, style: str, seed: int) -> None:
    planes, offsets, matrix, shift, low, high = planes_and_v((*shape, bands), columns, style, seed)
    expected = np.empty((*shape, bands), np.int32)
    reference.inverse(planes, offsets, matrix, shift, low, high, expected)
    found = empty(expected.shape)
    spectral.inverse(*up(planes, offsets, matrix), shift, low, high, found)
    same(found, expected)


def check_limit(shape: tuple[int, ...], seed: int) -> None:
    planes = np.random.default_rng(seed).integers(-(2**31), 2**31, shape).astype(np.int32) >> seed % 20
    found = up(planes)
    spectral.limit(found)
    reference.limit(planes)
    same(found, planes)


@given(sizes, counts, styles, seeds)
@settings(max_examples=6)
def test_forward(shape, count, style, seed):
    check_forward(shape, *count, style, seed)


@given(sizes, counts, styles, seeds)
@settings(max_examples=6)
def test_inverse(shape, count, style, seed):
    check_inverse(shape, *count, style, seed)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 7)])
def test_limit(shape):
    check_limit(shape, shape[2])


def check(array: np.ndarray, **options) -> bytes:
    """The file of an array, which is the same from both devices, and so are its samples."""
    data = imfnb.encode(array, device="cpu", threads=1, **options)
    assert imfnb.encode(array, device="cuda", threads=2, **options) == data
    np.testing.assert_array_equal(imfnb.decode(data, device="cuda"), imfnb.decode(data, device="cpu"))
    return data


@pytest.mark.slow
@pipeline
def test_floats_with_missing_samples():
    """The columns of V are one stack on the device."""
    array = bands_of((8, 7, 3)).astype(np.float32)
    array[2:4, 3:5] = np.nan
    data = check(array, quality=40)
    assert imfnb.info(data)["columns"] > 1
    some = imfnb.decode(data, bands=[2, 0], device="cuda")
    np.testing.assert_array_equal(some, imfnb.decode(data, device="cpu")[:, :, [2, 0]])
    np.testing.assert_array_equal(np.isnan(some), np.isnan(array[:, :, [2, 0]]))


@pytest.mark.slow
@pipeline
def test_search(monkeypatch):
    """Steps are tried on the device; other lambdas and splices on the CPU, with the same V."""
    for name, value in (("_CLOSE", 300), ("_BUDGET", 8), ("_SMALL", 0)):
        monkeypatch.setattr(targets, name, value)
    trials = []
    for name in ("step", "lambda_scale", "splice"):
        once = getattr(array_search._Trials, name)

        def noted(self, *arguments, once=once, name=name):
            trials.append((self._analysis.run.device, name))
            return once(self, *arguments)

        monkeypatch.setattr(array_search._Trials, name, noted)
    array = bands_of((8, 16, 2))
    data = check(array, psnr=45, patch_size=8)
    error = np.mean((imfnb.decode(data).astype(float) - array) ** 2)
    assert 10 * np.log10(65535**2 / error) >= 45
    count = len(trials) // 2
    assert [kind for _, kind in trials[:count]] == [kind for _, kind in trials[count:]]
    assert {device for device, _ in trials[count:]} == {"cuda"} and len({kind for _, kind in trials}) > 1


@pytest.mark.slow
@pipeline
def test_batches_of_pictures_and_arrays():
    """Each becomes what it is alone; only pictures travel together."""
    array = bands_of((8, 6, 2))
    items = [np.uint8(array[:, :, 0] >> 8), array, array.astype(np.int64)]
    expected = [imfnb.encode(item, quality=40, device="cpu") for item in items[:2]]
    found = imfnb.encode_batch(items, quality=40, device="cuda", errors="return")
    assert isinstance(found[2], OptionError) and "images[2]" in str(found[2])
    assert found[:2] == expected
    damaged = expected[1][:-1] + bytes([expected[1][-1] ^ 1])
    results = imfnb.decode_batch([expected[0], damaged, expected[1]], device="cuda", errors="return")
    assert isinstance(results.pop(1), FormatError)
    for result, data in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result, imfnb.decode(data, device="cpu"))
        assert result.dtype == imfnb.decode(data, device="cpu").dtype


@pytest.mark.slow
def test_batches_of_stacks():
    stack = np.stack([bands_of((8, 8, 1))[:, :, 0]] * 2)
    data = imfnb.encode(stack, axes="THW", quality=20, device="cpu")
    assert imfnb.encode_batch([stack], axes="THW", quality=20, device="cuda") == [data]
    (found,) = imfnb.decode_batch([data], device="cuda")
    np.testing.assert_array_equal(found, imfnb.decode(data, device="cpu"))
    assert found.shape == stack.shape


@pytest.mark.slow
def test_arrays_on_the_device():
    """They are copied from there, since V is found on the host; what is decoded is copied to where it is wanted."""
    array = bands_of((8, 8, 2))
    data = imfnb.encode(array, quality=20, device="cpu")
    there = cuda.to_device(array)
    assert imfnb.encode(there, quality=20) == data
    with pytest.raises(OptionError, match="array on the GPU"):
        imfnb.encode(there, quality=20, device="cpu")
    out = cuda.to_device(np.zeros_like(array))
    imfnb.decode(data, out)
    np.testing.assert_array_equal(out.copy_to_host(), imfnb.decode(data, device="cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(768, 512), (1021, 333), (1, 4001), (5000, 3)])
@pytest.mark.parametrize(("bands", "columns"), [(1, 1), (3, 3), (50, 17), (300, 20)])
def test_large(shape, bands, columns):
    check_forward(shape, bands, columns, "noise", shape[0])
    check_inverse(shape, bands, columns, "extremes", shape[1])
    check_limit((columns, *shape), bands)


@pytest.mark.gpu
@pytest.mark.parametrize("target", [{"quality": 90}, {"quality": 30}, {"bpp": 2.0}, {"psnr": 50}])
def test_large_arrays(target):
    check(bands_of((300, 411, 7)), **target)
