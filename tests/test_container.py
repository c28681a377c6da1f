"""Container: the documented layout, the order of the checks, and bytes that somebody or something has changed."""

from __future__ import annotations

import mmap
import tracemalloc
import zlib
from functools import partial

import numpy as np
import pytest
from helpers import assemble, encode, header, parameters, picture, pixels_or_error, signed, take_apart, varint
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import examples, seeds

import imfnb
from imfnb import FormatError, LimitError
from imfnb.codec import open_container
from imfnb.format.container import Frame, pack


def deflate(values: np.ndarray) -> bytes:
    coder = zlib.compressobj(9, wbits=-15)
    stream = coder.compress(values.tobytes()) + coder.flush()
    return varint(len(stream)) + stream


def gray_file(height: int, width: int, u: np.ndarray, v: np.ndarray, patch_size: int = 0, **changes) -> bytes:
    """A gray file made by hand: one column of int8 factors unless told otherwise."""
    segments = [b"".join(map(deflate, u.T)) + b"".join(map(deflate, v.T))]
    fields = parameters(0, patch_size, -16, 15, (u.shape[1],))
    return assemble(header(height, width, 0, fields, segments, **changes), segments)


# ------------------------------------------------------------------------------------------------------------- layout


def test_file_made_by_hand_decodes():
    """The layout in the documentation is all that it takes to write a file."""
    u, v = np.array([[1, 0], [2, 1], [10, 0]], np.int8), np.array([[10, 3], [-5, -16]], np.int8)
    pixels = imfnb.decode(gray_file(3, 2, u, v))
    np.testing.assert_array_equal(pixels, [[10, 0], [23, 0], [100, 0]])


def test_encoder_writes_the_documented_layout(small_file):
    head, segments = take_apart(small_file)
    fields = parameters(2, 4, -16, 15, (2, 1, 1))
    assert head == header(11, 13, 3, fields, segments)
    assert small_file == assemble(head, segments)


# -------------------------------------------------------------------------------------------------- order of the checks

GOOD = {"u": np.ones((3, 1), np.int8), "v": np.ones((2, 1), np.int8)}


def test_each_check_comes_before_the_next():
    """From a file in which everything is wrong, repair one thing after the other, in the order of the checks."""
    segments = [deflate(GOOD["u"]) + deflate(GOOD["v"])]
    fields, wide = parameters(0, 0, -16, 15, (1,)), 2**30
    head = header(3, 2, 0, fields, segments)

    def message(data: bytes) -> str:
        with pytest.raises(FormatError) as error:
            imfnb.decode(data)
        return str(error.value)

    assert "fewer than the smallest header" in message(b"XXXX")
    assert "not an .imf file: it begins with" in message(b"XXXX\xff" + bytes(20))
    assert "version 9 is not known" in message(b"\x89IMF\x09" + bytes(20))
    assert "truncated" in message(b"\x89IMF\x02\x7f" + bytes(20))
    assert "checksum of the header" in message(b"\x89IMF\x02\x05\x01" + b"\xff" * 20)
    assert "profile 200 is not known" in message(assemble(b"\xc8" + head[1:], segments))
    assert "empty (0 x" in message(assemble(header(0, wide, 7, b"", segments), segments))
    assert "newer imfnb: arrangement 7" in message(assemble(header(wide, wide, 7, b"", segments), segments))
    new = header(wide, wide, 0, b"", segments, features=b"\x81\1")
    assert "newer imfnb: feature 7" in message(assemble(new, segments))
    assert "max_pixels" in message(assemble(header(wide, wide, 0, b"\xff", segments), segments))
    none = header(3, 2, 0, b"\xff", segments, features=b"\x20\0")
    assert "0 chunks; expected 1 to 1024" in message(assemble(none, segments))
    assert "colour flags 255" in message(assemble(header(3, 2, 0, b"\xff", segments), segments))
    assert "patch size 5" in message(assemble(header(3, 2, 0, parameters(0, 5, 9, 9, (0,)), segments), segments))
    assert "bounds [9, 9]" in message(assemble(header(3, 2, 0, parameters(0, 0, 9, 9, (0,)), segments), segments))
    assert "rank 0" in message(assemble(header(3, 2, 0, parameters(0, 0, -16, 15, (0,)), segments, count=5), segments))
    assert "5 segments" in message(assemble(header(3, 2, 0, fields, segments, count=5), segments))
    assert "left over" in message(assemble(head + b"x", segments))
    assert "payload of 3 bytes; its parts have" in message(assemble(head, segments, payload=3))
    assert "truncated" in message(assemble(head, [], payload=len(segments[0])))
    assert "checksum of segment 0" in message(assemble(head, [segments[0][:-1] + b"x"]))
    np.testing.assert_array_equal(imfnb.decode(assemble(head, segments)), np.ones((3, 2)))
    padded = assemble(head, segments) + b"x"
    np.testing.assert_array_equal(imfnb.decode(padded), np.ones((3, 2)))


