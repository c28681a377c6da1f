"""Files of the main profile that somebody or something has changed: pixels or an ImfError, in bounded memory."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from helpers import assemble, header, picture, pixels_or_error, take_apart, varint
from hypothesis import given, settings
from hypothesis import strategies as st
from main_helpers import MAIN, encode, main_fields
from strategies import examples, seeds

import imfnb
from imfnb import FormatError
from imfnb.entropy import layout, reference
from imfnb.entropy.maps import reference as maps

pytestmark = pytest.mark.thorough

GOOD = main_fields(1, 1280, 704, 2, 0, 2)


@pytest.fixture(scope="module")
def small() -> bytes:
    """A small valid file: RGB, 11 x 13, chroma of half the size, three segments."""
    return encode(picture(11, 13), step=20, patch_size=8, subsampling="4:2:0")


@pytest.fixture(scope="module")
def translucent() -> bytes:
    """A file with lossless alpha: RGBA, 11 x 13, four segments."""
    image = picture(11, 13, 4)
    image[:, 4:9, 3], image[:, :4, 3], image[:, 9:, 3] = 255, 0, 0
    return encode(image, step=25, subsampling="4:2:0")


def constant_segment(value: int, grid: tuple[int, int] = (2, 2), p: int = 8) -> bytes:
    """A segment in which component 0 has one value and the others are not there."""
    padded = layout.pad_factors(np.full((grid[0] * grid[1], 1), value, np.int16), *grid)
    return reference.encode_factors(padded, np.zeros(padded.shape[1], np.int32), *grid, p)


def same_on_both(data: bytes, **options) -> np.ndarray | None:
    """Decode on both backends: the same pixels, or an ImfError from both; `info` may only raise an ImfError too."""
    one, two = (pixels_or_error(data, device=device, **options) for device in ("cpu", "reference"))
    assert (one is None) == (two is None)
    if one is not None:
        np.testing.assert_array_equal(one, two)
    try:
        details = imfnb.info(data)
    except imfnb.ImfError:
        assert one is None
    else:
        assert details["size"] == len(data)
    return one


# -------------------------------------------------------------------------------------------------------------- layout


def test_file_made_by_hand_decodes():
    """A step of 16 gray levels and u = 3 in a patch of 8 x 8: 3 * 16 / 8 above the middle."""
    segments = [constant_segment(3)]
    data = assemble(header(9, 11, 0, main_fields(0, 1024, None, 0), segments, profile=MAIN), segments)
    for device in ("cpu", "reference"):
        assert (imfnb.decode(data, device=device) == 128 + 6).all()


def test_encoder_writes_the_documented_layout(small, translucent):
    for data, channels, flags in ((small, 3, 1), (translucent, 4, 3)):
        head, segments = take_apart(data)
        details = imfnb.info(data)
        luma, chroma = (round(64 * step) for step in details["steps"][:2])
        codings = [
            (size == 16) + 2 * on for size, on in zip(details["patch_sizes"], details["restoration"], strict=True)
        ]
        fields = main_fields(flags, luma, chroma, *codings)
        assert head == header(11, 13, channels, fields, segments, profile=MAIN)
        assert data == assemble(head, segments)


def test_alpha_is_its_values_and_a_map(translucent):
    _, segments = take_apart(translucent)
    assert segments[3][:3] == b"\x01\x00\xff"
    symbols, _ = maps.decode_map(segments[3][3:], 11, 13, 2)
    np.testing.assert_array_equal(symbols * 255, imfnb.decode(translucent)[:, :, 3])


# ------------------------------------------------------------------------------------------------------ fields' ranges


def refuse(match: str, channels: int, fields: bytes, count: int = 3) -> None:
    segments = [constant_segment(1)] * count
    with pytest.raises(FormatError, match=match):
        imfnb.decode(assemble(header(11, 13, channels, fields, segments, profile=MAIN), segments))


@pytest.mark.parametrize(
    ("channels", "flags"), [(0, 1), (0, 2), (1, 1), (1, 3), (3, 2), (3, 3), (3, 4), (3, 6), (4, 6), (4, 7)]
)
def test_flags_must_fit_the_channels(channels, flags):
    refuse(f"flags {flags} do not fit {channels} channels", channels, main_fields(flags, 640, 640, 0, 0, 0, 0))


@pytest.mark.parametrize(("channels", "flags"), [(0, 32), (3, 32), (3, 64), (4, 40), (4, 255)])
def test_flags_of_later_versions_are_not_misread(channels, flags):
    refuse(f"newer imfnb: flag {flags.bit_length() - 1} ", channels, main_fields(flags, 640, 640, 0, 0, 0, 0))


@pytest.mark.parametrize("flags", [2, 3, 4, 255])
def test_flags_of_version_1_must_fit_the_channels(flags):
    segments = [constant_segment(1)] * 3
    head = header(11, 13, 3, main_fields(flags, 640, 640, 0, 0, 0), segments, profile=MAIN, features=b"")
    with pytest.raises(FormatError, match=f"flags {flags} do not fit 3 channels"):
        imfnb.decode(assemble(head, segments, version=1))


@pytest.mark.parametrize("step", [0, 1, 63, 16385, 2**34])
def test_steps_have_a_range(step):
    message = f"step {step}; expected 64 to 16384"
    refuse(message, 3, main_fields(0, step, 640, 0, 0, 0))
    refuse(message, 3, main_fields(0, 640, step, 0, 0, 0))
    refuse(message, 0, main_fields(0, step, None, 0), 1)
    refuse(message, 4, main_fields(0, 640, 640, 0, 0, 0, 0, alpha=step), 4)


@pytest.mark.parametrize("coding", [10, 11, 14, 15, 20, 34, 40, 42, 52, 64, 128, 255])
@pytest.mark.parametrize("plane", [0, 1, 2])
def test_codings_are_known(coding, plane):
    codings = [0, 0, 0]
    codings[plane] = coding
    refuse(f"newer imfnb: coding {coding} of plane {plane}", 3, main_fields(0, 640, 640, *codings))
    segments = [constant_segment(1)] * 3
    head = header(11, 13, 3, main_fields(0, 640, 640, *codings), segments, profile=MAIN, features=b"")
    with pytest.raises(FormatError, match=f"damaged file: coding {coding} of plane {plane}"):
        imfnb.decode(assemble(head, segments, version=1))


@pytest.mark.parametrize("count", [0, 1, 2, 4, 100])
def test_number_of_segments_must_fit(count):
    refuse(f"{count} segments; expected 3", 3, main_fields(0, 640, 640, 0, 0, 0), count)


def with_alpha(flags: int, alpha: bytes, version: int = 2) -> bytes:
    """A picture of 11 x 13 pixels with a last segment of alpha; lossy alpha has a plane before it."""
    planes = 3 if flags else 4
    segments = [*[constant_segment(1)] * planes, alpha]
    step = 640 if planes == 4 and version > 1 else None
    fields = main_fields(flags, 640, 640, *(0,) * planes, alpha=step)
    features = b"\0" * (version > 1)
    return assemble(header(11, 13, 4, fields, segments, profile=MAIN, features=features), segments, version)


def test_alpha_takes_a_plane_or_a_segment_or_both():
    """Lossless alpha has no coding byte; lossy alpha has one and, from version 2 on, a segment of classes."""
    palette = b"\x01\x07" + zlib.compress(bytes(143))
    assert (imfnb.decode(with_alpha(2, palette, 1))[:, :, 3] == 7).all()
    assert (imfnb.decode(with_alpha(2, b"\x00\x07"))[:, :, 3] == 7).all()
    for classes, expected in ((np.arange(143) % 3, (0, 129, 255)), (np.full(143, 1), (129,))):
        symbols = classes.reshape(11, 13).astype(np.uint8)
        found = imfnb.decode(with_alpha(0, maps.encode_map(symbols, 3)))[:, :, 3]
        assert set(found.ravel().tolist()) == set(expected)
    lossy = main_fields(0, 640, 640, 0, 0, 0, 0, alpha=640)
    segments = [constant_segment(1)] * 3
    data = assemble(header(11, 13, 4, lossy, segments * 2, profile=MAIN), segments * 2)
    with pytest.raises(FormatError, match="6 segments; expected 5"):
        imfnb.decode(data)


@pytest.mark.parametrize("value", [-4095, 4095])
def test_samples_in_between_stay_in_between(value):
    """A plane of alpha at either end of its range: what its class calls translucent is so."""
    segments = [constant_segment(1)] * 3 + [constant_segment(value)]
    segments.append(maps.encode_map(np.full((11, 13), 1, np.uint8), 3))
    fields = main_fields(0, 640, 640, 0, 0, 0, 2, alpha=16384)
    data = assemble(header(11, 13, 4, fields, segments, profile=MAIN), segments)
    for device in ("cpu", "reference"):
        assert (imfnb.decode(data, device=device)[:, :, 3] == (254 if value > 0 else 1)).all()


@pytest.mark.parametrize(
    ("flags", "alpha", "message"),
    [
        (0, b"\x4c" * 4, "damaged map: the coded data end too early"),
        (2, b"", "truncated"),
        (2, b"\x05\x01\x02", "truncated"),
        (2, b"\x20" + bytes(31), "truncated"),
        (2, b"\x02\x01\x03\x03" + bytes(99), "do not rise"),
        (2, b"\x02\x01\x03\x02" + bytes(99), "do not rise"),
        (2, b"\xff" + b"\xff" * 31 + b"\x7f" + bytes(99), "255 values; expected 256"),
        (2, b"\x01\x03\x05" + b"\x51" * 4, "damaged map: the coded data end too early"),
    ],
)
def test_damaged_maps_of_alpha(flags, alpha, message):
    for device in ("cpu", "reference"):
        with pytest.raises(FormatError, match=message):
            imfnb.decode(with_alpha(flags, alpha), device=device)


@given(st.sampled_from([0, 2]), st.binary(max_size=80), st.booleans())
@settings(max_examples=examples(60))
def test_any_alpha_segment_is_the_same_on_both(flags, alpha, padded):
    result = same_on_both(with_alpha(flags, alpha + bytes(400) * padded))
    assert result is None or result.shape == (11, 13, 4)


@pytest.mark.parametrize(
    ("alpha", "message"),
    [
        (b"", "truncated"),
        (b"\x00" + zlib.compress(bytes(143)), "0 values; expected 1 to 16"),
        (b"\x11" + bytes(17) + zlib.compress(bytes(143)), "17 values; expected 1 to 16"),
        (b"\x05ab", "truncated"),
        (b"\x01a", "damaged alpha plane"),
        (b"\x01anot a stream", "damaged alpha plane: .*incorrect header"),
        (b"\x01a" + zlib.compress(bytes(142)), "expected 143 samples"),
        (b"\x01a" + zlib.compress(bytes(144)), "expected 143 samples"),
        (b"\x01a" + zlib.compress(bytes(143))[:-1], "expected 143 samples"),
        (b"\x01a" + zlib.compress(bytes(143)) + b"x", "expected 143 samples"),
        (b"\x01a" + zlib.compress(bytes(143))[:-1] + b"x", "damaged alpha plane"),
    ],
)
def test_damaged_palette(alpha, message):
    with pytest.raises(FormatError, match=message):
        imfnb.decode(with_alpha(2, alpha, 1))


def test_indices_beyond_the_palette_are_no_pixels_from_elsewhere():
    result = pixels_or_error(with_alpha(2, b"\x02ab" + zlib.compress(bytes(range(143))), 1))
    assert result is None or (result[:, :, 3].ravel()[2:] == 0).all()


# -------------------------------------------------------------------------------------------------------------- limits


def peak_of(data: bytes, message: str, function=imfnb.decode, **options) -> int:
    """Bytes that were allocated at most while `data` was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match=message):
            function(data, **options)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [(2**14 + 1, 2**14), (2**34, 2**34), (1, 2**34), (2**28 + 1, 1)])
