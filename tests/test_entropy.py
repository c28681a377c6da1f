"""Entropy stage: factor columns and bytes, with zlib itself as the oracle; damaged streams."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from helpers import signed, varint
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from imfnb.entropy.deflate import decode_columns, encode_columns
from imfnb.errors import FormatError
from imfnb.format.bytestream import Reader, put_signed, put_varint


def read(data: bytes, rows: int, rank: int, low: int, high: int, dtype: type) -> np.ndarray:
    reader = Reader(memoryview(data))
    factor = decode_columns(reader, rows, rank, low, high, dtype)
    reader.end()
    return factor


def raw_deflate(raw: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(raw) + coder.flush()


@given(
    st.integers(1, 400),
    st.integers(1, 5),
    st.sampled_from([(np.int8, -16, 15), (np.int8, -128, 127), (np.int16, -1000, 1000), (np.int16, -32767, 32767)]),
    st.sampled_from(["C", "F"]),
    st.floats(0, 1),
    seeds,
)
def test_round_trip(rows, rank, kind, order, density, seed):
    dtype, low, high = kind
    rng = np.random.default_rng(seed)
    factor = rng.integers(low, high, (rows, rank), dtype, endpoint=True) * (rng.random((rows, rank)) < density)
    factor = np.array(np.clip(factor, low, high), dtype, order=order)
    back = read(encode_columns(factor), rows, rank, low, high, dtype)
    assert back.dtype == dtype and back.flags.f_contiguous
    np.testing.assert_array_equal(back, factor)


def test_columns_are_raw_deflate_of_little_endian_values():
    """What the format promises, read with zlib and struct-like means only."""
    factor = np.array([[1, -2], [300, 4], [-500, 0]], np.int16)
    data = encode_columns(factor)
    for column in ([1, 300, -500], [-2, 4, 0]):
        length, data = data[0], data[1:]
        raw = zlib.decompress(data[:length], -15)
        assert raw == b"".join(value.to_bytes(2, "little", signed=True) for value in column)
        data = data[length:]
    assert data == b""


def test_big_endian_factor_gives_the_same_bytes():
    factor = np.arange(-20, 20, dtype=np.int16).reshape(20, 2)
    assert encode_columns(factor.astype(">i2")) == encode_columns(factor)


@pytest.mark.parametrize(
    ("streams", "message"),
    [
        ([raw_deflate(bytes(9))], "expected 10 bytes"),
        ([raw_deflate(bytes(11))], "expected 10 bytes"),
        ([raw_deflate(bytes(10**6))], "expected 10 bytes"),
        ([raw_deflate(bytes(10)) + b"x"], "expected 10 bytes"),
        ([raw_deflate(bytes(10))[:-1]], "expected 10 bytes"),
        ([zlib.compress(bytes(10))], "damaged factor column"),
        ([b"\xff\xff\xff\xff"], "damaged factor column"),
        ([b""], "expected 10 bytes"),
        ([raw_deflate(bytes([16] + [0] * 9))], r"\[-16, 15\]"),
        ([raw_deflate(bytes([256 - 17] + [0] * 9))], r"\[-16, 15\]"),
    ],
)
def test_damaged_columns_are_named(streams, message):
    data = b"".join(varint(len(stream)) + stream for stream in streams)
    with pytest.raises(FormatError, match=message):
        read(data, 10, 1, -16, 15, np.int8)


def test_stored_blocks_are_deflate_too():
    """Any encoder's streams are read, not only those that this library writes."""
    coder = zlib.compressobj(0, wbits=-15)
    stream = coder.compress(bytes(range(100))) + coder.flush()
    factor = read(varint(len(stream)) + stream, 100, 1, -128, 127, np.int8)
    np.testing.assert_array_equal(factor[:, 0], np.arange(100))


def test_missing_column_and_left_over_bytes():
    data = encode_columns(np.ones((5, 2), np.int8))
    with pytest.raises(FormatError, match="truncated"):
        read(data, 5, 3, -16, 15, np.int8)
    with pytest.raises(FormatError, match="left over"):
        read(data + b"\0", 5, 2, -16, 15, np.int8)


@given(st.integers(0, 2**35 - 1))
def test_varint_round_trip(value):
    out = bytearray()
    put_varint(out, value)
    assert bytes(out) == varint(value)
    reader = Reader(memoryview(bytes(out)))
    assert reader.varint() == value and reader.left == 0


@given(st.integers(-(2**33), 2**33))
def test_signed_round_trip(value):
    out = bytearray()
    put_signed(out, value)
    assert bytes(out) == signed(value)
    assert Reader(memoryview(bytes(out))).signed() == value


def test_reader_stops_at_the_end():
    reader = Reader(memoryview(b"\x01\x02\x03\x04"))
    assert reader.u32() == 0x04030201
    for read_one in (reader.byte, reader.u32, reader.varint, lambda: reader.take(1)):
        with pytest.raises(FormatError, match="truncated"):
            read_one()
    with pytest.raises(FormatError, match="five bytes"):
        Reader(memoryview(b"\xff" * 9)).varint()