@pytest.mark.parametrize("rank", [0, 3, 2**31, 2**34])
def test_rank_must_fit_the_matrix(rank):
    segments = [b""]
    with pytest.raises(FormatError, match=f"rank {rank} of a 3 x 2"):
        imfnb.decode(assemble(header(3, 2, 0, parameters(0, 0, -16, 15, (rank,)), segments), segments))


@pytest.mark.parametrize("limits", [(5, 5), (6, 5), (-32768, 5), (0, 32768), (-(2**33), 2**33)])
def test_bounds_must_make_sense(limits):
    with pytest.raises(FormatError, match="factor bounds"):
        imfnb.decode(assemble(header(3, 2, 0, parameters(0, 0, *limits, (1,)), [b""]), [b""]))


@pytest.mark.parametrize("flags", [3, 4, 128])
def test_flags_must_be_known(flags):
    with pytest.raises(FormatError, match="colour flags"):
        imfnb.decode(assemble(header(3, 2, 3, parameters(flags, 8, -16, 15, (1, 1, 1)), [b""] * 3), [b""] * 3))


@pytest.mark.parametrize("flags", [1, 2])
def test_flags_of_colour_do_not_fit_gray(flags):
    with pytest.raises(FormatError, match="colour flags"):
        imfnb.decode(assemble(header(3, 2, 1, parameters(flags, 8, -16, 15, (1,)), [b""]), [b""]))


@pytest.mark.parametrize("channels", [2, 5, 6, 255])
def test_channels_of_version_1(channels):
    """There is no newer file of this version to come."""
    head = header(3, 2, channels, b"", [], features=b"")
    with pytest.raises(FormatError, match=f"{channels} channels; expected 0, 1, 3 or 4"):
        imfnb.decode(assemble(head, [], version=1))


@pytest.mark.parametrize("bit", [7, 20, 34])
def test_features_of_later_versions_are_not_misread(small_file, bit):
    head, segments = take_apart(small_file)
    for features in (1 << bit, 1 << bit | 32):
        with pytest.raises(FormatError, match=f"needs a newer imfnb: feature {bit} "):
            imfnb.decode(assemble(head[:4] + varint(features) + head[5:], segments))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (1, "samples of uint16 from 2 to -16"),  # a type of samples
        (2, "do not fit arrangement 3"),  # a number of bands, which only bands have
        (4, "coding 4 of frames"),  # a number of frames
        (8, "a mask of kind 2"),  # samples without data
        (16, "not expected here"),  # a bound of the error
    ],
)
def test_features_of_arrays_do_not_fit_the_baseline(small_file, features, message):
    """Each announces a part of the header that this file has not got."""
    head, segments = take_apart(small_file)
    with pytest.raises(FormatError, match=message):
        imfnb.decode(assemble(head[:4] + varint(features) + head[5:], segments))