@pytest.mark.parametrize("channels", [0, 4])
@pytest.mark.parametrize("function", [imfnb.decode, imfnb.info])
def test_huge_sizes_are_refused_without_memory(size, channels, function):
    fields = main_fields(0, 640, 640, 0, 0, 0, 0) if channels else main_fields(0, 640, None, 0)
    data = assemble(header(*size, channels, fields, [b""] * 4, profile=MAIN), [b""] * 4)
    assert peak_of(data, "max_pixels", function) < 2**20


@pytest.mark.parametrize("size", [(1, 2**28), (2**28, 1), (2, 2**27)])
@pytest.mark.parametrize("coding", [0, 1, 3])
def test_lines_that_grow_to_patches_are_refused(size, coding):
    """A single row of 256 megapixels would be padded to 8 or 16 rows."""
    data = assemble(header(*size, 0, main_fields(0, 640, None, coding), [b""], profile=MAIN), [b""])
    assert peak_of(data, "decoding needs .* bytes") < 2**20


@pytest.mark.jit
@pytest.mark.parametrize("segment", [b"", b"\xff", b"\xff" * 9, bytes(40)])
def test_memory_follows_the_picture_and_not_the_rank(segment):
    """A large picture of a few bytes: refused or decoded in a few times the size of its samples."""
    side = 512
    data = assemble(header(side, side, 0, main_fields(0, 640, None, 1), [segment], profile=MAIN), [segment])
    tracemalloc.start()
    try:
        pixels_or_error(data)
        assert tracemalloc.get_traced_memory()[1] < 40 * side * side
    finally:
        tracemalloc.stop()


