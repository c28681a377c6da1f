"""Instructions on words against the arithmetic that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from imfnb.runtime import cuda_intrinsics as intrinsics
from imfnb.runtime.cuda import SIMULATED, cuda
from imfnb.runtime.cuda_intrinsics import (
    clip4,
    dp4a_ss,
    dp4a_us,
    get,
    get_four,
    get_pair,
    get_word,
    prmt,
    put,
    put_four,
    put_half,
    put_pair,
    put_word,
    transpose4,
)


@cuda.jit
def _dot(words, numbers, out):
    for k in range(words.shape[0]):
        out[k, 0] = dp4a_ss(words[k, 0], words[k, 1], numbers[k])
        out[k, 1] = dp4a_us(words[k, 0], words[k, 1], numbers[k])


def test_dot_products():
    rng = np.random.default_rng(0)
    words = rng.integers(2**32, size=(40, 2), dtype=np.uint32)
    words[0] = 0xFFFFFFFF, 0x80808080
    numbers = rng.integers(-(2**31), 2**31, 40).astype(np.int32)
    numbers[:2] = 2**31 - 1, -(2**31)
    out = cuda.to_device(np.zeros((40, 2), np.int32))
    _dot[1, 1](cuda.to_device(words), cuda.to_device(numbers), out)
    b = words[:, 1:].copy().view(np.int8).astype(np.int64)
    for found, kind in zip(out.copy_to_host().T, (np.int8, np.uint8), strict=True):
        a = words[:, :1].copy().view(kind).astype(np.int64)
        np.testing.assert_array_equal(found, (numbers + (a * b).sum(axis=1)).astype(np.int32))


@cuda.jit
def _move(words, out):
    for k in range(words.shape[0] // 4):
        w = transpose4(words[4 * k], words[4 * k + 1], words[4 * k + 2], words[4 * k + 3])
        out[5 * k], out[5 * k + 1], out[5 * k + 2], out[5 * k + 3] = w[0], w[1], w[2], w[3]
        out[5 * k + 4] = prmt(words[4 * k], words[4 * k + 1], np.uint32(0x3517))


def test_bytes_change_places():
    words = np.random.default_rng(1).integers(2**32, size=12, dtype=np.uint32)
    out = cuda.to_device(np.zeros(15, np.uint32))
    _move[1, 1](cuda.to_device(words), out)
    found, source = out.copy_to_host().view(np.uint8).reshape(3, 5, 4), words.view(np.uint8).reshape(3, 4, 4)
    np.testing.assert_array_equal(found[:, :4], source.transpose(0, 2, 1))
    np.testing.assert_array_equal(found[:, 4], source.reshape(3, 16)[:, [7, 1, 5, 3]])


@cuda.jit
def _clip(numbers, out):
    for k in range(out.shape[0]):
        out[k] = clip4(numbers[4 * k], numbers[4 * k + 1], numbers[4 * k + 2], numbers[4 * k + 3])


def test_clip():
    numbers = [-(2**31), -1, 0, 1, 127, 128, 254, 255, 256, 65535, 65536, 2**31 - 1]
    out = cuda.to_device(np.zeros(3, np.uint32))
    _clip[1, 1](cuda.to_device(np.array(numbers, np.int32)), out)
    np.testing.assert_array_equal(out.copy_to_host().view(np.uint8), np.clip(numbers, 0, 255))


@cuda.jit
def _copy(numbers, items, to_numbers, to_items):
    """Bytes 0 to 31 and items 0 to 7, each part in another way."""
    put(to_numbers, 0, get(numbers, 0))
    put_half(to_numbers, 2, np.uint16(0x1234))
    put_word(to_numbers, 4, get_word(numbers, 4))
    first, second = get_pair(numbers, 8)
    put_pair(to_numbers, 8, first, second)
    first, second, third, fourth = get_four(numbers, 16)
    put_four(to_numbers, 16, first, second, third, fourth)
    put(to_items, 0, get(items, 0))
    first, second = get_pair(items, 2)
    put_pair(to_items, 2, first, second)
    first, second, third, fourth = get_four(items, 4)
    put_four(to_items, 4, first, second, third, fourth)


def test_words_of_arrays():
    numbers = np.random.default_rng(2).integers(1, 256, (2, 16), np.uint8)
    items = np.random.default_rng(3).integers(-(2**31), 0, (2, 2, 2), np.int32)
    to_numbers, to_items = cuda.to_device(np.zeros_like(numbers)), cuda.to_device(np.zeros_like(items))
    _copy[1, 1](cuda.to_device(numbers), cuda.to_device(items), to_numbers, to_items)
    numbers[0, 1:4], items[0, 0, 1] = (0, 0x34, 0x12), 0
    np.testing.assert_array_equal(to_numbers.copy_to_host(), numbers)
    np.testing.assert_array_equal(to_items.copy_to_host(), items)


@pytest.mark.skipif(not SIMULATED, reason="on a device it ends all work")
def test_words_begin_at_multiples_of_their_size():
    numbers = np.zeros(32, np.uint8)
    for call in (
        lambda: get_word(numbers, 2),
        lambda: get_pair(numbers, 4),
        lambda: get_four(numbers, 8),
        lambda: put_four(numbers.view(np.int32), 2, 0, 0, 0, 0),
        lambda: put_half(numbers, 1, 0),
    ):
        with pytest.raises(ValueError, match=r"cannot begin at"):
            call()


def test_where_an_array_starts():
    buffer = cuda.to_device(np.zeros(64, np.uint8))
    assert intrinsics.starts_at_multiple(buffer, 16)
    assert intrinsics.starts_at_multiple(buffer[3:], 4) == (not hasattr(buffer, "device_ctypes_pointer"))