def test_bands_need_their_number(small_file):
    head, segments = take_apart(small_file)
    with pytest.raises(FormatError, match="features 0 do not fit arrangement 5"):
        imfnb.decode(assemble(head[:3] + bytes([5]) + head[4:], segments))


@pytest.mark.parametrize("arrangement", [6, 255])
def test_arrangements_of_later_versions_are_not_misread(small_file, arrangement):
    head, segments = take_apart(small_file)
    with pytest.raises(FormatError, match=f"needs a newer imfnb: arrangement {arrangement} "):
        imfnb.decode(assemble(head[:3] + bytes([arrangement]) + head[4:], segments))


@pytest.mark.parametrize("version", [0, 3, 255])
def test_unknown_version_says_so(small_file, version):
    with pytest.raises(FormatError, match=f"version {version} is not known.*upgrade"):
        imfnb.decode(assemble(*take_apart(small_file), version=version))


@pytest.mark.parametrize("profile", [1, 2, 3, 127, 128, 255])
def test_any_profile_number_is_an_image_or_an_error(small_file, profile):
    """Under another profile's number the baseline's fields are noise, which must be refused or decoded."""
    head, segments = take_apart(small_file)
    result = pixels_or_error(assemble(bytes([profile]) + head[1:], segments))
    assert result is None or profile == 1


# ------------------------------------------------------------------------------------------------------------- chunks


def with_chunks(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """The file of GOOD with chunks, written by the package."""
    segments = [deflate(GOOD["u"]) + deflate(GOOD["v"])]
    return pack(Frame("baseline", 3, 2, 0), parameters(0, 0, -16, 15, (1,)), segments, chunks)


@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.binary(max_size=300)), max_size=5))
def test_chunks_come_back_and_are_skipped_by_a_decoder(chunks):
    data = with_chunks(chunks)
    assert open_container(data).chunks == chunks
    np.testing.assert_array_equal(imfnb.decode(data), np.ones((3, 2)))
    found = imfnb.info(data + b"padding")
    assert (found["size"], found["padding"]) == (len(data), 7)


def test_file_with_chunks_has_the_documented_layout():
    segment, chunk = deflate(GOOD["u"]) + deflate(GOOD["v"]), b"<xmp/>"
    table = varint(32) + varint(1) + b"XMP " + varint(len(chunk)) + zlib.crc32(chunk).to_bytes(4, "little")
    head = header(3, 2, 0, parameters(0, 0, -16, 15, (1,)), [segment], features=table)
    assert with_chunks([(b"XMP ", chunk)]) == assemble(head, [segment, chunk])


def test_damaged_chunk_does_not_concern_the_pixels():
    """The checksum of a chunk is checked when somebody wants it."""
    data = with_chunks([(b"EXIF", b"abc"), (b"XMP ", b"defg")])
    damaged = data[:-1] + b"x"
    np.testing.assert_array_equal(imfnb.decode(damaged), np.ones((3, 2)))
    with pytest.raises(FormatError, match="checksum of chunk b'XMP '"):
        _ = open_container(damaged).chunks
    for length in range(1, 8):
        with pytest.raises(FormatError, match="truncated"):
            imfnb.decode(data[:-length])


@pytest.mark.parametrize("count", [0, 1025, 2**34])
def test_number_of_chunks_is_limited(count):
    entry = b"FREE" + varint(0) + bytes(4)
    head = header(3, 2, 0, b"", [], features=varint(32) + varint(count) + entry * min(count, 1025))
    with pytest.raises(FormatError, match=f"{count} chunks; expected 1 to 1024"):
        imfnb.decode(assemble(head, []))


def test_a_chunk_larger_than_the_file_is_refused_without_memory():
    table = varint(32) + varint(1) + b"FREE" + varint(2**34) + bytes(4)
    head = header(3, 2, 0, parameters(0, 0, -16, 15, (1,)), [b""], features=table)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="truncated"):
            imfnb.decode(assemble(head, [b""], payload=2**34))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


# ------------------------------------------------------------------------------------------------------------- limits