def test_deflate_bomb_is_not_unpacked():
    coder = zlib.compressobj(9)
    stream = b"".join(coder.compress(bytes(2**20)) for _ in range(64)) + coder.flush()
    data = with_alpha(2, b"\x01a" + stream, 1)
    assert peak_of(data, "expected 143 samples") < 4 * len(stream) + 2**22


# ------------------------------------------------------------------------------------------------------- damaged bytes


@pytest.mark.parametrize("name", ["small", "translucent"])
def test_every_truncation_is_noticed(name, request):
    data = request.getfixturevalue(name)
    for length in range(len(data)):
        with pytest.raises(FormatError):
            imfnb.decode(data[:length])


@pytest.mark.jit
@pytest.mark.parametrize("name", ["small", "translucent"])
def test_every_flipped_bit_is_noticed(name, request):
    data = request.getfixturevalue(name)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(FormatError):
                imfnb.decode(damaged)


@given(st.binary(max_size=40))
def test_bytes_behind_the_end_are_ignored(small, tail):
    np.testing.assert_array_equal(imfnb.decode(small + tail), imfnb.decode(small))
    details = imfnb.info(small + tail)
    assert (details["size"], details["padding"]) == (len(small), len(tail))


@given(st.binary(max_size=60), st.lists(st.binary(max_size=30), max_size=4))
def test_random_header_with_a_valid_checksum(head, segments):
    pixels_or_error(assemble(bytes([MAIN]) + head, segments), max_pixels=1000)