def test_max_pixels_is_inclusive():
    data = encode(picture(6, 7, 0), rank=1)
    assert imfnb.decode(data, max_pixels=42).shape == (6, 7)
    for function in (imfnb.decode, imfnb.info):
        with pytest.raises(LimitError, match=r"6 x 7 pixels.*max_pixels=41"):
            function(data, max_pixels=41)


@pytest.mark.parametrize("size", [(2**14 + 1, 2**14), (2**34, 2**34), (1, 2**34), (2**28 + 1, 1)])
@pytest.mark.parametrize("channels", [0, 4])
def test_huge_sizes_are_refused_without_memory(size, channels):
    count = max(1, channels)
    data = assemble(header(*size, channels, parameters(0, 8, -16, 15, (1,) * count), [b""] * count), [b""] * count)
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match="max_pixels"):
            imfnb.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("features", [b"\0", b"\x40"])
def test_working_set_is_limited_too(features):
    """No patches and full rank: the factors of a 256-megapixel plane would take 2 * 16384**2 * 2 bytes, three times."""
    side = 2**14
    fields = parameters(0, 0, -1000, 1000, (side,) * 4)
    data = assemble(header(side, side, 4, fields, [b""] * 4, features=features), [b""] * 4)
    tracemalloc.start()
    try:
        with pytest.raises(LimitError, match=r"decoding needs .* bytes"):
            imfnb.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_deflate_bomb_is_not_unpacked():
    """A stream of a gigabyte of zeros in a file of a tiny picture: inflated no further than the picture needs."""
    coder = zlib.compressobj(9, wbits=-15)
    stream = b"".join(coder.compress(bytes(2**20)) for _ in range(64)) + coder.flush()
    segments = [(varint(len(stream)) + stream) * 2]
    data = assemble(header(3, 2, 0, parameters(0, 0, -16, 15, (1,)), segments), segments)
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="expected 3 bytes"):
            imfnb.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(stream) + 2**20
    finally:
        tracemalloc.stop()


# ------------------------------------------------------------------------------------------------------ damaged bytes


def test_every_truncation_is_noticed(small_file):
    for length in range(len(small_file)):
        with pytest.raises(FormatError):
            imfnb.decode(small_file[:length])


def test_every_flipped_bit_is_noticed(small_file):
    for position in range(len(small_file)):
        for bit in range(8):
            damaged = bytearray(small_file)
            damaged[position] ^= 1 << bit
            with pytest.raises(FormatError):
                imfnb.decode(damaged)


@given(st.binary(max_size=40))
def test_bytes_behind_the_end_are_ignored(small_file, tail):
    """DICOM pads to an even length, editors add a line feed: the file ends where its header says."""
    np.testing.assert_array_equal(imfnb.decode(small_file + tail), imfnb.decode(small_file))
    details = imfnb.info(small_file + tail)
    assert (details["size"], details["padding"]) == (len(small_file), len(tail))
    assert details["bpp"] == imfnb.info(small_file)["bpp"]


def test_padding_does_not_make_up_for_missing_bytes(small_file):
    """Zeros in the place of the end are damage, not padding."""
    for missing in (1, 5, len(small_file) // 2):
        with pytest.raises(FormatError):
            imfnb.decode(small_file[:-missing] + bytes(missing - 1))
        with pytest.raises(FormatError, match="checksum"):
            imfnb.decode(small_file[:-missing] + b"\xaa" * (missing + 9))


# ------------------------------------------------------------------------------------------------- the caller's memory


def damaged(data: bytes) -> dict[str, bytes]:
    """A file in every state."""
    header, segment = bytearray(data), bytearray(data)
    header[8] ^= 1
    segment[-1] ^= 1
    return {
        "fine": data,
        "padded": data + b"\0\n",
        "damaged header": bytes(header),
        "damaged segment": bytes(segment),
        "short header": data[:9],
        "short segment": data[:-1],
        "no file": b"GIF89a" * 20,
    }


@pytest.mark.parametrize("profile", ["main", "baseline"])
@pytest.mark.parametrize("state", list(damaged(bytes(40))))
@pytest.mark.parametrize(
    "view",
    [
        lambda memory: memory,
        memoryview,
        partial(np.frombuffer, dtype=np.uint8),
        partial(np.frombuffer, dtype=np.uint16, count=4),
        lambda memory: [memoryview(memory)],
    ],
    ids=["itself", "view", "array", "array of something else", "list"],
)
def test_memory_can_be_closed_after_an_error(tmp_path, state, view, profile):
    """Whatever happened, and while the error with its traceback is kept, no view of a map or an array is left."""
    data = damaged(imfnb.encode(picture(11, 13), profile=profile))[state]
    (tmp_path / "a.imf").write_bytes(data)
    calls = [
        imfnb.decode,
        imfnb.info,
        partial(imfnb.decode, max_rank=0),
        partial(imfnb.decode, device="tpu"),
        partial(imfnb.decode, threads=0),
        partial(imfnb.decode, max_pixels=3),
        partial(imfnb.decode, out=np.zeros(1)),
        partial(imfnb.info, max_pixels=0),
    ]
    kept = []
    for call in calls:
        with open(tmp_path / "a.imf", "rb") as file:
            mapped, array = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), bytearray(data)
        for memory in (mapped, array):
            try:
                call(view(memory))
            except imfnb.ImfError as error:
                kept.append(error)
        mapped.close()
        array.append(0)
    assert len(kept) >= 2 * 6


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    with pytest.raises(FormatError):
        imfnb.decode(data)


@given(st.binary(max_size=200), st.sampled_from([1, 2]))
def test_random_bytes_behind_the_magic_are_refused(data, version):
    with pytest.raises(FormatError):
        imfnb.decode(b"\x89IMF" + bytes([version]) + data)


@given(st.binary(max_size=60), st.lists(st.binary(max_size=30), max_size=4), st.sampled_from([1, 2]))
def test_random_header_with_a_valid_checksum(head, segments, version):
    pixels_or_error(assemble(head, segments, version), max_pixels=10**5)


@given(st.data())
@settings(max_examples=examples(150))
def test_mutated_header_with_a_valid_checksum(small_file, data):
    """Bytes of the header changed, put in or taken out, then both length and checksum repaired."""
    head, segments = take_apart(small_file)
    head = bytearray(head)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(head) - 1))
        kind = data.draw(st.sampled_from(["set", "flip", "insert", "delete"]))
        if kind == "set":
            head[place] = data.draw(st.integers(0, 255))
        elif kind == "flip":
            head[place] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "insert":
            head.insert(place, data.draw(st.integers(0, 255)))
        elif len(head) > 1:
            del head[place]
    mutated = assemble(bytes(head), segments)
    pixels_or_error(mutated, max_pixels=10**6)
    try:
        imfnb.info(mutated, max_pixels=10**6)
    except FormatError:
        pass


@given(
    st.integers(0, 300),
    st.integers(0, 300),
    st.sampled_from([0, 1, 3, 4]),
    st.integers(0, 3),
    st.sampled_from([0, 4, 8, 16, 32, 64]),
    st.sampled_from([-32767, -129, -128, -16, 0, 3]),
    st.sampled_from([32767, 128, 127, 15, 5, 0]),
    st.lists(st.integers(0, 70), min_size=1, max_size=4),
)
@settings(max_examples=examples(150))
def test_other_fields_around_the_same_segments(
    small_file, height, width, channels, flags, patch_size, low, high, ranks
):
    """Headers that are well formed but do not belong to the segments."""
    _, segments = take_apart(small_file)
    segments = (segments + segments)[: len(ranks)]
    fields = parameters(flags, patch_size, low, high, tuple(ranks))
    result = pixels_or_error(assemble(header(height, width, channels, fields, segments), segments))
    assert result is None or result.shape[:2] == (height, width)