@given(st.data())
@settings(max_examples=examples(150))
def test_mutated_header_with_a_valid_checksum(translucent, data):
    """Bytes of the header changed, put in or taken out, then both length and checksum repaired."""
    head, segments = take_apart(translucent)
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
    pixels_or_error(assemble(bytes(head), segments), max_pixels=1000)


@pytest.mark.jit
def test_every_bit_of_the_header_flipped_and_the_checksum_repaired(small):
    head, segments = take_apart(small)
    images = 0
    for position in range(len(head)):
        for bit in range(8):
            damaged = bytearray(head)
            damaged[position] ^= 1 << bit
            images += pixels_or_error(assemble(bytes(damaged), segments), max_pixels=4000) is not None
    assert 3 < images < 4 * len(head)


def test_constant_alpha_stands_in_the_header():
    segments = [constant_segment(1)] * 3
    for value in (0, 77, 255):
        fields = main_fields(4, 640, 640, alpha=None) + bytes([value, 0, 0, 0])
        data = assemble(header(11, 13, 4, fields, segments, profile=MAIN), segments)
        for device in ("cpu", "reference"):
            assert (imfnb.decode(data, device=device)[:, :, 3] == value).all()


@given(
    st.integers(1, 33),
    st.integers(1, 33),
    st.sampled_from([0, 1, 3, 4]),
    st.integers(0, 5),
    st.integers(64, 16384),
    st.integers(64, 16384),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
)
def test_other_fields_around_the_same_segments(translucent, height, width, channels, flags, luma, chroma, codings):
    """Headers that are well formed but do not belong to the segments."""
    _, segments = take_apart(translucent)
    alpha = luma if channels == 4 and flags < 2 else flags if flags > 3 else None
    fields = main_fields(flags, luma, chroma if channels >= 3 else None, *codings, alpha=alpha)
    count = len(codings) + (flags >> 1 & 1)
    segments = segments[:count] if flags & 2 == 0 else [*segments[: count - 1], segments[3]]
    result = pixels_or_error(assemble(header(height, width, channels, fields, segments, profile=MAIN), segments))
    assert result is None or result.shape[:2] == (height, width)