@given(st.data())
@settings(max_examples=examples(150))
def test_mutated_segment_with_a_valid_checksum(small_file, data):
    _, segments = take_apart(small_file)
    index = data.draw(st.integers(0, 2))
    segment = bytearray(segments[index])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(segment) - 1))
        segment[place] ^= data.draw(st.integers(1, 255))
    segments[index] = bytes(segment)
    fields = parameters(2, 4, -16, 15, (2, 1, 1))
    result = pixels_or_error(assemble(header(11, 13, 3, fields, segments), segments))
    assert result is None or result.shape == (11, 13, 3)


@given(st.lists(st.binary(max_size=40), min_size=3, max_size=3))
def test_random_segments_with_valid_checksums(segments):
    fields = parameters(2, 4, -16, 15, (2, 1, 1))
    pixels_or_error(assemble(header(11, 13, 3, fields, segments), segments))


@given(st.integers(-128, 127), st.integers(0, 2))
def test_values_beyond_the_bounds_are_refused(value, place):
    u = np.ones((3, 1), np.int8)
    u[place] = value
    result = pixels_or_error(gray_file(3, 2, u, GOOD["v"]))
    assert (result is not None) == (-16 <= value <= 15)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_extreme_factors_do_not_overflow(device):
    """Every entry at the largest magnitude that a file can hold, at full rank: clipped, not wrapped."""
    for sign, pixel in ((1, 255), (-1, 0)):
        u, v = np.full((20, 20), 32767, "<i2"), np.full((20, 20), sign * 32767, "<i2")
        segments = [b"".join(map(deflate, u.T)) + b"".join(map(deflate, v.T))]
        fields = parameters(0, 0, -32767, 32767, (20,))
        data = assemble(header(20, 20, 0, fields, segments), segments)
        assert (imfnb.decode(data, device=device) == pixel).all()


def test_out_is_untouched_by_a_file_that_is_refused(small_file):
    out = np.full((11, 13, 3), 7, np.uint8)
    with pytest.raises(FormatError):
        imfnb.decode(small_file[:-1], out=out)
    assert (out == 7).all()


def test_longer_varints_than_needed_do_no_harm(small_file):
    """The height 11 written in two bytes; a reader may take or refuse it, not misread it."""
    head, segments = take_apart(small_file)
    assert head[1] == 11
    result = pixels_or_error(assemble(head[:1] + b"\x8b\x00" + head[2:], segments))
    assert result is None or np.array_equal(result, imfnb.decode(small_file))


def test_signed_numbers_read_back():
    assert [signed(n) for n in (0, -1, 1, -64, 64)] == [b"\x00", b"\x01", b"\x02", b"\x7f", b"\x80\x01"]


@pytest.mark.slow
@settings(max_examples=20_000)
@given(st.sampled_from([0, 1, 3, 4]), st.sampled_from([0, 4, 8]), st.integers(1, 12), seeds)
def test_fuzzing_for_minutes(channels, patch_size, mutations, seed):
    """Bytes changed anywhere in header and segments of many files, all checksums repaired."""
    rng = np.random.default_rng(seed)
    data = encode(picture(9, 10, channels), rank=2, iterations=1, patch_size=patch_size or None)
    head, segments = take_apart(data)
    position = len(head) - 5 * len(segments)  # before the table: sizes below 128 take one byte, checksums four
    fields = bytearray(head[: position - 1])
    segments = [bytearray(segment) for segment in segments]
    for _ in range(mutations):
        target = fields if rng.random() < 0.4 else segments[rng.integers(len(segments))]
        if target:
            target[rng.integers(len(target))] = rng.integers(256)
    whole = [bytes(segment) for segment in segments]
    table = b"".join(varint(len(s)) + zlib.crc32(s).to_bytes(4, "little") for s in whole)
    pixels_or_error(assemble(bytes(fields) + varint(len(whole)) + table, whole), max_pixels=10**6)