@given(st.data())
@settings(max_examples=examples(60))
def test_mutated_segment_with_a_valid_checksum(small, data):
    _, segments = take_apart(small)
    index = data.draw(st.integers(0, 2))
    segment = bytearray(segments[index])
    for _ in range(data.draw(st.integers(1, 3))):
        segment[data.draw(st.integers(0, len(segment) - 1))] ^= data.draw(st.integers(1, 255))
    segments[index] = bytes(segment)
    result = same_on_both(assemble(header(11, 13, 3, GOOD, segments, profile=MAIN), segments))
    assert result is None or result.shape == (11, 13, 3)


@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3), st.sampled_from([64, 640, 16384]))
@settings(max_examples=examples(40))
def test_random_segments_with_valid_checksums(segments, step):
    fields = main_fields(1, step, step, 3, 2, 0)
    same_on_both(assemble(header(11, 13, 3, fields, segments, profile=MAIN), segments))


@pytest.mark.jit
@settings(max_examples=examples(300))
@given(
    st.binary(max_size=400), st.integers(1, 60), st.integers(1, 60), st.integers(64, 16384), st.integers(0, 3), seeds
)
def test_random_segment_of_a_larger_picture(tail, height, width, step, coding, seed):
    """The kernels alone; the first byte is the rank."""
    rng = np.random.default_rng(seed)
    segment = bytes([rng.integers(256)]) + tail
    fields = main_fields(0, step, None, coding)
    result = pixels_or_error(assemble(header(height, width, 1, fields, [segment], profile=MAIN), [segment]))
    assert result is None or result.shape == (height, width, 1)


@pytest.mark.parametrize("step", [64, 1024, 16384])
@pytest.mark.parametrize("coding", [0, 1, 2, 3])
@pytest.mark.parametrize("value", [-4095, 4095])
def test_largest_factors_are_clipped_and_not_wrapped(step, coding, value):
    """Component 0 at the end of its range is black or white at every step."""
    p = 16 if coding & 1 else 8
    segments = [constant_segment(value, (1, 2), p)]
    data = assemble(header(p, 2 * p, 0, main_fields(0, step, None, coding), segments, profile=MAIN), segments)
    for device in ("cpu", "reference"):
        assert (imfnb.decode(data, device=device) == (255 if value > 0 else 0)).all()


def test_out_is_untouched_by_a_file_that_is_refused(small):
    out = np.full((11, 13, 3), 7, np.uint8)
    with pytest.raises(FormatError):
        imfnb.decode(small[:-1], out=out)
    assert (out == 7).all()


@pytest.mark.parametrize("position", [1, 2])
def test_longer_varints_than_needed_do_no_harm(small, position):
    """A side written in two bytes; a reader may take or refuse it, not misread it."""
    head, segments = take_apart(small)
    longer = head[:position] + bytes([head[position] | 128, 0]) + head[position + 1 :]
    result = pixels_or_error(assemble(longer, segments))
    assert result is None or np.array_equal(result, imfnb.decode(small))
    assert varint(11) == head[1:2]


@pytest.mark.slow
@settings(max_examples=20_000)
@given(st.sampled_from([0, 1, 3, 4]), st.sampled_from([8, 16]), st.integers(1, 12), seeds)
def test_fuzzing_for_minutes(channels, patch_size, mutations, seed):
    """Bytes changed anywhere in header and segments of many files, all checksums repaired."""
    rng = np.random.default_rng(seed)
    data = encode(picture(19, 20, channels), step=float(2 ** rng.uniform(0, 8)), patch_size=patch_size)
    details = imfnb.info(data)
    fields = bytearray([MAIN]) + varint(19) + varint(20) + bytes([channels, 0])
    steps = [round(64 * step) for step in details["steps"]]
    codings = [(size == 16) + 2 * on for size, on in zip(details["patch_sizes"], details["restoration"], strict=True)]
    flags = details["subsampling"] == "4:2:0"
    alpha = steps[3] if channels == 4 else None
    fields += main_fields(flags, steps[0], steps[1] if channels >= 3 else None, *codings, alpha=alpha)
    position = len(data)
    segments = []
    for size in reversed(details["segments"].values()):
        segments.insert(0, bytearray(data[position - size : position]))
        position -= size
    for _ in range(mutations):
        target = fields if rng.random() < 0.2 else segments[rng.integers(len(segments))]
        if target:
            target[rng.integers(len(target))] = rng.integers(256)
    whole = [bytes(segment) for segment in segments]
    table = b"".join(varint(len(s)) + zlib.crc32(s).to_bytes(4, "little") for s in whole)
    pixels_or_error(assemble(bytes(fields) + varint(len(whole)) + table, whole), max_pixels=10**6)
